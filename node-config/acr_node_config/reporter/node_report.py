"""A node's condition, Events and metrics. Pure: a status in, documents out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.remedy import coded
from acr_credential_provider.version import NAME

from acr_node_config.model import first_call
from acr_node_config.rollout import agent_status as of
from acr_node_config.rollout.agent_status import AgentStatus, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from acr_credential_provider.model.connection_table import ClientFault

CONDITION = "ACRCredentialProviderReady"
COMPONENT = NAME
STALE_AFTER = 120.0
"""Seconds without a sign of life from the agent; it gives one each 15 s, but for a restart under way (40 s)."""
LONGEST_MESSAGE = 1000  # an Event's note may have 1024 bytes

_REASONS = {
    of.STARTING: "Starting",
    of.READY: "Installed",
    of.WAITING: "WaitingToRestart",
    of.REFUSED: "NodeNotSupported",
    of.REJECTED: "ChangeRejected",
    of.FAILED: "Failed",
    of.STANDBY: "OtherAgentAtWork",
    of.UNINSTALLED: "Uninstalled",
}
_WARNINGS = (of.REFUSED, of.REJECTED, of.FAILED)
_EVENT_STATES = (of.READY, of.REFUSED, of.REJECTED, of.FAILED, of.UNINSTALLED)


@dataclass(frozen=True, slots=True)
class Condition:
    """The node's condition: *status* is True, False or Unknown, as Kubernetes spells them."""

    status: str
    reason: str
    message: str

    def to_dict(self, *, now: float, since: float) -> dict[str, Any]:
        """Return the patch of a node's status; *now* and *since* (its last transition) are seconds since the epoch."""
        return {
            "status": {
                "conditions": [
                    {
                        "type": CONDITION,
                        "status": self.status,
                        "reason": self.reason,
                        "message": self.message,
                        "lastHeartbeatTime": _time(now),
                        "lastTransitionTime": _time(since),
                    }
                ]
            }
        }


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """Something worth an Event of the node."""

    reason: str
    message: str
    is_warning: bool = False

    def to_dict(self, node: str, uid: str, *, name: str, now: float) -> dict[str, Any]:
        """Return the Event; like the kubelet's own about its node it lies in the namespace default."""
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": "default"},
            "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid},
            "reason": self.reason,
            "message": self.message[:LONGEST_MESSAGE],
            "type": "Warning" if self.is_warning else "Normal",
            "source": {"component": COMPONENT, "host": node},
            "firstTimestamp": _time(now),
            "lastTimestamp": _time(now),
            "count": 1,
        }


def is_stale(status: AgentStatus | None, now: float) -> bool:
    """True if the agent has given no sign of life for long; *now* is in seconds since boot."""
    return status is None or not -STALE_AFTER < now - status.beat < STALE_AFTER


def condition(status: AgentStatus | None, now: float, missing: str = "") -> Condition:
    """Return the node's condition; *now* is in seconds since boot, *missing* what keeps it from a restart."""
    if status is None or is_stale(status, now):
        return Condition("Unknown", "AgentSilent", "the agent has given no sign of life for a while; see its log")
    words = [coded(status.message, status.remedy), status.remedy]
    if status.settings.outcome == of.UNUSABLE:
        words += ["New settings are not usable, the last good ones stay: " + " ".join(status.settings.problems[:3])]
    if status.settings.lost:
        words += [_loss(status.settings)]
    if status.request and missing:
        words += [missing]
    if status.is_serving:
        words += ["The kubelet runs with the plugin.", first_call.in_words(status.first_call)]
    verdict = "Unknown" if status.state == of.STARTING else str(status.is_serving)
    return Condition(verdict, _REASONS[status.state], _joined(words) or "Nothing is known yet.")


def events_between(before: AgentStatus | None, after: AgentStatus) -> Iterator[NodeEvent]:
    """Yield the Events between two statuses of a node; *before* is None at the first."""
    if after.state in _EVENT_STATES and (
        before is None or (before.state, before.message) != (after.state, after.message)
    ):
        words = _joined([coded(after.message, after.remedy), after.remedy]) or "The kubelet runs with the plugin."
        yield NodeEvent("ACR" + _REASONS[after.state], words, is_warning=after.state in _WARNINGS)
    if before is not None and after.counts.get("drift_repairs", 0) > before.counts.get("drift_repairs", 0):
        yield NodeEvent("ACRDriftRepaired", "Somebody changed what is installed on this node; it was put right again.")
    if (before.settings if before else None) == after.settings:
        return
    if after.settings.outcome == of.UNUSABLE:
        words = _joined(["New settings are not usable, the last good ones stay.", *after.settings.problems[:5]])
        yield NodeEvent("ACRSettingsUnusable", words, is_warning=True)
    elif before is not None and after.settings.in_force != before.settings.in_force and after.settings.in_force:
        words = _joined([f"Settings {after.settings.in_force} are in force.", _loss(after.settings)])
        yield NodeEvent("ACRSettingsChanged", words, is_warning=bool(after.settings.lost))


def _loss(settings: of.SettingsStatus) -> str:
    """Return what the settings in force took away, in words; "" for nothing."""
    if not settings.lost:
        return ""
    return f"The last change of the settings took away the logins of {', '.join(settings.lost)}."


_COUNTERS = {
    "installs": "Runs of the installer that changed something.",
    "failures": "Checks and runs of the installer that failed.",
    "drift_repairs": "Repairs of what somebody changed on the node.",
    "settings_changes": "Settings that were taken over.",
    "settings_unusable": "Settings that were judged unusable.",
    "token_refreshes": "Runs of cache refresh.",
    "token_refresh_failures": "Runs of cache refresh in which a token could not be renewed.",
}


def metrics(
    status: AgentStatus | None, now: float, wall: float, client_faults: Mapping[ClientFault, int] = MappingProxyType({})
) -> str:
    """Return the node's metrics in the text format of Prometheus.

    *now* is in seconds since boot, *wall* the same moment in seconds since the epoch. *client_faults* are those of the
    reporter's port.
    """
    lines: list[str] = []

    def metric(name: str, kind: str, purpose: str, *values: tuple[str, float]) -> None:
        lines.append(f"# HELP acr_node_{name} {purpose}")
        lines.append(f"# TYPE acr_node_{name} {kind}")
        lines.extend(f"acr_node_{name}{labels} {value:.12g}" for labels, value in values)

    metric("agent_up", "gauge", "1 while the agent gives signs of life.", ("", float(not is_stale(status, now))))
    if client_faults:
        values = ((_labels(reason=fault), float(count)) for fault, count in client_faults.items())
        metric("client_faults_total", "counter", "What clients of this port did wrong.", *values)
    if status is None:
        return "\n".join(lines) + "\n"
    heartbeat = wall - max(now - status.beat, 0.0)
    metric("agent_last_heartbeat_timestamp_seconds", "gauge", "Time of its last sign of life.", ("", heartbeat))
    metric("ready", "gauge", "1 while the kubelet uses a plugin that was verified.", ("", float(status.is_serving)))
    metric(
        "plugin_first_call_timestamp_seconds",
        "gauge",
        "When the kubelet first called the plugin; 0: not yet.",
        ("", status.first_call),
    )
    metric(
        "state",
        "gauge",
        "1 for the state that the node is in.",
        *((_labels(state=state), float(state == status.state)) for state in of.STATES),
    )
    metric("info", "gauge", "The agent's version.", (_labels(version=status.version), 1.0))
    is_usable = status.settings.outcome != of.UNUSABLE
    metric("settings_usable", "gauge", "0 while new settings are not usable.", ("", float(is_usable)))
    metric("settings_lost_logins", "gauge", "Logins that the last change took away.", ("", len(status.settings.lost)))
    for name, purpose in _COUNTERS.items():
        metric(f"{name}_total", "counter", purpose, ("", float(status.counts.get(name, 0))))
    metric(
        "token_due_seconds",
        "gauge",
        "Time until the first token of a registry should be renewed; negative: it is late.",
        *_soonest((token.host, token.refresh_in) for token in status.tokens),
    )
    metric(
        "token_dead_seconds",
        "gauge",
        "Time until the first token of a registry is not used any more.",
        *_soonest((token.host, token.expires_in) for token in status.tokens),
    )
    return "\n".join(lines) + "\n"


def _soonest(times: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """Yield one sample a registry, its soonest time: Pods' identities give it several tokens."""
    soonest: dict[str, float] = {}
    for host, seconds in times:
        labels = _labels(registry=host)
        soonest[labels] = min(seconds, soonest.get(labels, seconds))
    yield from soonest.items()


def _labels(**labels: str) -> str:
    """Return *labels* as the format writes them.

    >>> _labels(registry="example.com", state="ready")
    '{registry="example.com",state="ready"}'
    """
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return plain_text(value).replace("\\", "\\\\").replace('"', '\\"')


def _joined(words: list[str]) -> str:
    sentences = (sentence.rstrip() for sentence in words if sentence)
    return plain_text(" ".join(text if text.endswith((".", ":")) else f"{text}." for text in sentences))


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
