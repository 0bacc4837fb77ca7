"""The DaemonSet's loop: makes its node what it should be, keeps it so, and keeps its tokens warm.

It looks and decides; what changes the node is the installer, a program of its own with its own journal, so killing
either at any moment is as good as a power cut, which that survives. Every wait in here has an end.

Files are watched by looking at their stat every few seconds, not by inotify: a dozen calls into the kernel are cheaper
than all that can be said wrong about folders that are renamed and mounts that have no events.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from acr_credential_provider.kubelet.image_match import explain_mismatch, strip_tag
from acr_credential_provider.model.errors import CredentialProviderError

from acr_node_config.rollout import agent_status
from acr_node_config.rollout.agent_status import AgentStatus, RestartGrant, TokenStatus, short_digest

from . import mounted_settings, plugin_runner
from .plugin_runner import ProgramError
from .refresh_schedule import AHEAD, RefreshSchedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_node_config.hostfs.host_files import HostFiles

    from .plugin_runner import Installation, Plan, PluginRunner
    from .settings_rollout import SettingsRollout

LOOK_EVERY = 4.0
"""Seconds between two looks at files; drift is to be repaired within 10."""
CHECK_EVERY = 300.0
"""Seconds between two comparisons of everything with what it should be, whatever the looks saw."""
BEAT_EVERY = 15.0
RETRY_FIRST, RETRY_LONGEST = 10.0, 300.0
SLOT_LEFT = 90.0
"""Seconds that a grant must still hold when the installer is started: a restart and its undoing take less."""
WARM_SLACK = 30.0
"""Seconds more than `refresh_schedule.AHEAD` within which tokens are renewed together."""
WARM_REST = 60.0
"""Seconds until the next try when what is remembered could not be read."""
SPREAD = 300.0
"""Seconds over which the nodes of a cluster take new settings."""


class StatusChannel(Protocol):
    """Where the agent and its reporter meet."""

    def publish(self, status: AgentStatus) -> None:
        """Let the reporter have *status*. Never raises."""

    def grant(self) -> RestartGrant | None:
        """Return what it granted last, if anything."""


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What an operator set the agent to. *content* tells apart what nodes are to become, beside their settings.

    *own_image* is the image that this agent runs from: a node that needs the plugin to get the plugin never gets it.
    """

    version: str
    content: str = ""
    uninstall: bool = False
    asks_for_slots: bool = True
    own_image: str = ""


@dataclass(slots=True)
class Agent:
    """One node's agent. *clock* is in seconds since boot; *say* is told of errors, *log* of what was done."""

    wishes: AgentOptions
    program: PluginRunner
    host: HostFiles
    offers: SettingsRollout
    desk: StatusChannel
    clock: Callable[[], float]
    say: Callable[[CredentialProviderError], None]
    log: Callable[[str], None]
    status: AgentStatus = field(init=False)
    _watched: tuple[str, ...] = ()
    _baseline: tuple[str, ...] = ()
    _has_looked: bool = False
    _has_drifted: bool = False
    _interrupted: str = ""
    _check_at: float = 0.0
    _retry: float = RETRY_FIRST
    _warming: RefreshSchedule = field(default_factory=RefreshSchedule)
    _warm_look_at: float = 0.0
    _requests: int = 0
    _told_at: float = -BEAT_EVERY
    _counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.status = AgentStatus(self.wishes.version)

    def tick(self) -> None:
        """Look once, and do what is due. Never raises what an operator can act on: that is in the status."""
        before = self.status, dict(self._counts)
        try:
            self._look()
            if self.clock() >= self._check_at:
                self._check()
        except CredentialProviderError as error:
            self._fail(error)
        if self.status.is_serving and not self.wishes.uninstall and self.clock() >= self._warm_look_at:
            self._warm()
        if (self.status, self._counts) != before or self.clock() >= self._told_at + BEAT_EVERY:
            self.tell()

    def tell(self) -> None:
        """Give a sign of life."""
        self._told_at = self.clock()
        self.desk.publish(replace(self.status, counts=dict(self._counts), beat=self._told_at))

    # Reasons to check before it is time.
    def _look(self) -> None:
        has_drifted = self._stats() != self._baseline
        if has_drifted:
            self._baseline, self._has_drifted = self._stats(), True
        if has_drifted or self.offers.look() or self.offers.is_due() or self._has_answer():
            self._check_at = self.clock()

    def _stats(self) -> tuple[str, ...]:
        return tuple(_stat(self.host.outside(path)) for path in self._watched)

    # What the node should be, and what is to be done about it.
    def _check(self) -> None:
        self._check_at = self.clock() + CHECK_EVERY
        if self.wishes.uninstall:
            self._uninstall()
            return
        if not self._has_looked:
            self._remember_files()
            self._has_looked = True
        settings = self.offers.settings(at_once=not self._watched)
        self._take_over_settings_status()
        if self.offers.is_unusable and not self._watched:
            raise ProgramError(
                "there are no usable settings yet: " + " ".join(self.offers.status.problems[:3]),
                remedy="Correct the ConfigMap; `settings validate` says the same about a file.",
            )
        if settings and self.wishes.own_image:
            self._check_own_image(settings)
        content = (self.wishes.version, self.wishes.content, self.offers.content(settings))
        self.status = replace(self.status, content=short_digest(*map(str.encode, content)))
        plan = self.program.plan(settings)
        if plan.rejection:
            raise ProgramError(
                plan.rejection, remedy="Repair it: this is not tried again.", code=plugin_runner.REJECTED
            )
        if plan.changes and plan.restarts and not self._has_leave():
            self._wait("; ".join(plan.changes[:20]))
        else:
            self._install(plan, settings)

    def _install(self, plan: Plan, settings: str) -> None:
        if plan.changes or self._interrupted:
            rest = (f"bring an interrupted {self._interrupted} to its end",) if self._interrupted else ()
            self.log("to do: " + "; ".join((*rest, *plan.changes[:20])))
            self.program.install(settings)
            self._count("installs")
            if self._has_drifted and self.status.is_serving:
                self._count("drift_repairs")
        if self.offers.mark_applied(settings):
            self._count("settings_changes")
            self.log(f"settings {self.offers.status.in_force} are in force")
        self._take_over_settings_status()
        is_confirmed = self._remember_files().is_confirmed
        self._has_drifted, self._retry = False, RETRY_FIRST
        words = "" if is_confirmed else "All files are in place; that the kubelet uses them is seen to by others."
        self._become(agent_status.READY, words, serving=True)

    def _take_over_settings_status(self) -> None:
        if self.offers.is_unusable and self.status.settings != self.offers.status:
            self._count("settings_unusable")
            self.log("settings are not usable: " + " ".join(self.offers.status.problems[:3]))
        self.status = replace(self.status, settings=self.offers.status)

    def _remember_files(self) -> Installation:
        installation = self.program.installation()
        self._watched, self._interrupted = installation.watched, installation.interrupted
        self._baseline = self._stats()
        self.status = replace(self.status, is_serving=installation.is_confirmed)
        return installation

    def _check_own_image(self, settings: str) -> None:
        image = strip_tag(self.wishes.own_image)
        covering = [each for each in self.program.patterns(settings) if not explain_mismatch(each, image)]
        if covering:
            raise ProgramError(
                f"the agent's own image {image} would be pulled with the plugin's logins ({covering[0]})",
                remedy="Take it from a registry that needs no plugin, or preload it; then allow it: --allow-own-image.",
                code=plugin_runner.REFUSED,
            )

    def _uninstall(self) -> None:
        if self.status.state == agent_status.UNINSTALLED:
            return
        self.status = replace(self.status, content="uninstall")
        if not self._has_leave():
            self._wait("uninstall")
            return
        self.program.uninstall()
        mounted_settings.remove(self.host)
        self._watched = self._baseline = ()
        self._become(agent_status.UNINSTALLED, "The node is as it was before.", serving=False)

    # Leave to restart a kubelet.
    def _has_leave(self) -> bool:
        grant = self._grant()
        return not self.wishes.asks_for_slots or (
            grant is not None and not grant.refusal and grant.until - self.clock() >= SLOT_LEFT
        )

    def _has_answer(self) -> bool:
        """Say whether the reporter answered something that we have not acted on."""
        grant = self._grant()
        if self.status.state != agent_status.WAITING or grant is None:
            return False
        return grant.refusal not in self.status.message if grant.refusal else self._has_leave()

    def _grant(self) -> RestartGrant | None:
        grant = self.desk.grant() if self.status.slot else None
        return grant if grant is not None and grant.slot == self.status.slot else None

    def _wait(self, what: str) -> None:
        if not self.status.slot:
            self._requests += 1
            self.status = replace(self.status, slot=f"{self.clock():.3f}-{self._requests}")
            self.log(f"waiting for a turn: {what}")
        grant = self._grant()
        if grant is not None and grant.refusal:
            words = f"no kubelet is restarted for this any more: {grant.refusal}"
            self._become(agent_status.WAITING, words, "Repair it: other settings or another version get a turn again.")
        else:
            self._become(agent_status.WAITING, "waiting for a turn to restart the kubelet")

    # How it went.
    def _become(self, state: str, message: str = "", remedy: str = "", *, serving: bool | None = None) -> None:
        is_news = (state, message) != (self.status.state, self.status.message)
        if is_news and state in (agent_status.READY, agent_status.WAITING, agent_status.UNINSTALLED):
            self.log(state + (f": {message}" if message else ""))
        slot = self.status.slot if state == agent_status.WAITING else ""
        is_serving = self.status.is_serving if serving is None else serving
        self.status = replace(
            self.status, state=state, message=message, remedy=remedy, is_serving=is_serving, slot=slot
        )

    def _fail(self, error: CredentialProviderError) -> None:
        code = error.code if isinstance(error, ProgramError) else plugin_runner.FAILED
        if error.problem != self.status.message:
            self.say(error)
        if code == plugin_runner.BUSY:
            self._check_at = self.clock() + RETRY_FIRST
            return
        states = {plugin_runner.REFUSED: agent_status.REFUSED, plugin_runner.REJECTED: agent_status.REJECTED}
        if code not in states:
            self._check_at = self.clock() + self._retry
            self._retry = min(self._retry * 2, RETRY_LONGEST)
        self._count("failures")
        self._become(states.get(code, agent_status.FAILED), error.problem, error.remedy)

    def _count(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1

    # Tokens.
    def _warm(self) -> None:
        self._warm_look_at = self.clock() + WARM_REST
        try:
            tokens = self.program.remembered()
            if self._warming.is_time(tokens, self.clock()):
                self._renew()
                tokens = self.program.remembered()
                self._warming = self._warming.ran(after=tokens, now=self.clock())
                if any(each.is_due_soon for each in tokens):
                    self._count("warm_failures")
        except CredentialProviderError as error:  # the node is well: this is the cache's
            self.say(error)
            return
        self._warm_look_at = self.clock() + self._warming.next_look(tokens, self.clock())
        shown = (TokenStatus(each.host, each.due_in, each.dead_in) for each in tokens if each.is_current)
        self.status = replace(self.status, tokens=tuple(shown)[: agent_status.MOST_REGISTRIES])

    def _renew(self) -> None:
        self._count("warm_runs")
        try:
            self.program.warm(AHEAD + WARM_SLACK)
        except CredentialProviderError as error:  # the cloud's
            self.say(error)


def _stat(path: str) -> str:
    try:
        seen = os.lstat(path)
    except OSError:
        return "absent"
    return f"{seen.st_dev} {seen.st_ino} {seen.st_size} {seen.st_mtime_ns} {seen.st_mode:o} {seen.st_uid}"
