"""A cgroup of our own in every hierarchy of this machine, version 1 or 2, that goes with all below it."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MOUNTS = Path("/proc/self/mountinfo")
MINE = Path("/proc/self/cgroup")
V2_CONTROLLERS = "+cpuset +cpu +io +memory +pids"


@dataclass(frozen=True)
class Hierarchy:
    """One cgroup file system: where it is mounted, and the mount option that names it ("" for version 2)."""

    mountpoint: Path
    option: str

    @property
    def own(self) -> Path:
        """The cgroup of this process; what is made below it keeps to its limits."""
        for line in MINE.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == self.option:
                return self.mountpoint / path.lstrip("/")
        return self.mountpoint


def hierarchies() -> list[Hierarchy]:
    """Return what containers are managed with: all of version 1, or else the one of version 2."""
    found: dict[str, list[Hierarchy]] = {"cgroup": [], "cgroup2": []}
    for line in MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in found:
            is_own = [each for each in options.split(",") if each not in ("rw", "ro", "xattr", "clone_children")]
            # A release agent or the like is an option too, but has a path.
            name = ",".join(each for each in is_own if "=" not in each or each.startswith("name="))
            found[kind].append(Hierarchy(Path(before.split(" ")[4]), "" if kind == "cgroup2" else name))
    return found["cgroup"] or found["cgroup2"]


class Cgroup:
    """The cgroup *name* in each hierarchy; a context that removes it, with all that was made below."""

    def __init__(self, name: str) -> None:
        self.hierarchies = hierarchies()
        self.folders = [each.own / name for each in self.hierarchies]

    @property
    def is_v2(self) -> bool:
        return all(not each.option for each in self.hierarchies)

    def __enter__(self) -> Self:
        for hierarchy, folder in zip(self.hierarchies, self.folders, strict=True):
            if not hierarchy.option:
                with contextlib.suppress(OSError):  # the parent may hold processes; then without controllers
                    (folder.parent / "cgroup.subtree_control").write_text(V2_CONTROLLERS)
            folder.mkdir()
            if "cpuset" in hierarchy.option.split(","):
                for name in ("cpuset.cpus", "cpuset.mems"):  # empty in a new one, and then nobody may enter
                    (folder / name).write_text((folder.parent / name).read_text())
                (folder / "cgroup.clone_children").write_text("1")
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self.folders:
            _remove(folder)

    def enter(self, program: list[str]) -> list[str]:
        """Return the command line that runs *program* in this cgroup."""
        return ["sh", "-c", ENTER, "sh", *map(str, self.folders), "--", *program]

    def mount_commands(self) -> str:
        """Return the shell lines that mount what a process in this cgroup's namespace may see."""
        if self.is_v2:
            return (
                "mount -t cgroup2 cgroup2 /sys/fs/cgroup\n"
                "mkdir /sys/fs/cgroup/init\n"
                "echo 1 > /sys/fs/cgroup/init/cgroup.procs\n"  # no process may be beside child cgroups
                f"echo '{V2_CONTROLLERS}' > /sys/fs/cgroup/cgroup.subtree_control || true\n"
            )
        lines = ["mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup"]
        for hierarchy in self.hierarchies:
            point = f"/sys/fs/cgroup/{hierarchy.mountpoint.name}"
            option = f"none,{hierarchy.option}" if hierarchy.option.startswith("name=") else hierarchy.option
            lines += [f"mkdir {point}", f"mount -t cgroup -o {option} cgroup {point}"]
        return "\n".join(lines) + "\n"

    def inner_folders(self) -> list[str]:
        """Return the folders of this cgroup's own processes, as its namespace shows them."""
        if self.is_v2:
            return ["/sys/fs/cgroup/init"]
        return [f"/sys/fs/cgroup/{each.mountpoint.name}" for each in self.hierarchies]


ENTER = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'


def _remove(folder: Path) -> None:
    """Remove *folder* and all cgroups below; their processes may take a moment to be gone."""
    end = time.monotonic() + 10
    while folder.exists():
        for here, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(here)
        if time.monotonic() > end:
            raise OSError(f"processes are left in {folder}")
        time.sleep(0.05)
