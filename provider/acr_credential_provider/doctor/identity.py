"""The identity that asks ACR: the metadata service, STS, and each role of a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import CheckSkippedError
from acr_credential_provider.explain.candidates import role_rules, with_node_role
from acr_credential_provider.model.errors import CredentialProviderError, IdentityUnavailableError
from acr_credential_provider.settings import BasicAuthIdentity
from acr_credential_provider.sources.basic_auth import read_basic_auth

from .context import CHECK_SECONDS
from .network import clock_offset, probe

if TYPE_CHECKING:
    from acr_credential_provider.sources.interface import CredentialSource
    from acr_credential_provider.tokens.token_service import TokenService

    from .context import DoctorContext


def check_metadata_service(context: DoctorContext) -> str:
    """Ask the metadata service for the region, if a pull needs it at all."""
    identity = context.registry.identity
    kinds = identity.kind, getattr(identity, "without_role", ""), getattr(identity, "static_pods", "")
    if isinstance(identity, BasicAuthIdentity) or ("nodeRole" not in kinds and context.registry.region):
        raise CheckSkippedError(f"not needed by the identity {identity.kind}, nor for the region")
    allow_v1 = bool(getattr(identity, "allow_imds_v1", False))
    return f"this node is in {context.endpoints().metadata(CHECK_SECONDS, allow_v1=allow_v1).region_id()}"


def check_sts_endpoint(context: DoctorContext) -> str:
    """Reach STS if roles are assumed, and compare clocks."""
    if not (context.registry.assume_role or context.registry.identity.kind in ("rrsa", "serviceAccount")):
        raise CheckSkippedError("no role is assumed")
    sts = context.endpoints().sts(context.registry, "", CHECK_SECONDS)
    responses, detail = probe(context, sts.endpoints)
    clock_offset(responses, "STS's")
    return detail


def check_identity(context: DoctorContext) -> str:
    """Get the credentials that ask ACR, role by role."""
    identity = context.registry.identity
    if isinstance(identity, BasicAuthIdentity):
        login = read_basic_auth(identity.username_file, identity.password_file)
        context.login = login.username, login.password
        return f"{identity.kind}: from {identity.username_file}, {identity.password_file}"
    if context.is_pod_missing:
        context.known_route = context.token_service().route(with_node_role(context.registry))
        context.skip_without_pod(f"; roles: {'; '.join(role_rules(context.pod_identity))}")
    # One service for the whole chain: it keeps the sessions that it got, so each role is assumed once.
    service = context.token_service()
    detail = "".join(_assume(context, service, hops) for hops in range(len(context.registry.assume_role) + 1))
    context.known_route = service.route(context.registry)
    return detail


def _assume(context: DoctorContext, service: TokenService, hops: int) -> str:
    """Get the credentials after the first *hops* roles; return what they are, or raise with the hop that failed."""
    identity, chain = context.registry.identity, context.registry.assume_role
    try:
        source = service.route(context.registry.model_copy(update={"assume_role": chain[:hops]})).source
        credential = source.find(context.request())
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
    return f"{identity.kind}: {kind} from {_origin(context, source)}"


def _origin(context: DoctorContext, source: CredentialSource) -> str:
    from acr_credential_provider.sources.service_account import ServiceAccountSource  # noqa: PLC0415 - for pods alone

    if source.files():
        return ", ".join(source.files())
    if isinstance(source, ServiceAccountSource):
        role = source.role_of(context.request())
        return f"STS, of {role}" if role else "the metadata service, as pods without a role have it"
    is_rrsa = context.registry.identity.kind == "rrsa"
    return "STS, for a ServiceAccount token in a file" if is_rrsa else "the metadata service"
