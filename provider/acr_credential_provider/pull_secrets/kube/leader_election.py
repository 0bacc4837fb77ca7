"""Leader election by a Lease, with client-go's rules.

A Lease counts as free if its record has not changed for its duration *by the observer's own clock*, so clocks that
differ do no harm. The holder stops at its renew deadline, which is earlier. No usable client for Python brings this.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable  # noqa: TC003 - NamedTuple reads it
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from acr_credential_provider.pull_secrets.model.names import LEASE_NAME
from acr_credential_provider.pull_secrets.model.resources import LEASES

from .api_errors import ClusterError

if TYPE_CHECKING:
    from .client import KubeClient

LOG = logging.getLogger(__name__)
LONGEST = 120.0
"""Seconds for which a Lease of another holder counts without a renewal, however long it says."""


class LeaseTimes(NamedTuple):
    """Seconds, as Kubernetes' own components have them.

    For *duration* others leave a Lease alone whose holder does not renew it. *deadline* after its last renewal the
    holder writes no more. It tries to renew every *retry*.
    """

    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0


class Clocks(NamedTuple):
    """Where the time comes from."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class LeaderElector:
    """This replica, *identity*, in the election for the controller's Lease in *namespace*."""

    def __init__(
        self,
        api: KubeClient,
        namespace: str,
        identity: str,
        times: LeaseTimes = LeaseTimes(),  # noqa: B008 - a value
        clocks: Clocks = Clocks(),  # noqa: B008 - a value
    ) -> None:
        self.on_change: Callable[[bool], None] = lambda _: None
        """Called in the election's thread when this replica begins to lead, and when it ends to."""
        self._api = api
        self._collection, self._path = LEASES.path(namespace), LEASES.path(namespace, LEASE_NAME)
        self._identity = identity
        self._times = times
        self._clocks = clocks
        self._renewed_at = float("-inf")
        self._seen: tuple[str, float] = ("", float("-inf"))
        """The record as it was seen last, and when it was first seen so."""
        self._stop = threading.Event()
        self._notified = False
        self._thread: threading.Thread | None = None

    def may_write(self) -> bool:
        """True if this replica leads at this very moment: to be asked before each write."""
        return self._clocks.monotonic() < self._renewed_at + self._times.deadline

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="leader election", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give the Lease back, so that another replica need not wait for it to run out."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._times.deadline)
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
            except Exception:  # somebody wrote a broken Lease; a thread that ends would never lead again
                LOG.exception("the election failed")
            self._notify()
            pause = self._times.retry * random.uniform(0.8, 1.2)  # noqa: S311 - keeps replicas apart
            if self.may_write():  # the end of leadership is noticed when it comes, not a try later
                pause = min(pause, max(self._renewed_at + self._times.deadline - self._clocks.monotonic(), 0.05))
            self._stop.wait(pause)

    def try_once(self) -> bool:
        """Renew or take the Lease if that is possible; True if this replica holds it."""
        asked_at = self._clocks.monotonic()
        lease = self._api.get(self._path)
        if lease is None:
            self._api.create(self._collection, self._record({}, {}))
        else:
            spec: dict[str, Any] = lease.get("spec") or {}
            # It changes even if the holder's clock stands still.
            record = str(lease["metadata"].get("resourceVersion", ""))
            if record != self._seen[0]:
                self._seen = (record, asked_at)
            holder = spec.get("holderIdentity") or ""
            longest = max(LONGEST, 4 * self._times.duration)
            lasts = min(float(spec.get("leaseDurationSeconds") or self._times.duration), longest)
            if holder not in ("", self._identity) and asked_at < self._seen[1] + lasts:
                self._renewed_at = float("-inf")
                return False
            self._api.replace(self._path, self._record(lease["metadata"], spec))
        self._renewed_at = asked_at
        return True

    def _record(self, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._clocks.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_ours = spec.get("holderIdentity") == self._identity
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE_NAME, **metadata},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._times.duration),
                "acquireTime": spec.get("acquireTime", now) if is_ours else now,
                "renewTime": now,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if is_ours or not spec else 1),
            },
        }

    def _notify(self) -> None:
        leads = self.may_write()
        if leads != self._notified:
            self._notified = leads
            self._api.telemetry.leading(leads)
            self.on_change(leads)
