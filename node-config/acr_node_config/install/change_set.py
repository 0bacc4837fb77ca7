"""What a transaction is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .journal import Change, Installed, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_node_config.model.steps import FileStep


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """The steps of one verb, in an order that lets a kubelet start after each.

    *afterwards* goes once a kubelet runs without it. *key* names the content, to remember a rejection by.
    """

    verb: str
    steps: tuple[FileStep, ...]
    afterwards: tuple[Change, ...] = ()
    installed: Installed | None = None
    """What the steps install on top of the present record."""
    record: Record | None = None
    """The record afterwards, where nothing new is installed; None for nothing."""
    key: str = ""
    unit: str = ""
    restarts: bool = False
    """Whether to restart even if no file changes that a kubelet reads at its start."""
    must_recover: bool = True
    before_step: Callable[[FileStep], None] = lambda _step: None

    def next_record(self, record: Record | None, changes: tuple[Change, ...]) -> Record | None:
        """Return the record once *changes* are made, after *record*."""
        if self.installed is None:
            return self.record
        return (record or Record(Installed())).with_installed(changes, self.installed)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done: *changed* paths, whether the kubelet was restarted, and what an operator should know."""

    verb: str
    changed: tuple[str, ...] = ()
    restarted: bool = False
    confirmed: bool = False
    notes: tuple[str, ...] = ()
