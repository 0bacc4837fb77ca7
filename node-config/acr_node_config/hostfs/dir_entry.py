"""One entry of an open folder of a host: its state, and writing or copying it. No symlink is followed."""

from __future__ import annotations

import hashlib
import os
import stat

from acr_credential_provider.changes.folder import Folder, write
from acr_credential_provider.model.remedy import Remedy

from acr_node_config.model import steps
from acr_node_config.model.errors import UnsafePathError
from acr_node_config.model.steps import NOTHING, PathState

from . import safe_path

LARGEST = 4 << 20
"""Bytes of a file that we look at; none of ours, nor of those we change, comes near it."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LABEL = "security.selinux"


INSTALLED = "bin"
"""The folder of installed programs in /opt/aliyun-acr-credential-provider, where an operator may unpack one as well.

So it is none of the files of a program that is read there to be installed.
"""


def tree_digest(name: str, *, folder: int | None = None, is_installed: bool = False) -> str:
    """Return a digest of the files below the folder *name*: paths, bytes, executable bits; not times or owners.

    *is_installed* returns "" for a tree that others than root can change; else `INSTALLED` does not count. Raises
    ``FileNotFoundError`` without one.
    """
    digest = hashlib.sha256()
    os.stat(name, dir_fd=folder)
    for top, inner, files, here in os.fwalk(name, dir_fd=folder):
        inner.sort()
        if top == name and not is_installed and INSTALLED in inner:
            inner.remove(INSTALLED)
        for entry in sorted([*inner, *files]):
            status = os.stat(entry, dir_fd=here, follow_symlinks=False)
            is_link = stat.S_ISLNK(status.st_mode)
            if is_installed and (not safe_path.is_trusted(status.st_uid) or (status.st_mode & 0o022 and not is_link)):
                return ""
            # Not os.path.relpath, which needs the working directory, and that may be gone.
            digest.update(f"{top[len(name) :]}/{entry}\0{stat.S_IFMT(status.st_mode)}".encode())
            if is_link:
                digest.update(os.readlink(entry, dir_fd=here).encode())
            elif stat.S_ISREG(status.st_mode):
                digest.update(b"x" if status.st_mode & 0o100 else b"-")
                digest.update(_file_digest(entry, here))
    return digest.hexdigest()


def _file_digest(name: str, folder: int) -> bytes:
    with open(os.open(name, _READ, dir_fd=folder), "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def look(folder: int, name: str, path: str, *, content: bool = True) -> PathState:
    """Return the state of *name*; a file without its bytes unless *content*. *path* is for errors."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return NOTHING
    mode, owner, group = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    if stat.S_ISLNK(status.st_mode):
        return PathState(steps.LINK, target=os.readlink(name, dir_fd=folder))
    if stat.S_ISDIR(status.st_mode):
        return PathState(steps.FOLDER, mode, owner, group)
    if not stat.S_ISREG(status.st_mode):
        return PathState(steps.OTHER)
    if status.st_size > LARGEST and content:
        raise UnsafePathError(
            f"{path} is larger than {LARGEST} bytes",
            remedy=Remedy("NodePathUnsafe", "Look what it is; we do not touch it."),
        )
    if not content:
        return PathState(steps.FILE, mode, owner, group)
    with open(os.open(name, _READ, dir_fd=folder), "rb") as file:
        return PathState(steps.FILE, mode, owner, group, file.read(LARGEST))


def put_draft(folder: Folder, draft: str, wanted: PathState, *, label_of: str) -> None:
    """Make the new file *draft* be as *wanted* (an owner of -1 is ours), with the SELinux label of *label_of*.

    What a killed run left there is removed first. Raises ``OSError``, and then leaves no draft.
    """
    folder.remove_all(draft)
    file = folder.new_file(draft)
    try:
        write(file, wanted.content)
        os.fchown(file, wanted.owner, wanted.group)
        os.fchmod(file, wanted.mode)
        _label_like(label_of, folder, file)
        os.fsync(file)
    except OSError:
        folder.unlink(draft)
        raise
    finally:
        os.close(file)


def _label_like(name: str, folder: Folder, file: int) -> None:
    """Give the open *file* the SELinux label of what it replaces, or else the kubelet may not read it."""
    try:
        with open(os.open(name, _READ, dir_fd=folder.descriptor), "rb") as replaced:
            os.setxattr(file, _LABEL, os.getxattr(replaced.fileno(), _LABEL))
    except OSError:  # nothing to replace, no labels here, or not ours to set: the folder's default holds
        return


def copy_tree(source: str, folder: Folder, name: str) -> None:
    """Copy the files below *source* into the new folder *name*, for root to change and all to run, and sync them.

    `INSTALLED` is left out.
    """
    _copy_below(source, folder, name, without=INSTALLED)


def _copy_below(source: str, folder: Folder, name: str, *, without: str = "") -> None:
    with folder.make_folder(name, 0o755) as made:
        for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
            if entry.name == without and entry.is_dir():
                continue
            if entry.is_symlink():
                made.symlink(os.readlink(entry.path), entry.name)
            elif entry.is_dir():
                _copy_below(entry.path, made, entry.name)
            else:
                _copy_file(entry.path, made, entry.name)
        made.sync()


def _copy_file(source: str, folder: Folder, name: str) -> None:
    with open(source, "rb") as read, open(folder.new_file(name), "wb") as written:
        while chunk := read.read(1 << 20):
            written.write(chunk)
        written.flush()
        os.fchmod(written.fileno(), 0o755 if os.fstat(read.fileno()).st_mode & 0o100 else 0o644)
        os.fsync(written.fileno())
