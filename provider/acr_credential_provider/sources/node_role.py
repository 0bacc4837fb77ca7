"""The RAM role of the ECS instance that this node is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .principal import Principal

if TYPE_CHECKING:
    from acr_credential_provider.model.cloud_credential import CloudCredential
    from acr_credential_provider.model.protocol import CredentialProviderRequest

    from .interface import CloudServices


@dataclass(frozen=True, slots=True)
class NodeRoleSource:
    """Credentials of the instance's RAM role: *role* by name, or ("") the one that is attached.

    It applies to every request, because the settings chose the node's identity.
    """

    cloud: CloudServices
    role: str = ""
    allow_v1: bool = False

    def principal(self, request: CredentialProviderRequest | None) -> Principal:  # noqa: ARG002  # the same for all
        """Return the node."""
        return Principal.node("nodeRole", self.role)

    def find(self, principal: Principal) -> CloudCredential:  # noqa: ARG002  # the same for all
        """Return the role's session, or raise `IdentityUnavailableError`."""
        metadata = self.cloud.metadata(allow_v1=self.allow_v1)
        return metadata.role_credential(self.role or metadata.role_name())

    def files(self) -> tuple[str, ...]:
        """Return nothing: no file has a part in it."""
        return ()
