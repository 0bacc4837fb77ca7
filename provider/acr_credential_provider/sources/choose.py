"""From an identity in the settings to the credential source that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from .access_key import AccessKeySource
from .node_role import NodeRoleSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.cloud.metadata import MetadataService
    from acr_credential_provider.settings import AccessKeyIdentity, NodeRoleIdentity

    from .interface import CredentialSource


def source_of(
    identity: NodeRoleIdentity | AccessKeyIdentity, *, metadata: Callable[[bool], MetadataService]
) -> CredentialSource:
    """Return the source for *identity*; *metadata* makes a metadata service, told whether v1 is allowed.

    A `login` has none: it is shown to the registry, and nothing is asked of the cloud.
    """
    if identity.kind == "nodeRole":
        return NodeRoleSource(metadata(identity.allow_metadata_v1), identity.role_name or "")
    if identity.kind == "accessKey":
        return AccessKeySource(identity.access_key_id_file, identity.access_key_secret_file)
    assert_never(identity)
