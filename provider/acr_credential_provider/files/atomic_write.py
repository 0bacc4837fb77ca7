"""A file with a secret in it, for its owner alone: there whole or not at all."""

from __future__ import annotations

import os
import stat

from acr_credential_provider.model.errors import ConfigurationError


def write_private_atomically(path: str, text: str, *, remedy: str) -> None:
    """Put *text* into the file at *path*, new and with mode 0600, in place of the one before.

    Raises `ConfigurationError` with *remedy* where the disk will not have it, or where there is
    something else than a file; nothing of the secret is left behind then.
    """
    if not _is_free(path):
        raise ConfigurationError(f"{path} is not a regular file, and is left as it is", remedy=remedy)
    draft = f"{path}.{os.urandom(8).hex()}"
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(file, "w") as opened:
                opened.write(text)
            os.replace(draft, path)
        except OSError:
            os.unlink(draft)  # a secret, or the half of one
            raise
    except OSError as error:
        outcome = ConfigurationError(f"cannot write {path}: {os.strerror(error.errno or 0)}", remedy=remedy)
    else:
        return
    raise outcome


def _is_free(path: str) -> bool:
    """True if a file may be put at *path*: in the place of a device (/dev/null), it would break the machine."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:  # absent; what else is wrong with it, the writing will tell
        return True
