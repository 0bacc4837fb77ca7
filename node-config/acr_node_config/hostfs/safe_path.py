"""Opens the host's folders component by component below the host's root, so that no symlink leads out of it.

The root may be a mount in a container, so a path is never handed to the kernel whole: a symlink in it would be
followed into the container.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from acr_credential_provider.changes import way
from acr_credential_provider.changes.folder import Folder
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained

from acr_node_config.model.errors import DiskError, UnsafePathError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def ancestors(path: str) -> list[str]:
    """Return the folders that *path* lies in, the outermost first, without /.

    >>> ancestors("/var/lib/x")
    ['/var', '/var/lib']
    """
    names = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(names[: count + 1]) for count in range(len(names))]


@contextmanager
def parent(root: str, path: str) -> Iterator[tuple[int, str]]:
    """Open the folder that *path* lies in, to read; yield its descriptor and the last name of *path*.

    Raises ``FileNotFoundError`` if there is no such folder; `UnsafePathError` if the way leaves *root*.
    """
    above, name = _split(path)
    opened = open_folder(root, above)
    try:
        yield opened, name
    finally:
        os.close(opened)


@contextmanager
def own_parent(root: str, path: str) -> Iterator[tuple[Folder, str]]:
    """Open the folder that *path* lies in, as proof for a change; yield it and the last name of *path*.

    Errors as in `parent`, and `UnsafePathError` if others than root could change a folder on the way.
    """
    above, name = _split(path)
    with own_folder(root, above) as folder:
        yield folder, name


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    if not path.startswith("/") or name in ("", ".", ".."):
        raise UnsafePathError(
            f"{path} is not an absolute path of a file", remedy=Remedy("ArgumentInvalid", "Write it out in full.")
        )
    return folder, name


def open_folder(root: str, path: str) -> int:
    """Return a descriptor of the folder at *path* below *root*, to read. Errors as in `parent`."""
    return _opened(root, path, lambda _status, _names: None)


def own_folder(root: str, path: str) -> Folder:
    """Return the folder at *path* below *root*, as proof for changes in it. Errors as in `own_parent`."""

    def judge(status: os.stat_result, names: Sequence[str]) -> None:
        """Refuse what others than root could change: they could have the kubelet run anything."""
        is_writable = status.st_mode & 0o022 and not stat.S_ISLNK(status.st_mode)
        if names and (not is_trusted(status.st_uid) or is_writable):
            raise _unsafe(names[-1], path)

    return Folder(_opened(root, path, judge))


def _opened(root: str, path: str, judge: way.Judge) -> int:
    def leave() -> NoReturn:
        raise UnsafePathError(
            f"{path} leaves the host's root",
            remedy=Remedy("NodePathUnsafe", "Look at the symlinks in it: one leads too far up."),
        )

    try:
        found = way.walk(path, root, judge, leaves_root=leave)
    except way.OthersCanChangeError as error:
        raise _unsafe(os.path.basename(error.filename), path) from None
    try:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=found)
    finally:
        os.close(found)


def _unsafe(name: str, path: str) -> UnsafePathError:
    return UnsafePathError(
        f"{name} in {path} can be changed by others than root",
        remedy=Remedy(
            "NodePathUnsafe",
            "Choose a place that root alone can change, with every folder above it (--bin-dir, --state), "
            f"and leave {name} as it is: other programs or users may need it so.",
        ),
    )


_AS_ROOT = Remedy("NotPrivileged", "Run it as root; in a pod: privileged, with the host's / mounted.")


def is_trusted(owner: int) -> bool:
    """True if *owner* is root, or this process's user where that is not root (tests)."""
    return owner in (0, os.geteuid())


@contextmanager
def translate_os_errors(path: str) -> Iterator[None]:
    """Turn an ``OSError`` about *path* into a `DiskError` with a remedy."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        reason, remedy = explained(error, remedy=Remedy("NodePathUnusable", "Look at that path on the node."))
    else:
        return
    remedies = {
        errno.EROFS: Remedy(
            "DiskReadOnly",
            "It is read-only on this node: choose paths that can be written (--bin-dir, --state), or bake the plugin "
            "into the image.",
        ),
        errno.EACCES: _AS_ROOT,
        errno.EPERM: _AS_ROOT,
    }
    raise DiskError(f"cannot work on {path}: {reason}", remedy=remedies.get(number, remedy))
