"""The host's files: is a step's state there, make it so, put back what was. Each change is whole or not there at all.

A change is a draft beside its place (in a name that neither the kubelet nor systemd reads), synced, renamed, and the
folder synced: whoever is killed, or whose power fails, leaves the old state or the new one.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING

from . import folders, steps
from .failures import UnsafePathError
from .steps import NOTHING, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST = 4 << 20
"""Bytes of a file that we look at; none of ours, nor of those we change, comes near it."""
DRAFT = ".aliyun-acr-credential-provider-draft"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LABEL = "security.selinux"


def _go_on(_change: str) -> None:
    """Where a test ends the process."""


class Host:
    """The files below *root*, where the node's / is seen. *after_each* is told each change that was just made."""

    def __init__(self, root: str = "/", after_each: Callable[[str], None] = _go_on) -> None:
        self.root = root.rstrip("/") or "/"
        self._after = after_each

    def outside(self, path: str) -> str:
        """Return *path* of the host as this process sees it."""
        return path if self.root == "/" else self.root + path

    def look(self, path: str) -> Seen:
        """Return what is at *path*; a symlink is seen itself, not what it points to."""
        with folders.telling(path):
            try:
                with folders.parent(self.root, path, to_write=False) as (folder, name):
                    return _look(folder, name, path)
            except (FileNotFoundError, NotADirectoryError):
                return NOTHING

    def is_there(self, path: str) -> bool:
        """Say whether anything is at *path*."""
        with folders.telling(path):
            try:
                with folders.parent(self.root, path, to_write=False) as (folder, name):
                    return not _look(folder, name, path, content=False).is_absent
            except (FileNotFoundError, NotADirectoryError):
                return False

    def listed(self, path: str) -> list[str]:
        """Return the names in the folder at *path*, sorted; none if there is no such folder."""
        with folders.telling(path):
            try:
                folder = folders.open_folder(self.root, path, to_write=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            try:
                return sorted(os.listdir(folder))
            finally:
                os.close(folder)

    def check_way(self, path: str) -> None:
        """Raise `UnsafePathError` if others than root could change a folder that *path* lies in."""
        with folders.telling(path):
            try:
                with folders.parent(self.root, path, to_write=True):
                    pass
            except FileNotFoundError:  # made on the way, for root alone
                return

    def holds(self, step: steps.FileStep) -> bool:
        """Say whether the state that *step* wants is there."""
        if isinstance(step, steps.PutTree):
            return self.digest(step.path) == step.digest
        seen = self.look(step.path)
        match step:
            case steps.PutFile():
                return (seen.kind, seen.content, seen.mode) == (steps.FILE, step.content, step.mode) and (
                    folders.is_trusted(seen.owner)
                )
            case steps.PutLink():
                return (seen.kind, seen.target) == (steps.LINK, step.target)
            case steps.MakeFolder():
                right_mode = seen.mode == step.mode if step.is_ours else not seen.mode & 0o022
                return seen.kind == steps.FOLDER and right_mode and folders.is_trusted(seen.owner)
            case steps.RemoveFolder():
                return seen.is_absent or bool(self.listed(step.path))
            case _:
                return seen.is_absent

    def do(self, step: steps.FileStep) -> None:
        """Make it so. Doing it twice is as good as once."""
        match step:
            case steps.PutFile():
                self._put_file(step.path, step.content, step.mode, self.look(step.path))
            case steps.PutLink():
                self._put_link(step.path, step.target)
            case steps.PutTree():
                self._put_tree(step)
            case steps.MakeFolder():
                self._make_folder(step)
            case steps.RemoveFolder():
                self._remove_folder(step.path)
            case steps.RemoveTree():
                self._remove(step.path, is_tree=True)
            case steps.RemoveFile() | steps.RemoveLink():
                self._remove(step.path)

    def restore(self, path: str, before: Seen) -> None:
        """Put back at *path* what `look` saw there."""
        if self.look(path) == before:
            return
        if before.kind == steps.FILE:
            self._put_file(path, before.content, before.mode, before, instead_of=(steps.ABSENT, steps.FILE, steps.LINK))
        elif before.kind == steps.LINK:
            self._put_link(path, before.target)
        elif before.kind == steps.FOLDER:
            self._make_folder(steps.MakeFolder(path, before.mode, is_ours=True))
        elif self.look(path).kind == steps.FOLDER:
            self._remove_folder(path)
        else:
            self._remove(path)

    def sweep(self, path: str) -> None:
        """Remove the draft for *path* that a run left which was killed."""
        with folders.telling(path):
            try:
                with folders.parent(self.root, path, to_write=False) as (folder, name):
                    if not _look(folder, _draft(name), path, content=False).is_absent:
                        _remove_all(folder, _draft(name))
                        self._settle(folder, f"swept {path}")
            except (FileNotFoundError, NotADirectoryError):
                return

    def digest(self, path: str) -> str:
        """Return the `tree_digest` of what is at *path*; "" if nothing is, or others than root can change it."""
        with folders.telling(path):
            try:
                with folders.parent(self.root, path, to_write=False) as (folder, name):
                    return tree_digest(name, folder=folder, is_installed=True)
            except (FileNotFoundError, NotADirectoryError):
                return ""

    def _put_file(
        self,
        path: str,
        content: bytes,
        mode: int,
        like: Seen,
        *,
        instead_of: tuple[str, ...] = (steps.ABSENT, steps.FILE),
    ) -> None:
        with folders.telling(path), folders.parent(self.root, path, to_write=True) as (folder, name):
            if _look(folder, name, path, content=False).kind not in instead_of:
                raise UnsafePathError(f"{path} is no plain file", remedy="Look what it is, and name the real file.")
            draft = _draft(name)
            _remove_all(folder, draft)
            file = os.open(draft, _NEW, 0o600, dir_fd=folder)
            try:
                _write(file, content)
                os.fchown(file, *((like.owner, like.group) if like.kind == steps.FILE else (-1, -1)))
                os.fchmod(file, mode)
                _label_like(name, folder, file)
                os.fsync(file)
            except OSError:
                os.unlink(draft, dir_fd=folder)
                raise
            finally:
                os.close(file)
            self._flip(folder, name, path)

    def _put_link(self, path: str, target: str) -> None:
        with folders.telling(path), folders.parent(self.root, path, to_write=True) as (folder, name):
            if _look(folder, name, path, content=False).kind not in (steps.ABSENT, steps.LINK, steps.FILE):
                raise UnsafePathError(f"{path} is a folder", remedy="Look what it is; we put a link there.")
            _remove_all(folder, _draft(name))
            os.symlink(target, _draft(name), dir_fd=folder)
            self._flip(folder, name, path)

    def _put_tree(self, step: steps.PutTree) -> None:
        with folders.telling(step.path), folders.parent(self.root, step.path, to_write=True) as (folder, name):
            draft = _draft(name)
            _remove_all(folder, draft)
            try:
                _copy_tree(step.source, folder, draft)
            except OSError:
                _remove_all(folder, draft)
                raise
            if _look(folder, name, step.path, content=False).kind == steps.FOLDER:
                _remove_all(folder, name)  # damaged, and linked by nothing: what is in use has a name of its own
            self._flip(folder, name, step.path)

    def _flip(self, folder: int, name: str, path: str) -> None:
        self._after(f"drafted {path}")
        os.rename(_draft(name), name, src_dir_fd=folder, dst_dir_fd=folder)
        self._settle(folder, f"put {path}")

    def _settle(self, folder: int, change: str) -> None:
        self._after(change)
        os.fsync(folder)

    def _make_folder(self, step: steps.MakeFolder) -> None:
        with folders.telling(step.path), folders.parent(self.root, step.path, to_write=True) as (folder, name):
            seen = _look(folder, name, step.path, content=False)
            if seen.kind == steps.ABSENT:
                os.mkdir(name, step.mode, dir_fd=folder)
            elif seen.kind != steps.FOLDER or not folders.is_trusted(seen.owner):
                raise UnsafePathError(
                    f"{step.path} is no folder of root's", remedy="Find out who made it; then remove it."
                )
            elif not step.is_ours and seen.mode & 0o022:
                raise UnsafePathError(
                    f"{step.path} can be changed by others than root",
                    remedy=f"Find out why; then, on the node: chmod go-w {step.path}.",
                )
            opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                if step.is_ours or seen.is_absent:  # the umask may have narrowed what we made
                    os.fchmod(opened, step.mode)
                    os.fsync(opened)
            finally:
                os.close(opened)
            self._settle(folder, f"made {step.path}")

    def _remove_folder(self, path: str) -> None:
        with folders.telling(path), folders.parent(self.root, path, to_write=True) as (folder, name):
            try:
                os.rmdir(name, dir_fd=folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.ENOENT, errno.EBUSY):  # EBUSY: a mount of our own pod
                    raise
                return
            self._settle(folder, f"removed {path}")

    def _remove(self, path: str, *, is_tree: bool = False) -> None:
        with folders.telling(path):
            try:
                with folders.parent(self.root, path, to_write=True) as (folder, name):
                    if not is_tree:
                        os.unlink(name, dir_fd=folder)
                    else:
                        _remove_all(folder, name, keeps_mount=True)
                    self._settle(folder, f"removed {path}")
            except FileNotFoundError:
                return


def tree_digest(name: str, *, folder: int | None = None, is_installed: bool = False) -> str:
    """Return a digest of the files below the folder *name*: paths, bytes, who may run them; not times or owners.

    *is_installed* gives "" for a tree that others than root can change. Raises ``FileNotFoundError`` without one.
    """
    digest = hashlib.sha256()
    os.stat(name, dir_fd=folder)
    for top, inner, files, here in os.fwalk(name, dir_fd=folder):
        inner.sort()
        for each in sorted([*inner, *files]):
            seen = os.stat(each, dir_fd=here, follow_symlinks=False)
            is_link = stat.S_ISLNK(seen.st_mode)
            if is_installed and (not folders.is_trusted(seen.st_uid) or (seen.st_mode & 0o022 and not is_link)):
                return ""
            # Not by os.path.relpath: that asks for the working directory, which may not be there.
            digest.update(f"{top[len(name) :]}/{each}\0{stat.S_IFMT(seen.st_mode)}".encode())
            if is_link:
                digest.update(os.readlink(each, dir_fd=here).encode())
            elif stat.S_ISREG(seen.st_mode):
                digest.update(b"x" if seen.st_mode & 0o100 else b"-")
                digest.update(_file_digest(each, here))
    return digest.hexdigest()


def _file_digest(name: str, folder: int) -> bytes:
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _draft(name: str) -> str:
    return f".{name}{DRAFT}"


def _look(folder: int, name: str, path: str, *, content: bool = True) -> Seen:
    try:
        seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return NOTHING
    mode, owner, group = stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid
    if stat.S_ISLNK(seen.st_mode):
        return Seen(steps.LINK, target=os.readlink(name, dir_fd=folder))
    if stat.S_ISDIR(seen.st_mode):
        return Seen(steps.FOLDER, mode, owner, group)
    if not stat.S_ISREG(seen.st_mode):
        return Seen(steps.OTHER)
    if seen.st_size > LARGEST and content:
        raise UnsafePathError(f"{path} is larger than {LARGEST} bytes", remedy="Look what it is; we do not touch it.")
    if not content:
        return Seen(steps.FILE, mode, owner, group)
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
        return Seen(steps.FILE, mode, owner, group, file.read(LARGEST))


def _write(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]


def _label_like(name: str, folder: int, file: int) -> None:
    """Give the open *file* the SELinux label of what it replaces, or else the kubelet may not read it."""
    try:
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as replaced:
            os.setxattr(file, _LABEL, os.getxattr(replaced.fileno(), _LABEL))
    except OSError:  # nothing to replace, no labels here, or not ours to set: the folder's default holds
        return


def _copy_tree(source: str, folder: int, name: str) -> None:
    """Copy the files below *source* into the new folder *name*, for root to change and all to run, and sync them."""
    os.mkdir(name, 0o755, dir_fd=folder)
    made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fchmod(made, 0o755)
        for entry in sorted(os.scandir(source), key=lambda each: each.name):
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), entry.name, dir_fd=made)
            elif entry.is_dir():
                _copy_tree(entry.path, made, entry.name)
            else:
                _copy_file(entry.path, made, entry.name)
        os.fsync(made)
    finally:
        os.close(made)


def _copy_file(source: str, folder: int, name: str) -> None:
    with open(source, "rb") as read, open(os.open(name, _NEW, 0o600, dir_fd=folder), "wb") as written:
        while chunk := read.read(1 << 20):
            written.write(chunk)
        written.flush()
        os.fchmod(written.fileno(), 0o755 if os.fstat(read.fileno()).st_mode & 0o100 else 0o644)
        os.fsync(written.fileno())


def _remove_all(folder: int, name: str, *, keeps_mount: bool = False) -> None:
    """Remove *name*, whatever it is; nothing is followed. *keeps_mount*: a folder that is mounted is emptied only."""
    if _look(folder, name, name, content=False).kind != steps.FOLDER:
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return
        return
    for _top, inner, files, here in os.fwalk(name, topdown=False, dir_fd=folder):
        for each in files:
            os.unlink(each, dir_fd=here)
        for each in inner:
            if stat.S_ISLNK(os.stat(each, dir_fd=here, follow_symlinks=False).st_mode):
                os.unlink(each, dir_fd=here)
            else:
                os.rmdir(each, dir_fd=here)
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if not (keeps_mount and error.errno == errno.EBUSY):
            raise
