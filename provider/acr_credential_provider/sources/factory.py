"""From an identity in the settings, and its role chain, to the credential source that serves it.

Each kind's module is imported only where it is used, because a pull waits for all imports.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import IdentityUnavailableError
from acr_credential_provider.model.remedy import Remedy

from .secret_file import FOR_OWNER_ALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from acr_credential_provider.settings import AssumedRole, Identity

    from .interface import CloudServices, CredentialSource


def create_source(
    identity: Identity, chain: Sequence[AssumedRole], *, cloud: CloudServices, forbidden: int = FOR_OWNER_ALONE
) -> CredentialSource:
    """Return the source for *identity*, and on top of it one for each role of *chain* in turn.

    *forbidden* are the permission bits that a file with a secret must not have. Raises `IdentityUnavailableError`
    for a kind that this program does without.
    """
    source = _SOURCES[identity.kind](identity, cloud, forbidden)
    if chain:
        from .assumed_role import AssumedRoleSource

        for hop in chain:
            source = AssumedRoleSource(
                cloud, source, hop.role_arn, int(hop.session_duration), hop.policy or "", hop.external_id or ""
            )
    return source


def _node_role(identity: Identity, cloud: CloudServices, _: int) -> CredentialSource:
    from .node_role import NodeRoleSource

    return NodeRoleSource(cloud, identity.role_name or "", allow_v1=identity.allow_imds_v1)


def _access_key(identity: Identity, _: CloudServices, forbidden: int) -> CredentialSource:
    from .access_key import AccessKeySource

    return AccessKeySource(identity.access_key_id_file, identity.access_key_secret_file, forbidden)


def _sts_session(identity: Identity, _: CloudServices, forbidden: int) -> CredentialSource:
    from .sts_session import StsSessionSource

    return StsSessionSource(
        identity.access_key_id_file, identity.access_key_secret_file, identity.security_token_file, forbidden
    )


def _service_account(identity: Identity, cloud: CloudServices, _: int) -> CredentialSource:
    from .service_account import ServiceAccountSource

    without_role, static_pods = identity.without_role == "nodeRole", identity.static_pods == "nodeRole"
    node = None
    if without_role or static_pods:
        from .node_role import NodeRoleSource

        node = NodeRoleSource(cloud)
    return ServiceAccountSource(
        cloud,
        identity.oidc_provider_arn or "",
        rules=identity.roles,
        node=node,
        without_role=without_role,
        static_pods=static_pods,
        audience=identity.audience,
        issuer=identity.issuer,
        seconds=int(identity.session_duration or 0),
    )


def _rrsa(identity: Identity, cloud: CloudServices, _: int) -> CredentialSource:
    from .rrsa import RrsaSource

    return RrsaSource(
        cloud,
        role_arn=identity.role_arn or "",
        provider_arn=identity.oidc_provider_arn or "",
        token_file=identity.token_file or "",
        audience=identity.audience,
        issuer=identity.issuer,
        seconds=int(identity.session_duration or 0),
    )


def _managed_role(identity: Identity, _: CloudServices, __: int) -> CredentialSource:
    try:
        from .managed_role import ManagedRoleSource
    except ImportError:  # the program on nodes has no cryptography
        problem = "this program has no identity of kind managedRole: it works in the pull-secrets controller only"
    else:
        return ManagedRoleSource(identity.token_file or "")
    raise IdentityUnavailableError(
        problem,
        remedy=Remedy(
            "IdentityDoesNotApply",
            "Use another identity for that registry in the settings, such as nodeRole or serviceAccount.",
        ),
    )


def _addon_secret(identity: Identity, _: CloudServices, __: int) -> CredentialSource:
    from .access_key import AccessKeySource
    from .secret_file import NOT_WRITTEN_BY_OTHERS

    folder = identity.directory
    return AccessKeySource(f"{folder}/access-key-id", f"{folder}/access-key-secret", NOT_WRITTEN_BY_OTHERS)


_SOURCES: dict[str, Callable[[Identity, CloudServices, int], CredentialSource]] = {
    "nodeRole": _node_role,
    "accessKey": _access_key,
    "stsSession": _sts_session,
    "serviceAccount": _service_account,
    "rrsa": _rrsa,
    "managedRole": _managed_role,
    "addonSecret": _addon_secret,
}
"""By kind; a kind that asks nothing of the cloud (`identity_kinds`) has none."""
