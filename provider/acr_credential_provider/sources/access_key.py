"""An access key from two files that only root can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.model.cloud_credential import CloudCredential

from .principal import Principal
from .secret_file import FOR_OWNER_ALONE, read_word

if TYPE_CHECKING:
    from acr_credential_provider.model.protocol import CredentialProviderRequest

_HALF = "one half of the access key"


@dataclass(frozen=True, slots=True)
class AccessKeySource:
    """A RAM user's permanent access key; each path holds one of its halves and nothing else.

    It applies to every request, because the settings chose this identity. The files are read at
    each `find`, so that a rotated key works at once. *forbidden* are the permission bits
    that they must not have.
    """

    id_file: str
    secret_file: str
    forbidden: int = FOR_OWNER_ALONE

    def principal(self, request: CredentialProviderRequest | None) -> Principal:  # noqa: ARG002  # the same for all
        """Return the unnamed owner of the files' content."""
        return Principal.node("accessKey", self.id_file, self.secret_file)

    def find(self, principal: Principal) -> CloudCredential:  # noqa: ARG002  # the same for all
        """Return the key, or raise `IdentityUnavailableError` naming the file and the fix."""
        return CloudCredential(
            read_word(self.id_file, what=_HALF, forbidden=self.forbidden),
            read_word(self.secret_file, what=_HALF, forbidden=self.forbidden),
        )

    def files(self) -> tuple[str, ...]:
        """Return both paths."""
        return (self.id_file, self.secret_file)
