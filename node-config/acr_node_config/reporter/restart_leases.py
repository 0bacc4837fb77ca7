"""Leases as a semaphore: they bound how many nodes restart their kubelet at once, and stop a bad rollout.

One node holds a restart Lease while it changes; another Lease names the contents that some node rejected, and none is
given for these again. A node writes its rejection before it releases its restart Lease, so that the next holder sees
it. The Leases come with the manifests. Argo CD leaves out Leases by default, so one that is missing is made here, if
there is a right for that: it comes with the policy that limits it to these names, which RBAC cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from acr_credential_provider.kube_api.client import ApiRefusedError
from acr_credential_provider.version import NAME

from acr_node_config.rollout.agent_status import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from acr_credential_provider.kube_api.client import NodeKubeClient

PREFIX = NAME
OWNER = f"{PREFIX}-slots"
"""The Role for the Leases. It owns those that are made here, so that they are deleted with the release."""
ROLLOUT = f"{PREFIX}-rollout"
"""The Lease that names rejected contents."""
REJECTED = f"rejected.{PREFIX}/"
"""Begins the names of its annotations; the content's digest ends them. To retry a content, remove its annotation."""
LEASE_SECONDS = 180.0
"""Seconds one is held without being renewed: far more than the 40 s that a restart and its undoing may take."""
RENEW_EVERY = 30.0
MOST_REJECTED = 10
FORBIDDEN, NOT_FOUND, CONFLICT = 403, 404, 409


def slot_name(number: int) -> str:
    """Return the name of restart Lease *number*, from 0 on."""
    return f"{PREFIX}-slot-{number}"


@dataclass(slots=True)
class RestartSemaphore:
    """The restart Leases *names* in *namespace*, used by the node *me*; *clock* is in seconds and is never set."""

    api: NodeKubeClient
    namespace: str
    names: Sequence[str]
    me: str
    clock: Callable[[], float]
    held: str = ""
    """The Lease that we hold, "" for none."""
    renewed_at: float = 0.0
    _versions: dict[str, tuple[str, float]] = field(default_factory=dict)
    """The resourceVersion of each Lease of others, and since when it has it."""

    def acquire(self, preferred: int) -> bool:
        """Try to get the one numbered *preferred* (modulo their count); return True if one is held.

        One Lease a try, because a thousand nodes that look at all of them would keep the API server busy.
        """
        if self.held:
            return True
        name = self.names[preferred % len(self.names)]
        lease = self._lease(name)
        if not self._is_free(name, lease):
            return False
        return self._write(name, lease, self.me)

    def renew(self) -> bool:
        """Renew the Lease that is held; return False, and hold none, if another node has it."""
        lease = self.api.get(self._path(self.held))
        if _holder(lease) == self.me and self._write(self.held, lease, self.me):
            return True
        if _holder(lease) != self.me:
            self.held = ""
        return False

    def release(self) -> None:
        """Release the Lease that is held, if any."""
        if not self.held:
            return
        lease = self.api.get(self._path(self.held))
        if _holder(lease) != self.me or self._write(self.held, lease, ""):
            self.held = ""

    def adopt(self) -> None:
        """Take over the Lease that an earlier reporter of this node held, if any."""
        for name in self.names:
            if _holder(self._lease(name)) == self.me:
                self.held, self.renewed_at = name, self.clock() - RENEW_EVERY
                return

    def rejection(self, content: str) -> str:
        """Return the node that rejected *content* and why, "" if none did."""
        annotations = self._lease(ROLLOUT)["metadata"].get("annotations") or {}
        return plain_text(str(annotations.get(REJECTED + content, "")))

    def reject(self, content: str, reason: str) -> None:
        """Write for all nodes that this one rejected *content*; retried while others write too."""
        for _ in range(5):
            lease = self._lease(ROLLOUT)
            annotations = dict(lease["metadata"].get("annotations") or {})
            if REJECTED + content in annotations:
                return
            for old in [name for name in annotations if name.startswith(REJECTED)][: 1 - MOST_REJECTED]:
                del annotations[old]
            annotations[REJECTED + content] = plain_text(f"{self.me}: {reason}")
            lease["metadata"]["annotations"] = annotations
            if self._put(ROLLOUT, lease):
                return
        raise ApiRefusedError("PUT", self._path(ROLLOUT), CONFLICT)

    def _lease(self, name: str) -> dict[str, Any]:
        """Return the Lease called *name*; one that is missing is made, or else that it is missing is raised."""
        try:
            return self.api.get(self._path(name))
        except ApiRefusedError as error:
            if error.status != NOT_FOUND:
                raise
            missing = error
        try:
            return self.api.post(self._path(""), self._new(name))
        except ApiRefusedError as error:
            if error.status == CONFLICT:  # another node was faster
                return self.api.get(self._path(name))
            if error.status in (FORBIDDEN, NOT_FOUND):
                raise missing from None
            raise

    def _new(self, name: str) -> dict[str, Any]:
        kind = "rbac.authorization.k8s.io/v1"
        role = self.api.get(f"/apis/{kind}/namespaces/{quote(self.namespace)}/roles/{OWNER}")
        owner = {"apiVersion": kind, "kind": "Role", "name": OWNER, "uid": role["metadata"]["uid"]}
        metadata = {"name": name, "namespace": self.namespace, "ownerReferences": [owner]}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}

    def _is_free(self, name: str, lease: dict[str, Any]) -> bool:
        holder, version = _holder(lease), str(lease["metadata"].get("resourceVersion", ""))
        if holder in ("", self.me):
            return True
        # As in client-go, by our clock alone: another node's may be wrong.
        known, since = self._versions.get(name, ("", 0.0))
        if known != version:
            self._versions[name] = (version, self.clock())
            return False
        return self.clock() - since > LEASE_SECONDS

    def _write(self, name: str, lease: dict[str, Any], holder: str) -> bool:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict(lease.get("spec") or {})
        if holder and spec.get("holderIdentity") != holder:
            spec |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        spec |= {"holderIdentity": holder, "leaseDurationSeconds": int(LEASE_SECONDS), "renewTime": now}
        renewed_at = self.clock()  # before the call: others count from when it was written
        if not self._put(name, lease | {"spec": spec}):
            return False
        self.held, self.renewed_at = (name, renewed_at) if holder else ("", 0.0)
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
        return f"/apis/coordination.k8s.io/v1/namespaces/{quote(self.namespace)}/leases/{name}".rstrip("/")


def _holder(lease: dict[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
