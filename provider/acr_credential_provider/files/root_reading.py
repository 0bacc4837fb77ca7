"""What the way to a file must be like before the program reads a secret, settings or certificates from it."""

from __future__ import annotations

import errno
import os
import stat

from acr_credential_provider.changes.way import OthersCanChangeError, judge_for_root, walk
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.own_places import is_ours
from acr_credential_provider.model.remedy import Remedy

from .credentials_folder import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def check_before_reading(path: str, *, folder: str = FOLDER) -> None:
    """Raise `ConfigurationError` if *path* may lead to another file than the one that it names.

    A file of the credentials *folder* must be there itself. If this is root, only root may be able to change the way to
    the file; any other user reads own files by any way. A file that is absent passes: its reader says so.
    """
    outcome = _flaw_of_key(path, folder) or (None if os.geteuid() else _flaw_of_way(path))
    if outcome is not None:
        raise outcome


def _flaw_of_key(path: str, folder: str) -> ConfigurationError | None:
    """Return what the kernel's RESOLVE_BENEATH would refuse, for a file of the *folder*."""
    if not path.startswith(f"{folder}/"):
        return None

    def leave() -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)

    def judge(status: os.stat_result, names: Sequence[str]) -> None:
        if stat.S_ISLNK(status.st_mode) and os.readlink("/".join((folder, *names))).startswith("/"):
            leave()

    try:
        os.close(walk(path.removeprefix(folder), folder, judge, leaves_root=leave))
    except OSError as error:
        if error.errno == errno.EXDEV:
            return ConfigurationError(
                f"{path} leads out of the credentials folder",
                remedy=Remedy(
                    "SecretFileUnsafe",
                    f"Put the file itself into {folder}, or a relative symlink to one that is in it.",
                ),
            )
    return None


def _flaw_of_way(path: str) -> ConfigurationError | None:
    try:
        os.close(walk(path, "/", judge_for_root))
    except OthersCanChangeError as error:
        return _changeable(error.filename, path)
    except OSError:
        pass
    return None


def _changeable(step: str, path: str) -> ConfigurationError:
    """Return the error of a *step* on the way to *path* that others than root can change."""
    problem = f"{path} is not safe to read as root: others than root can change {step}"
    if step == path and is_ours(step):
        return ConfigurationError(
            problem, remedy=Remedy("SecretFileUnsafe", f"Run: chown root:root {path}; chmod 0600 {path}")
        )
    # A folder or file of others may be shared, and rightly so.
    return ConfigurationError(
        problem,
        remedy=Remedy(
            "SecretFileUnsafe",
            "Move the file into a folder that only root can change, for example below /etc, and name it there.",
        ),
    )
