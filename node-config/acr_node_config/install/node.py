"""The verbs: what can be done to a node. Each takes the lock, ends what was interrupted, then plans and acts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet.process import CONFIG_FLAG

from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model import steps
from acr_node_config.model.errors import BundleError, NodeConfigError, RefusedError, RejectedError
from acr_node_config.model.placement import Placement, Refusal

from . import bundle as bundles
from . import plan
from .journal import Change, Installed, Record, State
from .plan import Content
from .requests import InstallPlan, InstallRequest, InstallStatus
from .transaction import ChangeSet, Outcome, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_node_config.hostfs.host_files import HostFiles
    from acr_node_config.kubelet.health_gate import Clock
    from acr_node_config.kubelet.service_manager import ServiceManager
    from acr_node_config.model.facts import NodeFacts

    from .rollback_guard import Guard
    from .transaction import RunningKubelet

CACHE = "/var/cache/aliyun-acr-credential-provider"


@dataclass(slots=True)
class Node:
    """A node to install on. *service* and *kubelet* are None where nothing runs or nothing is to be restarted.

    *kubelet* makes the one to watch, of a unit, the flags that it should have, and the paths of our program and of its
    configuration; *try_out* runs a program on the node.
    """

    host: HostFiles
    state: State
    guard: Guard
    look: Callable[[], NodeFacts]
    service: ServiceManager | None
    kubelet: Callable[[str, dict[str, str], str, str], RunningKubelet | None]
    clock: Clock
    settle: float
    budget: float
    try_out: Callable[[str], None]

    def plan(self, request: InstallRequest) -> InstallPlan:
        """Return what `install` would do; nothing is changed."""
        facts = self.look()
        placement = self._placement(request, facts, self.state.record())
        listed = self._wanted(request, facts, placement)
        is_open = tuple(step for step in listed if not self.host.satisfies(step))
        restarts = self._restarts(request, facts, placement, is_open)
        rejected = self._rejection(request, plan.change_digest(facts, listed))
        notes = plan.notes(facts, placement, request.covered)
        return InstallPlan(tuple(listed), is_open, placement.unit if restarts else "", rejected, notes)

    def install(self, request: InstallRequest) -> Outcome:
        """Install it, or bring what is installed to it. With all of it in place nothing is written or restarted."""
        with self.state.held():
            note = self._recover()
            facts = self.look()
            record = self.state.record()
            placement = self._placement(request, facts, record)
            listed = self._wanted(request, facts, placement)
            key = plan.change_digest(facts, listed)
            self._check_history(request, key)
            engine = self._engine(placement)
            is_open = tuple(step for step in listed if not self.host.satisfies(step))
            restarts = self._restarts(request, facts, placement, is_open)
            if restarts:
                self._check_health(engine, placement)
            content = plan.config_digest(facts, placement, request.covered)
            installed = Installed(
                request.bundle.version,
                next(step.path for step in listed if isinstance(step, steps.PutTree)),
                request.mode,
                plan.placement_to_dict(placement),
                content,
                confirmed=bool(record and record.installed.confirmed and record.installed.content == content),
                applied_under=record.installed.applied_under if record else "",
                had_cache=record.installed.had_cache if record else not self.host.stat(CACHE).is_absent,
            )
            intent = ChangeSet(
                "install",
                tuple(listed),
                lambda changes: _next_record(record, changes, installed),
                key=key,
                unit=placement.unit,
                before_each=self._try_out_first(key),
            )
            outcome = self._run(engine, intent, record, key, needs_confirming=restarts)
            self._collect(placement, installed)
            return replace(
                outcome,
                notes=(*note, *plan.notes(facts, placement, request.covered), *outcome.notes),
            )

    def status(self) -> InstallStatus:
        """Return how things are; nothing is changed, and nobody is waited for."""
        record, journal = self.state.record(), self.state.journal()
        kept = [change for change in record.originals if not change.is_tree] if record else []
        watched = [change.path for change in kept if change.after != steps.NOTHING.fingerprint]
        drifted = [change.path for change in kept if self._drifts(change)]
        if record:
            watched.append(f"{record.installed.tree}/{NAME}")
            drifted += [] if self.host.is_there(watched[-1]) else [watched[-1]]
        return InstallStatus(
            self._as_seen(record.installed) if record else None,
            tuple(watched),
            tuple(drifted),
            journal.verb if journal else "",
            "armed" if self.guard.is_armed else "",
            tuple((each.key, each.reason, each.at) for each in self.state.rejected()),
            self.guard.acted,
        )

    def _as_seen(self, installed: Installed) -> Installed:
        """Return *installed*, confirmed too where others give the kubelet its flags, once it has them."""
        placement = plan.placement_from_dict(installed.placement)
        if installed.confirmed or placement.unit:
            return installed
        if not placement.config:
            return replace(installed, confirmed=True)
        facts = self.look()
        has_them = facts.kubelet is not None and facts.given == tuple(placement.flag_values.values())
        return replace(installed, confirmed=has_them)

    def verify(self) -> list[str]:
        """Return what is wrong with the installation, nothing if all is well: files, ways to them, program, kubelet."""
        status = self.status()
        if status.installed is None:
            return ["nothing is installed"]
        wrong = [f"{path} is not as it was left" for path in status.drifted]
        placement = plan.placement_from_dict(status.installed.placement)
        for path in (status.installed.tree, f"{placement.bin_dir}/{NAME}", *plan.paths(placement)):
            try:
                self.host.verify_parents(path)
            except NodeConfigError as error:
                wrong.append(error.problem)
        try:
            self.try_out(status.installed.tree)
        except NodeConfigError as error:
            wrong.append(error.problem)
        kubelet = self._engine(placement).kubelet
        if kubelet is not None:
            wrong += _faults(kubelet)
        return wrong

    def rollback(self) -> Outcome:
        """Go back to what was before the last change: the version before, or nothing."""
        with self.state.held():
            self._recover()
            record = self.state.record()
            if record is None or not (record.latest or record.before):
                raise RefusedError("there is nothing to go back to", remedy="See status: what is installed was first.")
            before = record.without_latest()
            if before is None:
                return self._take_out("rollback", record)
            changes = [change for change in reversed(record.latest) if not _is_removal(change)]
            gone = tuple(change for change in reversed(record.latest) if _is_removal(change))
            intent = ChangeSet(
                "rollback",
                tuple(change.back for change in changes),
                lambda _changes: before,
                gone,
                unit=record.installed.unit,
            )
            return self._engine(plan.placement_from_dict(before.installed.placement)).run(intent)

    def uninstall(self) -> Outcome:
        """Take it all away; what others changed meanwhile stays."""
        with self.state.held():
            note = self._recover()
            record = self.state.record()
            if record is None:
                outcome = Outcome("uninstall", notes=("nothing was installed",))
            else:
                outcome = self._take_out("uninstall", record)
            self.host.apply(steps.RemoveTree(self.state.folder))
        return replace(outcome, notes=(*note, *outcome.notes))

    def forget_cache(self) -> None:
        """Remove what the plugin remembers: an image is used by many nodes, and a token is for one."""
        self.host.apply(steps.RemoveTree(CACHE))

    def _take_out(self, verb: str, record: Record) -> Outcome:
        """Files that a kubelet reads at its start first, then, once it runs without them, the rest."""
        installed = record.installed
        placement = plan.placement_from_dict(installed.placement)
        engine = self._engine(placement, is_leaving=True)
        originals = tuple(reversed(record.originals))
        listed = tuple(
            step for change in originals if change.is_read_at_start and (step := self._back(engine, change)) is not None
        )
        folder = f"{placement.bin_dir}/{bundles.HIDDEN}"
        rest = [change for change in originals if not change.is_read_at_start]
        known = {change.path for change in rest}
        trees = [f"{folder}/{name}" for name in self.host.listed(folder)]
        rest = [*(_gone(path) for path in trees if path not in known), *rest]
        if not installed.had_cache:
            rest.append(_gone(CACHE))
        intent = ChangeSet(
            verb,
            listed,
            lambda _changes: None,
            tuple(rest),
            unit=installed.unit,
            restarts=any(change.is_read_at_start for change in originals),
            must_live=self._runs(engine),
        )
        return engine.run(intent)

    def _back(self, engine: Transaction, change: Change) -> steps.FileStep | None:
        """Return the step that takes *change* back; what others made of the file since is kept, without ours."""
        seen = self.host.stat(change.path)
        if seen.fingerprint in (change.after, change.before.fingerprint) or seen.kind != steps.FILE:
            return change.back
        theirs = engine.without_ours(change.path, seen.content)
        return change.back if theirs is None else steps.PutFile(change.path, theirs, seen.mode, is_read_at_start=True)

    def _run(
        self, engine: Transaction, intent: ChangeSet, record: Record | None, key: str, *, needs_confirming: bool
    ) -> Outcome:
        try:
            outcome = engine.run(intent)
        except BundleError as error:
            self.state.reject(key, error.problem)
            raise
        now = self.state.record()
        is_unseen = needs_confirming and not outcome.restarted and engine.service is not None
        if is_unseen and now is not None and not now.installed.confirmed:
            return engine.confirm(now, key=key)
        del record
        return outcome

    def _recover(self) -> tuple[str, ...]:
        """End what another run began; return what became of it, if there was anything."""
        journal = self.state.journal()
        placement = None
        if journal is not None:
            for record in (journal.record, journal.fallback, self.state.record()):
                if record is not None and placement is None:
                    placement = plan.placement_from_dict(record.installed.placement)
        note = self._engine(placement, is_leaving=journal is not None and journal.record is None).recover()
        return (note,) if note else ()

    def _engine(self, placement: Placement | None, *, is_leaving: bool = False) -> Transaction:
        """Return what changes this node; *is_leaving* when the kubelet is to run without our flags."""
        service = self.service if placement is not None and placement.unit else None
        kubelet = None
        if placement is not None and service is not None:
            flags = {} if is_leaving or not _is_seen(placement) else plan.flag_values(placement)
            config = placement.flag_values[CONFIG_FLAG] if placement.config and not is_leaving else ""
            kubelet = self.kubelet(placement.unit, flags, f"{placement.bin_dir}/{NAME}", config)

        def without_ours(path: str, content: bytes) -> bytes | None:
            return plan.without_ours(placement, path, content) if placement is not None else None

        return Transaction(
            self.host,
            self.state,
            self.guard,
            service or (self.service if placement is None else None),
            kubelet,
            self.clock,
            self.settle,
            self.budget,
            without_ours,
        )

    def _placement(self, request: InstallRequest, facts: NodeFacts, record: Record | None) -> Placement:
        """Where it is installed already, it stays: the kubelet has our flags now, and would look like another node."""
        if record is not None:
            if record.installed.mode != request.mode:
                raise RefusedError(
                    f"it is installed with --mode {record.installed.mode}",
                    remedy="Use that mode; or uninstall it first, for what is there now looks like another node.",
                )
            placement = plan.placement_from_dict(record.installed.placement)
            if facts.unit is not None and not (placement.unit or request.mode == "files-only" or facts.is_image):
                placement = replace(placement, unit=facts.unit.name)  # it was baked, when nothing ran
            return placement
        found = request.place(facts)
        if isinstance(found, Refusal):
            raise RefusedError(found.reason, remedy=found.remedy)
        return found

    def _wanted(self, request: InstallRequest, facts: NodeFacts, placement: Placement) -> list[steps.FileStep]:
        tree = bundles.folder_for(self.host, placement.bin_dir, request.bundle)
        found = {path: self.host.stat(path) for path in plan.paths(placement)}
        return plan.wanted(facts, placement, Content(request.bundle, tree, request.covered, request.settings), found)

    def _restarts(
        self, request: InstallRequest, facts: NodeFacts, placement: Placement, is_open: tuple[steps.FileStep, ...]
    ) -> bool:
        """Say whether a kubelet has still to be seen to live with what is wanted."""
        if self.service is None or not placement.unit:
            return False
        if any(isinstance(step, (steps.PutFile, steps.RemoveFile)) and step.is_read_at_start for step in is_open):
            return True
        record = self.state.record()
        known = record.installed if record else Installed()
        return bool(placement.config) and not (
            known.confirmed and known.content == plan.config_digest(facts, placement, request.covered)
        )

    def _check_history(self, request: InstallRequest, key: str) -> None:
        if request.retries:
            self.state.forgive(key)
        elif reason := self._rejection(request, key):
            raise RejectedError(
                f"this very content was rejected on this node before: {reason}",
                remedy="Correct the cause; content that differs is tried again by itself, this one with --retry.",
            )

    def _rejection(self, request: InstallRequest, key: str) -> str:
        reasons = (each.reason for each in self.state.rejected() if each.key == key and not request.retries)
        return next(reasons, "")

    def _check_health(self, engine: Transaction, placement: Placement) -> None:
        """Refuse to touch a kubelet that does not run: nobody could tell afterwards whose fault it is."""
        if not self._runs(engine):
            raise RefusedError(
                f"{placement.unit} does not run, so nobody could tell whether it lives with the change",
                remedy="Repair the kubelet first; or, while an image is made or before the node joined: node bake.",
            )

    def _runs(self, engine: Transaction) -> bool:
        return engine.kubelet is not None and engine.kubelet.state().runs

    def _try_out_first(self, _key: str) -> Callable[[steps.FileStep], None]:
        """Return what has a program run on the node before anything points to it."""

        def before_each(step: steps.FileStep) -> None:
            if isinstance(step, steps.PutLink) and step.target.startswith(f"{bundles.HIDDEN}/"):
                folder = step.path.rpartition("/")[0]
                self.try_out(f"{folder}/{step.target.rpartition('/')[0]}")

        return before_each

    def _drifts(self, change: Change) -> bool:
        seen = self.host.stat(change.path)
        if change.after == steps.PathState(steps.FOLDER).fingerprint:
            return seen.kind != steps.FOLDER
        return seen.fingerprint != change.after

    def _collect(self, placement: Placement, installed: Installed) -> None:
        """Remove programs that nothing needs: neither this one nor the one to go back to, nor one that still runs."""
        record = self.state.record()
        keep = {installed.tree} | ({record.before.tree} if record and record.before else set())
        for path in bundles.unused(self.host, placement.bin_dir, keep):
            self.host.apply(steps.RemoveTree(path))


def _next_record(record: Record | None, changes: tuple[Change, ...], installed: Installed) -> Record:
    if record is None:
        return Record(Installed()).after(changes, installed)
    return record.after(changes, installed) if changes else replace(record, installed=installed)


def _is_seen(placement: Placement) -> bool:
    """Say whether the flags stand in the kubelet's own command line; k3s and RKE2 keep theirs to themselves."""
    return placement.profile not in ("k3s", "rke2")


def _is_removal(change: Change) -> bool:
    return change.before.is_absent and not change.is_read_at_start


def _gone(path: str) -> Change:
    return Change(path, steps.NOTHING, "", is_tree=True)


def _faults(kubelet: RunningKubelet) -> list[str]:
    try:
        state = kubelet.state()
    except NodeConfigError as error:
        return [error.problem]
    wrong = []
    if not state.runs:
        wrong.append("the kubelet does not run")
    elif kubelet.has_flags(state.pid) is False:
        wrong.append("the kubelet runs without our flags")
    if kubelet.is_healthy() is False:
        wrong.append("the kubelet's /healthz does not say ok")
    return wrong
