"""Files that are replaced whole: a reader sees the new content or the one before, and a crash leaves one of them."""

from __future__ import annotations

import os
import stat

from acr_credential_provider.model.errors import ConfigurationError


def write_atomically(path: str, content: bytes, *, mode: int) -> None:
    """Put *content* into a new file with *mode* at *path*, in place of the one before; raise ``OSError``.

    The draft is a new file beside it, `draft_prefix` begins its name, and it goes if the disk refuses. Not synced:
    after a power cut, the file may be empty.
    """
    folder, name = os.path.split(path)
    draft = os.path.join(folder, f"{draft_prefix(name)}{os.urandom(8).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask
            file.write(content)
        os.replace(draft, path)
    except OSError:
        os.unlink(draft)  # it may hold a secret, or half of one
        raise


def draft_prefix(name: str) -> str:
    """Return how the names of drafts for the file *name* begin."""
    return f".{name}."


def write_private_atomically(path: str, text: str, *, remedy: str) -> None:
    """Put *text* into a file at *path* that its owner alone can read, in place of the one before.

    Raises `ConfigurationError` with *remedy* if the disk refuses, or if something other than a regular file is there.
    """
    if not _is_free(path):
        raise ConfigurationError(f"{path} is not a regular file, and is left as it is", remedy=remedy)
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        write_atomically(path, text.encode(), mode=0o600)
    except OSError as error:
        outcome = ConfigurationError(f"cannot write {path}: {os.strerror(error.errno or 0)}", remedy=remedy)
    else:
        return
    raise outcome


def _is_free(path: str) -> bool:
    """True if a file may be put at *path*: in the place of a device (/dev/null), it would break the machine."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:  # absent; any other trouble shows when it is written
        return True
