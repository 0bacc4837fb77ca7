"""Other writers of what we write: a helper that keeps pull secrets too, and tools that undo our writes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.refusals import sentence
from acr_credential_provider.pull_secrets.model.names import FIELD_MANAGER, HELPER, HELPER_SECRETS, PREFIX
from acr_credential_provider.pull_secrets.model.resources import DEPLOYMENTS
from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from acr_credential_provider.pull_secrets.config.manager import ConfigManager
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.model.desired_state import DesiredState
    from acr_credential_provider.pull_secrets.model.plan import Effect
    from acr_credential_provider.pull_secrets.tokens.token_cache import TokenCache

FREE, MEMORY, LONGEST = 5, 900.0, 300.0
"""How often a write is repeated at once, the seconds after which that is forgotten, and the longest pause."""
REMEMBERED = 50_000
"""Objects whose last write is remembered; the oldest go first."""


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
            return replace(state, is_blocked=not error.is_forbidden)
        self._is_known = True
        if self.take_over:
            self._tokens.set_helper_running(runs)
        if runs:
            what = "ours is added beside its entries" if self.take_over else "nothing is written"
            self._api.telemetry.event(
                ObjectRef("Deployment", "kube-system", HELPER, api_version="apps/v1"),
                "HelperRunning",
                f"{HELPER} runs in this cluster: {what} until it is gone. Uninstall it (ACK console: add-ons), "
                "or scale it to 0; start ours with --take-over to replace its entries without a gap.",
            )
        replaced = frozenset(HELPER_SECRETS) if self.take_over and not runs else frozenset[str]()
        return replace(state, replaced=replaced, is_blocked=runs and not self.take_over)


class RevertBackoff:
    """Counts writes that have the same effect again: in between somebody undid them.

    A tool that does so each time must not be fought at full speed: after a few times the pauses grow. An object that
    was deleted and made again has another uid, and what we undid ourselves has another effect: neither is a fight.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._written: OrderedDict[tuple[str, ...], tuple[str, int, float]] = OrderedDict()

    def wait_for(self, effect: Effect) -> float:
        """Return the seconds until a write with *effect* may be made."""
        with self._lock:
            goal, count, last = self._written.get(effect.subject, ("", 0, 0.0))
            if goal != effect.goal or count <= FREE:
                return 0.0
            return max(last + min(2.0 ** (count - FREE), LONGEST) - self._monotonic(), 0.0)

    def is_about_to_tell(self, effect: Effect) -> bool:
        """True if an operator is to hear of the next write with *effect*."""
        with self._lock:
            goal, count, last = self._written.get(effect.subject, ("", 0, 0.0))
            return goal == effect.goal and count == FREE and self._monotonic() - last <= MEMORY

    def written(self, effect: Effect) -> bool:
        """Count a write with *effect*; True if an operator is to hear of it now."""
        now = self._monotonic()
        with self._lock:
            goal, count, last = self._written.get(effect.subject, ("", 0, now))
            count = count + 1 if goal == effect.goal and now - last <= MEMORY else 1
            self._written[effect.subject] = (effect.goal, count, now)
            self._written.move_to_end(effect.subject)
            while len(self._written) > REMEMBERED:  # it is a memory of minutes, not an inventory
                self._written.popitem(last=False)
            return count == FREE + 1


def last_writer(document: Mapping[str, Any], field: str) -> str:
    """Return who wrote *field* (``data``) of the object *document* last beside us, by its managedFields; "" if unknown.

    Where no other manager has the field any more, because it took it away, it is who wrote anything last.
    """
    entries = document.get("metadata", {}).get("managedFields")
    others = [
        entry
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("manager"), str) and entry["manager"] != FIELD_MANAGER
    ]
    owners = [entry for entry in others if f"f:{field}" in (entry.get("fieldsV1") or {})]
    latest = max(owners or others, key=lambda entry: str(entry.get("time") or ""), default=None)
    return sentence(latest["manager"]) if latest is not None else ""
