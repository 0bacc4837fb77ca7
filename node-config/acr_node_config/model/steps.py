"""Wanted states of a node, one a step, and the observed state of a path. Values only."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any, TypeAlias

ABSENT, FILE, LINK, FOLDER, OTHER = "absent", "file", "link", "folder", "other"


@dataclass(frozen=True, slots=True)
class PathState:
    """The state of one path of the host: enough to restore it, and to tell whether it changed."""

    kind: str  # one of the words above
    mode: int = 0
    owner: int = 0
    group: int = 0
    content: bytes = field(default=b"", repr=False)  # of a file; settings may name secrets
    target: str = ""  # of a link

    @property
    def is_absent(self) -> bool:
        """Nothing is there."""
        return self.kind == ABSENT

    @property
    def fingerprint(self) -> str:
        """A digest that changes with the content; modes and owners do not count."""
        hashed = hashlib.sha256(f"{self.kind} {self.target}\0".encode())
        hashed.update(self.content)
        return hashed.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return its JSON form.

        >>> PathState.from_dict(PathState(FILE, 0o644, content=b"x").to_dict()) == PathState(FILE, 0o644, content=b"x")
        True
        """
        plain: dict[str, Any] = {"kind": self.kind}
        if self.kind in (FILE, FOLDER):
            plain |= {"mode": f"{self.mode:04o}", "owner": self.owner, "group": self.group}
        if self.kind == FILE:
            plain["content"] = base64.b64encode(self.content).decode()
        if self.kind == LINK:
            plain["target"] = self.target
        return plain

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> PathState:
        """Read what `to_dict` wrote."""
        return cls(
            kind=document["kind"],
            mode=int(document.get("mode", "0"), 8),
            owner=document.get("owner", 0),
            group=document.get("group", 0),
            content=base64.b64decode(document.get("content", "")),
            target=document.get("target", ""),
        )


NOTHING = PathState(ABSENT)


@dataclass(frozen=True, slots=True)
class PutFile:
    """A file with these bytes. *is_read_at_start* when the kubelet reads it at its start only."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    is_read_at_start: bool = False


@dataclass(frozen=True, slots=True)
class PutLink:
    """A symlink, as it is written: relative, for the folder may be mounted elsewhere."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class PutTree:
    """A folder with the files of *source* (a path where this program runs), told by *digest*."""

    path: str
    source: str
    digest: str


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """A folder that root alone can write; *mode* holds for ours, not for those that others made."""

    path: str
    mode: int = 0o755
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """No file or link there."""

    path: str
    is_read_at_start: bool = False


@dataclass(frozen=True, slots=True)
class RemoveTree:
    """No folder there, nor anything in it."""

    path: str


@dataclass(frozen=True, slots=True)
class RemoveFolder:
    """No folder there, if it is empty; a folder that others use meanwhile stays."""

    path: str


@dataclass(frozen=True, slots=True)
class Restart:
    """The kubelet runs with the files as they are now."""

    unit: str


FileStep: TypeAlias = PutFile | PutLink | PutTree | MakeFolder | RemoveFile | RemoveTree | RemoveFolder
Step: TypeAlias = FileStep | Restart


def is_read_at_start(step: FileStep) -> bool:
    """True if *step* changes a file that the kubelet reads at its start only."""
    return isinstance(step, (PutFile, RemoveFile)) and step.is_read_at_start


def fingerprint_after(step: FileStep) -> str:
    """Return the `PathState.fingerprint` of the path once *step* is done.

    >>> fingerprint_after(PutLink("/a", "b")) == PathState(LINK, target="b").fingerprint
    True
    """
    match step:
        case PutFile():
            return PathState(FILE, content=step.content).fingerprint
        case PutLink():
            return PathState(LINK, target=step.target).fingerprint
        case PutTree() | MakeFolder():
            return PathState(FOLDER).fingerprint
        case _:
            return NOTHING.fingerprint


def inverse(path: str, before: PathState, *, is_read_at_start: bool = False) -> FileStep:
    """Return the step that makes *path* what it was *before*."""
    match before.kind:
        case "file":
            return PutFile(path, before.content, before.mode, is_read_at_start)
        case "link":
            return PutLink(path, before.target)
        case "folder":
            return MakeFolder(path, before.mode, is_ours=True)
        case _:
            return RemoveFile(path, is_read_at_start)


def words(step: Step) -> str:
    """Return *step* for people.

    >>> words(PutLink("/opt/bin/plugin", ".plugin/1"))
    'link /opt/bin/plugin -> .plugin/1'
    """
    match step:
        case PutFile():
            text = f"write {step.path} ({len(step.content)} bytes, mode {step.mode:04o})"
        case PutLink():
            text = f"link {step.path} -> {step.target}"
        case PutTree():
            text = f"copy the program to {step.path}"
        case MakeFolder():
            text = f"make {step.path} a folder that root alone can write"
        case RemoveFolder():
            text = f"remove {step.path} if it is empty"
        case Restart():
            text = f"restart {step.unit} and watch it"
        case _:
            text = f"remove {step.path}"
    return text


def step_to_dict(step: Step) -> dict[str, Any]:
    """Return *step* for machines, without the bytes of a file."""
    plain: dict[str, Any] = {"step": type(step).__name__, "words": words(step)}
    match step:
        case PutFile():
            plain |= {
                "path": step.path,
                "mode": f"{step.mode:04o}",
                "sha256": hashlib.sha256(step.content).hexdigest(),
                "restarts": step.is_read_at_start,
            }
        case PutLink():
            plain |= {"path": step.path, "target": step.target}
        case PutTree():
            plain |= {"path": step.path, "digest": step.digest}
        case MakeFolder() | RemoveFile() | RemoveTree() | RemoveFolder():
            plain["path"] = step.path
        case Restart():
            plain["unit"] = step.unit
    return plain
