"""An STS session from three files that another program on the node renews."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.response_cache import file_fingerprint
from acr_credential_provider.model.cloud_credential import CloudCredential
from acr_credential_provider.model.errors import IdentityUnavailableError
from acr_credential_provider.model.remedy import Remedy

from .principal import Principal
from .secret_file import FOR_OWNER_ALONE, read_word

if TYPE_CHECKING:
    from acr_credential_provider.model.protocol import CredentialProviderRequest

_LARGEST = 16384
_TRIES = 3


@dataclass(frozen=True, slots=True)
class StsSessionSource:
    """A session whose three parts are in a file each, read at each `find`.

    It applies to every request, because the settings chose this identity. The session's life is not in
    the files; ACR and STS tell it with what they grant. *forbidden* are the permission bits that the
    files must not have.
    """

    id_file: str
    secret_file: str
    token_file: str
    forbidden: int = FOR_OWNER_ALONE

    def principal(self, request: CredentialProviderRequest | None) -> Principal:  # noqa: ARG002  # the same for all
        """Return the unnamed owner of the files' content."""
        return Principal.node("stsSession", *self.files())

    def find(self, principal: Principal) -> CloudCredential:  # noqa: ARG002  # the same for all
        """Return the session, or raise `IdentityUnavailableError` naming the file and the fix."""
        for _ in range(_TRIES):
            before = [file_fingerprint(path) for path in self.files()]
            parts = [
                read_word(path, what="one part of the session", largest=_LARGEST, forbidden=self.forbidden)
                for path in self.files()
            ]
            if before == [file_fingerprint(path) for path in self.files()]:
                return CloudCredential(*parts)
        raise IdentityUnavailableError(
            f"the files of the session ({self.id_file} and others) keep changing while they are read",
            remedy=Remedy("SecretFileUnreadable", "Renew them less often, and replace each by rename."),
        )

    def files(self) -> tuple[str, ...]:
        """Return the three paths."""
        return (self.id_file, self.secret_file, self.token_file)
