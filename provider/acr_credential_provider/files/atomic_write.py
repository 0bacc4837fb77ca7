"""A file for its owner alone that is replaced whole: a reader sees the new content or the one before."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from acr_credential_provider.changes.folder import Folder, made
from acr_credential_provider.changes.way import OthersCanChangeError
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.resource_limits import explained

if TYPE_CHECKING:
    from acr_credential_provider.model.remedy import Remedy


def draft_prefix(name: str) -> str:
    """Return how the names of drafts for the file *name* begin."""
    return f".{name}."


def write_private_atomically(path: str, text: str, *, remedy: Remedy) -> None:
    """Put *text* into a file at *path* that its owner alone can read, in place of the one before.

    Raises `ConfigurationError` with *remedy* if the disk refuses, if something other than a regular file is there, or
    if this is root and others can change a folder on the way.
    """
    above, name = os.path.split(os.path.abspath(path))
    try:
        with made(above, mode=0o700) as folder:
            if _is_free(folder, name):
                folder.put(name, text.encode(), draft=draft_prefix(name))
                return
        problem = f"{path} is not a regular file, and is left as it is"
    except OthersCanChangeError as error:
        problem = f"cannot write {path}: {error.filename} can be changed by others than root"
    except OSError as error:
        reason, remedy = explained(error, remedy=remedy)
        problem = f"cannot write {path}: {reason}"
    raise ConfigurationError(problem, remedy=remedy)


def _is_free(folder: Folder, name: str) -> bool:
    """True if a file may be put there: in the place of a device (/dev/null), it would break the machine."""
    try:
        return stat.S_ISREG(folder.status(name).st_mode)
    except FileNotFoundError:
        return True
