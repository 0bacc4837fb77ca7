"""Reads the layouts: what a system's node consists of, as its own public sources say.

A layout is data. ``@FLAGS@`` in one of its files stands for the place where that system is given more kubelet flags.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

LAYOUTS = Path(__file__).resolve().parent / "layouts"
MARK = "@FLAGS@"
FORMS = {
    "words": lambda flags: "".join(f" --{name}={value}" for name, value in flags.items()),
    "two-words": lambda flags: "".join(f" --{name} {value}" for name, value in flags.items()),
    "lines": lambda flags: "\n".join(f"--{name}={value}" for name, value in flags.items()),
    "keys": lambda flags: "\n".join(f"{name}: {value}" for name, value in flags.items()),
    "items": lambda flags: "\n".join(f"  - {name}={value}" for name, value in flags.items()),
    "kubelet-arg": lambda flags: "\n".join(
        ["kubelet-arg:", *(f"  - {name}={value}" for name, value in flags.items())] if flags else []
    ),
}
"""How a system takes flags, by the layout's word for it."""


@dataclass(frozen=True)
class Process:
    """One process of the node. *words* is its command line, or says where that comes from; see `node.words_of`."""

    program: str
    words: tuple[str, ...] = ()
    unit: str = ""
    cgroup: str = ""
    parent: int | None = None
    container: bool = False


@dataclass(frozen=True)
class Layout:
    """A system. *result* is how an installation ends, by the state that it finds: see `matrix.RESULTS`."""

    system: str
    source: str
    os: dict[str, str]
    version: str
    kubelet: str
    files: dict[str, str]
    result: dict[str, str]
    ends: dict[str, str] = field(default_factory=dict)
    """The same in the words of docs/nodes.md."""
    booted: tuple[str, ...] = ()
    """The states in which tests/systemd has a real kubelet start from these files."""
    unit: str = "kubelet.service"
    takes: str = "words"
    rancher: str = ""
    told: str = ""
    """What an operator who has to give the flags by hand is told of this system."""
    programs: tuple[str, ...] = ()
    links: dict[str, str] = field(default_factory=dict)
    processes: tuple[Process, ...] = ()
    kubelet_words: tuple[str, ...] = ()
    others: dict[str, Any] = field(default_factory=dict)
    """Where providers of others are on this system: ``config``, ``bin-dir`` and the ``provider``; they may be
    ``invented``, where it brings none itself."""
    read_only: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    noexec: tuple[str, ...] = ()
    sees: tuple[str, ...] = ()
    """The folders of the node that its kubelet sees from a container."""

    def text(self, path: str, flags: dict[str, str]) -> str:
        """Return the file at *path* with *flags* of an operator's."""
        return self.files[path].replace(MARK, FORMS[self.takes](flags))


def read(path: Path) -> Layout:
    """Return the layout in the file at *path*."""
    document: dict[str, Any] = {key.replace("-", "_"): it for key, it in yaml.safe_load(path.read_text()).items()}
    document["processes"] = tuple(
        Process(**{**each, "words": tuple(each.get("words", ()))}) for each in document.get("processes", ())
    )
    for name in ("booted", "programs", "kubelet_words", "read_only", "writable", "noexec", "sees"):
        document[name] = tuple(document.get(name, ()))
    return Layout(**document)


def every() -> dict[str, Layout]:
    """Return all layouts by the names of their files, in the order of the folders."""
    return {path.stem: read(path) for path in sorted(LAYOUTS.glob("*/*.yaml"))}
