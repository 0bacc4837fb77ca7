"""Other writers of what we write: a helper that keeps pull secrets too, and tools that remove our entry again."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.model.names import HELPER, HELPER_SECRETS, PREFIX
from acr_credential_provider.pull_secrets.model.reporter import ObjectRef
from acr_credential_provider.pull_secrets.model.resources import DEPLOYMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.pull_secrets.config.manager import ConfigManager
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.model.desired_state import DesiredState
    from acr_credential_provider.pull_secrets.tokens.token_cache import TokenCache

FREE, MEMORY, LONGEST = 5, 900.0, 300.0
"""How often our entry is put back at once, the seconds after which that is forgotten, and the longest pause."""


def helper_runs(api: KubeClient) -> bool:
    """True if aliyun-acr-credential-helper runs in this cluster; raises `ClusterError`.

    Our own Deployment may have its name, because users' RRSA trust policies may name its ServiceAccount. The managed
    edition runs in the control plane, where nobody sees it.
    """
    deployment = api.get(DEPLOYMENTS.path("kube-system", HELPER))
    if deployment is None:
        return False
    labels = deployment["metadata"].get("labels") or {}
    wanted = deployment.get("spec", {}).get("replicas", 1)
    running = deployment.get("status", {}).get("replicas", 0)
    return labels.get("app.kubernetes.io/name") != PREFIX and (wanted > 0 or running > 0)


class HelperWatch:
    """Fits the desired state to the helper. With *take_over* its entries are replaced once it is gone."""

    def __init__(self, api: KubeClient, tokens: TokenCache, config: ConfigManager, *, take_over: bool) -> None:
        self.take_over = take_over
        self._api = api
        self._tokens = tokens
        self._config = config
        self._is_known = False

    def fit(self, state: DesiredState) -> DesiredState:
        """Return *state* as it must be beside a helper, if one runs now."""
        try:
            runs = helper_runs(self._api)
        except ClusterError as error:
            self._config.report("HelperUnknown", error)
            if self._is_known:
                return state
            # Without the right to look we go on. An answer that did not come is soon asked for again.
            return replace(state, is_blocked=error.status != 403)
        self._is_known = True
        if self.take_over:
            self._tokens.set_helper_running(runs)
        if runs:
            what = "ours is added beside its entries" if self.take_over else "nothing is written"
            self._api.reporter.event(
                ObjectRef("Deployment", "kube-system", HELPER, api_version="apps/v1"),
                "HelperRunning",
                f"{HELPER} runs in this cluster: {what} until it is gone. Uninstall it (ACK console: add-ons), "
                "or scale it to 0; start ours with --take-over to replace its entries without a gap.",
            )
        replaced = frozenset(HELPER_SECRETS) if self.take_over and not runs else frozenset[str]()
        return replace(state, replaced=replaced, is_blocked=runs and not self.take_over)


class RevertBackoff:
    """Counts how often our entry had to be put back into an account's list.

    A tool that removes it each time must not be fought at full speed: after a few times the pauses grow.
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
        """Count that our entry was put in; True if an operator is to be told now."""
        now = self._monotonic()
        with self._lock:
            count, last = self._added.get((namespace, name), (0, now))
            count = 1 if now - last > MEMORY else count + 1
            self._added[namespace, name] = (count, now)
            if len(self._added) > 50_000:  # it is a memory of minutes, not an inventory
                self._added = {key: state for key, state in self._added.items() if now - state[1] < MEMORY}
            return count == FREE + 1
