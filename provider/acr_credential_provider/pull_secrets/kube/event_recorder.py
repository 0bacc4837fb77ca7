"""Events on the objects that operators look at, few enough to be read.

The same message within `QUIET` is counted and not sent; later the existing Event's count is raised. Its name is a
digest of its content, so any replica finds it. One object gets ten in a row and then one every two minutes; the objects
of tenants together get fifty with one reason and then one every two seconds; all objects together a few a second. What
is about an operator's object goes before what is about tenants' objects, which may be many. An Event that cannot be
sent is dropped and counted.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.pull_secrets.model.names import PREFIX
from acr_credential_provider.pull_secrets.model.resources import EVENTS

from .api_errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef, Telemetry

    from .client import KubeClient

LOG = logging.getLogger(__name__)
COMPONENT = f"{PREFIX}-pull-secrets"
QUIET = 300.0
"""Seconds in which the same message about the same object is not sent again."""
BURST = 10
"""Events about one object in a row."""
EVERY = 120.0
"""Seconds from then on."""
REASON_BURST, REASON_EVERY = 50, 2.0
"""The same for all objects of tenants and one reason."""
TENANTS = frozenset({"Namespace", "Secret", "ServiceAccount"})
"""Kinds of which tenants have many."""
WAITING = 256
"""Events that wait to be sent, about operators' objects and about tenants' each."""
RATE = 5.0
"""Events a second, about all objects."""
KNOWN = 4096
"""Objects and messages that are remembered; the oldest go first."""
LONGEST = 1000
"""Characters; the API takes 1024 bytes of message."""


@dataclass(frozen=True, slots=True)
class Event:
    """A message about an object."""

    about: ObjectRef
    reason: str
    message: str
    is_warning: bool

    @property
    def name(self) -> str:
        """The name of the Event object, the same in every replica."""
        what = f"{self.about.kind}\0{self.about.uid}\0{self.reason}\0{self.message}"
        return f"{self.about.name[:200]}.{hashlib.sha256(what.encode()).hexdigest()[:16]}"

    @property
    def is_about_tenant(self) -> bool:
        """True if it is about an object of which there may be many."""
        return self.about.kind in TENANTS

    @property
    def namespace(self) -> str:
        """The namespace of the Event; ``default`` for cluster-scoped objects, as Kubernetes itself does."""
        return self.about.namespace or "default"

    def manifest(self, moment: str) -> dict[str, Any]:
        """Return the Event's manifest."""
        about = self.about
        involved = {"apiVersion": about.api_version, "kind": about.kind, "name": about.name}
        involved |= {"namespace": about.namespace} if about.namespace else {}
        involved |= {"uid": about.uid} if about.uid else {}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "involvedObject": involved,
            "reason": self.reason,
            "message": self.message,
            "type": "Warning" if self.is_warning else "Normal",
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": "",
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }


class EventFilter:
    """Decides which Events are sent."""

    def __init__(self) -> None:
        self._last_sent: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._tokens: OrderedDict[tuple[str, str, str], tuple[float, float]] = OrderedDict()

    def admit(self, event: Event, now: float) -> tuple[str, int]:
        """Return ``sent``, ``repeated`` or ``dropped``, and the count since it was last sent."""
        key = (event.namespace, event.name)
        last, times = self._last_sent.get(key, (-QUIET, 0))
        if now - last < QUIET:
            self._last_sent[key] = (last, times + 1)
            return "repeated", times + 1
        about = event.about
        if not self._has_token((about.kind, about.namespace, about.name), now, BURST, EVERY):
            return "dropped", 0
        if event.is_about_tenant and not self._has_token(("reason", event.reason, ""), now, REASON_BURST, REASON_EVERY):
            return "dropped", 0
        self._last_sent[key] = (now, 0)
        self._last_sent.move_to_end(key)
        _bound(self._last_sent)
        return "sent", times + 1

    def _has_token(self, bucket: tuple[str, str, str], now: float, burst: int, every: float) -> bool:
        left, since = self._tokens.get(bucket, (float(burst), now))
        left = min(float(burst), left + max(now - since, 0.0) / every)
        has = left >= 1.0
        self._tokens[bucket] = (left - 1.0 if has else left, now)
        self._tokens.move_to_end(bucket)
        _bound(self._tokens)
        return has


def _bound(known: OrderedDict[Any, Any]) -> None:
    while len(known) > KNOWN:
        known.popitem(last=False)


class _Outbox:
    """Events that wait, those about operators' objects first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._operators: deque[tuple[Event, int]] = deque()
        self._tenants: deque[tuple[Event, int]] = deque()
        self._is_closed = False

    def put(self, event: Event, times: int) -> bool:
        """Let *event* wait; False if too many do."""
        with self._changed:
            waiting = self._tenants if event.is_about_tenant else self._operators
            if len(waiting) >= WAITING or self._is_closed:
                return False
            waiting.append((event, times))
            self._changed.notify()
            return True

    def get(self) -> tuple[Event, int] | None:
        """Return the next one; None once it is closed and empty."""
        with self._changed:
            while not (self._operators or self._tenants or self._is_closed):
                self._changed.wait()
            waiting = self._operators or self._tenants
            return waiting.popleft() if waiting else None

    def close(self) -> None:
        """Take no more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class EventRecorder:
    """Sends Events from a thread of its own; `close` it."""

    def __init__(
        self,
        api: KubeClient,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._api = api
        self._telemetry = telemetry
        self._clock = clock
        self._pause = pause
        self._filter = EventFilter()
        self._lock = threading.Lock()
        self._waiting = _Outbox()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="events", daemon=True)
        self._thread.start()

    def event(self, about: ObjectRef, reason: str, message: str, *, is_warning: bool = True) -> None:
        """Send *message* about an object, unless there are too many; returns at once, and never raises."""
        event = Event(about, reason, plain_text(message, LONGEST), is_warning)
        with self._lock:
            outcome, times = self._filter.admit(event, self._clock())
        if outcome == "sent":
            if self._waiting.put(event, times):
                return  # counted when it is
            outcome = "dropped"
        self._telemetry.event_sent(outcome)

    def close(self, grace: float = 2.0) -> None:
        """Send what waits, for *grace* seconds at most."""
        self._waiting.close()
        self._thread.join(grace)
        self._is_over.set()

    def _send_all(self) -> None:
        while (waiting := self._waiting.get()) is not None and not self._is_over.is_set():
            event, times = waiting
            try:
                self._send(event, times)
            except ClusterError as error:  # the API server is away, or refuses them: not worth a traceback each
                LOG.warning("an Event was not sent: %s", error.problem, extra={"reason": event.reason})
                self._telemetry.event_sent("failed")
            except Exception as error:  # nothing may end this thread
                LOG.warning("an Event was lost", extra={"about": event.name, "reason": event.reason}, exc_info=error)
                self._telemetry.event_sent("failed")
            else:
                self._telemetry.event_sent("sent")
            self._pause(1 / RATE)

    def _send(self, event: Event, times: int) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        try:
            self._api.create(EVENTS.path(event.namespace), event.manifest(moment))
        except ClusterError as error:
            if error.status != 409:
                raise
            path = EVENTS.path(event.namespace, event.name)
            count = int((self._api.get(path) or {}).get("count") or 1)
            change = {"count": count + times, "lastTimestamp": moment}
            self._api.patch(path, [{"op": "add", "path": f"/{key}", "value": value} for key, value in change.items()])
