"""Which replica writes: the one that holds a Lease, and only as long as it surely does.

The rules are those of Kubernetes' own components: a Lease counts as free when its record has not changed for its
duration *by the observer's own clock*, so clocks that differ do no harm; the holder stops at its renew deadline, which
is earlier than that. No client for Python that we could use brings this along.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from acr_credential_provider.pull_secrets.model.resources import LEASES

from .api_errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import KubeClient

LOG = logging.getLogger(__name__)
DURATION = 15.0
"""Seconds for which others leave a Lease alone whose holder does not renew it."""
DEADLINE = 10.0
"""Seconds after its last renewal from which the holder writes no more."""
RETRY = 2.0
"""Seconds between tries."""


class LeaderElector:
    """This replica, *identity*, in the election for the Lease *name* in *namespace*.

    *on_change* is told, in this election's thread, when it begins and when it ends to lead.
    """

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        api: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        on_change: Callable[[bool], None],
        duration: float = DURATION,
        deadline: float = DEADLINE,
        retry: float = RETRY,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._collection, self._path = LEASES.path(namespace), LEASES.path(namespace, name)
        self._name = name
        self._identity = identity
        self._on_change = on_change
        self._duration = duration
        self._deadline = deadline
        self._retry = retry
        self._monotonic = monotonic
        self._clock = clock
        self._renewed_at = float("-inf")
        self._seen: tuple[str, float] = ("", float("-inf"))
        """The record as it was seen last, and when it was first seen so."""
        self._stop = threading.Event()
        self._is_told = False
        self._thread: threading.Thread | None = None

    def may_write(self) -> bool:
        """Say whether this replica leads at this very moment: to be asked before each write."""
        return self._monotonic() < self._renewed_at + self._deadline

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="leader election", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give the Lease back, so that another replica need not wait for it to run out."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._deadline)
        if self.may_write():
            self._renewed_at = float("-inf")
            try:
                lease = self._api.get(self._path)
                if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                    lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                    self._api.replace(self._path, lease)
            except (ClusterError, KeyError, AttributeError):
                pass  # it runs out by itself
        self._notify()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.try_once()
            except ClusterError:
                pass  # the API server is away, or another replica was quicker: the next try will tell
            except Exception:  # somebody wrote a Lease that is none; who stops trying would never lead again
                LOG.exception("the election failed")
            self._notify()
            pause = self._retry * random.uniform(0.8, 1.2)  # noqa: S311 - keeps replicas apart
            if self.may_write():  # the end of leadership is told when it comes, not a try later
                pause = min(pause, max(self._renewed_at + self._deadline - self._monotonic(), 0.05))
            self._stop.wait(pause)

    def try_once(self) -> bool:
        """Renew or take the Lease if that is possible; return whether this replica holds it."""
        asked_at = self._monotonic()
        lease = self._api.get(self._path)
        if lease is None:
            self._api.create(self._collection, self._record({}, {}))
        else:
            spec: dict[str, Any] = lease.get("spec") or {}
            record = str(
                lease["metadata"].get("resourceVersion", "")
            )  # changes even if the holder's clock stands still
            if record != self._seen[0]:
                self._seen = (record, asked_at)
            holder = spec.get("holderIdentity") or ""
            lasts = float(spec.get("leaseDurationSeconds") or self._duration)
            if holder not in ("", self._identity) and asked_at < self._seen[1] + lasts:
                self._renewed_at = float("-inf")
                return False
            self._api.replace(self._path, self._record(lease["metadata"], spec))
        self._renewed_at = asked_at
        return True

    def _record(self, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_ours = spec.get("holderIdentity") == self._identity
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, **metadata},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._duration),
                "acquireTime": spec.get("acquireTime", now) if is_ours else now,
                "renewTime": now,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if is_ours or not spec else 1),
            },
        }

    def _notify(self) -> None:
        leads = self.may_write()
        if leads != self._is_told:
            self._is_told = leads
            self._api.reporter.leading(leads)
            self._on_change(leads)
