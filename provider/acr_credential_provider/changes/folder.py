"""An open folder as the proof for each change in it: only root and this user can change it, and all ways to it.

Its methods take a name in the folder, never a path, so neither a symlink nor a folder that was swapped can lead a
change elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat

from .way import OthersCanChangeError, judge_for_root, mount_of, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Concatenate, ParamSpec, Self, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def _says_where(method: Callable[Concatenate[Folder, P], R]) -> Callable[Concatenate[Folder, P], R]:
    """Let each ``OSError`` of *method* name the whole path: the call itself sees only a name in the folder."""

    def call(folder: Folder, /, *args: P.args, **more: P.kwargs) -> R:
        try:
            return method(folder, *args, **more)
        except OSError as error:
            _complete(error, folder.descriptor)
            raise

    return call


def _complete(error: OSError, descriptor: int) -> None:
    """Put the path of the open folder *descriptor* before the name in *error*."""
    if isinstance(error.filename, str) and not error.filename.startswith("/"):
        error.filename = f"{_path_of(descriptor)}/{error.filename}"


def _path_of(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # no /proc
        return "a folder"


class Folder:
    """The open folder *descriptor*, which it closes at its end; raise `OthersCanChangeError` if it is no proof."""

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        try:
            self._prove(os.fstat(descriptor))
        except OSError:
            os.close(descriptor)
            raise

    def _prove(self, status: os.stat_result) -> None:
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        judge_for_root(status, [self.path.lstrip("/")])

    @property
    def path(self) -> str:
        """Its path, for messages."""
        return _path_of(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)

    @_says_where
    def status(self, name: str = "") -> os.stat_result:
        """Return the status of *name*, no symlink followed, or its own."""
        if not name:
            return os.fstat(self.descriptor)
        return os.stat(_checked(name), dir_fd=self.descriptor, follow_symlinks=False)

    def names(self) -> list[str]:
        """Return the names in it, sorted."""
        return sorted(os.listdir(self.descriptor))

    @_says_where
    def folder(self, name: str) -> Folder:
        """Open the folder *name* in it, as proof for changes there."""
        return Folder(os.open(_checked(name), _FOLDER, dir_fd=self.descriptor))

    @_says_where
    def make_folder(self, name: str, mode: int) -> Folder:
        """Open the folder *name* in it; make it with *mode*, whatever the umask, if it is not there."""
        try:
            os.mkdir(_checked(name), mode, dir_fd=self.descriptor)
        except FileExistsError:
            return self.folder(name)
        made = self.folder(name)
        try:
            made.chmod(mode)
        except OSError:
            made.close()
            raise
        return made

    def chmod(self, mode: int) -> None:
        """Give the folder itself *mode*."""
        os.fchmod(self.descriptor, mode)

    def sync(self) -> None:
        """Wait until its entries are on the disk."""
        os.fsync(self.descriptor)

    @_says_where
    def new_file(self, name: str, mode: int = 0o600) -> int:
        """Return a descriptor (read and write) of a file *name* that is made now; raise if anything is there."""
        return os.open(_checked(name), os.O_RDWR | _NEW, mode, dir_fd=self.descriptor)

    def nameless_file(self) -> int:
        """Return a descriptor of a new file that has no name any more, so that it is gone with its descriptor."""
        name = f".{os.urandom(16).hex()}"
        file = self.new_file(name)
        self.unlink(name)
        return file

    @_says_where
    def lock_file(self, name: str) -> int:
        """Return a descriptor of the file *name* to lock, made if it is not there; its content is not touched."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return _regular(os.open(_checked(name), flags, 0o600, dir_fd=self.descriptor))

    @_says_where
    def touch(self, name: str) -> None:
        """Give the file *name* the present as its time of change."""
        file = _regular(os.open(_checked(name), _READ, dir_fd=self.descriptor))
        try:
            os.utime(file)
        finally:
            os.close(file)

    @_says_where
    def put(self, name: str, content: bytes, *, mode: int = 0o600, draft: str) -> None:
        """Put a new file with *content* in place of *name*; the name of its draft begins with *draft*.

        The draft goes if the disk refuses, because it may hold a secret. Not synced.
        """
        _checked(name)
        draft += os.urandom(8).hex()
        file = self.new_file(draft, mode)
        try:
            try:
                os.fchmod(file, mode)  # whatever the umask
                write(file, content)
            finally:
                os.close(file)
            self.rename(draft, name)
        except OSError:
            self.unlink(draft)
            raise

    def _refuse_others(self, name: str) -> None:
        """Raise if this is a sticky folder, and *name* another user's: the kernel would let root take it away."""
        try:
            owner = self.status(name).st_uid if self.status().st_mode & stat.S_ISVTX else 0
        except FileNotFoundError:
            return
        if owner not in (0, os.geteuid()):
            raise OthersCanChangeError(f"{self.path}/{name}")

    @_says_where
    def rename(self, old: str, new: str) -> None:
        """Rename *old* to *new* in the same folder, in place of what was there."""
        self._refuse_others(new)
        os.rename(_checked(old), _checked(new), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    @_says_where
    def symlink(self, target: str, name: str) -> None:
        """Make the symlink *name*, which leads to *target*."""
        os.symlink(target, _checked(name), dir_fd=self.descriptor)

    @_says_where
    def unlink(self, name: str) -> None:
        """Remove the file or symlink *name*, if it is there."""
        self._refuse_others(name)
        try:
            os.unlink(_checked(name), dir_fd=self.descriptor)
        except FileNotFoundError:
            return

    @_says_where
    def rmdir(self, name: str) -> None:
        """Remove the empty folder *name*."""
        self._refuse_others(name)
        os.rmdir(_checked(name), dir_fd=self.descriptor)

    @_says_where
    def remove_all(self, name: str, *, keeps_mount: bool = False) -> None:
        """Remove *name*, if it is there, whatever it is. No symlink is followed.

        Raises ``OSError`` (EBUSY) if something is mounted below it, and leaves that; with *keeps_mount*, *name* itself
        may be a mount, which is only emptied.
        """
        try:
            is_folder = stat.S_ISDIR(self.status(name).st_mode)
        except FileNotFoundError:
            return
        self._refuse_others(name)
        if not is_folder:
            self.unlink(name)
            return
        inner = os.open(name, _FOLDER, dir_fd=self.descriptor)
        is_mount = _mounted(inner) != _mounted(self.descriptor)
        if is_mount and not keeps_mount:
            os.close(inner)
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name)
        _empty(inner)
        if not is_mount:
            self.rmdir(name)


class SharedFolder(Folder):
    """A folder of root's or this user's in which others can write too, for small files that they can read."""

    __slots__ = ()

    def _prove(self, status: os.stat_result) -> None:
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if status.st_uid not in (0, os.geteuid()):
            raise OthersCanChangeError(self.path)


def opened(path: str) -> Folder:
    """Open the folder at *path*; raise `OthersCanChangeError` if others can change it, or the way to it."""
    return Folder(_walked(path))


def opened_shared(path: str) -> SharedFolder:
    """Open the folder at *path*, in which others may write; no other way to it than root's."""
    above, _, name = path.rstrip("/").rpartition("/")
    with opened(above or "/") as folder:
        return SharedFolder(os.open(_checked(name), _FOLDER, dir_fd=folder.descriptor))


def made(path: str, *, mode: int) -> Folder:
    """Open the folder at *path*; it and those above that are not there are made with *mode*."""
    try:
        return opened(path)
    except FileNotFoundError:
        above, _, name = path.rstrip("/").rpartition("/")
        if not name:
            raise
        with made(above or "/", mode=mode) as folder:
            return folder.make_folder(name, mode)


class TemporaryFolder:
    """A new folder for this user alone, removed with all in it at the end of the context, which gets its path."""

    def __init__(self) -> None:
        self._folder = os.path.abspath(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - a new folder of its own
        self._name = f"aliyun-acr-{os.urandom(8).hex()}"
        self._above = opened(self._folder)

    def __enter__(self) -> str:
        self._above.make_folder(self._name, 0o700).close()
        return f"{self._folder}/{self._name}"

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        with self._above as above:
            above.remove_all(self._name)


def write(file: int, content: bytes) -> None:
    """Write all of *content*."""
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]


def _walked(path: str) -> int:
    found = walk(path, "/", judge_for_root)
    try:
        readable = os.open(".", _FOLDER, dir_fd=found)
    except PermissionError:  # a folder above ours that this user may only pass
        return found
    except OSError:
        os.close(found)
        raise
    os.close(found)
    return readable


def _checked(name: str) -> str:
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    return name


def _regular(file: int) -> int:
    """Return *file*; close it and raise ``OSError`` if it is no regular file of this user or root."""
    status = os.fstat(file)
    if stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid()):
        return file
    os.close(file)
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def _empty(descriptor: int) -> None:
    """Remove all in the open folder *descriptor*, and close it."""
    try:
        here = _mounted(descriptor)
        for name in os.listdir(descriptor):
            _remove(name, descriptor, here)
    except OSError as error:
        _complete(error, descriptor)
        raise
    finally:
        os.close(descriptor)


def _remove(name: str, above: int, mount: tuple[int, str]) -> None:
    """Remove *name* in the open folder *above*, and all in it that is in the same *mount*."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=above)
        return
    inner = os.open(name, _FOLDER, dir_fd=above)
    if _mounted(inner) != mount:
        os.close(inner)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name)
    _empty(inner)
    os.rmdir(name, dir_fd=above)


def _mounted(descriptor: int) -> tuple[int, str]:
    return os.fstat(descriptor).st_dev, mount_of(descriptor)
