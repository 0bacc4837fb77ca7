"""A kind of object as it is in the cluster now: listed once, watched from then on, little of each kept."""

from __future__ import annotations

import base64
import hashlib
import logging
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from .eci_annotations import REQUESTS
from .kube import METADATA, METADATA_LIST, SILENCE, ClusterError
from .names import LABEL, SECRET_KEY
from .objects import NOTHING, Namespace, Secret, ServiceAccount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .kube import KubeApi

WATCH = 290.0
"""Seconds after which the API server ends a watch, so that watches wander to new API servers."""
LOG = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds to wait after a failure; doubled each time, jittered."""
_LONGEST_ANNOTATION = 256
"""Characters; what is longer, kubectl's copies of whole objects above all, selects nothing and is not kept."""


class Item(Protocol):
    """What an informer keeps."""

    @property
    def key(self) -> tuple[str, str]: ...  # noqa: D102
    @property
    def resource_version(self) -> str: ...  # noqa: D102


T = TypeVar("T", bound=Item)


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class _Reference(msgspec.Struct):
    name: str = ""


class _Wire(msgspec.Struct, rename="camel"):
    """What is decoded of each kind; the rest of the text is skipped over."""

    metadata: _Meta
    image_pull_secrets: list[_Reference] | None = None
    type: str = ""
    data: dict[str, str] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int = 0


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[_Wire] | None = None


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """Where a kind is, which of its objects are meant (*selector*: API parameters), and what is kept of each."""

    name: str
    path: str
    keep: Callable[[Any], T]
    selector: Mapping[str, str] = field(default_factory=dict)
    only_metadata: bool = False


def namespaces() -> Kind[Namespace]:
    """Return all namespaces."""
    return Kind("namespaces", "/api/v1/namespaces", _namespace, only_metadata=True)


def service_accounts() -> Kind[ServiceAccount]:
    """Return all ServiceAccounts."""
    return Kind("serviceaccounts", "/api/v1/serviceaccounts", service_account)


def secrets(name: str) -> Kind[Secret]:
    """Return the Secrets called *name* in all namespaces: a right that can be granted for that name alone."""
    return Kind("secrets", "/api/v1/secrets", secret, {"fieldSelector": f"metadata.name={name}"})


def _namespace(wire: _Wire) -> Namespace:
    meta = wire.metadata
    return Namespace(
        meta.name,
        meta.uid,
        meta.resource_version,
        meta.labels or NOTHING,
        _short(meta.annotations),
        terminating=meta.deletion_timestamp is not None,
    )


def service_account(wire: _Wire) -> ServiceAccount:
    """Return what is kept of a ServiceAccount."""
    meta = wire.metadata
    references = wire.image_pull_secrets
    return ServiceAccount(
        meta.namespace,
        meta.name,
        meta.uid,
        meta.resource_version,
        meta.labels or NOTHING,
        _short(meta.annotations),
        None if references is None else tuple(each.name for each in references),
        terminating=meta.deletion_timestamp is not None,
    )


def secret(wire: _Wire) -> Secret:
    """Return what is kept of a Secret."""
    meta = wire.metadata
    try:
        content = base64.b64decode((wire.data or {}).get(SECRET_KEY, ""))
    except ValueError:
        content = b""
    return Secret(
        meta.namespace,
        meta.name,
        meta.uid,
        meta.resource_version,
        is_ours=(meta.labels or NOTHING).get(LABEL) == "true",
        type=wire.type,
        digest=hashlib.sha256(content).hexdigest(),
        has_labels=bool(meta.labels),
        terminating=meta.deletion_timestamp is not None,
    )


def _short(annotations: Mapping[str, str] | None) -> Mapping[str, str]:
    kept = {
        key: value
        for key, value in (annotations or NOTHING).items()
        if len(value) <= _LONGEST_ANNOTATION or key in REQUESTS
    }
    return kept or NOTHING


def read(document: Mapping[str, Any], keep: Callable[[Any], T]) -> T:
    """Return what is kept of an object that a call returned."""
    return keep(msgspec.convert(document, type=_Wire))


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: a *watch*'s life, its longest *silence*, and after how long the next one begins with a list (*resync*).

    The list finds what was missed, whoever missed it.
    """

    watch: float = WATCH
    silence: float = SILENCE
    resync: float = 600.0


class Informer(Generic[T]):
    """The objects of one *kind*. *on_change* is told each that came, changed (as it is now) or went (as it was).

    *on_listed* is called whenever all that is there is known.
    """

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        api: KubeApi,
        kind: Kind[T],
        *,
        on_change: Callable[[T], None],
        on_listed: Callable[[], None] = lambda: None,
        times: Times = Times(),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = kind
        self.synced = threading.Event()
        self.last_contact = 0.0
        """When the API server was last heard of (monotonic clock)."""
        self._api = api
        self._on_change = on_change
        self._on_listed = on_listed
        self._told = ""
        self._times = times
        self._listed_at = 0.0
        self._since = ""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._items: dict[str, dict[str, T]] = {}
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        threading.Thread(target=self._run, name=f"watch {self.kind.name}", daemon=True).start()

    def load(self) -> None:
        """List once and watch nothing, for those who look at one moment only; raise `ClusterError`."""
        self._list()

    def stop(self) -> None:
        """End soon; what is kept stays as it is."""
        self._stop.set()

    def get(self, namespace: str, name: str) -> T | None:
        """Return one object."""
        with self._lock:
            return self._items.get(namespace, {}).get(name)

    def within(self, namespace: str) -> list[T]:
        """Return the objects of one namespace."""
        with self._lock:
            return list(self._items.get(namespace, {}).values())

    def all(self) -> list[T]:
        """Return all objects."""
        with self._lock:
            return [item for items in self._items.values() for item in items.values()]

    def groups(self) -> list[str]:
        """Return the namespaces that have any."""
        with self._lock:
            return list(self._items)

    def observe(self, item: T) -> None:
        """Take note of *item*, which a call of ours returned, before the watch tells of it."""
        self._put(item)

    def _put(self, item: T) -> bool:
        """Keep *item* unless a newer one is kept; say whether it is news."""
        group, name = item.key
        with self._lock:
            kept = self._items.get(group, {}).get(name)
            if kept is not None and _number(kept) >= _number(item):
                return False
            self._items.setdefault(group, {})[name] = item
            return True

    def _drop(self, group: str, name: str) -> T | None:
        with self._lock:
            items = self._items.get(group, {})
            gone = items.pop(name, None)
            if not items:
                self._items.pop(group, None)
            return gone

    def _run(self) -> None:
        since, pause = "", FIRST_PAUSE
        while not self._stop.is_set():
            started = self._monotonic()
            why = "time-out"
            try:
                if not since or self._monotonic() > self._listed_at + self._times.resync:
                    since = self._list()
                since = self._follow(since)
            except ClusterError as error:
                why = "gone" if error.is_gone else error.reason.lower() if error.reason == "Silent" else "failed"
                since = self._since if not error.is_gone else ""
                self._tell(error)
                if not (error.is_gone or why == "silent"):
                    self._stop.wait(max(error.retry_after, random.uniform(0.5, 1.0) * pause))  # noqa: S311 - spreads load
                    pause = min(pause * 2, LONGEST_PAUSE)
            except msgspec.MsgspecError:  # not the API server, whatever it is
                why, since = "failed", ""
                self._stop.wait(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - spreads load
                pause = min(pause * 2, LONGEST_PAUSE)
            except Exception:  # a mistake of ours about one object must not blind us to all others
                LOG.exception("a watch failed", extra={"resource": self.kind.name})
                why, since = "failed", ""
                self._stop.wait(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - spreads load
                pause = min(pause * 2, LONGEST_PAUSE)
            self._api.reporter.watch_ended(self.kind.name, why)
            if self._monotonic() - started > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            elif why in ("time-out", "gone"):  # sooner than it should be: not again and again at full speed
                self._stop.wait(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - spreads load
                pause = min(pause * 2, LONGEST_PAUSE)

    def _tell(self, error: ClusterError) -> None:
        """Say what is wrong where somebody has to do something about it, once."""
        if error.status in (400, 401, 403) and error.problem != self._told:
            self._told = error.problem
            LOG.warning("%s", error.problem, extra={"remedy": error.remedy})

    def _list(self) -> str:
        """Take over what is there; return the version to watch from."""
        self._since = ""
        accept = METADATA_LIST if self.kind.only_metadata else "application/json"
        present: set[tuple[str, str]] = set()
        since = ""
        for page in self._api.pages(self.kind.path, selector=self.kind.selector, accept=accept):
            self.last_contact = self._monotonic()
            found = msgspec.json.decode(page, type=_List)
            since = since or found.metadata.resource_version
            for wire in found.items or ():
                item = self.kind.keep(wire)
                present.add(item.key)
                if self._put(item):
                    self._on_change(item)
        for item in self.all():
            # One that a call of ours made after the list was begun is not gone.
            if item.key not in present and _number(item) <= int(since or 0):
                self._went(item.key)
        self._listed_at = self._monotonic()
        self.synced.set()
        self._told = ""
        self._on_listed()
        return since

    def _follow(self, since: str) -> str:
        self._since = since
        accept = METADATA if self.kind.only_metadata else "application/json"
        seconds = self._times.watch * random.uniform(0.8, 1.0)  # noqa: S311 - spreads load
        with self._api.watch(
            self.kind.path,
            selector=self.kind.selector,
            since=since,
            seconds=seconds,
            accept=accept,
            silence=self._times.silence,
        ) as lines:
            for line in lines:
                self.last_contact = self._monotonic()
                self._take(msgspec.json.decode(line, type=_Event))
                if self._stop.is_set():
                    break
        return self._since

    def _take(self, event: _Event) -> None:
        if event.type == "ERROR":
            code = msgspec.json.decode(event.object, type=_Status).code
            raise ClusterError("the API server ended a watch", remedy="Nothing: it begins anew.", status=code)
        wire = msgspec.json.decode(event.object, type=_Wire)
        if event.type == "BOOKMARK":
            self._since = wire.metadata.resource_version
            return
        item = self.kind.keep(wire)
        self._since = item.resource_version
        if event.type == "DELETED":
            kept = self.get(*item.key)
            if kept is None or _number(kept) <= _number(item):
                self._went(item.key)
        elif self._put(item):
            self._on_change(item)

    def _went(self, key: tuple[str, str]) -> None:
        gone = self._drop(*key)
        if gone is not None:
            self._on_change(gone)


def _number(item: Item) -> int:
    """Return the version as a number: equal to compare by the rules of Kubernetes 1.35, and so in fact before it."""
    return int(item.resource_version) if item.resource_version.isdigit() else 0


def names_of(items: Iterable[Item]) -> set[tuple[str, str]]:
    """Return what the *items* are known by."""
    return {each.key for each in items}
