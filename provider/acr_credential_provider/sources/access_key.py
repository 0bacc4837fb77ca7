"""An access key from two files that only root can read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.cloud.credential import CloudCredential
from acr_credential_provider.errors import IdentityUnavailableError

from .private_file import read_private

if TYPE_CHECKING:
    from acr_credential_provider.protocol import CredentialProviderRequest

_KEY = re.compile(rb"[!-~]+")  # printable ASCII without spaces: it goes into a header


@dataclass(frozen=True, slots=True)
class AccessKeySource:
    """A RAM user's permanent access key; each path holds one of its halves and nothing else.

    It applies to every request: the settings chose this identity. The files are read at
    each `find`, so that a rotated key works at once.
    """

    id_file: str
    secret_file: str

    def find(self, request: CredentialProviderRequest | None) -> CloudCredential | None:  # noqa: ARG002  # the same for all
        """Return the key, or raise `IdentityUnavailableError` naming the file and the fix."""
        return CloudCredential(_read(self.id_file), _read(self.secret_file))

    def files(self) -> tuple[str, ...]:
        """Return both paths."""
        return (self.id_file, self.secret_file)


def _read(path: str) -> str:
    """Return the one word in the file at *path*."""
    word = read_private(path, what="one half of the access key")
    if not _KEY.fullmatch(word):
        raise IdentityUnavailableError(
            f"{path} holds more than one half of an access key",
            remedy=f"Write the bare value into {path}: one line, no name before it, no quotes, no base64.",
        )
    return word.decode("ascii")
