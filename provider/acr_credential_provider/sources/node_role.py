"""The RAM role of the ECS instance that this node is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .principal import Principal

if TYPE_CHECKING:
    from acr_credential_provider.cloud.imds import Imds
    from acr_credential_provider.model.cloud_credential import CloudCredential
    from acr_credential_provider.model.protocol import CredentialProviderRequest


@dataclass(frozen=True, slots=True)
class NodeRoleSource:
    """Credentials of the instance's RAM role, `role` by name or ("") whichever is attached.

    It applies to every request: the settings chose the node's identity.
    """

    metadata: Imds
    role: str = ""

    def principal(self, request: CredentialProviderRequest | None) -> Principal | None:  # noqa: ARG002  # the same for all
        """Return the node."""
        return Principal.node("nodeRole", self.role)

    def find(self, request: CredentialProviderRequest | None) -> CloudCredential | None:  # noqa: ARG002  # the same for all
        """Return the role's session, or raise `IdentityUnavailableError`."""
        return self.metadata.role_credential(self.role or self.metadata.role_name())

    def files(self) -> tuple[str, ...]:
        """Return nothing: no file has a part in it."""
        return ()
