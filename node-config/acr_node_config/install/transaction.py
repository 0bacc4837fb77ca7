"""Changes a node: one way for every verb, from whatever a run left that was killed.

    journal -> guard -> files -> restart -> watch -> record -> what is left over -> no journal

A kubelet can start after each single step, for the caller orders them so; the guard is for a kubelet that cannot.
Whatever fails before the kubelet was seen to live with it is undone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn, Protocol

from acr_node_config.kubelet.health_gate import (
    BUDGET,
    LOST,
    SETTLE,
    Clock,
    HealthCriteria,
    KubeletHealth,
    Verdict,
    lost_by,
    wait_until_healthy,
)
from acr_node_config.model import steps
from acr_node_config.model.errors import NodeConfigError, NotAsLeftError, RejectedError, ServiceError

from .journal import APPLIED, APPLYING, UNDOING, VERIFIED, Change, Journal, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_node_config.hostfs.host_files import HostFiles
    from acr_node_config.kubelet.service_manager import ServiceManager
    from acr_node_config.model.running_config import InForce
    from acr_node_config.model.steps import FileStep

    from .journal import State
    from .rollback_guard import Guard


class RunningKubelet(KubeletHealth, Protocol):
    """The kubelet that runs, as far as it can be seen."""

    def start_id(self) -> str:
        """Return what tells this start of the kubelet from every other; "" if none runs or nothing can be seen."""


def _go_on(_step: FileStep) -> None:
    """Nothing to see to before that step."""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """What is to become of the node.

    *steps* in an order that lets a kubelet start after each; *afterwards* what goes once it runs without it.
    *record* is what is installed then, None for nothing. *key* names the content, to remember a rejection by.
    """

    verb: str
    steps: tuple[FileStep, ...]
    record: Callable[[tuple[Change, ...]], Record | None]
    afterwards: tuple[Change, ...] = ()
    key: str = ""
    unit: str = ""
    restarts: bool = False
    """Restart even if no file changes that a kubelet reads at its start."""
    must_live: bool = True
    before_each: Callable[[FileStep], None] = _go_on


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done: *changed* paths, whether the kubelet was restarted, and what an operator should know."""

    verb: str
    changed: tuple[str, ...] = ()
    restarted: bool = False
    confirmed: bool = False
    notes: tuple[str, ...] = ()


def _nothing_of_ours(_path: str, _content: bytes) -> bytes | None:
    return None


@dataclass(slots=True)
class Transaction:
    """Changes the files of *host*. *service* is None where no kubelet is to be restarted (an image, a mode)."""

    host: HostFiles
    state: State
    guard: Guard
    service: ServiceManager | None
    kubelet: RunningKubelet | None
    clock: Clock = field(default_factory=Clock)
    settle: float = SETTLE
    budget: float = BUDGET
    without_ours: Callable[[str, bytes], bytes | None] = _nothing_of_ours
    """Returns a file of others without what is ours in it; None if that can't be told."""

    def run(self, intent: ChangeSet) -> Outcome:
        """Carry *intent* out, or leave the node as it was and raise."""
        for step in intent.steps:
            self.host.sweep(step.path)
        to_do = [step for step in intent.steps if not self.host.satisfies(step)]
        changes = tuple(Change.by(step, self.host.stat(step.path)) for step in to_do)
        restarts = self.service is not None and bool(intent.unit)
        restarts = restarts and (intent.restarts or any(change.is_read_at_start for change in changes))
        for change in changes:
            self.host.verify_parents(change.path)
        journal = Journal(
            intent.verb,
            APPLYING,
            intent.key,
            changes,
            intent.afterwards,
            intent.record(changes),
            intent.unit,
            restarts,
            self._start_mark(),
            must_live=intent.must_live,
            fallback=self.state.record(),
            in_force=self._in_force() if restarts else None,
        )
        if not (changes or restarts or intent.afterwards):
            if journal.record != self.state.record():
                self.state.write_record(journal.record)
            return Outcome(intent.verb)
        self.state.write_journal(journal)
        try:
            journal = self._apply(journal, intent, to_do)
        except BaseException:
            self._abort(journal)
            raise
        return self._go_on(self.state.write_journal(replace(journal, phase=APPLIED, kubelet=self._start_mark())))

    def confirm(self, record: Record, *, key: str) -> Outcome:
        """Have a kubelet live with what was installed where none was watched: restart it unless it started since."""
        confirmed = replace(record, installed=replace(record.installed, confirmed=True))
        journal = Journal(
            "install",
            APPLIED,
            key,
            record.latest,
            record=confirmed,
            unit=record.installed.unit,
            restarts=True,
            kubelet=record.installed.applied_under,
            fallback=record.without_latest(),
            in_force=self._in_force(),
        )
        self.state.write_journal(journal)
        return self._go_on(self._arm(journal))

    def recover(self) -> str:
        """Bring a change to its end that another run began; return what became of it, "" if there was none."""
        journal, acted = self.state.journal(), self.guard.acted
        if journal is None:
            self.guard.disarm(self.service)
            return ""
        for change in (*journal.changes, *journal.afterwards):
            self.host.sweep(change.path)
        if acted:
            self._undo(journal)
            self._reject(journal, f"the node's guard put the files back, for the kubelet did not run: {acted}")
            return f"an interrupted {journal.verb} was undone by the node's guard: {acted}"
        if journal.phase == APPLYING:
            began = journal.kubelet
            self._undo(journal)
            if journal.restarts and self.service is not None and began != self._start_mark():
                self._restart(journal)  # it may have read what is undone now
                self._watch(journal, is_undone=True)
            self._end_undone(journal)
            return f"an interrupted {journal.verb} was undone"
        try:
            if journal.phase == UNDOING or (journal.phase == APPLIED and self._is_taken_back(journal)):
                self._rollback(journal, journal.reason or "its files were found put back")
            elif journal.phase == APPLIED:
                self._go_on(journal)
            else:
                self._finish(journal)
        except RejectedError as error:  # remembered: what is wanted now may be something else
            return f"an interrupted {journal.verb} came to its end: {error.problem}"
        return f"an interrupted {journal.verb} was brought to its end"

    def _apply(self, journal: Journal, intent: ChangeSet, to_do: list[FileStep]) -> Journal:
        is_armed = not journal.restarts
        for step, change in zip(to_do, journal.changes, strict=True):
            if change.is_read_at_start and not is_armed:
                journal, is_armed = self._arm(journal), True
            intent.before_each(step)
            if self.host.stat(step.path).fingerprint != change.before.fingerprint:
                raise NotAsLeftError(
                    f"{step.path} was changed by somebody else in this very moment", remedy="Run it again."
                )
            self.host.apply(step)
        return journal if is_armed else self._arm(journal)

    def _go_on(self, journal: Journal) -> Outcome:
        """Restart and watch if that is still to be done, and end it."""
        notes: tuple[str, ...] = ()
        restarted = False
        if journal.restarts and self.service is not None and self.kubelet is not None:
            mark = self._start_mark()
            old = 0
            if not mark or mark == journal.kubelet:
                old = self._restart(journal)
                restarted = True
            verdict = self._watch(journal, old)
            if not verdict.is_good and journal.must_live:
                self._rollback(journal, verdict.reason)
            if verdict.reason:
                notes = (f"{journal.unit}: {verdict.reason}",)
            if journal.record is not None and verdict.is_good:
                confirmed = replace(journal.record.installed, confirmed=True)
                journal = replace(journal, record=replace(journal.record, installed=confirmed))
        elif journal.record is not None and any(change.is_read_at_start for change in journal.changes):
            unseen = replace(journal.record.installed, confirmed=False, applied_under=journal.kubelet)
            journal = replace(journal, record=replace(journal.record, installed=unseen))
        journal = self.state.write_journal(replace(journal, phase=VERIFIED))
        self._finish(journal)
        return Outcome(
            journal.verb,
            tuple(change.path for change in (*journal.changes, *journal.afterwards)),
            restarted,
            journal.record is not None and journal.record.installed.confirmed,
            notes,
        )

    def _finish(self, journal: Journal) -> None:
        self.state.write_record(journal.record)
        if journal.record is not None and journal.record.installed.confirmed:
            self.state.forgive(journal.key)
        for change in journal.afterwards:
            self._put_back(change)
        self._end()

    def _rollback(self, journal: Journal, reason: str) -> NoReturn:
        """Put everything back, restart once more, remember what was rejected; always raises."""
        journal = self.state.write_journal(replace(journal, phase=UNDOING, reason=reason))
        self._undo(journal)
        old = self._restart(journal)
        again = self._watch(journal, old, is_undone=True)
        now = "it runs again" if again.is_good else f"even so, {again.reason}"
        if still := self._lost(journal):
            now += f", without {', '.join(still)} too: that was changed after its last start, and not by this change"
        self._reject(journal, reason)
        if reason.startswith(LOST):
            raise RejectedError(
                f"{journal.unit} did not keep what it has with the change: {reason}. All was put back, and {now}",
                remedy=f"See what sets them (systemctl cat {journal.unit}), and move it to an environment file that "
                "the unit reads last. The same content is not tried again unless --retry asks for it.",
            )
        raise RejectedError(
            f"{journal.unit} did not live with the change: {reason}. All was put back, and {now}",
            remedy=f"Read the kubelet's log (journalctl -u {journal.unit}). The same content is not tried again unless "
            "--retry asks for it.",
        )

    def _is_taken_back(self, journal: Journal) -> bool:
        """Say whether somebody began to put files back, as the guard does, and did not come to the end of it."""
        read = [
            change
            for change in journal.changes
            if change.is_read_at_start and change.before.fingerprint != change.after
        ]
        return any(self.host.stat(change.path).fingerprint == change.before.fingerprint for change in read)

    def _reject(self, journal: Journal, reason: str) -> None:
        if journal.key and journal.verb == "install":
            self.state.reject(journal.key, reason)
        self._end_undone(journal)

    def _abort(self, journal: Journal) -> None:
        """Undo what was done so far. If that fails too, the journal stays, and the next run goes on from there."""
        try:
            self._undo(journal)
            self._end_undone(journal)
        except NodeConfigError:
            return

    def _undo(self, journal: Journal) -> None:
        for change in reversed(journal.changes):
            self._put_back(change)

    def _put_back(self, change: Change) -> None:
        """Make a path what it was; what others changed in it meanwhile stays."""
        seen = self.host.stat(change.path)
        step = change.back
        if isinstance(step, (steps.RemoveTree, steps.RemoveFolder)) or seen.fingerprint in (
            change.after,
            change.before.fingerprint,
        ):
            if seen != change.before:
                self._settle_back(change, step)
            return
        theirs = self.without_ours(change.path, seen.content) if seen.kind == steps.FILE else None
        if theirs is None:
            self._settle_back(change, step)
        elif theirs != seen.content:
            self.host.apply(steps.PutFile(change.path, theirs, seen.mode))

    def _settle_back(self, change: Change, step: steps.FileStep) -> None:
        if isinstance(step, (steps.RemoveTree, steps.RemoveFolder)):
            self.host.apply(step)
        else:
            self.host.restore(change.path, change.before)

    def _end_undone(self, journal: Journal) -> None:
        if self.state.record() != journal.fallback:
            self.state.write_record(journal.fallback)
        self._end()

    def _end(self) -> None:
        self.guard.disarm(self.service)
        self.state.end_journal()

    def _arm(self, journal: Journal) -> Journal:
        """Have the guard watch over what the kubelet reads, from before it is touched.

        Its health is asked only now: where the node's network is another one than ours, our program is what asks.
        """
        if self.service is None or self.kubelet is None:
            return journal
        journal = self.state.write_journal(replace(journal, had_health=self.kubelet.is_healthy() is True))
        read = [change for change in journal.changes if change.is_read_at_start]
        self.guard.arm(self.service, read, unit=journal.unit, has_health=journal.had_health)
        return journal

    def _restart(self, journal: Journal) -> int:
        """Have the kubelet restarted; return the process that should end."""
        if self.service is None or self.kubelet is None:
            return 0
        old = self.service.state(journal.unit).pid
        self.service.restart(journal.unit)
        return old

    def _watch(self, journal: Journal, old_pid: int = 0, *, is_undone: bool = False) -> Verdict:
        if self.kubelet is None:
            return Verdict(is_good=True)
        before = None if is_undone else journal.in_force
        terms = HealthCriteria(self.settle, self.budget, journal.had_health, not is_undone, old_pid, before)
        return wait_until_healthy(self.kubelet, terms, self.clock)

    def _in_force(self) -> InForce | None:
        """Return what the kubelet runs with now, None if none runs or it can't be seen."""
        pid = self._pid()
        return self.kubelet.in_force(pid) if self.kubelet is not None and pid else None

    def _lost(self, journal: Journal) -> tuple[str, ...]:
        """Return what the kubelet had before *journal*'s change and has not now."""
        pid = self._pid()
        return lost_by(self.kubelet, pid, journal.in_force) if self.kubelet is not None and pid else ()

    def _pid(self) -> int:
        try:
            return self.kubelet.state().pid if self.kubelet is not None else 0
        except ServiceError:
            return 0

    def _start_mark(self) -> str:
        return self.kubelet.start_id() if self.kubelet is not None else ""
