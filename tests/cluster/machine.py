"""What this machine looks like from outside a node, to see that a test left it as it was."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .cgroups import hierarchies
from .node import SYSCTLS, prefix

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Machine:
    """Everything that a kubelet and a container runtime usually leave behind."""

    mounts: frozenset[str]
    sysctls: tuple[str, ...]
    links: frozenset[str]
    cgroups: frozenset[str]
    folders: frozenset[str]
    programs: frozenset[int]

    @classmethod
    def look(cls) -> Machine:
        return cls(
            mounts=frozenset(Path("/proc/self/mountinfo").read_text().splitlines()),
            sysctls=tuple(_read(Path("/proc/sys") / name) for name in SYSCTLS),
            links=frozenset(os.listdir("/sys/class/net")),
            cgroups=frozenset(str(path) for each in hierarchies() for path in each.own.glob(prefix() + "*")),
            folders=frozenset(
                str(path)
                for folder in ("/var/lib", "/run", "/var/log", "/etc/cni", "/tmp")
                for name in ("kubelet", "containerd", "pods", "netns", prefix() + "*")
                for path in Path(folder).glob(name)
            ),
            programs=frozenset(_programs()),
        )


@contextmanager
def left_as_it_was() -> Iterator[None]:
    """Fail if this machine is not the same at the end as at the beginning; nodes of other processes don't count."""
    before = Machine.look()
    yield
    after = Machine.look()
    assert after == before, {name: (value, vars(after)[name]) for name, value in vars(before).items()}


def _programs() -> Iterator[int]:
    """Yield the process ids of everything that was started with a path of ours."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"/{prefix()}".encode() in (entry / "cmdline").read_bytes():
                yield int(entry.name)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
