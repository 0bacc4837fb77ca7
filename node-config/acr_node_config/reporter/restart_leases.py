"""How many nodes may restart their kubelet at once, and the end of it for all: Leases as a semaphore.

Each slot is a Lease that one node holds while it changes; another Lease carries what some node's kubelet did not live
with, and nobody gets a slot for that again. A node that was rejected says so before it gives its slot back, so whoever
gets it next knows. The Leases come with the manifests: creating objects cannot be limited to names, updating can.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from acr_credential_provider.kube_api.client import ApiRefusedError
from acr_credential_provider.version import NAME

from acr_node_config.rollout.agent_status import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PREFIX = NAME
ROLLOUT = f"{PREFIX}-rollout"
"""The Lease that carries what was rejected."""
REJECTED = f"rejected.{PREFIX}/"
"""Begins the names of its annotations; the content's digest ends them. To go on all the same, remove the annotation."""
LEASE_SECONDS = 180.0
"""Seconds a slot is held without being renewed: far more than the 40 s that a restart and its undoing may take."""
RENEW_EVERY = 30.0
MOST_REJECTED = 10
CONFLICT = 409


def slot_name(number: int) -> str:
    """Return the name of the Lease that is slot *number*, from 0 on."""
    return f"{PREFIX}-slot-{number}"


class Api(Protocol):
    """What is needed of `KubeClient`."""

    def get(self, path: str) -> dict[str, Any]:
        """Return what is at *path*."""

    def put(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Replace it; a resourceVersion in *document* must be the one that is there."""


@dataclass(slots=True)
class RestartSemaphore:
    """The slots *names* in *namespace* as the node *me* uses them; *clock* is one that nobody sets (seconds)."""

    api: Api
    namespace: str
    names: Sequence[str]
    me: str
    clock: Callable[[], float]
    held: str = ""
    """The Lease we hold, "" for none."""
    renewed_at: float = 0.0
    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    def acquire(self, preferred: int) -> bool:
        """Try to get a slot, the one numbered *preferred* (modulo how many there are) alone; say whether one is held.

        One slot a try: with a thousand nodes waiting, looking at all of them would be what keeps the API server busy.
        """
        if self.held:
            return True
        name = self.names[preferred % len(self.names)]
        lease = self.api.get(self._path(name))
        if not self._is_free(name, lease):
            return False
        return self._write(name, lease, self.me)

    def renew(self) -> bool:
        """Keep the slot that is held; return False, and hold none, if somebody else has it."""
        lease = self.api.get(self._path(self.held))
        if _holder(lease) == self.me and self._write(self.held, lease, self.me):
            return True
        if _holder(lease) != self.me:
            self.held = ""
        return False

    def release(self) -> None:
        """Give back the slot that is held, if one is."""
        if not self.held:
            return
        lease = self.api.get(self._path(self.held))
        if _holder(lease) != self.me or self._write(self.held, lease, ""):
            self.held = ""

    def adopt(self) -> None:
        """Find the slot that a reporter of this node held before it was killed, if any."""
        for name in self.names:
            if _holder(self.api.get(self._path(name))) == self.me:
                self.held, self.renewed_at = name, self.clock() - RENEW_EVERY
                return

    def rejection(self, content: str) -> str:
        """Return which node rejected *content* and why, "" if none did."""
        annotations = self.api.get(self._path(ROLLOUT))["metadata"].get("annotations") or {}
        return plain_text(str(annotations.get(REJECTED + content, "")))

    def reject(self, content: str, why: str) -> None:
        """Tell all nodes that this one was not healthy with *content*. It takes several tries when others write too."""
        for _ in range(5):
            lease = self.api.get(self._path(ROLLOUT))
            annotations = dict(lease["metadata"].get("annotations") or {})
            if REJECTED + content in annotations:
                return
            for old in [name for name in annotations if name.startswith(REJECTED)][: 1 - MOST_REJECTED]:
                del annotations[old]
            annotations[REJECTED + content] = plain_text(f"{self.me}: {why}")
            lease["metadata"]["annotations"] = annotations
            if self._put(ROLLOUT, lease):
                return
        raise ApiRefusedError("PUT", self._path(ROLLOUT), CONFLICT)

    def _is_free(self, name: str, lease: dict[str, Any]) -> bool:
        holder, version = _holder(lease), str(lease["metadata"].get("resourceVersion", ""))
        if holder in ("", self.me):
            return True
        # How long it has been as it is goes by our clock alone: another node's may be wrong.
        seen, since = self._seen.get(name, ("", 0.0))
        if seen != version:
            self._seen[name] = (version, self.clock())
            return False
        return self.clock() - since > LEASE_SECONDS

    def _write(self, name: str, lease: dict[str, Any], holder: str) -> bool:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict(lease.get("spec") or {})
        if holder and spec.get("holderIdentity") != holder:
            spec |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        spec |= {"holderIdentity": holder, "leaseDurationSeconds": int(LEASE_SECONDS), "renewTime": now}
        asked_at = self.clock()  # before the call: others count from when it was written
        if not self._put(name, lease | {"spec": spec}):
            return False
        self.held, self.renewed_at = (name, asked_at) if holder else ("", 0.0)
        return True

    def _put(self, name: str, lease: dict[str, Any]) -> bool:
        try:
            self.api.put(self._path(name), lease)
        except ApiRefusedError as error:
            if error.status != CONFLICT:
                raise
            return False
        return True

    def _path(self, name: str) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{quote(self.namespace)}/leases/{name}"


def _holder(lease: dict[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
