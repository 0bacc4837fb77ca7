"""Rolls mounted settings out to this node: noticed, delayed, validated, applied or left aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_node_config.rollout.agent_status import IN_FORCE, MOST_PROBLEMS, SPREADING, UNUSABLE, SettingsStatus

from . import mounted_settings
from .mounted_settings import Applied, MountedSettings
from .plugin_runner import Validation

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_node_config.hostfs.host_files import HostFiles

    from .plugin_runner import InstalledPlugin

GONE_FOR = 600.0
"""Seconds for which a Secret must be gone before its files are removed: one that is replaced costs no pull."""


@dataclass(slots=True)
class SettingsRollout:
    """Settings and credentials of *node* in two mounts; all but the first wait for its moment in *window* seconds."""

    node: str
    settings_mount: str
    credentials_mount: str
    window: float
    host: HostFiles
    program: InstalledPlugin
    clock: Callable[[], float]
    status: SettingsStatus = field(default_factory=SettingsStatus)
    _mounted: MountedSettings = field(default_factory=MountedSettings)
    _signature: tuple[str, ...] | None = None
    _changed_at: float = 0.0
    _validated: tuple[str, str] = ("", "")
    _validation: Validation = field(default_factory=Validation)
    _waits: bool = False
    _gone_since: float | None = None
    has_dropped_credentials: bool = False

    def look(self) -> bool:
        """True if something else is mounted than at the last look."""
        signature = mounted_settings.signature(self.settings_mount, self.credentials_mount)
        if signature == self._signature:
            return False
        try:
            mounted = mounted_settings.read(self.settings_mount, self.credentials_mount)
        except OSError:  # being replaced at this moment
            return False
        self._signature = signature
        if mounted.digest == self._mounted.digest:
            return False
        self._mounted, self._changed_at = mounted, self.clock()
        return True

    def is_due(self) -> bool:
        """True if settings that waited for this node's moment need wait no longer."""
        return self._waits and self._moment() <= self.clock()

    def settings(self, *, at_once: bool) -> str:
        """Return the host's path of the settings to apply now, "" for those that the node has.

        *at_once* where nothing works yet. The credential files are in place when it returns.
        """
        mounted = self._mounted
        if not mounted.digest:
            self.status = SettingsStatus()
            return ""
        if mounted.flaw:
            self._set_status(UNUSABLE, (mounted.flaw,))
            return ""
        self._waits = not (at_once or self._is_applied() or self._moment() <= self.clock())
        if self._waits:
            self._set_status(SPREADING)
            return ""
        path = mounted_settings.stage(self.host, mounted) if mounted.settings else ""
        if path and (problems := self._validate(path)):
            self._set_status(UNUSABLE, problems)
            return ""
        # Before the settings that name them; and what those in force name stays until they are not.
        mounted_settings.put_credentials(self.host, mounted.credentials, keep_others=True)
        if self.status.outcome != IN_FORCE or self.status.in_force != mounted.digest:
            self._set_status(SPREADING)
        return path

    def mark_applied(self, path: str) -> bool:
        """Note that the node has what `settings` returned as *path*; return True if that is news."""
        mounted = self._mounted
        if not mounted.digest or bool(path) != bool(mounted.settings) or self._waits or self.is_unusable:
            return False
        mounted_settings.put_credentials(self.host, mounted.credentials, keep_others=False)
        is_news = not self._is_applied()
        if is_news:
            mounted_settings.note_applied(self.host, Applied(mounted.digest, mounted.settings_digest))
        lost = self._validation.lost[:MOST_PROBLEMS] if path else ()
        self.status = SettingsStatus(IN_FORCE, mounted.digest, mounted.digest, lost=lost)
        return is_news

    def drop_credentials(self) -> bool:
        """Remove the files of a Secret that has been gone for `GONE_FOR` seconds; return True if that is news."""
        if not mounted_settings.is_deleted(self.credentials_mount):
            self._gone_since, self.has_dropped_credentials = None, False
            return False
        if self._gone_since is None:
            self._gone_since = self.clock()
        if self.clock() < self._gone_since + GONE_FOR or not mounted_settings.remove_credentials(self.host):
            return False
        self.has_dropped_credentials = True
        return True

    def content(self, path: str) -> str:
        """Return a digest of the settings that `settings` returned as *path*; the same on all nodes."""
        return self._mounted.settings_digest if path else mounted_settings.applied(self.host).settings

    @property
    def is_unusable(self) -> bool:
        """Whether the mounted settings were validated and cannot be used."""
        return self.status.outcome == UNUSABLE

    def _is_applied(self) -> bool:
        return mounted_settings.applied(self.host).mounted == self._mounted.digest

    def _moment(self) -> float:
        return self._changed_at + mounted_settings.rollout_delay(self.node, self._mounted.digest, self.window)

    def _validate(self, path: str) -> tuple[str, ...]:
        """Return the problems of the file at *path*; validated once for each content and program."""
        case = (self._mounted.settings_digest, self.program.validator_id())
        if case != self._validated:
            self._validation, self._validated = self.program.validate(path), case
        return self._validation.problems

    def _set_status(self, outcome: str, problems: tuple[str, ...] = ()) -> None:
        in_force = self.status.in_force or mounted_settings.applied(self.host).mounted
        self.status = SettingsStatus(outcome, in_force, self._mounted.digest, problems[:MOST_PROBLEMS])
