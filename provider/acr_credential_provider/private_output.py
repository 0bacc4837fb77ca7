"""A file with a secret in it, for its owner alone: there whole or not at all."""

from __future__ import annotations

import os

from .errors import ConfigurationError


def write_private(path: str, text: str, *, remedy: str) -> None:
    """Put *text* into the file at *path*, new and with mode 0600, in place of the one before.

    Raises `ConfigurationError` with *remedy* where the disk will not have it; nothing of the
    secret is left behind then.
    """
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
