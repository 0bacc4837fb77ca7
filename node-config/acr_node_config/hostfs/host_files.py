"""The host's files: tell whether a step's state is there, apply it, restore what was before.

A change is a draft beside its place (with a name that neither the kubelet nor systemd reads), synced, renamed, and the
folder synced: a kill or a power cut leaves the old state or the new one.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from acr_credential_provider.files import cache_mark
from acr_credential_provider.model.remedy import Remedy

from acr_node_config.model import steps
from acr_node_config.model.errors import UnsafePathError
from acr_node_config.model.steps import NOTHING, PathState

from . import dir_entry, safe_path
from .host_reader import HostReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.changes.folder import Folder

DRAFT = ".aliyun-acr-credential-provider-draft"


def _go_on(_change: str) -> None:
    """Where a test ends the process."""


def _draft(name: str) -> str:
    return f".{name}{DRAFT}"


class HostFiles:
    """The files below *root*, where the node's / is. *after_each* is called with each change that was just made."""

    def __init__(self, root: str = "/", after_each: Callable[[str], None] = _go_on) -> None:
        self.root = root.rstrip("/") or "/"
        self._after = after_each

    def outside(self, path: str) -> str:
        """Return *path* of the host as this process sees it."""
        return path if self.root == "/" else self.root + path

    def stat(self, path: str) -> PathState:
        """Return the state of *path*; symlinks are not followed."""
        with safe_path.translate_os_errors(path):
            try:
                with safe_path.parent(self.root, path) as (folder, name):
                    return dir_entry.look(folder, name, path)
            except (FileNotFoundError, NotADirectoryError):
                return NOTHING

    def is_there(self, path: str) -> bool:
        """True if anything is at *path*."""
        with safe_path.translate_os_errors(path):
            try:
                with safe_path.parent(self.root, path) as (folder, name):
                    return not dir_entry.look(folder, name, path, content=False).is_absent
            except (FileNotFoundError, NotADirectoryError):
                return False

    def listed(self, path: str) -> list[str]:
        """Return the names in the folder at *path*, sorted; none if there is no such folder."""
        with safe_path.translate_os_errors(path):
            try:
                folder = safe_path.open_folder(self.root, path)
            except (FileNotFoundError, NotADirectoryError):
                return []
            try:
                return sorted(os.listdir(folder))
            finally:
                os.close(folder)

    def programs(self, path: str) -> list[str]:
        """Return the names in the folder at *path* that can be run."""
        tree = HostReader(self.root)
        return [name for name in tree.listed(path) if tree.is_program(f"{path}/{name}")]

    def is_own_cache(self, path: str) -> bool:
        """True if the folder at *path* is a cache of our plugin; root alone can change it and the way to it."""
        try:
            with safe_path.own_parent(self.root, path) as (above, name), above.folder(name) as folder:
                return cache_mark.is_in(folder) or cache_mark.holds_nothing_but_ours(folder)
        except (OSError, UnsafePathError):
            return False

    def verify_parents(self, path: str) -> None:
        """Raise `UnsafePathError` if others than root could change a folder that *path* lies in."""
        with safe_path.translate_os_errors(path):
            try:
                with safe_path.own_parent(self.root, path):
                    pass
            except FileNotFoundError:  # made on the way, for root alone
                return

    def satisfies(self, step: steps.FileStep) -> bool:
        """True if the state that *step* wants is there."""
        if isinstance(step, steps.PutTree):
            return self.digest(step.path) == step.digest
        present = self.stat(step.path)
        match step:
            case steps.PutFile():
                return (present.kind, present.content, present.mode) == (steps.FILE, step.content, step.mode) and (
                    safe_path.is_trusted(present.owner)
                )
            case steps.PutLink():
                return (present.kind, present.target) == (steps.LINK, step.target)
            case steps.MakeFolder():
                right_mode = present.mode == step.mode if step.is_ours else not present.mode & 0o022
                is_roots = present.kind == steps.FOLDER and right_mode and safe_path.is_trusted(present.owner)
                return is_roots or (
                    present.kind == steps.LINK and not step.is_ours and self._leads_to_folder(step.path)
                )
            case steps.RemoveFolder():
                return present.is_absent or bool(self.listed(step.path))
            case _:
                return present.is_absent

    def check(self, step: steps.FileStep) -> None:
        """Raise what `apply` would raise for *step*, as far as that can be seen before."""
        self.verify_parents(step.path)
        _check_present(step, self.stat(step.path))

    def apply(self, step: steps.FileStep) -> None:
        """Bring about the state that *step* wants; idempotent."""
        match step:
            case steps.PutFile():
                self._put_file(step.path, step.content, step.mode, self.stat(step.path))
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
            case steps.RemoveFile():
                self._remove(step.path)

    def restore(self, path: str, before: PathState) -> None:
        """Bring *path* back to the state *before*."""
        if self.stat(path) == before:
            return
        if before.kind == steps.FILE:
            self._put_file(path, before.content, before.mode, before, instead_of=(steps.ABSENT, steps.FILE, steps.LINK))
        elif before.kind == steps.LINK:
            self._put_link(path, before.target)
        elif before.kind == steps.FOLDER:
            self._make_folder(steps.MakeFolder(path, before.mode, is_ours=True))
        elif self.stat(path).kind == steps.FOLDER:
            self._remove_folder(path)
        else:
            self._remove(path)

    def sweep(self, path: str) -> None:
        """Remove the draft for *path* that a killed run left; not where others than root could have put it."""
        with safe_path.translate_os_errors(path):
            try:
                with safe_path.own_parent(self.root, path) as (folder, name):
                    if not _look(folder, _draft(name), path).is_absent:
                        folder.remove_all(_draft(name))
                        self._settle(folder, f"swept {path}")
            except (FileNotFoundError, NotADirectoryError, UnsafePathError):
                return

    def digest(self, path: str) -> str:
        """Return the `tree_digest` of *path*; "" if nothing is there, or others than root can change it."""
        with safe_path.translate_os_errors(path):
            try:
                with safe_path.parent(self.root, path) as (folder, name):
                    return dir_entry.tree_digest(name, folder=folder, is_installed=True)
            except (FileNotFoundError, NotADirectoryError):
                return ""

    def _put_file(
        self,
        path: str,
        content: bytes,
        mode: int,
        like: PathState,
        *,
        instead_of: tuple[str, ...] = (steps.ABSENT, steps.FILE),
    ) -> None:
        with safe_path.translate_os_errors(path), safe_path.own_parent(self.root, path) as (folder, name):
            if _look(folder, name, path).kind not in instead_of:
                raise _no_plain_file(path)
            owner, group = (like.owner, like.group) if like.kind == steps.FILE else (-1, -1)
            wanted = PathState(steps.FILE, mode, owner, group, content)
            dir_entry.put_draft(folder, _draft(name), wanted, label_of=name)
            self._flip(folder, name, path)

    def _put_link(self, path: str, target: str) -> None:
        with safe_path.translate_os_errors(path), safe_path.own_parent(self.root, path) as (folder, name):
            _check_present(steps.PutLink(path, target), _look(folder, name, path))
            folder.remove_all(_draft(name))
            folder.symlink(target, _draft(name))
            self._flip(folder, name, path)

    def _put_tree(self, step: steps.PutTree) -> None:
        with safe_path.translate_os_errors(step.path), safe_path.own_parent(self.root, step.path) as (folder, name):
            draft = _draft(name)
            folder.remove_all(draft)
            try:
                dir_entry.copy_tree(step.source, folder, draft)
            except OSError:
                folder.remove_all(draft)
                raise
            if dir_entry.tree_digest(draft, folder=folder.descriptor, is_installed=True) != step.digest:
                folder.remove_all(draft)
                raise UnsafePathError(
                    f"{step.source} changed while it was copied",
                    remedy=Remedy("NodePathUnsafe", "Let root alone change it; then run it again."),
                )
            if _look(folder, name, step.path).kind == steps.FOLDER:
                folder.remove_all(name)  # damaged, and nothing links to it
            self._flip(folder, name, step.path)

    def _flip(self, folder: Folder, name: str, path: str) -> None:
        self._after(f"drafted {path}")
        folder.rename(_draft(name), name)
        self._settle(folder, f"put {path}")

    def _settle(self, folder: Folder, change: str) -> None:
        self._after(change)
        folder.sync()

    def _leads_to_folder(self, path: str) -> bool:
        """True if the symlink at *path* leads to a folder, and root alone can change that and all on the way."""
        try:
            with safe_path.own_folder(self.root, path):
                return True
        except (OSError, UnsafePathError):
            return False

    def _make_folder(self, step: steps.MakeFolder) -> None:
        with safe_path.translate_os_errors(step.path), safe_path.own_parent(self.root, step.path) as (folder, name):
            _check_present(step, _look(folder, name, step.path))
            with folder.make_folder(name, step.mode) as made:
                if step.is_ours:
                    made.chmod(step.mode)
                made.sync()
            self._settle(folder, f"made {step.path}")

    def _remove_folder(self, path: str) -> None:
        with safe_path.translate_os_errors(path), safe_path.own_parent(self.root, path) as (folder, name):
            try:
                folder.rmdir(name)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.ENOENT, errno.EBUSY):  # EBUSY: a mount of our own pod
                    raise
                return
            self._settle(folder, f"removed {path}")

    def _remove(self, path: str, *, is_tree: bool = False) -> None:
        with safe_path.translate_os_errors(path):
            try:
                with safe_path.own_parent(self.root, path) as (folder, name):
                    if not is_tree:
                        folder.unlink(name)
                    else:
                        folder.remove_all(name, keeps_mount=True)
                    self._settle(folder, f"removed {path}")
            except FileNotFoundError:
                return


def _look(folder: Folder, name: str, path: str) -> PathState:
    return dir_entry.look(folder.descriptor, name, path, content=False)


def _check_present(step: steps.FileStep, present: PathState) -> None:
    """Raise for a *step* that what is *present* does not allow."""
    path = step.path
    if isinstance(step, steps.PutFile) and present.kind not in (steps.ABSENT, steps.FILE):
        raise _no_plain_file(path)
    if isinstance(step, steps.PutLink) and present.kind not in (steps.ABSENT, steps.LINK, steps.FILE):
        raise UnsafePathError(
            f"{path} is a folder", remedy=Remedy("NodePathUnsafe", "Look what it is; we put a link there.")
        )
    if isinstance(step, steps.MakeFolder):
        _check_folder(step, present)


def _check_folder(step: steps.MakeFolder, present: PathState) -> None:
    if not present.is_absent and (present.kind != steps.FOLDER or not safe_path.is_trusted(present.owner)):
        raise UnsafePathError(
            f"{step.path} is no folder of root's",
            remedy=Remedy(
                "NodePathUnsafe",
                "Find out who made it, and leave it as it is: choose another place (--bin-dir, --state).",
            ),
        )
    if present.mode & 0o022:
        raise UnsafePathError(
            f"{step.path} can be changed by others than root",
            remedy=Remedy(
                "NodePathUnsafe",
                "Choose a folder that root alone can change (--bin-dir, --state); leave this one as it is.",
            ),
        )


def _no_plain_file(path: str) -> UnsafePathError:
    return UnsafePathError(
        f"{path} is no plain file",
        remedy=Remedy("NodePathUnsafe", "Look what it is, and name the real file."),
    )
