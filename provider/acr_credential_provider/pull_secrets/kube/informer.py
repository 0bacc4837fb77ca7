"""A reflector with its store: lists a kind of object once, and watches it from then on."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import msgspec

from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.pull_secrets.model.decoding import OBJECTS, UNDECODABLE, Item, PartialObject, T

from .api_errors import ClusterError
from .client import JSON, METADATA_LIST, SILENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.pull_secrets.model.decoding import Kind

    from .client import KubeClient

WATCH = 290.0
"""Seconds after which the API server ends a watch, so that watches wander to new API servers."""
LOG = logging.getLogger(__name__)
REMEMBERED = 10_000
"""Objects that went and whose version is remembered; an answer comes within seconds."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds to wait after a failure; doubled each time, jittered."""


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int = 0


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[PartialObject] | None = None


# Made once, in the thread that imports: msgspec fills in what it knows of a type at first use, and a second thread that
# uses the type meanwhile crashes the process.
_EVENTS = msgspec.json.Decoder(_Event)
_STATUSES = msgspec.json.Decoder(_Status)
_LISTS = msgspec.json.Decoder(_List)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: a watch's life, its longest silence, and after how long the next one begins with a list (*resync*)."""

    watch: float = WATCH
    silence: float = SILENCE
    resync: float = 600.0


class Informer(Generic[T]):
    """The objects of one *kind*. *on_change* is told each that came, changed (as it is now) or went (as it was).

    *on_listed* is called after each complete list.
    """

    def __init__(
        self,
        api: KubeClient,
        kind: Kind[T],
        *,
        on_change: Callable[[T], None],
        on_listed: Callable[[], None] = lambda: None,
        times: Times = Times(),
    ) -> None:
        self.kind = kind
        self.synced = threading.Event()
        self.is_refused = False
        """True if the API server last answered that there is no right to list or watch them."""
        self._api = api
        self._on_change = on_change
        self._on_listed = on_listed
        self._reported = ""
        self._times = times
        self._listed_at = 0.0
        self._since = ""
        self._lock = threading.Lock()
        self._items: dict[str, dict[str, T]] = {}
        self._gone: OrderedDict[tuple[str, str], int] = OrderedDict()
        """The version at which objects went, so that an answer to a call of ours that comes late brings none back."""
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        threading.Thread(target=self._run, name=f"watch {self.kind.name}", daemon=True).start()

    def load(self) -> None:
        """List once and watch nothing; raise `ClusterError`."""
        self._list()

    def stop(self) -> None:
        """End soon; what is kept stays as it is."""
        self._stop.set()

    def get(self, namespace: str, name: str) -> T | None:
        """Return one object."""
        with self._lock:
            return self._items.get(namespace, {}).get(name)

    def by_namespace(self, namespace: str) -> list[T]:
        """Return the objects of one namespace."""
        with self._lock:
            return list(self._items.get(namespace, {}).values())

    def all(self) -> list[T]:
        """Return all objects."""
        with self._lock:
            return [item for items in self._items.values() for item in items.values()]

    def namespaces(self) -> list[str]:
        """Return the namespaces that have any."""
        with self._lock:
            return list(self._items)

    def update(self, item: T) -> None:
        """Take in *item*, which a call of ours returned, before the watch tells of it."""
        self._put(item)

    def forget(self, item: T) -> None:
        """Drop *item*, which a call of ours deleted, before the watch tells of it; a newer one stays."""
        kept = self.get(*item.key)
        if kept is not None and _number(kept) <= _number(item):
            self._drop(*item.key, _number(item))

    def _put(self, item: T) -> bool:
        """Keep *item* unless a newer one is kept; True if it was kept."""
        group, name = item.key
        with self._lock:
            kept = self._items.get(group, {}).get(name)
            if kept is not None and _number(kept) >= _number(item):
                return False
            if kept is None and 0 < _number(item) <= self._gone.get(item.key, 0):
                return False
            self._gone.pop(item.key, None)
            self._items.setdefault(group, {})[name] = item
            return True

    def _drop(self, group: str, name: str, version: int) -> T | None:
        with self._lock:
            self._gone[group, name] = version
            while len(self._gone) > REMEMBERED:
                self._gone.popitem(last=False)
            items = self._items.get(group, {})
            gone = items.pop(name, None)
            if not items:
                self._items.pop(group, None)
            return gone

    def _run(self) -> None:
        since, pause = "", FIRST_PAUSE
        while not self._stop.is_set():
            started = time.monotonic()
            reason, rest = "timeout", 0.0
            try:
                if not since or time.monotonic() > self._listed_at + self._times.resync:
                    since = self._list()
                since = self._watch(since)
            except ClusterError as error:
                reason = "gone" if error.is_gone else "idle_timeout" if error.reason == "IdleTimeout" else "failed"
                since, rest = "" if error.is_gone else self._since, error.retry_after
                self._report(error)
            except UNDECODABLE:  # not the API server, whatever it is
                reason, since = "failed", ""
            except Exception:  # a mistake of ours about one object must not blind us to all others
                LOG.exception("a watch failed", extra={"resource": self.kind.name})
                reason, since = "failed", ""
            self._api.telemetry.watch_ended(self.kind.name, reason)
            lasted = time.monotonic() - started
            # One that ends at once must not begin again at full speed.
            if reason == "failed" or (reason != "idle_timeout" and lasted <= LONGEST_PAUSE):
                spread = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
                if rest > 0:
                    self._stop.wait(max(rest, spread * pause))
                else:
                    self._api.wait_for_recovery(spread * pause, self._stop)
                pause = min(pause * 2, LONGEST_PAUSE)
            if lasted > LONGEST_PAUSE:
                pause = FIRST_PAUSE

    def _report(self, error: ClusterError) -> None:
        """Log an error that somebody has to do something about, once."""
        self.is_refused = error.is_forbidden
        if error.status in (400, 401, 403) and error.problem != self._reported:
            self._reported = error.problem
            LOG.warning("%s", error.problem, extra={"remedy": error.remedy, "code": error.remedy.code})

    def _list(self) -> str:
        """Replace the store by a list; return the version to watch from."""
        self._since = ""
        accept = METADATA_LIST if self.kind.only_metadata else JSON
        present: set[tuple[str, str]] = set()
        since = ""
        for page in self._api.pages(self.kind.path, selector=self.kind.selector, accept=accept):
            decoded = _LISTS.decode(page)
            since = since or decoded.metadata.resource_version
            for wire in decoded.items or ():
                item = self.kind.keep(wire)
                present.add(item.key)
                if self._put(item):
                    self._on_change(item)
        for item in self.all():
            # One that a call of ours made after the list was begun is not gone.
            if item.key not in present and _number(item) <= int(since or 0):
                self._remove(item.key, int(since or 0))
        self._listed_at = time.monotonic()
        self.synced.set()
        self.is_refused = False
        self._reported = ""
        self._on_listed()
        return since

    def _watch(self, since: str) -> str:
        self._since = since
        seconds = self._times.watch * random.uniform(0.8, 1.0)  # noqa: S311 - spreads load
        with self._api.watch(self.kind, since=since, seconds=seconds, silence=self._times.silence) as lines:
            for line in lines:
                self._apply(_EVENTS.decode(line))
                if self._stop.is_set():
                    break
        return self._since

    def _apply(self, event: _Event) -> None:
        if event.type == "ERROR":
            code = _STATUSES.decode(event.object).code
            raise ClusterError(
                "the API server ended a watch",
                remedy=Remedy("ApiServerUnreachable", "Nothing: it begins anew."),
                status=code,
            )
        wire = OBJECTS.decode(event.object)
        if event.type == "BOOKMARK":
            self._since = wire.metadata.resource_version
            return
        item = self.kind.keep(wire)
        self._since = item.resource_version
        if event.type == "DELETED":
            kept = self.get(*item.key)
            if kept is None or _number(kept) <= _number(item):
                self._remove(item.key, _number(item))
        elif self._put(item):
            self._on_change(item)

    def _remove(self, key: tuple[str, str], version: int) -> None:
        gone = self._drop(*key, version)
        if gone is not None:
            self._on_change(gone)


def _number(item: Item) -> int:
    """Return the version as a number, which may be compared since Kubernetes 1.35, and could in fact be before."""
    return int(item.resource_version) if item.resource_version.isdigit() else 0
