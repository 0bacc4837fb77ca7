"""An access key from two files that only root can read."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.cloud.credential import CloudCredential
from acr_credential_provider.errors import IdentityUnavailableError

if TYPE_CHECKING:
    from acr_credential_provider.protocol import CredentialProviderRequest

_LARGEST = 4096
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
    outcome = _content(path)
    if isinstance(outcome, IdentityUnavailableError):
        raise outcome
    word = outcome.strip()
    if not word:
        raise IdentityUnavailableError(f"{path} is empty", remedy=f"Write one half of the access key into {path}.")
    if not _KEY.fullmatch(word):
        raise IdentityUnavailableError(
            f"{path} holds more than one half of an access key",
            remedy=f"Write the bare value into {path}: one line, no name before it, no quotes, no base64.",
        )
    return word.decode("ascii")


def _content(path: str) -> bytes | IdentityUnavailableError:
    """Return what is in *path*, or why it must not be used.

    Symlinks are followed, since a mounted Secret is made of them; what was opened is what
    is judged, so that nobody can swap it in between.
    """
    try:
        # Not blocking, or a FIFO would hold the pull until someone writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        return IdentityUnavailableError(
            f"{path} does not exist", remedy=f"Write one half of the access key into {path}."
        )
    except (OSError, ValueError):
        return IdentityUnavailableError(f"{path} cannot be opened", remedy=f"Make {path} a file that root can read.")
    try:
        return _judged(path, os.fstat(descriptor)) or os.read(descriptor, _LARGEST)
    except OSError:
        return IdentityUnavailableError(f"{path} cannot be read", remedy=f"Make {path} a file that root can read.")
    finally:
        os.close(descriptor)


def _judged(path: str, found: os.stat_result) -> IdentityUnavailableError | None:
    if not stat.S_ISREG(found.st_mode):
        return IdentityUnavailableError(f"{path} is not a regular file", remedy=f"Make {path} a regular file.")
    if found.st_uid not in {0, os.geteuid()}:
        return IdentityUnavailableError(
            f"{path} belongs to user {found.st_uid}, who could put another key there", remedy=f"chown root {path}"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        return IdentityUnavailableError(
            f"{path} can be used by others than its owner (mode {stat.S_IMODE(found.st_mode):04o})",
            remedy=f"chmod 0600 {path} (a mounted Secret: defaultMode: 0400)",
        )
    if found.st_size > _LARGEST:
        return IdentityUnavailableError(
            f"{path} is larger than any access key ({found.st_size} bytes)",
            remedy=f"Write one half of the access key into {path}, and nothing else.",
        )
    return None
