"""What becomes of settings that are pushed: noticed, waited with, judged, taken over or left aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_node_config.rollout.agent_status import IN_FORCE, MOST_PROBLEMS, SPREADING, UNUSABLE, SettingsStatus

from . import mounted_settings
from .mounted_settings import Applied, MountedSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_node_config.hostfs.host_files import HostFiles

    from .plugin_runner import PluginRunner


@dataclass(slots=True)
class SettingsRollout:
    """The offers to *node* in two mounts. New ones wait for its share of *spread* seconds, the first does not."""

    node: str
    settings_mount: str
    credentials_mount: str
    spread: float
    host: HostFiles
    program: PluginRunner
    clock: Callable[[], float]
    status: SettingsStatus = field(default_factory=SettingsStatus)
    _offer: MountedSettings = field(default_factory=MountedSettings)
    _seen: tuple[str, ...] | None = None
    _noticed_at: float = 0.0
    _judged: tuple[str, str] = ("", "")
    _problems: tuple[str, ...] = ()
    _waits: bool = False

    def look(self) -> bool:
        """Say whether something else is offered than at the last look."""
        seen = mounted_settings.signature(self.settings_mount, self.credentials_mount)
        if seen == self._seen:
            return False
        try:
            offer = mounted_settings.read(self.settings_mount, self.credentials_mount)
        except OSError:  # being replaced at this moment
            return False
        self._seen = seen
        if offer.digest == self._offer.digest:
            return False
        self._offer, self._noticed_at = offer, self.clock()
        return True

    def is_due(self) -> bool:
        """Say whether an offer that waited for this node's turn need wait no longer."""
        return self._waits and self._turn_at() <= self.clock()

    def settings(self, *, at_once: bool) -> str:
        """Return the host's path of the settings that the node is to have now, "" for those that it has.

        *at_once* where nothing works yet. The credential files are in place when it returns.
        """
        offer = self._offer
        if not offer.digest:
            self.status = SettingsStatus()
            return ""
        if offer.flaw:
            self._say(UNUSABLE, (offer.flaw,))
            return ""
        self._waits = not (at_once or self._is_applied() or self._turn_at() <= self.clock())
        if self._waits:
            self._say(SPREADING)
            return ""
        path = mounted_settings.stage(self.host, offer) if offer.settings else ""
        if path and (problems := self._judge(path)):
            self._say(UNUSABLE, problems)
            return ""
        # Before the settings that name them; and what those in force name stays until they are not.
        mounted_settings.put_credentials(self.host, offer.credentials, keep_others=True)
        if self.status.outcome != IN_FORCE or self.status.in_force != offer.digest:
            self._say(SPREADING)
        return path

    def mark_applied(self, path: str) -> bool:
        """Note that the node has what `settings` returned as *path*; say whether that is news."""
        offer = self._offer
        if not offer.digest or bool(path) != bool(offer.settings) or self._waits or self.is_unusable:
            return False
        mounted_settings.put_credentials(self.host, offer.credentials, keep_others=False)
        is_news = not self._is_applied()
        if is_news:
            mounted_settings.note_applied(self.host, Applied(offer.digest, offer.settings_digest))
        self.status = SettingsStatus(IN_FORCE, offer.digest, offer.digest)
        return is_news

    def content(self, path: str) -> str:
        """Return what tells the settings that `settings` returned as *path*; the same on all nodes."""
        return self._offer.settings_digest if path else mounted_settings.applied(self.host).settings

    @property
    def is_unusable(self) -> bool:
        """Whether what is offered was judged, and is not good enough to be taken."""
        return self.status.outcome == UNUSABLE

    def _is_applied(self) -> bool:
        return mounted_settings.applied(self.host).offer == self._offer.digest

    def _turn_at(self) -> float:
        return self._noticed_at + mounted_settings.rollout_delay(self.node, self._offer.digest, self.spread)

    def _judge(self, path: str) -> tuple[str, ...]:
        """Return what is wrong with the file at *path*; asked once for each offer and program that judges."""
        case = (self._offer.settings_digest, self.program.judge_name())
        if case != self._judged:
            self._problems, self._judged = self.program.judge(path), case
        return self._problems

    def _say(self, outcome: str, problems: tuple[str, ...] = ()) -> None:
        in_force = self.status.in_force or mounted_settings.applied(self.host).offer
        self.status = SettingsStatus(outcome, in_force, self._offer.digest, problems[:MOST_PROBLEMS])
