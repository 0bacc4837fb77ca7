"""Who asks: a pod's token and the right to it, the metadata service, STS, and each hop of a chain."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from acr_credential_provider.cloud.imds import Imds
from acr_credential_provider.cloud.transport import Transport
from acr_credential_provider.cloud.transport_errors import TransportError
from acr_credential_provider.console.checks import SkippedError
from acr_credential_provider.explain import of_the_node, roles_of
from acr_credential_provider.model.errors import (
    CloudUnreachableError,
    CredentialProviderError,
    IdentityUnavailableError,
)
from acr_credential_provider.sources.basic_auth import read_basic_auth

from .context import NEEDS_A_POD, STEP_SECONDS
from .network import answers_of, judged_clock
from .token_attributes import check_attributes, check_pod_token, check_token_request_right, forwarded_annotations

if TYPE_CHECKING:
    from acr_credential_provider.cloud.transport import HttpRequest, HttpResponse
    from acr_credential_provider.model.protocol import CredentialProviderRequest
    from acr_credential_provider.settings import Identity, ServiceAccountIdentity
    from acr_credential_provider.sources.interface import CredentialSource
    from acr_credential_provider.tokens.token_service import TokenService

    from .context import DoctorContext


def check_token(case: DoctorContext) -> str:
    """See that the kubelet hands over what the pod's identity needs, and judge the token that was given."""
    identity = _pods_identity(case)
    token = check_pod_token(case.pod, identity)
    whose = f"of {token.namespace}/{token.name}, " if token else ""
    if case.provider is None:
        if token is None:
            raise SkippedError("no kubelet")
        return f"{whose}for {identity.audience}; no kubelet, so with all annotations that were given"
    provider = next((each for each in case.ours if each.token), case.provider)
    told = check_attributes(identity, provider, beside=case.ours, not_matching=case.others, host=case.host)
    if case.pod is not None:
        case.passed = forwarded_annotations(provider, case.pod.annotations)
    return whose + told


def check_right(case: DoctorContext) -> str:
    """Ask the API server whether this node may have such tokens."""
    identity = _pods_identity(case)
    return check_token_request_right(case.seen_kubelet().kubeconfig, identity, check_pod_token(case.pod, identity))


def ask_metadata(case: DoctorContext) -> str:
    """Ask the metadata service for the region, where a pull needs it at all."""
    identity = case.registry.identity
    substitutes = getattr(identity, "without_role", ""), getattr(identity, "static_pods", "")
    needs_role = "nodeRole" in (identity.kind, *substitutes)
    if identity.kind == "basicAuth" or (not needs_role and case.registry.region):
        raise SkippedError(f"not needed by the identity {identity.kind}, nor for the region")
    allow_v1 = bool(getattr(identity, "allow_imds_v1", False))
    service = Imds(
        case.new_cloud().reach.transport(STEP_SECONDS), endpoint=case.settings.endpoints.metadata, allow_v1=allow_v1
    )
    return f"this node is in {service.region_id()}"


def reach_sts(case: DoctorContext) -> str:
    """Reach STS where roles are assumed, and compare clocks."""
    if not (case.registry.assume_role or case.registry.identity.kind in ("rrsa", "serviceAccount")):
        raise SkippedError("no role is assumed")
    answers, told = answers_of(case, _sts_endpoints(case))
    judged_clock(answers, "STS's")
    return told


def find_identity(case: DoctorContext) -> str:
    """Get the credentials that ask ACR, hop by hop."""
    identity = case.registry.identity
    if identity.kind == "basicAuth":
        login = read_basic_auth(identity.username_file, identity.password_file)
        case.login, case.way = (login.username, login.password), None
        return f"login: from {identity.username_file}, {identity.password_file}"
    if case.needs_pod():
        case.way = case.new_cloud().route(of_the_node(case.registry))
        roles = "; ".join(roles_of(identity)) if identity.kind == "serviceAccount" else ""
        raise SkippedError(f"{NEEDS_A_POD}; roles: {roles}")
    # One cloud for all hops: it keeps the sessions that it got, so each role is asked for once.
    cloud, told = case.new_cloud(), ""
    for hops in range(len(case.registry.assume_role) + 1):
        told += _hop(case, cloud, hops)
    case.way = cloud.route(case.registry)
    return told


def _hop(case: DoctorContext, cloud: TokenService, hops: int) -> str:
    """Find the identity after its first *hops* roles; say what was got, or raise by which hop it was not."""
    identity, chain = case.registry.identity, case.registry.assume_role
    try:
        way = cloud.route(case.registry.model_copy(update={"assume_role": chain[:hops]}))
        credential = way.source.find(case.request())
    except CredentialProviderError as error:
        if chain:
            hop = f"assumeRole[{hops - 1}]" if hops else f"identity {identity.kind}"
            error.problem = f"{hop}: {error.problem}"
        raise
    if credential is None:
        raise IdentityUnavailableError(
            f"the identity {identity.kind} does not apply here",
            remedy="Choose another identity for that entry in the settings.",
        )
    if hops:
        return f", then of {chain[hops - 1].role_arn}"
    kind = "a session" if credential.security_token else "an access key"
    where = ", ".join(way.source.files()) or _issuer(identity, _role_of(way.source, case.request()))
    return f"{identity.kind}: {kind} from {where}"


def _pods_identity(case: DoctorContext) -> ServiceAccountIdentity:
    identity = case.registry.identity
    if identity.kind != "serviceAccount":
        raise SkippedError(f"not needed by the identity {identity.kind}")
    return identity


def _sts_endpoints(case: DoctorContext) -> list[str]:
    """Return where a pull would ask STS, in order: by asking as a pull does, short of sending it."""
    from acr_credential_provider.cloud.sts import WantedRole  # noqa: PLC0415 - for those alone who have roles to assume

    asked: list[str] = []

    class Noting(Transport):
        def send(self, request: HttpRequest) -> HttpResponse:
            base, _, query = request.url.partition("?")
            if "Action=AssumeRoleWithOIDC" not in query:  # the metadata service tells which STS is near
                return super().send(request)
            asked.append(base.rstrip("/"))
            raise TransportError("not asked", remedy="", try_next_endpoint=True)

    sts = case.new_cloud(Noting).reach.sts(case.registry, "", STEP_SECONDS)
    with suppress(CloudUnreachableError):
        sts.assume_role_with_oidc(WantedRole("", ""), provider_arn="", token="")
    return asked


def _role_of(source: CredentialSource, request: CredentialProviderRequest) -> str:
    from acr_credential_provider.sources.service_account import ServiceAccountSource  # noqa: PLC0415 - with the identity that has it

    return source.role_of(request) or "" if isinstance(source, ServiceAccountSource) else ""


def _issuer(identity: Identity, role: str) -> str:
    """Return where the credentials of an *identity* without files of its own come from; *role* is a pod's own."""
    if identity.kind == "rrsa":
        return "STS, for a ServiceAccount token in a file"
    if identity.kind == "serviceAccount":
        if role:
            return f"STS, of {role}"
        return "the metadata service, as pods without a role have it"
    return "the metadata service"
