"""Reads below the node's root, wherever that is mounted: no symlink and no ``..`` leads out of it.

An absolute symlink of the node means the node's root, not ours; the kernel would not know.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from acr_node_config.model.errors import UnsafePathError
from acr_node_config.model.facts import Folder, HostFile

from . import safe_path

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 1 << 20
"""Bytes. What is larger is no configuration."""
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class HostReader:
    """The tree below *root*. What is not there, or cannot be read, is None or empty: nothing is raised."""

    def __init__(self, root: str = "/") -> None:
        self.root = os.path.realpath(root).rstrip("/")

    def outside(self, path: str) -> str:
        """Return where *path* is for us, for the files of /proc and others without symlinks of the node's."""
        return self.root + path

    def read(self, path: str) -> HostFile | None:
        """Return the regular file at *path*, or where a symlink there leads to; its own path is in the answer."""
        with self._opened(path) as found:
            if found is None or not stat.S_ISREG(os.fstat(found).st_mode):
                return None
            try:
                with open(f"/proc/self/fd/{found}", "rb") as file:
                    content = file.read(LARGEST + 1)
            except OSError:
                return None
            own = os.readlink(f"/proc/self/fd/{found}").removeprefix(self.root)
            return HostFile(own, content, stat.S_IMODE(os.fstat(found).st_mode))

    def text(self, path: str) -> str:
        """Return the text of the file at *path*, "" without one."""
        file = self.read(path)
        return file.content.decode("utf-8", "replace") if file else ""

    def listed(self, path: str) -> list[str]:
        """Return the names in the folder at *path*, in order."""
        with self._opened(path) as found:
            if found is None or not stat.S_ISDIR(os.fstat(found).st_mode):
                return []
            try:
                return sorted(os.listdir(f"/proc/self/fd/{found}"))
            except OSError:
                return []

    def matching(self, pattern: str) -> list[str]:
        """Return what is at the paths that *pattern* of glob(7) matches, in order; a leading dot has to be written."""
        found = [""]
        for part in pattern.strip("/").split("/"):
            if not set(part) & set("*?["):
                found = [f"{folder}/{part}" for folder in found]
                continue
            rule = re.compile(fnmatch.translate(part.replace("[^", "[!")))
            found = [
                f"{folder}/{name}"
                for folder in found
                for name in self.listed(folder or "/")
                if rule.match(name) and (part[0] == "." or name[0] != ".")
            ]
        return sorted(path for path in found if self.mode(path))

    def mode(self, path: str) -> int:
        """Return the type and permissions of what is at *path*, symlinks followed; 0 when nothing is."""
        with self._opened(path) as found:
            return 0 if found is None else os.fstat(found).st_mode

    def is_folder(self, path: str) -> bool:
        """Say whether a folder is at *path*."""
        return stat.S_ISDIR(self.mode(path))

    def is_program(self, path: str) -> bool:
        """Say whether *path* can be run."""
        mode = self.mode(path)
        return stat.S_ISREG(mode) and bool(mode & 0o111)

    def folder(self, path: str) -> Folder:
        """Return what can be done in the folder at *path*, or in the nearest one above it that is there."""
        while path and not self.is_folder(path):
            path = path.rpartition("/")[0]
        with self._opened(path or "/") as found:
            if found is None:
                return Folder(is_writable=False, is_executable=False)
            flags = os.fstatvfs(found).f_flag
            return Folder(is_writable=not flags & os.ST_RDONLY, is_executable=not flags & os.ST_NOEXEC)

    @contextmanager
    def _opened(self, path: str) -> Iterator[int | None]:
        """Give a descriptor of what is at *path*, for looking only, or None."""
        try:
            found = self._open(path)
        except (OSError, UnsafePathError):
            yield None
            return
        try:
            yield found
        finally:
            os.close(found)

    def _open(self, path: str) -> int:
        for _ in range(safe_path.MOST_LINKS):
            folder, _, name = path.rstrip("/").rpartition("/")
            if name in ("", ".", ".."):
                return safe_path.open_folder(self.root or "/", path, to_write=False)
            opened = safe_path.open_folder(self.root or "/", folder, to_write=False)
            try:
                found = os.open(name, _LOOK, dir_fd=opened)
            finally:
                os.close(opened)
            if not stat.S_ISLNK(os.fstat(found).st_mode):
                return found
            target = os.readlink("", dir_fd=found)
            os.close(found)
            path = target if target.startswith("/") else f"{folder}/{target}"
        raise OSError
