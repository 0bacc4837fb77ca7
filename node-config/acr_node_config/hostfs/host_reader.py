"""Reads below the node's root, wherever that is mounted: no symlink and no ``..`` leads out of it.

An absolute symlink of the node means the node's root, not ours; the kernel would not know.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from acr_credential_provider.changes import way

from acr_node_config.model.errors import UnsafePathError
from acr_node_config.model.facts import Folder, HostFile

from . import safe_path

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 1 << 20
"""Bytes. What is larger is no configuration."""


class HostReader:
    """The tree below *root*. Files that are absent or cannot be read are None or empty: nothing is raised."""

    def __init__(self, root: str = "/") -> None:
        self.root = os.path.realpath(root).rstrip("/")

    def outside(self, path: str) -> str:
        """Return *path* as this process sees it, for /proc and other files without symlinks of the node."""
        return self.root + path

    def read(self, path: str) -> HostFile | None:
        """Return the regular file at *path*, symlinks followed, with its own path."""
        with self._opened(path) as descriptor:
            if descriptor is None or not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            try:
                with open(f"/proc/self/fd/{descriptor}", "rb") as file:
                    content = file.read(LARGEST + 1)
            except OSError:
                return None
            own = os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(self.root)
            return HostFile(own, content, stat.S_IMODE(os.fstat(descriptor).st_mode))

    def text(self, path: str) -> str:
        """Return the text of the file at *path*, "" without one."""
        file = self.read(path)
        return file.content.decode("utf-8", "replace") if file else ""

    def status(self, path: str) -> os.stat_result | None:
        """Return the status of what is at *path*, symlinks followed, None if it is absent."""
        with self._opened(path) as descriptor:
            return None if descriptor is None else os.fstat(descriptor)

    def listed(self, path: str) -> list[str]:
        """Return the names in the folder at *path*, in order."""
        with self._opened(path) as descriptor:
            if descriptor is None or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                return []
            try:
                return sorted(os.listdir(f"/proc/self/fd/{descriptor}"))
            except OSError:
                return []

    def link(self, path: str) -> str:
        """Return what the symlink at *path* names, "" if there is none; symlinks on the way are followed."""
        folder, _, name = path.rpartition("/")
        with self._opened(folder or "/") as descriptor:
            try:
                return os.readlink(name, dir_fd=descriptor) if descriptor is not None else ""
            except (OSError, ValueError):
                return ""

    def matching(self, pattern: str) -> list[str]:
        """Return the paths that *pattern* of glob(7) matches, in order; a leading dot must be matched explicitly."""
        paths = [""]
        for part in pattern.strip("/").split("/"):
            if not set(part) & set("*?["):
                paths = [f"{folder}/{part}" for folder in paths]
                continue
            rule = re.compile(fnmatch.translate(part.replace("[^", "[!")))
            paths = [
                f"{folder}/{name}"
                for folder in paths
                for name in self.listed(folder or "/")
                if rule.match(name) and (part[0] == "." or name[0] != ".")
            ]
        return sorted(path for path in paths if self.mode(path))

    def mode(self, path: str) -> int:
        """Return type and permissions at *path*, symlinks followed; 0 if nothing is there."""
        with self._opened(path) as descriptor:
            return 0 if descriptor is None else os.fstat(descriptor).st_mode

    def is_folder(self, path: str) -> bool:
        """True if a folder is at *path*."""
        return stat.S_ISDIR(self.mode(path))

    def is_program(self, path: str) -> bool:
        """True if *path* can be run."""
        mode = self.mode(path)
        return stat.S_ISREG(mode) and bool(mode & 0o111)

    def folder(self, path: str) -> Folder:
        """Return the properties of the folder at *path*, or of the nearest one above it that exists."""
        problem = ""
        while path and not self.is_folder(path):
            if self.link(path) or self.mode(path):
                problem = f"is behind {path}, which leads to no folder"
            path = path.rpartition("/")[0]
        with self._opened(path or "/") as descriptor:
            if descriptor is None:
                return Folder(is_writable=False, is_executable=False)
            flags = os.fstatvfs(descriptor).f_flag
        return Folder(
            is_writable=not flags & os.ST_RDONLY,
            is_executable=not flags & os.ST_NOEXEC,
            problem=problem or self._why_others_could_change(path),
        )

    def _why_others_could_change(self, path: str) -> str:
        try:
            with safe_path.own_folder(self.root or "/", path):
                return ""
        except UnsafePathError:
            return "can be changed by others than root, itself or on the way there"
        except OSError:
            return "cannot be opened"

    @contextmanager
    def _opened(self, path: str) -> Iterator[int | None]:
        """Yield an O_PATH descriptor of *path*, or None."""
        try:
            descriptor = self._open(path)
        except (OSError, ValueError):  # ValueError: a NUL byte, which no path has
            yield None
            return
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self, path: str) -> int:
        return way.walk(path, self.root or "/", lambda _status, _names: None, leaves_root=_leave)


def _leave() -> NoReturn:
    raise OSError
