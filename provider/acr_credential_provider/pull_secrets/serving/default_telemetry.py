"""The telemetry of a running controller: metrics, Events and log lines."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from acr_credential_provider.pull_secrets.kube.event_recorder import Event, EventFilter

from .metrics import Metrics

if TYPE_CHECKING:
    from acr_credential_provider.pull_secrets.kube.event_recorder import EventRecorder
    from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef

LOG = logging.getLogger(__name__)


class DefaultTelemetry(Metrics):
    """`Metrics`, and Events, which are logged too because not everyone may read Events."""

    def __init__(self) -> None:
        super().__init__()
        self._state = ""
        self._is_leader: bool | None = None
        self._filter = EventFilter()
        """For the log, which has a repeated message once in a while."""
        self._lock = threading.Lock()
        self.events: EventRecorder | None = None
        """Sends the Events; without it they are only logged."""

    def event(self, about: ObjectRef, reason: str, message: str, *, is_warning: bool = True) -> None:
        """Report *message* about an object; *reason* is one CamelCase word, always the same."""
        with self._lock:
            outcome, _times = self._filter.admit(Event(about, reason, message, is_warning), time.time())
        subject = f"{about.kind} {about.namespace + '/' if about.namespace else ''}{about.name}"
        if outcome == "sent":
            level = logging.WARNING if is_warning else logging.INFO
            LOG.log(level, message, extra={"reason": reason, "about": subject})
        if self.events is not None and about.kind != "File":
            self.events.event(about, reason, message, is_warning=is_warning)

    def configuration(self, outcome: str, *, problems: int) -> None:
        """Set the state of the configuration: ``loaded``, ``partial``, ``last_good`` or ``absent``."""
        super().configuration(outcome, problems=problems)
        if outcome != self._state:
            LOG.info("the configuration changed its state", extra={"state": outcome, "problems": problems})
            self._state = outcome

    def renewed(self, entry: str) -> None:
        """Count a token that was fetched."""
        super().renewed(entry)
        LOG.info("a token was renewed", extra={"entry": entry})

    def renewal_failed(self, entry: str, reason: str) -> None:
        """Count a token that was not; *reason* is the name of the error's class."""
        super().renewal_failed(entry, reason)
        LOG.warning("a token could not be renewed", extra={"entry": entry, "reason": reason})

    def leading(self, is_leader: bool) -> None:
        """Set whether this replica is the one that writes."""
        super().leading(is_leader)
        if is_leader is not self._is_leader:
            LOG.info("this replica writes from now on" if is_leader else "another replica writes")
            self._is_leader = is_leader
