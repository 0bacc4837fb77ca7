"""Goes to a file component by component, and judges each folder and symlink on the way by its open descriptor.

The descriptor that was judged is the one that is used next, so nothing can be swapped in between.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Judge: TypeAlias = Callable[[os.stat_result, Sequence[str]], None]

MOST_LINKS = 40
"""The number that the kernel follows in one path."""
_HOP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class OthersCanChangeError(PermissionError):
    """Users other than root and this process's can change the file or folder that `filename` names."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EPERM, "can be changed by others than root", path)


def is_trusted(status: os.stat_result) -> bool:
    """True if only root, or this user, can change the file of *status*.

    In a sticky folder others can make files, but not replace those of root. An access list that lets others write
    shows in the permissions of the group.
    """
    if status.st_uid not in (0, os.geteuid()):
        return False
    if stat.S_ISLNK(status.st_mode):
        return True
    is_sticky = stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)
    return is_sticky or not status.st_mode & 0o022


def judge_for_root(status: os.stat_result, names: Sequence[str]) -> None:
    """Raise `OthersCanChangeError` if this is root, and others can change the folder or symlink *names*.

    Another user than root can change no more than the kernel lets them, and volumes of their Pod are writable for all.
    """
    if os.geteuid() == 0 and not is_trusted(status):
        raise OthersCanChangeError("/" + "/".join(names))


def walk(path: str, root: str, judge: Judge, *, leaves_root: Callable[[], None] | None = None) -> int:
    """Return a descriptor (O_PATH) of *path*, symlinks followed; *root* is the / of symlinks too.

    *judge* raises for what must not be on the way; it sees *root* itself too, with no names. ``..`` in *root* stays
    there, as in a chroot, or calls *leaves_root*.
    """
    way = _Way(path, root, judge, leaves_root)
    try:
        while way.ahead:
            way.go_on()
        return way.opened.pop()
    finally:
        for descriptor in way.opened:
            os.close(descriptor)


class _Way:
    """On the way to *path*: the descriptors of what was passed, its names, and the names still *ahead*."""

    def __init__(self, path: str, root: str, judge: Judge, leaves_root: Callable[[], None] | None) -> None:
        self._path = path
        self._judge = judge
        self._leaves_root = leaves_root
        self._links = 0
        self._names: list[str] = []
        self.ahead = path.split("/")[::-1]
        self.opened = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
        try:
            judge(os.fstat(self.opened[0]), self._names)
        except BaseException:
            os.close(self.opened[0])
            raise

    def go_on(self) -> None:
        name = self.ahead.pop()
        if name == "..":
            if self._names:
                self._go_back(1)
            elif self._leaves_root:
                self._leaves_root()
        elif name not in ("", "."):
            self._enter(name)

    def _enter(self, name: str) -> None:
        above = self.opened[-1]
        try:
            here = os.open(name, _HOP, dir_fd=above)
        except OSError as error:
            error.filename = "/" + "/".join([*self._names, name])  # not the name alone
            raise
        self.opened.append(here)
        self._names.append(name)
        status = os.fstat(here)
        self._judge(status, self._names)
        if status.st_dev != os.fstat(above).st_dev and is_served_by_a_user(here):
            raise OthersCanChangeError("/" + "/".join(self._names))
        if stat.S_ISLNK(status.st_mode):
            self._follow(os.readlink("", dir_fd=here))

    def _follow(self, target: str) -> None:
        self._links += 1
        if self._links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path)
        self.ahead += target.split("/")[::-1]
        self._go_back(len(self._names) if target.startswith("/") else 1)

    def _go_back(self, count: int) -> None:
        for _ in range(count):
            os.close(self.opened.pop())
            self._names.pop()


def mount_of(descriptor: int) -> str:
    """Return the number of the mount that *descriptor* is in; "" without /proc, and before Linux 3.15."""
    lines = _read(f"/proc/self/fdinfo/{descriptor}").splitlines()
    return next((line.split()[1] for line in lines if line.startswith("mnt_id:")), "")


def is_served_by_a_user(descriptor: int) -> bool:
    """True if *descriptor* is in a FUSE file system whose server is a user's: it says what it likes of owners."""
    mount = mount_of(descriptor)
    return bool(mount) and is_a_users(_read("/proc/self/mountinfo"), mount, os.geteuid())


def is_a_users(mountinfo: str, mount: str, user: int) -> bool:
    """True if the line *mount* of *mountinfo* is a FUSE file system of a user that is neither root nor *user*.

    >>> is_a_users("36 1 0:40 / /tmp/x rw - fuse.sshfs u@h rw,user_id=1000,group_id=1000", "36", 0)
    True
    >>> is_a_users("36 1 0:40 / /var/lib/lxcfs rw - fuse.lxcfs lxcfs rw,user_id=0,group_id=0", "36", 0)
    False
    """
    for line in mountinfo.splitlines():
        words, _, rest = line.partition(" - ")
        if words.split(" ", 1)[0] == mount:
            kind, _, options = rest.partition(" ")
            users = [word[8:] for word in options.rpartition(" ")[2].split(",") if word.startswith("user_id=")]
            return kind.startswith("fuse") and users not in (["0"], [str(user)])
    return False


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:  # no /proc
        return ""
