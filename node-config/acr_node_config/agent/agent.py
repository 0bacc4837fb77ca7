"""The DaemonSet's loop: makes its node what it should be, keeps it so, and refreshes its tokens ahead of time.

It looks and decides; the node is changed by the installer, a program of its own with its own journal, so that killing
either at any moment is as good as a power cut, which that survives. Every wait in here has an end.

Files are watched by their stat every few seconds, not by inotify: folders that are renamed and mounts without events
cost more care than a dozen system calls.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.lookup import CACHE
from acr_credential_provider.kubelet.image_match import explain_mismatch, strip_tag
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.model.remedy import NONE, Remedy

from acr_node_config.hostfs import plugin_calls
from acr_node_config.rollout import agent_status
from acr_node_config.rollout.agent_status import AgentStatus, RestartGrant, TokenStatus, short_digest

from . import mounted_settings, plugin_runner
from .program_run import FAILED, ProgramError
from .refresh_schedule import AHEAD, RefreshSchedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_node_config.hostfs.host_files import HostFiles

    from .plugin_runner import Installation, InstalledPlugin, Plan
    from .settings_rollout import SettingsRollout
    from .status_channel import StatusChannel

LOOK_EVERY = 4.0
"""Seconds between two looks at files; drift is to be repaired within 10."""
CHECK_EVERY = 300.0
"""Seconds between two comparisons of everything with what it should be, whatever the looks found."""
HEARTBEAT_EVERY = 15.0
RETRY_FIRST, RETRY_LONGEST = 10.0, 300.0
LEASE_LEFT = 90.0
"""Seconds that a grant must still hold when the installer is started: a restart and its undoing take less."""
REFRESH_SLACK = 30.0
"""Seconds more than `refresh_schedule.AHEAD` within which tokens are refreshed together."""
REFRESH_REST = 60.0
"""Seconds until the next try when the token cache could not be read."""
ROLLOUT_WINDOW = 300.0
"""Seconds over which the nodes of a cluster take new settings."""

DROPPED = "The Secret with the credentials is gone, so its files were removed from this node."


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What an operator set the agent to. *content* is a digest source: equal on nodes that become the same.

    *own_image* is the image that this agent runs from: a node that needs the plugin to get the plugin never gets it.
    """

    version: str
    content: str = ""
    uninstall: bool = False
    needs_lease: bool = True
    own_image: str = ""
    cache: str = CACHE
    """The plugin's cache folder on the node."""


@dataclass(slots=True)
class Agent:
    """One node's agent. *clock* is in seconds since boot; *report* prints errors, *log* what was done."""

    options: AgentOptions
    program: InstalledPlugin
    host: HostFiles
    rollout: SettingsRollout
    channel: StatusChannel
    clock: Callable[[], float]
    report: Callable[[CredentialProviderError], None]
    log: Callable[[str], None]
    status: AgentStatus = field(init=False)
    _watched: tuple[str, ...] = ()
    _baseline: tuple[str, ...] = ()
    _has_started: bool = False
    _has_drifted: bool = False
    _interrupted: str = ""
    _check_at: float = 0.0
    _retry: float = RETRY_FIRST
    _schedule: RefreshSchedule = field(default_factory=RefreshSchedule)
    _refresh_at: float = 0.0
    _requests: int = 0
    _published_at: float = -HEARTBEAT_EVERY
    _counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.status = AgentStatus(self.options.version)

    def tick(self) -> None:
        """Look once, and do what is due. Errors that an operator can act on go into the status."""
        before = self.status, dict(self._counts)
        try:
            self._look()
            if self.clock() >= self._check_at:
                self._check()
        except CredentialProviderError as error:
            self._fail(error)
        if self.status.is_serving and not self.options.uninstall and self.clock() >= self._refresh_at:
            self._refresh_tokens()
        if (self.status, self._counts) != before or self.clock() >= self._published_at + HEARTBEAT_EVERY:
            self.publish()

    def publish(self) -> None:
        """Publish the status, as a sign of life too."""
        self._published_at = self.clock()
        self.channel.publish(replace(self.status, counts=dict(self._counts), beat=self._published_at))

    # Reasons to check early.
    def _look(self) -> None:
        called_at = plugin_calls.first_call(self.host.root, self.options.cache)
        if bool(called_at) != bool(self.status.first_call):
            self.status = replace(self.status, first_call=called_at)
        has_drifted = self._stats() != self._baseline
        if has_drifted:
            self._baseline, self._has_drifted = self._stats(), True
        if has_drifted or self.rollout.look() or self.rollout.is_due() or self._has_answer():
            self._check_at = self.clock()

    def _stats(self) -> tuple[str, ...]:
        return tuple(_stat(self.host.outside(path)) for path in self._watched)

    # The desired state, and what is done about it.
    def _check(self) -> None:
        self._check_at = self.clock() + CHECK_EVERY
        if self.options.uninstall:
            self._uninstall()
            return
        if not self._has_started:
            self._watch_files()
            self._has_started = True
        if self.rollout.drop_credentials():
            self.log(DROPPED)
        settings = self.rollout.settings(at_once=not self._watched)
        self._update_settings_status()
        if self.rollout.is_unusable and not self._watched:
            raise ProgramError(
                "there are no usable settings yet: " + " ".join(self.rollout.status.problems[:3]),
                remedy=Remedy(
                    "SettingsInvalid", "Correct the ConfigMap; `settings validate` says the same about a file."
                ),
            )
        if settings and self.options.own_image:
            self._check_own_image(settings)
        content = (self.options.version, self.options.content, self.rollout.content(settings))
        self.status = replace(self.status, content=short_digest(*map(str.encode, content)))
        plan = self.program.plan(settings)
        if plan.rejection:
            raise ProgramError(
                plan.rejection,
                remedy=Remedy("InstallationRejected", "Repair it: this is not tried again."),
                code=plugin_runner.REJECTED,
            )
        if plan.changes and plan.restarts and not self._may_restart():
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
        if self.rollout.mark_applied(settings):
            self._count("settings_changes")
            self.log(f"settings {self.rollout.status.in_force} are in force")
        self._update_settings_status()
        is_confirmed = self._watch_files().is_confirmed
        self._has_drifted, self._retry = False, RETRY_FIRST
        messages = ["" if is_confirmed else "All files are in place; others have the kubelet use them."]
        messages += [DROPPED] if self.rollout.has_dropped_credentials else []
        self._become(agent_status.READY, " ".join(filter(None, messages)), serving=True)

    def _update_settings_status(self) -> None:
        if self.rollout.is_unusable and self.status.settings != self.rollout.status:
            self._count("settings_unusable")
            self.log("settings are not usable: " + " ".join(self.rollout.status.problems[:3]))
        self.status = replace(self.status, settings=self.rollout.status)

    def _watch_files(self) -> Installation:
        installation = self.program.installation()
        self._watched, self._interrupted = installation.watched, installation.interrupted
        self._baseline = self._stats()
        self.status = replace(self.status, is_serving=installation.is_confirmed)
        return installation

    def _check_own_image(self, settings: str) -> None:
        image = strip_tag(self.options.own_image)
        matching = [pattern for pattern in self.program.match_images(settings) if not explain_mismatch(pattern, image)]
        if matching:
            raise ProgramError(
                f"the agent's own image {image} would be pulled with the plugin's logins ({matching[0]})",
                remedy=Remedy(
                    "AgentImageNeedsPlugin",
                    "Take it from a registry that needs no plugin, or preload it; then allow it: --allow-own-image.",
                ),
                code=plugin_runner.REFUSED,
            )

    def _uninstall(self) -> None:
        if self.status.state == agent_status.UNINSTALLED:
            return
        self.status = replace(self.status, content="uninstall")
        if not self._may_restart():
            self._wait("uninstall")
            return
        self.program.uninstall()
        mounted_settings.remove(self.host)
        self._watched = self._baseline = ()
        self._become(agent_status.UNINSTALLED, "The node is as it was before.", serving=False)

    # Grants to restart the kubelet.
    def _may_restart(self) -> bool:
        grant = self._grant()
        return not self.options.needs_lease or (
            grant is not None and not grant.refusal and grant.until - self.clock() >= LEASE_LEFT
        )

    def _has_answer(self) -> bool:
        """True if the reporter answered something that we have not acted on."""
        grant = self._grant()
        if self.status.state != agent_status.WAITING or grant is None:
            return False
        return grant.refusal not in self.status.message if grant.refusal else self._may_restart()

    def _grant(self) -> RestartGrant | None:
        grant = self.channel.grant() if self.status.request else None
        return grant if grant is not None and grant.request == self.status.request else None

    def _wait(self, changes: str) -> None:
        if not self.status.request:
            self._requests += 1
            self.status = replace(self.status, request=f"{self.clock():.3f}-{self._requests}")
            self.log(f"waiting for a turn: {changes}")
        grant = self._grant()
        if grant is not None and grant.refusal:
            message = f"no kubelet is restarted for this any more: {grant.refusal}"
            remedy = Remedy("InstallationRejected", "Repair it: other settings or another version get a turn again.")
            self._become(agent_status.WAITING, message, remedy)
        else:
            self._become(agent_status.WAITING, "waiting for a turn to restart the kubelet")

    # How it went.
    def _become(self, state: str, message: str = "", remedy: Remedy = NONE, *, serving: bool | None = None) -> None:
        is_news = (state, message) != (self.status.state, self.status.message)
        if is_news and state in (agent_status.READY, agent_status.WAITING, agent_status.UNINSTALLED):
            self.log(state + (f": {message}" if message else ""))
        request = self.status.request if state == agent_status.WAITING else ""
        is_serving = self.status.is_serving if serving is None else serving
        self.status = replace(
            self.status, state=state, message=message, remedy=remedy, is_serving=is_serving, request=request
        )

    def _fail(self, error: CredentialProviderError) -> None:
        code = error.code if isinstance(error, ProgramError) else FAILED
        if error.problem != self.status.message:
            self.report(error)
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
    def _refresh_tokens(self) -> None:
        self._refresh_at = self.clock() + REFRESH_REST
        try:
            tokens = self.program.cached_tokens()
            if self._schedule.is_time(tokens, self.clock()):
                self._run_refresh()
                tokens = self.program.cached_tokens()
                self._schedule = self._schedule.ran(after=tokens, now=self.clock())
                if any(token.is_due_soon for token in tokens):
                    self._count("token_refresh_failures")
        except CredentialProviderError as error:  # the node is well: this is the cache's
            self.report(error)
            return
        self._refresh_at = self.clock() + self._schedule.next_look(tokens, self.clock())
        valid = [TokenStatus(token.host, token.refresh_in, token.expires_in) for token in tokens if token.is_valid]
        self.status = replace(self.status, tokens=tuple(valid[: agent_status.MOST_REGISTRIES]))

    def _run_refresh(self) -> None:
        self._count("token_refreshes")
        try:
            self.program.refresh(AHEAD + REFRESH_SLACK)
        except CredentialProviderError as error:  # the cloud's
            self.report(error)


def _stat(path: str) -> str:
    try:
        status = os.lstat(path)
    except OSError:
        return "absent"
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_mode:o} {status.st_uid}"
