"""Others who write where we write: a helper that keeps pull secrets too, tools that take our entry out again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from acr_credential_provider.pull_secrets.model.names import HELPER, PREFIX
from acr_credential_provider.pull_secrets.model.resources import DEPLOYMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.pull_secrets.kube.client import KubeClient

HELPER_PATH = DEPLOYMENTS.path("kube-system", HELPER)
FREE, MEMORY, LONGEST = 5, 900.0, 300.0
"""How often our entry is put back at once, the seconds after which that is forgotten, and the longest pause."""


def helper_runs(api: KubeClient) -> bool:
    """Say whether aliyun-acr-credential-helper is at work in this cluster; raise `ClusterError`.

    Our own Deployment may have its name, for users' RRSA trust policies may name its ServiceAccount. The managed
    edition runs in the control plane, where nobody sees it.
    """
    found = api.get(HELPER_PATH)
    if found is None:
        return False
    labels = found["metadata"].get("labels") or {}
    wanted = found.get("spec", {}).get("replicas", 1)
    running = found.get("status", {}).get("replicas", 0)
    return labels.get("app.kubernetes.io/name") != PREFIX and (wanted > 0 or running > 0)


class RevertBackoff:
    """Counts how often our entry had to be put back into an account's list.

    A tool that takes it out each time must not be fought at full speed: after a few times there are pauses that grow.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._added: dict[tuple[str, str], tuple[int, float]] = {}

    def wait_for(self, namespace: str, name: str) -> float:
        """Return the seconds until our entry may be put back."""
        with self._lock:
            count, last = self._added.get((namespace, name), (0, 0.0))
            if count <= FREE:
                return 0.0
            return max(last + min(2.0 ** (count - FREE), LONGEST) - self._monotonic(), 0.0)

    def added(self, namespace: str, name: str) -> bool:
        """Take note that it was put in; say whether this is when an operator should hear of it."""
        now = self._monotonic()
        with self._lock:
            count, last = self._added.get((namespace, name), (0, now))
            count = 1 if now - last > MEMORY else count + 1
            self._added[namespace, name] = (count, now)
            if len(self._added) > 50_000:  # it is a memory of minutes, not an inventory
                self._added = {key: each for key, each in self._added.items() if now - each[1] < MEMORY}
            return count == FREE + 1
