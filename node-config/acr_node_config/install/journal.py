"""What the installer knows between its runs: the journal of a change under way, the record of what is installed.

All in one folder of the host, for root alone. The journal holds what was at each path before it was touched, and is on
the disk before the first of them is.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from acr_node_config.hostfs import safe_path
from acr_node_config.model import steps
from acr_node_config.model.errors import BusyError, NodeConfigError
from acr_node_config.model.running_config import InForce
from acr_node_config.model.steps import PathState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from acr_node_config.hostfs.host_files import HostFiles

FOLDER = "/var/lib/aliyun-acr-credential-provider"
APPLYING, APPLIED, UNDOING, VERIFIED = "applying", "applied", "undoing", "verified"
MOST_REJECTED = 20
_PLAIN = ("verb", "phase", "key", "unit", "restarts", "kubelet", "had_health", "must_live", "reason")
PATIENCE = 2.0
"""Seconds to wait for another installer; its own work may take a minute, and the caller can come again."""


@dataclass(frozen=True, slots=True)
class Change:
    """One path that we changed: what was there before, and the mark of what we made of it."""

    path: str
    before: PathState
    after: str
    is_tree: bool = False
    is_read_at_start: bool = False

    @classmethod
    def by(cls, step: steps.FileStep, before: PathState) -> Change:
        """Return the change that *step* is going to be."""
        is_read_at_start = isinstance(step, (steps.PutFile, steps.RemoveFile)) and step.is_read_at_start
        return cls(
            step.path,
            before,
            steps.fingerprint_after(step),
            isinstance(step, (steps.PutTree, steps.RemoveTree)),
            is_read_at_start,
        )

    @property
    def back(self) -> steps.FileStep:
        """The step that undoes it."""
        if self.before.is_absent and self.is_tree:
            return steps.RemoveTree(self.path)
        if self.before.is_absent and self.after == PathState(steps.FOLDER).fingerprint:
            return steps.RemoveFolder(self.path)
        return steps.inverse(self.path, self.before, is_read_at_start=self.is_read_at_start)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "path": self.path,
            "before": self.before.to_dict(),
            "after": self.after,
            "isTree": self.is_tree,
            "isReadAtStart": self.is_read_at_start,
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Change:
        """Return what `document` wrote."""
        before = PathState.from_dict(document["before"])
        return cls(document["path"], before, document["after"], document["isTree"], document["isReadAtStart"])


@dataclass(frozen=True, slots=True)
class Installed:
    """What an installation is, beside the files it changed."""

    version: str = ""
    tree: str = ""
    """Folder of the program that the link points into."""
    mode: str = ""
    placement: dict[str, Any] = field(default_factory=dict)
    """Where everything went, as `plan.placement_to_dict` writes it."""
    content: str = ""
    """Digest of what the kubelet reads at its start, of ours."""
    confirmed: bool = False
    """Whether a kubelet was seen to live with *content*."""
    applied_under: str = ""
    """Which start of the kubelet it was when the files were written: another one has read them."""
    had_cache: bool = False
    """Whether the plugin's cache was there before it was."""

    @property
    def unit(self) -> str:
        """The kubelet's unit, "" where none is to be restarted."""
        return str(self.placement.get("unit", ""))


@dataclass(frozen=True, slots=True)
class Record:
    """An installation: how things were before it (*originals*), and before its last change (*latest*)."""

    installed: Installed
    originals: tuple[Change, ...] = ()
    latest: tuple[Change, ...] = ()
    before: Installed | None = None
    """What was installed before the last change, None when nothing was."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "installed": asdict(self.installed),
            "originals": [each.to_dict() for each in self.originals],
            "latest": [each.to_dict() for each in self.latest],
            "before": asdict(self.before) if self.before else None,
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Record:
        """Return what `document` wrote."""
        before = document["before"]
        return cls(
            Installed(**document["installed"]),
            tuple(Change.from_dict(each) for each in document["originals"]),
            tuple(Change.from_dict(each) for each in document["latest"]),
            Installed(**before) if before else None,
        )

    def after(self, changes: tuple[Change, ...], installed: Installed) -> Record:
        """Return the record once *changes* have made it *installed*: what was first of all there stays known."""
        later = {change.path: change.after for change in changes}
        kept = tuple(replace(each, after=later.get(each.path, each.after)) for each in self.originals)
        known = {each.path for each in self.originals}
        new = tuple(change for change in changes if change.path not in known)
        return Record(installed, kept + new, changes, self.installed if self.installed.version else None)

    def without_latest(self) -> Record | None:
        """Return the record of what was installed before the last change, None if nothing was."""
        if self.before is None:
            return None
        undone = {change.path: change.before for change in self.latest}
        kept = [each for each in self.originals if undone.get(each.path) != each.before]
        marks = {path: before.fingerprint for path, before in undone.items()}
        return Record(self.before, tuple(replace(each, after=marks.get(each.path, each.after)) for each in kept))


@dataclass(frozen=True, slots=True)
class Journal:
    """A change under way. *key* is what to remember if the kubelet does not live with it."""

    verb: str
    phase: str
    key: str
    changes: tuple[Change, ...]
    afterwards: tuple[Change, ...] = ()
    """Paths that go back to what they were before once a kubelet runs without them."""
    record: Record | None = None
    """What will be installed; None when nothing will."""
    unit: str = ""
    restarts: bool = False
    kubelet: str = ""
    """Which start of the kubelet it was when this was written; another one has read what is at the paths now."""
    had_health: bool = False
    """Whether the kubelet's /healthz answered before."""
    must_live: bool = True
    """False for a kubelet that did not run before either: then nothing is put back for its sake."""
    fallback: Record | None = None
    """What is installed if all this is undone."""
    reason: str = ""
    """Why it is being undone."""
    in_force: InForce | None = None
    """What the kubelet ran with before, None if none ran or that could not be seen."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {name: getattr(self, name) for name in _PLAIN} | {
            "changes": [each.to_dict() for each in self.changes],
            "afterwards": [each.to_dict() for each in self.afterwards],
            "record": self.record.to_dict() if self.record else None,
            "fallback": self.fallback.to_dict() if self.fallback else None,
            "inForce": self.in_force.document() if self.in_force else None,
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Journal:
        """Return what `document` wrote."""
        return cls(
            **{name: document[name] for name in _PLAIN},
            changes=tuple(Change.from_dict(each) for each in document["changes"]),
            afterwards=tuple(Change.from_dict(each) for each in document["afterwards"]),
            record=Record.from_dict(document["record"]) if document["record"] else None,
            fallback=Record.from_dict(document["fallback"]) if document["fallback"] else None,
            in_force=InForce.from_document(document["inForce"]) if document.get("inForce") else None,
        )


@dataclass(frozen=True, slots=True)
class Rejected:
    """A content that this node's kubelet did not live with. *at* is in seconds since the epoch."""

    key: str
    reason: str
    at: int


@dataclass(slots=True)
class State:
    """The folder of all this at *folder* of *host*."""

    host: HostFiles
    folder: str = FOLDER

    @contextmanager
    def held(self, patience: float = PATIENCE) -> Iterator[None]:
        """Make the folder, be the only installer of this node meanwhile; raise `BusyError` after *patience* seconds.

        The lock is the folder's own, so it is there from the first moment on and its end is the holder's.
        """
        until = time.monotonic() + patience
        while (file := self._lock(until)) is None:
            pass
        try:
            yield
        finally:
            os.close(file)

    def _lock(self, until: float) -> int | None:
        """Return the folder's descriptor, locked; None if it was removed while we waited."""
        for each in ancestors(self.folder):
            if self.host.stat(each).is_absent:
                self.host.apply(steps.MakeFolder(each))
        private = steps.MakeFolder(self.folder, 0o700, is_ours=True)
        if not self.host.satisfies(private):  # a kubelet that made it for a hostPath mount made it for all to read
            self.host.apply(private)
        with safe_path.translate_os_errors(self.folder):
            file = safe_path.open_folder(self.host.root, self.folder, to_write=True)
        while not _locked(file):
            if time.monotonic() > until:
                os.close(file)
                raise BusyError(
                    "another installer is at work on this node",
                    remedy="Let it end: it takes a minute or two at most. See who holds the lock with lslocks.",
                )
            time.sleep(0.05)
        if os.fstat(file).st_nlink:
            return file
        os.close(file)
        return None

    def journal(self) -> Journal | None:
        """Return the journal of a change that did not end, None when all did."""
        document = self._read("journal.json")
        return None if document is None else Journal.from_dict(document)

    def write_journal(self, journal: Journal) -> Journal:
        """Put it on the disk."""
        self._write("journal.json", journal.to_dict())
        return journal

    def end_journal(self) -> None:
        """Say that the change is over, one way or the other."""
        self.host.apply(steps.RemoveFile(f"{self.folder}/journal.json"))

    def record(self) -> Record | None:
        """Return what is installed, None when nothing is."""
        document = self._read("record.json")
        return None if document is None else Record.from_dict(document)

    def write_record(self, record: Record | None) -> None:
        """Put it on the disk; None removes it."""
        if record is None:
            self.host.apply(steps.RemoveFile(f"{self.folder}/record.json"))
        else:
            self._write("record.json", record.to_dict())

    def rejected(self) -> tuple[Rejected, ...]:
        """Return what kubelets of this node did not live with, the latest last."""
        document = self._read("rejected.json")
        return tuple(Rejected(**each) for each in document["rejected"]) if document else ()

    def reject(self, key: str, reason: str) -> None:
        """Remember that content *key* was rejected."""
        others = [each for each in self.rejected() if each.key != key]
        kept = [*others, Rejected(key, reason, int(time.time()))][-MOST_REJECTED:]
        self._write("rejected.json", {"rejected": [asdict(each) for each in kept]})

    def forgive(self, key: str) -> None:
        """Forget that content *key* was rejected: a kubelet lives with it now, or an operator wants it tried again."""
        kept = [each for each in self.rejected() if each.key != key]
        if len(kept) < len(self.rejected()):
            self._write("rejected.json", {"rejected": [asdict(each) for each in kept]})

    def _read(self, name: str) -> dict[str, Any] | None:
        seen = self.host.stat(f"{self.folder}/{name}")
        if seen.kind != steps.FILE:
            return None
        try:
            document = json.loads(seen.content)
        except ValueError:
            document = None
        if isinstance(document, dict):
            return document
        raise NodeConfigError(
            f"{self.folder}/{name} is not what we wrote there",
            remedy="Look at the disk. Compare the kubelet's files with what they should be, then remove that file.",
        )

    def _write(self, name: str, document: dict[str, Any]) -> None:
        content = json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
        self.host.apply(steps.PutFile(f"{self.folder}/{name}", content, 0o600))


def ancestors(path: str) -> list[str]:
    """Return the folders that *path* lies in, the outermost first, without /.

    >>> ancestors("/var/lib/x")
    ['/var', '/var/lib']
    """
    names = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(names[: count + 1]) for count in range(len(names))]


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
