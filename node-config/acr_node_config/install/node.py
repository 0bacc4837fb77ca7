"""The verbs: what can be done to a node. Each locks it, ends what was interrupted, then plans and acts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.lookup import CACHE, TRACE
from acr_credential_provider.model.remedy import Remedy

from acr_node_config.model import steps
from acr_node_config.model.errors import BundleError, RefusedError, RejectedError
from acr_node_config.model.placement import DropInFlags, RancherFlags
from acr_node_config.placement.start_guard import FLAGS_FOLDER

from . import bundle as bundles
from . import plan
from .change_set import ChangeSet, Outcome
from .inspection import status, verify
from .journal import Change, Installed, Record
from .plan_diff import diff
from .requests import InstallPlan, InstallRequest, InstallStatus
from .transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from acr_node_config.hostfs.host_files import HostFiles
    from acr_node_config.kubelet.health_gate import HealthGate
    from acr_node_config.model.placement import Placement
    from acr_node_config.model.steps import FileStep

    from .plan import DesiredInstallation
    from .rollback_guard import Guard
    from .state import InstallerFolder
    from .system import HostSystem


@dataclass(slots=True)
class Node:
    """A node to install on: its files, our state and guard there, and the system that runs from them."""

    host: HostFiles
    state: InstallerFolder
    guard: Guard
    system: HostSystem
    gate: HealthGate

    def plan(self, request: InstallRequest) -> InstallPlan:
        """Return what `install` would do; nothing is changed."""
        desired = self._desired_state(request)
        journal = self.state.journal()
        # An interrupted change may be why the kubelet does not run: `install` ends it before it looks.
        to_do = self._missing(desired) if journal else self._prepared(request, desired)
        restarts = desired.placement.unit if self._must_restart(desired, tuple(to_do)) else ""
        rejection = "" if request.retries else self.state.rejection(desired.key)
        first = (f"an interrupted {journal.verb} is ended first, which may change this plan",) if journal else ()
        return InstallPlan(
            tuple(to_do), restarts, rejection, (*first, *desired.notes), tuple(self._diffs(desired, to_do))
        )

    def install(self, request: InstallRequest) -> Outcome:
        """Install it, or bring what is installed to it. With all of it in place nothing is written or restarted."""
        with self.state.locked():
            recovered = self._recover()
            desired = self._desired_state(request)
            self._check_history(request, desired.key)
            must_restart = self._must_restart(desired, tuple(self._prepared(request, desired)))
            transaction = self._transaction(desired.placement)
            outcome = self._apply(transaction, request, desired)
            record = self.state.record()
            # Nothing changed now, but no kubelet was seen healthy with it: it was baked, or installed while none ran.
            if must_restart and not outcome.restarted and record is not None and not record.installed.confirmed:
                outcome = transaction.confirm(record, key=desired.key)
            self._remove_unused_programs(desired)
        return replace(outcome, notes=(*recovered, *desired.notes, *outcome.notes))

    def status(self) -> InstallStatus:
        """Return how things are; nothing is changed, and no lock is waited for."""
        return status(self.host, self.state, self.guard, self.system)

    def verify(self) -> list[str]:
        """Return what is wrong with the installation: files, ways to them, program, kubelet; nothing if all is well."""
        return verify(self.host, self.status(), self.system)

    def rollback(self) -> Outcome:
        """Go back to what was before the last change: the version before, or nothing."""
        with self.state.locked():
            self._recover()
            record = self.state.record()
            if record is None or not (record.latest or record.before):
                raise RefusedError(
                    "there is nothing to go back to",
                    remedy=Remedy("NothingToRollBack", "See status: what is installed was first."),
                )
            before = record.without_latest()
            if before is None:
                return self._take_out("rollback", record)
            latest = record.latest[::-1]
            change_set = ChangeSet(
                "rollback",
                tuple(change.inverse for change in latest if not _leaves_nothing(change)),
                tuple(change for change in latest if _leaves_nothing(change)),
                record=before,
                unit=record.installed.unit,
            )
            return self._transaction(plan.placement_from_dict(before.installed.placement)).run(change_set)

    def uninstall(self) -> Outcome:
        """Take it all away; what others changed meanwhile stays."""
        with self.state.locked():
            recovered = self._recover()
            record = self.state.record()
            if record is None:
                outcome = Outcome("uninstall", notes=("nothing was installed",))
            else:
                outcome = self._take_out("uninstall", record)
            self.host.apply(steps.RemoveTree(self.state.folder))
        return replace(outcome, notes=(*recovered, *outcome.notes))

    def forget_cache(self) -> tuple[str, ...]:
        """Remove the plugin's cache: an image is used by many nodes, and a token is for one.

        Return a note if another program's folder is there, which stays.
        """
        if notes := self._foreign_cache():
            return notes
        self.host.apply(steps.RemoveTree(CACHE))
        return ()

    def _foreign_cache(self) -> tuple[str, ...]:
        if not self.host.is_there(CACHE) or self.host.is_own_cache(CACHE):
            return ()
        return (f"{CACHE} was not made by this program, or others can change it, and stays as it is",)

    # What is wanted.
    def _desired_state(self, request: InstallRequest) -> DesiredInstallation:
        facts = self.system.discover()
        placement = plan.choose_placement(request, facts, self.state.record())
        tree = bundles.folder_for(self.host, placement.bin_dir, request.bundle)
        states = {path: self.host.stat(path) for path in plan.paths(placement)}
        facts = replace(facts, executables=frozenset(self.host.programs(placement.bin_dir)))
        return plan.desired_state(facts, placement, request, tree, states)

    def _missing(self, desired: DesiredInstallation) -> list[FileStep]:
        return [step for step in desired.steps if not self.host.satisfies(step)]

    def _prepared(self, request: InstallRequest, desired: DesiredInstallation) -> list[FileStep]:
        """Return what is to be done; raise for what can't be, so that `plan` refuses what `install` does."""
        transaction = self._transaction(desired.placement)
        to_do, _changes = transaction.prepare(self._change_set(request, desired))
        must_restart = self._must_restart(desired, tuple(to_do))
        if must_restart and not _runs(transaction):
            raise RefusedError(
                f"{desired.placement.unit} does not run, so it cannot be told whether the change is to blame",
                remedy=Remedy(
                    "KubeletNotRunning",
                    "Repair the kubelet first; or, while an image is made or before the node joined: node bake.",
                ),
            )
        return to_do

    def _diffs(self, desired: DesiredInstallation, to_do: list[FileStep]) -> Iterator[str]:
        flags = desired.placement.flags
        for step in to_do:
            has_flags = flags is not None and step.path == flags.path and not isinstance(flags, RancherFlags)
            if text := diff(step, self.host.stat(step.path), has_flags=has_flags):
                yield text

    def _must_restart(self, desired: DesiredInstallation, missing: tuple[FileStep, ...]) -> bool:
        """True if a kubelet has still to be seen healthy with *desired*."""
        if self.system.kubelet(desired.placement) is None:
            return False
        if any(map(steps.is_read_at_start, missing)):
            return True
        return bool(desired.placement.config) and not self._is_confirmed(desired)

    def _is_confirmed(self, desired: DesiredInstallation) -> bool:
        record = self.state.record()
        return bool(record and record.installed.confirmed and record.installed.content == desired.config_digest)

    def _check_history(self, request: InstallRequest, key: str) -> None:
        if request.retries:
            self.state.forgive(key)
        elif reason := self.state.rejection(key):
            raise RejectedError(
                f"this very content was rejected on this node before: {reason}",
                remedy=Remedy(
                    "InstallationRejected",
                    "Correct the cause; content that differs is tried again by itself, this one with --retry.",
                ),
            )

    # What is done.
    def _transaction(self, placement: Placement | None, *, is_leaving: bool = False) -> Transaction:
        kubelet = self.system.kubelet(placement, is_leaving=is_leaving)
        return Transaction(self.host, self.state, self.guard, kubelet, self.gate, placement)

    def _recover(self) -> tuple[str, ...]:
        """End what another run began; return what became of it, if there was anything."""
        journal = self.state.journal()
        records = (journal.record, journal.fallback, self.state.record()) if journal is not None else ()
        record = next(filter(None, records), None)
        placement = plan.placement_from_dict(record.installed.placement) if record else None
        is_leaving = journal is not None and journal.record is None
        note = self._transaction(placement, is_leaving=is_leaving).recover()
        return (note,) if note else ()

    def _change_set(self, request: InstallRequest, desired: DesiredInstallation) -> ChangeSet:
        record = self.state.record()
        installed = record.installed if record else Installed(had_cache=self.host.is_there(CACHE))
        return ChangeSet(
            "install",
            desired.steps,
            installed=replace(
                installed,
                version=request.bundle.version,
                tree=desired.tree,
                mode=request.mode,
                placement=plan.placement_to_dict(desired.placement),
                content=desired.config_digest,
                confirmed=self._is_confirmed(desired),
            ),
            key=desired.key,
            unit=desired.placement.unit,
            before_step=self._smoke_test_before,
        )

    def _apply(self, transaction: Transaction, request: InstallRequest, desired: DesiredInstallation) -> Outcome:
        change_set = self._change_set(request, desired)
        try:
            return transaction.run(change_set)
        except BundleError as error:
            self.state.reject(desired.key, error.problem)
            raise

    def _smoke_test_before(self, step: FileStep) -> None:
        """Run a program on the node before a link points to it."""
        if isinstance(step, steps.PutLink) and step.target.startswith(f"{bundles.HIDDEN}/"):
            folder = step.path.rpartition("/")[0]
            self.system.smoke_test(f"{folder}/{step.target.rpartition('/')[0]}")

    def _remove_unused_programs(self, desired: DesiredInstallation) -> None:
        """Remove programs that are neither this one nor the one to go back to, and that no process runs."""
        record = self.state.record()
        keep = {desired.tree} | ({record.before.tree} if record and record.before else set())
        for path in bundles.unused(self.host, desired.placement.bin_dir, keep):
            self.host.apply(steps.RemoveTree(path))

    def _take_out(self, verb: str, record: Record) -> Outcome:
        """Take back the files that a kubelet reads at its start, then, once it runs without them, the rest."""
        installed = record.installed
        placement = plan.placement_from_dict(installed.placement)
        transaction = self._transaction(placement, is_leaving=True)
        originals = record.originals[::-1]
        first = [change for change in originals if change.is_read_at_start]
        rest = [change for change in originals if not change.is_read_at_start]
        folder, known = f"{placement.bin_dir}/{bundles.HIDDEN}", {change.path for change in rest}
        trees = [f"{folder}/{name}" for name in self.host.listed(folder)]
        rest = [*(Change.removal(path) for path in trees if path not in known), *rest]
        notes = () if installed.had_cache else self._foreign_cache()
        if not notes:
            rest.append(Change.removal(CACHE if not installed.had_cache else f"{CACHE}/{TRACE}"))
        if isinstance(placement.flags, DropInFlags):
            rest.append(Change.removal(FLAGS_FOLDER))
        change_set = ChangeSet(
            verb,
            tuple(self._inverse(placement, change) for change in first),
            tuple(rest),
            unit=installed.unit,
            restarts=bool(first),
            must_recover=_runs(transaction),
        )
        outcome = transaction.run(change_set)
        return replace(outcome, notes=(*outcome.notes, *notes))

    def _inverse(self, placement: Placement, change: Change) -> FileStep:
        """Return the step that takes *change* back; what others made of the file since is kept, without ours."""
        found = self.host.stat(change.path)
        if found.fingerprint in (change.after, change.before.fingerprint) or found.kind != steps.FILE:
            return change.inverse
        theirs = plan.without_ours(placement, change.path, found.content)
        if theirs is None:
            return change.inverse
        return steps.PutFile(change.path, theirs, found.mode, is_read_at_start=True)


def _runs(transaction: Transaction) -> bool:
    return transaction.kubelet is not None and transaction.kubelet.state().runs


def _leaves_nothing(change: Change) -> bool:
    """True if undoing *change* removes what no kubelet reads at its start."""
    return change.before.is_absent and not change.is_read_at_start
