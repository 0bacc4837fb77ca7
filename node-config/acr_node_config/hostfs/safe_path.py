"""Opens the host's folders component by component below the host's root, so that no symlink leads out of it.

The root may be a mount in a container, so a path is never handed to the kernel whole: a symlink in it would be
followed into the container.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from acr_node_config.model.errors import DiskError, UnsafePathError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LINKS = 40
"""As many as the kernel follows in one path."""
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def ancestors(path: str) -> list[str]:
    """Return the folders that *path* lies in, the outermost first, without /.

    >>> ancestors("/var/lib/x")
    ['/var', '/var/lib']
    """
    names = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(names[: count + 1]) for count in range(len(names))]


@contextmanager
def parent(root: str, path: str, *, to_write: bool) -> Iterator[tuple[int, str]]:
    """Open the folder that *path* lies in; yield its descriptor and the last name of *path*.

    Raises ``FileNotFoundError`` if there is no such folder; `UnsafePathError` if the way leaves *root*, or,
    *to_write*, if others than root could change a folder on it.
    """
    folder, _, name = path.rpartition("/")
    if not path.startswith("/") or name in ("", ".", ".."):
        raise UnsafePathError(f"{path} is not an absolute path of a file", remedy="Write it out in full.")
    opened = open_folder(root, folder, to_write=to_write)
    try:
        yield opened, name
    finally:
        os.close(opened)


def open_folder(root: str, path: str, *, to_write: bool) -> int:
    """Return a descriptor of the folder at *path* below *root*. Errors as in `parent`."""
    walk = _Resolver(root, path, to_write=to_write)
    try:
        walk.to_the_end()
        return walk.opened.pop()
    finally:
        for descriptor in walk.opened:
            os.close(descriptor)


class _Resolver:
    """On the way to a folder: the descriptors of the folders passed, and the names still to go."""

    def __init__(self, root: str, path: str, *, to_write: bool) -> None:
        self._path = path
        self._to_write = to_write
        self._links = 0
        self._ahead = path.split("/")[::-1]
        self.opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]

    def to_the_end(self) -> None:
        while self._ahead:
            name = self._ahead.pop()
            if name == "..":
                self._up()
            elif name not in ("", "."):
                self._down(name)

    def _up(self) -> None:
        if len(self.opened) == 1:
            raise UnsafePathError(
                f"{self._path} leaves the host's root", remedy="Look at the symlinks in it: one leads too far up."
            )
        os.close(self.opened.pop())

    def _down(self, name: str) -> None:
        here = self.opened[-1]
        status = os.stat(name, dir_fd=here, follow_symlinks=False)
        if self._to_write:
            self._judge(status, name)
        if not stat.S_ISLNK(status.st_mode):
            self.opened.append(os.open(name, _OPEN, dir_fd=here))
            return
        self._links += 1
        if self._links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path)
        target = os.readlink(name, dir_fd=here)
        self._ahead += target.split("/")[::-1]
        if target.startswith("/"):
            while len(self.opened) > 1:
                os.close(self.opened.pop())

    def _judge(self, status: os.stat_result, name: str) -> None:
        """Refuse what others than root could change: they could have the kubelet run anything."""
        is_writable = status.st_mode & 0o022 and not stat.S_ISLNK(status.st_mode)
        if not is_trusted(status.st_uid) or is_writable:
            raise UnsafePathError(
                f"{name} in {self._path} can be changed by others than root",
                remedy=f"Find out why; then, on the node: chown root:root and chmod go-w that {name}.",
            )


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
    else:
        return
    remedies = {
        errno.ENOSPC: "Free some space there.",
        errno.EDQUOT: "Free some space there.",
        errno.EROFS: "It is read-only on this node: choose paths that can be written (--bin-dir, --state), or bake "
        "the plugin into the image.",
        errno.EACCES: "Run it as root; in a pod: privileged, with the host's / mounted.",
        errno.EPERM: "Run it as root; in a pod: privileged, with the host's / mounted.",
    }
    raise DiskError(
        f"cannot work on {path}: {os.strerror(number)}", remedy=remedies.get(number, "Look at that path on the node.")
    )
