"""Carries out a change of a node: one way for every verb, and from whatever a killed run left.

    journal -> guard -> files -> restart -> health gate -> record -> what is left over -> no journal

A kubelet can start after each single step, because the caller orders them so; the guard is for one that cannot.
Whatever fails before the kubelet was seen healthy is undone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from acr_credential_provider.model.remedy import Remedy

from acr_node_config.kubelet.health_gate import LOST, HealthCriteria, HealthGate, Verdict, lost_by
from acr_node_config.model import steps
from acr_node_config.model.errors import NodeConfigError, NotAsLeftError, RejectedError, ServiceError

from .change_set import ChangeSet, Outcome
from .journal import APPLIED, APPLYING, UNDOING, VERIFIED, Change, Journal, Record
from .plan import without_ours

if TYPE_CHECKING:
    from acr_node_config.hostfs.host_files import HostFiles
    from acr_node_config.kubelet.probe import KubeletProbe
    from acr_node_config.model.placement import Placement
    from acr_node_config.model.running_config import RunningConfig
    from acr_node_config.model.steps import FileStep

    from .rollback_guard import Guard
    from .state import InstallerFolder


@dataclass(frozen=True, slots=True)
class Transaction:
    """Changes the files of *host*. *kubelet* is None where none is restarted; *placement* tells our part of files."""

    host: HostFiles
    state: InstallerFolder
    guard: Guard
    kubelet: KubeletProbe | None
    gate: HealthGate
    placement: Placement | None

    def run(self, change_set: ChangeSet) -> Outcome:
        """Carry *change_set* out, or leave the node as it was and raise."""
        for step in change_set.steps:
            self.host.sweep(step.path)
        to_do, changes = self.prepare(change_set)
        journal = self._journal(change_set, changes)
        if not (changes or journal.restarts or journal.afterwards):
            if journal.record != self.state.record():
                self.state.write_record(journal.record)
            return Outcome(change_set.verb)
        self.state.write_journal(journal)
        try:
            journal = self._apply(journal, change_set, to_do)
        except BaseException:
            self._abort(journal)
            raise
        return self._complete(self.state.write_journal(replace(journal, phase=APPLIED, kubelet=self._start_id())))

    def prepare(self, change_set: ChangeSet) -> tuple[list[FileStep], tuple[Change, ...]]:
        """Return the steps of *change_set* that are to be done, and their changes; raise for one that can't be done."""
        to_do = [step for step in change_set.steps if not self.host.satisfies(step)]
        for step in to_do:
            self.host.check(step)
        return to_do, tuple(Change.of(step, self.host.stat(step.path)) for step in to_do)

    def confirm(self, record: Record, *, key: str) -> Outcome:
        """Confirm what *record* installed without the health gate.

        The kubelet is restarted unless it has restarted since.
        """
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
            running=self._running_config(),
        )
        self.state.write_journal(journal)
        return self._complete(self._arm(journal))

    def recover(self) -> str:
        """Bring a change to its end that another run began; return what became of it, "" if there was none."""
        journal, acted = self.state.journal(), self.guard.acted
        if journal is None:
            self.guard.disarm()
            return ""
        for change in (*journal.changes, *journal.afterwards):
            self.host.sweep(change.path)
        if acted:
            self._undo(journal)
            self._reject(journal, f"the node's guard put the files back, because the kubelet did not run: {acted}")
            return f"an interrupted {journal.verb} was undone by the node's guard: {acted}"
        if journal.phase == APPLYING:
            self._undo(journal)
            if journal.restarts and journal.kubelet != self._start_id():  # it may have read what is undone now
                self._restart()
                self._wait(journal, is_undone=True)
            self._end_undone(journal)
            return f"an interrupted {journal.verb} was undone"
        try:
            self._resume(journal)
        except RejectedError as error:  # remembered: what is wanted now may be something else
            return f"an interrupted {journal.verb} came to its end: {error.problem}"
        return f"an interrupted {journal.verb} was brought to its end"

    # Forwards.
    def _journal(self, change_set: ChangeSet, changes: tuple[Change, ...]) -> Journal:
        record = self.state.record()
        is_read = change_set.restarts or any(change.is_read_at_start for change in changes)
        restarts = is_read and self.kubelet is not None and bool(change_set.unit)
        return Journal(
            change_set.verb,
            APPLYING,
            change_set.key,
            changes,
            change_set.afterwards,
            change_set.next_record(record, changes),
            change_set.unit,
            restarts,
            self._start_id(),
            must_recover=change_set.must_recover,
            fallback=record,
            running=self._running_config() if restarts else None,
        )

    def _apply(self, journal: Journal, change_set: ChangeSet, to_do: list[FileStep]) -> Journal:
        is_armed = not journal.restarts
        for step, change in zip(to_do, journal.changes, strict=True):
            if change.is_read_at_start and not is_armed:
                journal, is_armed = self._arm(journal), True
            change_set.before_step(step)
            if self.host.stat(step.path).fingerprint != change.before.fingerprint:
                raise NotAsLeftError(
                    f"{step.path} was changed by somebody else in this very moment",
                    remedy=Remedy("ChangedMeanwhile", "Run it again."),
                )
            self.host.apply(step)
        return journal if is_armed else self._arm(journal)

    def _arm(self, journal: Journal) -> Journal:
        """Arm the guard for the files that the kubelet reads, before they are touched.

        /healthz is asked only now: in a pod with another network, the program that was just installed asks it.
        """
        if self.kubelet is None:
            return journal
        journal = self.state.write_journal(replace(journal, had_health=self.kubelet.is_healthy() is True))
        files = [change for change in journal.changes if change.is_read_at_start]
        self.guard.arm(files, unit=journal.unit, has_health=journal.had_health)
        return journal

    def _complete(self, journal: Journal) -> Outcome:
        """Restart and wait if that is still to be done, then record what is installed."""
        notes: tuple[str, ...] = ()
        restarted = False
        record = journal.record
        if journal.restarts and self.kubelet is not None:
            old_pid, start_id = 0, self._start_id()
            if not start_id or start_id == journal.kubelet:
                old_pid, restarted = self._restart(), True
            verdict = self._wait(journal, old_pid)
            if not verdict.is_good and journal.must_recover:
                self._rollback(journal, verdict.reason)
            notes = (f"{journal.unit}: {verdict.reason}",) if verdict.reason else ()
            if record is not None and verdict.is_good:
                record = replace(record, installed=replace(record.installed, confirmed=True))
        elif record is not None and any(change.is_read_at_start for change in journal.changes):
            unseen = replace(record.installed, confirmed=False, applied_under=journal.kubelet)
            record = replace(record, installed=unseen)
        journal = self.state.write_journal(replace(journal, phase=VERIFIED, record=record))
        self._finish(journal)
        changed = tuple(change.path for change in (*journal.changes, *journal.afterwards))
        return Outcome(journal.verb, changed, restarted, bool(record and record.installed.confirmed), notes)

    def _finish(self, journal: Journal) -> None:
        self.state.write_record(journal.record)
        if journal.record is not None and journal.record.installed.confirmed:
            self.state.forgive(journal.key)
        for change in journal.afterwards:
            self._put_back(change)
        self._end()

    def _resume(self, journal: Journal) -> None:
        if journal.phase == UNDOING or (journal.phase == APPLIED and self._is_taken_back(journal)):
            self._rollback(journal, journal.reason or "its files were found put back")
        elif journal.phase == APPLIED:
            self._complete(journal)
        else:
            self._finish(journal)

    def _is_taken_back(self, journal: Journal) -> bool:
        """True if some files were put back already, as by a guard that was interrupted."""
        return any(
            self.host.stat(change.path).fingerprint == change.before.fingerprint
            for change in journal.changes
            if change.is_read_at_start and change.before.fingerprint != change.after
        )

    # Backwards.
    def _rollback(self, journal: Journal, reason: str) -> NoReturn:
        """Put everything back, restart once more, remember the rejection; always raises `RejectedError`."""
        journal = self.state.write_journal(replace(journal, phase=UNDOING, reason=reason))
        self._undo(journal)
        verdict = self._wait(journal, self._restart(), is_undone=True)
        now = "it runs again" if verdict.is_good else f"even so, {verdict.reason}"
        if lost := self._lost(journal):
            now += f", without {', '.join(lost)} too: that was changed after its last start, and not by this change"
        self._reject(journal, reason)
        if reason.startswith(LOST):
            raise RejectedError(
                f"{journal.unit} did not keep what it has with the change: {reason}. All was put back, and {now}",
                remedy=Remedy(
                    "KubeletFlagsOverridden",
                    f"See what sets them (systemctl cat {journal.unit}), and move it to an environment file that "
                    "the unit reads last. The same content is not tried again unless --retry asks for it.",
                ),
            )
        raise RejectedError(
            f"{journal.unit} was not healthy with the change: {reason}. All was put back, and {now}",
            remedy=Remedy(
                "KubeletUnhealthy",
                f"Read the kubelet's log (journalctl -u {journal.unit}). The same content is not tried again unless "
                "--retry asks for it.",
            ),
        )

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
        """Make a path what it was before *change*; what others changed in it meanwhile stays."""
        found, inverse = self.host.stat(change.path), change.inverse
        if isinstance(inverse, (steps.RemoveTree, steps.RemoveFolder)):
            if found != change.before:
                self.host.apply(inverse)
            return
        if found.kind == steps.FILE and found.fingerprint not in (change.after, change.before.fingerprint):
            theirs = without_ours(self.placement, change.path, found.content) if self.placement else None
            if theirs is not None:
                if theirs != found.content:
                    self.host.apply(steps.PutFile(change.path, theirs, found.mode))
                return
        if found != change.before:
            self.host.restore(change.path, change.before)

    def _end_undone(self, journal: Journal) -> None:
        if self.state.record() != journal.fallback:
            self.state.write_record(journal.fallback)
        self._end()

    def _end(self) -> None:
        self.guard.disarm()
        self.state.end_journal()

    # The kubelet.
    def _restart(self) -> int:
        return self.kubelet.restart() if self.kubelet is not None else 0

    def _wait(self, journal: Journal, old_pid: int = 0, *, is_undone: bool = False) -> Verdict:
        if self.kubelet is None:
            return Verdict(is_good=True)
        before = None if is_undone else journal.running
        return self.gate.wait(self.kubelet, HealthCriteria(journal.had_health, not is_undone, old_pid, before))

    def _running_config(self) -> RunningConfig | None:
        pid = self._pid()
        return self.kubelet.running_config(pid) if self.kubelet is not None and pid else None

    def _lost(self, journal: Journal) -> tuple[str, ...]:
        """Return what the kubelet had before the change and has not now."""
        pid = self._pid()
        return lost_by(self.kubelet, pid, journal.running) if self.kubelet is not None and pid else ()

    def _pid(self) -> int:
        try:
            return self.kubelet.state().pid if self.kubelet is not None else 0
        except ServiceError:
            return 0

    def _start_id(self) -> str:
        return self.kubelet.start_id() if self.kubelet is not None else ""
