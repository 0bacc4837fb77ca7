"""What is written down about changes of a node, as values: a change under way, and what is installed.

The journal of a change holds what was at each path before, and is on the disk before the first path is touched.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from acr_node_config.model import steps
from acr_node_config.model.running_config import RunningConfig
from acr_node_config.model.steps import PathState

if TYPE_CHECKING:
    from collections.abc import Mapping

APPLYING, APPLIED, UNDOING, VERIFIED = "applying", "applied", "undoing", "verified"
_PLAIN = ("verb", "phase", "key", "unit", "restarts", "kubelet", "had_health", "reason")


@dataclass(frozen=True, slots=True)
class Change:
    """One path that we changed: what was there before, and the fingerprint of what we made of it."""

    path: str
    before: PathState
    after: str
    is_tree: bool = False
    is_read_at_start: bool = False

    @classmethod
    def of(cls, step: steps.FileStep, before: PathState) -> Change:
        """Return the change that *step* makes."""
        return cls(
            step.path,
            before,
            steps.fingerprint_after(step),
            isinstance(step, (steps.PutTree, steps.RemoveTree)),
            steps.is_read_at_start(step),
        )

    @classmethod
    def removal(cls, path: str) -> Change:
        """Return a change whose `inverse` removes all that is at *path*."""
        return cls(path, steps.NOTHING, "", is_tree=True)

    @property
    def inverse(self) -> steps.FileStep:
        """The step that undoes it."""
        if self.before.is_absent and self.is_tree:
            return steps.RemoveTree(self.path)
        if self.before.is_absent and self.is_folder:
            return steps.RemoveFolder(self.path)
        return steps.inverse(self.path, self.before, is_read_at_start=self.is_read_at_start)

    @property
    def is_folder(self) -> bool:
        """Whether it left a folder."""
        return self.after == PathState(steps.FOLDER).fingerprint

    def to_dict(self) -> dict[str, Any]:
        """Return its JSON form."""
        return {
            "path": self.path,
            "before": self.before.to_dict(),
            "after": self.after,
            "isTree": self.is_tree,
            "isReadAtStart": self.is_read_at_start,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Change:
        """Read what `to_dict` wrote."""
        before = PathState.from_dict(document["before"])
        return cls(document["path"], before, document["after"], document["isTree"], document["isReadAtStart"])


@dataclass(frozen=True, slots=True)
class Installed:
    """An installation, apart from the files that it changed."""

    version: str = ""
    tree: str = ""
    """Folder of the program that the link points into."""
    mode: str = ""
    placement: dict[str, Any] = field(default_factory=dict)
    """Where everything went, as `plan.placement_to_dict` writes it."""
    content: str = ""
    """Digest of our part of what the kubelet reads at its start."""
    confirmed: bool = False
    """Whether a kubelet was seen healthy with *content*."""
    applied_under: str = ""
    """ID of the kubelet's start at which the files were written: any later start has read them."""
    had_cache: bool = False
    """Whether the plugin's cache was there before it was."""

    @property
    def unit(self) -> str:
        """The kubelet's unit, "" where none is restarted."""
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
        """Return its JSON form."""
        return {
            "installed": asdict(self.installed),
            "originals": [change.to_dict() for change in self.originals],
            "latest": [change.to_dict() for change in self.latest],
            "before": asdict(self.before) if self.before else None,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Record:
        """Read what `to_dict` wrote."""
        originals, latest = _changes(document, "originals", "latest")
        before = Installed(**document["before"]) if document["before"] else None
        return cls(Installed(**document["installed"]), originals, latest, before)

    def with_installed(self, changes: tuple[Change, ...], installed: Installed) -> Record:
        """Return the record once *changes* have made it *installed*; the originals of all paths stay known."""
        if not changes:
            return replace(self, installed=installed)
        after = {change.path: change.after for change in changes}
        kept = tuple(replace(change, after=after.get(change.path, change.after)) for change in self.originals)
        known = {change.path for change in self.originals}
        new = tuple(change for change in changes if change.path not in known)
        return Record(installed, kept + new, changes, self.installed if self.installed.version else None)

    def without_latest(self) -> Record | None:
        """Return the record of what was installed before the last change, None if nothing was."""
        if self.before is None:
            return None
        undone = {change.path: change.before for change in self.latest}
        kept = [change for change in self.originals if undone.get(change.path) != change.before]
        after = {path: before.fingerprint for path, before in undone.items()}
        return Record(
            self.before, tuple(replace(change, after=after.get(change.path, change.after)) for change in kept)
        )


@dataclass(frozen=True, slots=True)
class Journal:
    """A change under way. *key* is remembered if the kubelet is not healthy with it."""

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
    """ID of the kubelet's start when this was written; a later start has read what is at the paths now."""
    had_health: bool = False
    """Whether the kubelet's /healthz answered before."""
    must_recover: bool = True
    """False for a kubelet that did not run before either: then nothing is put back for its sake."""
    fallback: Record | None = None
    """What is installed if all this is undone."""
    reason: str = ""
    """Why it is being undone."""
    running: RunningConfig | None = None
    """What the kubelet ran with before, None if none ran or that could not be seen."""

    def to_dict(self) -> dict[str, Any]:
        """Return its JSON form. Another version may end what this one began, so its keys stay as they are."""
        return {name: getattr(self, name) for name in _PLAIN} | {
            "must_live": self.must_recover,
            "changes": [change.to_dict() for change in self.changes],
            "afterwards": [change.to_dict() for change in self.afterwards],
            "record": self.record.to_dict() if self.record else None,
            "fallback": self.fallback.to_dict() if self.fallback else None,
            "inForce": self.running.to_dict() if self.running else None,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Journal:
        """Read what `to_dict` wrote."""
        changes, afterwards = _changes(document, "changes", "afterwards")
        return cls(
            **{name: document[name] for name in _PLAIN},
            changes=changes,
            afterwards=afterwards,
            record=Record.from_dict(document["record"]) if document["record"] else None,
            fallback=Record.from_dict(document["fallback"]) if document["fallback"] else None,
            must_recover=document["must_live"],
            running=RunningConfig.from_dict(document["inForce"]) if document.get("inForce") else None,
        )


@dataclass(frozen=True, slots=True)
class Rejected:
    """A content with which this node's kubelet was not healthy. *at* is in seconds since the epoch."""

    key: str
    reason: str
    at: int


def _changes(document: Mapping[str, Any], *names: str) -> list[tuple[Change, ...]]:
    return [tuple(map(Change.from_dict, document[name])) for name in names]
