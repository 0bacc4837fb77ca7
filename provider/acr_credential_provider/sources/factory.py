"""From an identity in the settings, and its chain of roles, to the credential source that serves it.

Each kind's module is imported for those alone who use it: a pull waits for all that is imported.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import os
from typing import TYPE_CHECKING, assert_never

from acr_credential_provider.model.errors import IdentityUnavailableError

from .secret_file import FOR_OWNER_ALONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acr_credential_provider.settings import (
        AddonSecretIdentity,
        AssumedRole,
        Identity,
        ManagedRoleIdentity,
        ProfileIdentity,
        RrsaIdentity,
        ServiceAccountIdentity,
    )

    from .interface import CloudServices, CredentialSource


def create_source(
    identity: Identity, chain: Sequence[AssumedRole], *, cloud: CloudServices, forbidden: int = FOR_OWNER_ALONE
) -> CredentialSource:
    """Return the source for *identity*, and on top of it one for each role of *chain* in turn.

    *forbidden* are the permission bits that a file with a secret must not have.
    """
    source = _base(identity, cloud, forbidden)
    if chain:
        from .assumed_role import AssumedRoleSource

        for hop in chain:
            source = AssumedRoleSource(
                cloud, source, hop.role_arn, int(hop.session_duration), hop.policy or "", hop.external_id or ""
            )
    return source


def _base(identity: Identity, cloud: CloudServices, forbidden: int) -> CredentialSource:
    if identity.kind == "nodeRole":
        return _node_role(cloud, identity.role_name, allow_v1=identity.allow_imds_v1)
    if identity.kind == "serviceAccount":
        return _service_account(identity, cloud)
    if identity.kind == "rrsa":
        return _rrsa(identity, cloud)
    if identity.kind == "accessKey":
        from .access_key import AccessKeySource

        return AccessKeySource(identity.access_key_id_file, identity.access_key_secret_file, forbidden)
    if identity.kind == "stsSession":
        from .sts_session import StsSessionSource

        return StsSessionSource(
            identity.access_key_id_file, identity.access_key_secret_file, identity.security_token_file, forbidden
        )
    if identity.kind == "basicAuth":  # only its own domains lead to it, and those are never looked up
        raise IdentityUnavailableError("a login is not an identity of the cloud", remedy="Report this.")
    return _not_on_nodes(identity)


def _not_on_nodes(identity: ManagedRoleIdentity | AddonSecretIdentity | ProfileIdentity) -> CredentialSource:
    """Return the source of a kind whose module the program on nodes may not have."""
    if identity.kind == "addonSecret":
        from .access_key import AccessKeySource
        from .secret_file import NOT_WRITTEN_BY_OTHERS

        folder = identity.directory
        return AccessKeySource(f"{folder}/access-key-id", f"{folder}/access-key-secret", NOT_WRITTEN_BY_OTHERS)
    if identity.kind == "managedRole":
        try:
            from .managed_role import ManagedRoleSource
        except ImportError:
            raise _elsewhere("managedRole", "the pull-secrets controller", "nodeRole or serviceAccount") from None
        return ManagedRoleSource(identity.token_file)
    if identity.kind == "profile":
        try:
            from .profile import ProfileSource
        except ImportError:
            raise _elsewhere("profile", "an installation with pip", "accessKey or sts") from None
        return ProfileSource(identity.file or os.path.expanduser("~/.aliyun/config.json"), identity.name or "")
    assert_never(identity)


def _node_role(cloud: CloudServices, role_name: str | None, *, allow_v1: bool) -> CredentialSource:
    from .node_role import NodeRoleSource

    return NodeRoleSource(cloud.metadata(allow_v1=allow_v1), role_name or "")


def _service_account(identity: ServiceAccountIdentity, cloud: CloudServices) -> CredentialSource:
    from .service_account import ServiceAccountSource

    node = (
        _node_role(cloud, None, allow_v1=False) if "nodeRole" in (identity.without_role, identity.static_pods) else None
    )
    return ServiceAccountSource(
        cloud,
        identity.oidc_provider_arn,
        rules=identity.roles,
        without_role=node if identity.without_role == "nodeRole" else None,
        static_pods=node if identity.static_pods == "nodeRole" else None,
        audience=identity.audience,
        issuer=identity.issuer,
        seconds=int(identity.session_duration),
    )


def _rrsa(identity: RrsaIdentity, cloud: CloudServices) -> CredentialSource:
    from .rrsa import RrsaSource

    return RrsaSource(
        cloud,
        role_arn=identity.role_arn or "",
        provider_arn=identity.oidc_provider_arn or "",
        token_file=identity.token_file or "",
        audience=identity.audience,
        issuer=identity.issuer,
        seconds=int(identity.session_duration),
    )


def _elsewhere(kind: str, place: str, others: str) -> IdentityUnavailableError:
    return IdentityUnavailableError(
        f"this program has no identity of kind {kind}: it works in {place} only",
        remedy=f"Use another identity for that registry in the settings, such as {others}.",
    )
