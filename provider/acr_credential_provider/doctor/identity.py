"""The identity that asks ACR: the metadata service, STS, and each role of a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import CheckSkippedError
from acr_credential_provider.explain.candidates import role_rules, with_node_role
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.settings.identity_kinds import OIDC
from acr_credential_provider.sources.basic_auth import read_basic_auth

from .context import CHECK_SECONDS
from .network import clock_offset, probe

if TYPE_CHECKING:
    from acr_credential_provider.settings import Identity
    from acr_credential_provider.tokens.token_service import TokenRoute, TokenService

    from .context import DoctorContext


def check_metadata_service(context: DoctorContext) -> str:
    """Ask the metadata service for the region, if a pull needs it at all."""
    identity = context.registry.identity
    if not identity.traits.asks_cloud or (not identity.uses_node_role and context.registry.region):
        raise CheckSkippedError(f"not needed by the identity {identity.kind}, nor for the region")
    service = context.endpoints().metadata(CHECK_SECONDS, allow_v1=identity.allow_imds_v1)
    return f"this node is in {service.region_id()}"


def check_sts_endpoint(context: DoctorContext) -> str:
    """Reach STS if roles are assumed, and compare clocks."""
    if not (context.registry.assume_role or context.registry.identity.traits.session_from == OIDC):
        raise CheckSkippedError("no role is assumed")
    sts = context.endpoints().sts(context.registry, "", CHECK_SECONDS)
    responses, detail = probe(context, sts.endpoints)
    clock_offset(responses, "STS's")
    return detail


def check_identity(context: DoctorContext) -> str:
    """Get the credentials that ask ACR, role by role."""
    identity = context.registry.identity
    if not identity.traits.asks_cloud:
        login = read_basic_auth(identity.username_file, identity.password_file)
        context.login = login.username, login.password
        return f"{identity.kind}: from {', '.join(identity.key_files)}"
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
        route = service.route(context.registry._replace(assume_role=chain[:hops]))
        credential = route.source.find(route.principal)
    except CredentialProviderError as error:
        if chain:
            hop = f"assumeRole[{hops - 1}]" if hops else f"identity {identity.kind}"
            error.problem = f"{hop}: {error.problem}"
        raise
    if hops:
        return f", then of {chain[hops - 1].role_arn}"
    kind = "a session" if credential.security_token else "an access key"
    return f"{identity.kind}: {kind} from {', '.join(route.source.files()) or _issuer(identity, route)}"


def _issuer(identity: Identity, route: TokenRoute) -> str:
    role = route.principal.role
    if identity.traits.is_of_pods:
        return f"STS, of {role}" if role else "the metadata service, as pods without a role have it"
    return "STS, for a ServiceAccount token in a file" if role else "the metadata service"
