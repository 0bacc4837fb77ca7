"""Writes the Grafana dashboards in packaging/chart/files/dashboards again (`make dashboards`).

A dashboard is a title and panels; a panel is a title, its queries with what the legend says of each, and a unit. All
else is the same for all panels, and stands here once. Grafana's SDK for Python would make this no shorter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freeze.bundles import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = REPOSITORY / "packaging" / "chart" / "files" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
"""The width of Grafana's grid."""
GREEN, RED, ORANGE = "green", "red", "orange"
ON_NODE = 'node="$node"'


@dataclass(frozen=True, slots=True)
class Panel:
    """*queries* maps PromQL to its legend. A *stat* shows the last value, red from *bad* on; else there is a graph.

    *bad_is_low* turns that round: red below *bad*.
    """

    title: str
    queries: dict[str, str]
    about: str = ""
    unit: str = "short"
    stat: bool = False
    bad: float | None = None
    bad_is_low: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height on the grid."""
        return (4, 4) if self.stat else (12, 8)

    def to_dict(self, number: int, x: int, y: int) -> dict[str, Any]:
        """Return the panel as Grafana stores it."""
        width, height = self.size
        defaults: dict[str, Any] = {"unit": self.unit, "color": {"mode": "palette-classic"}}
        if self.stat:
            first, then = (RED, GREEN) if self.bad_is_low else (GREEN, RED)
            steps = [{"color": first, "value": None}]
            steps += [{"color": then, "value": self.bad}] if self.bad is not None else []
            defaults |= {
                "color": {"mode": "thresholds"},
                "thresholds": {"mode": "absolute", "steps": steps},
            }
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}} if self.stat else {"tooltip": {"mode": "multi"}}
        return {
            "id": number,
            "type": "stat" if self.stat else "timeseries",
            "title": self.title,
            "description": self.about,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": width, "h": height},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": options,
            "targets": [
                {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query, "legendFormat": legend}
                for index, (query, legend) in enumerate(self.queries.items())
            ],
        }


@dataclass(frozen=True, slots=True)
class Dashboard:
    """*uid* is in its address and never changes; *nodes* is the query for the choice of a node."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    nodes: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the dashboard as Grafana stores it."""
        variables: list[dict[str, Any]] = [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
        ]
        if self.nodes:
            node = {"name": "node", "label": "Node", "type": "query", "datasource": SOURCE, "sort": 1, "refresh": 2}
            variables.append({**node, "query": self.nodes})
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["acr"],
            "schemaVersion": 39,
            "editable": True,
            "refresh": "1m",
            "time": {"from": "now-6h", "to": "now"},
            "templating": {"list": variables},
            "links": [{"type": "dashboards", "title": "ACR", "tags": ["acr"], "asDropdown": True, "keepTime": True}],
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterator[dict[str, Any]]:
        """Yield the panels from left to right, a new row where the next one does not fit or is of another height."""
        x = y = height = 0
        for number, panel in enumerate(self.panels, start=1):
            if x + panel.size[0] > COLUMNS or height not in (0, panel.size[1]):
                x, y = 0, y + height
            height = panel.size[1]
            yield panel.to_dict(number, x, y)
            x += panel.size[0]


def stat(title: str, query: str, **more: Any) -> Panel:
    return Panel(title, {query: ""}, stat=True, **more)


FLEET = Dashboard(
    "acr-fleet",
    "ACR credential provider: fleet",
    (
        stat("Nodes", "count(acr_node_agent_up)"),
        stat("Not ready", "count(acr_node_ready == 0) or vector(0)", bad=1),
        stat("Agent silent", "count(acr_node_agent_up == 0) or vector(0)", bad=1),
        stat("Wait for their turn", 'sum(acr_node_state{state="waiting"})', about="For a restart of the kubelet."),
        stat("Settings unusable", "count(acr_node_settings_usable == 0) or vector(0)", bad=1),
        stat(
            "In use",
            "count(acr_node_plugin_first_call_timestamp_seconds > 0) or vector(0)",
            about="Nodes whose kubelet has called the plugin.",
        ),
        Panel("Nodes by state", {"sum by (state) (acr_node_state)": "{{state}}"}),
        Panel("Nodes by version", {"count by (version) (acr_node_info)": "{{version}}"}),
        Panel(
            "Rollout: changes in ten minutes",
            {
                "sum(increase(acr_node_installs_total[10m]))": "installations",
                "sum(increase(acr_node_settings_changes_total[10m]))": "settings",
                "sum(increase(acr_node_failures_total[10m]))": "failures",
                "sum(increase(acr_node_drift_repairs_total[10m]))": "repairs",
            },
        ),
        Panel(
            "Nodes that do not take a change",
            {'max by (node, state) (acr_node_state{state=~"refused|rejected|failed"}) == 1': "{{node}}: {{state}}"},
            about="One that is rejected stops the rollout.",
        ),
        Panel(
            "Soonest end of a token, by registry",
            {"min by (registry) (acr_node_token_dead_seconds)": "{{registry}}"},
            about="Over all nodes. Tokens that pulls use are renewed before; others end.",
            unit="s",
        ),
        Panel(
            "Renewals of tokens in ten minutes",
            {
                "sum(increase(acr_node_token_refreshes_total[10m]))": "runs",
                "sum(increase(acr_node_token_refresh_failures_total[10m]))": "failed runs",
            },
        ),
    ),
)
NODE = Dashboard(
    "acr-node",
    "ACR credential provider: node",
    (
        stat("Ready", f"max(acr_node_ready{{{ON_NODE}}})", bad=1, bad_is_low=True),
        stat("Agent", f"max(acr_node_agent_up{{{ON_NODE}}})", bad=1, bad_is_low=True),
        stat(
            "Last heartbeat",
            f"time() - max(acr_node_agent_last_heartbeat_timestamp_seconds{{{ON_NODE}}})",
            unit="s",
            bad=120,
        ),
        stat("Settings usable", f"min(acr_node_settings_usable{{{ON_NODE}}})", bad=1, bad_is_low=True),
        stat("Logins lost", f"max(acr_node_settings_lost_logins{{{ON_NODE}}})", about="By the last change.", bad=1),
        stat(
            "First call",
            f"max(acr_node_plugin_first_call_timestamp_seconds{{{ON_NODE}}} * 1000 > 0)",
            about="When the kubelet first called the plugin.",
            unit="dateTimeAsIso",
        ),
        Panel("State", {f"max by (state) (acr_node_state{{{ON_NODE}}}) == 1": "{{state}}"}),
        Panel("Version", {f"max by (version) (acr_node_info{{{ON_NODE}}})": "{{version}}"}),
        Panel(
            "Tokens: time until they are renewed",
            {f"min by (registry) (acr_node_token_due_seconds{{{ON_NODE}}})": "{{registry}}"},
            unit="s",
        ),
        Panel(
            "Tokens: time until they end",
            {f"min by (registry) (acr_node_token_dead_seconds{{{ON_NODE}}})": "{{registry}}"},
            unit="s",
        ),
        Panel(
            "What the agent did in ten minutes",
            {
                f"sum(increase(acr_node_installs_total{{{ON_NODE}}}[10m]))": "installations",
                f"sum(increase(acr_node_failures_total{{{ON_NODE}}}[10m]))": "failures",
                f"sum(increase(acr_node_drift_repairs_total{{{ON_NODE}}}[10m]))": "repairs",
                f"sum(increase(acr_node_settings_changes_total{{{ON_NODE}}}[10m]))": "settings taken",
                f"sum(increase(acr_node_settings_unusable_total{{{ON_NODE}}}[10m]))": "settings unusable",
                f"sum(increase(acr_node_token_refreshes_total{{{ON_NODE}}}[10m]))": "renewals",
                f"sum(increase(acr_node_token_refresh_failures_total{{{ON_NODE}}}[10m]))": "failed renewals",
            },
        ),
        Panel(
            "What clients of the port did wrong",
            {f"sum by (reason) (increase(acr_node_client_faults_total{{{ON_NODE}}}[10m]))": "{{reason}}"},
        ),
    ),
    nodes="label_values(acr_node_agent_up, node)",
)
OURS = "acr_pull_secrets"
CONTROLLER = Dashboard(
    "acr-pull-secrets",
    "ACR credential provider: pull-secrets controller",
    (
        stat("Leaders", f"sum({OURS}_leader_election_master_status)", bad=1, bad_is_low=True),
        stat("Replicas", f"count({OURS}_build_info)"),
        stat("Configuration problems", f"max({OURS}_configuration_problems)", bad=1),
        stat("Secrets", f'max({OURS}_managed_objects{{kind="Secret"}})'),
        stat("ServiceAccounts", f'max({OURS}_managed_objects{{kind="ServiceAccount"}})'),
        stat(
            "Certificate's life",
            f"min({OURS}_serving_certificate_expiry_timestamp_seconds) - time()",
            about="Of the webhook. Without a webhook there is none.",
            unit="s",
            bad=7 * 86400,
            bad_is_low=True,
        ),
        Panel("Configuration", {f"max by (state) ({OURS}_configuration) == 1": "{{state}}"}),
        Panel(
            "Edits of the configuration in an hour",
            {f"sum by (outcome, loss) (increase({OURS}_configuration_edits_total[1h]))": "{{outcome}}, loses {{loss}}"},
        ),
        Panel(
            "Tokens: life left",
            {f"min by (entry) ({OURS}_token_expiry_timestamp_seconds > 0) - time()": "{{entry}}"},
            about="An entry without a token has no line.",
            unit="s",
        ),
        Panel(
            "Tokens: age", {f"time() - max by (entry) ({OURS}_token_issued_timestamp_seconds)": "{{entry}}"}, unit="s"
        ),
        Panel(
            "Renewals of tokens in ten minutes",
            {
                f"sum by (entry) (increase({OURS}_token_renewals_total[10m]))": "{{entry}}",
                f"sum by (entry, reason) (increase({OURS}_token_renewal_failures_total[10m]))": "{{entry}}: {{reason}}",
            },
        ),
        Panel(
            "Writes by outcome",
            {f"sum by (kind, outcome) (rate({OURS}_writes_total[5m]))": "{{kind}}: {{outcome}}"},
            unit="ops",
        ),
        Panel("Namespaces in the work queue", {f"max({OURS}_workqueue_depth)": "waiting"}),
        Panel(
            "Calls of the API server: 99th percentile",
            {
                "histogram_quantile(0.99, sum by (le, verb, resource) "
                f"(rate({OURS}_api_call_duration_seconds_bucket[5m])))": "{{verb}} {{resource}}"
            },
            unit="s",
        ),
        Panel(
            "Calls of the API server by code",
            {f"sum by (code) (rate({OURS}_api_call_duration_seconds_count[5m]))": "{{code}}"},
            unit="ops",
        ),
        Panel(
            "Watches that ended",
            {f"sum by (resource, reason) (increase({OURS}_watch_restarts_total[10m]))": "{{resource}}: {{reason}}"},
            about="Timeouts are regular.",
        ),
        Panel(
            "ServiceAccounts that the webhook answered for",
            {f"sum by (outcome) (rate({OURS}_admissions_total[5m]))": "{{outcome}}"},
            unit="ops",
        ),
        Panel(
            "Duration of an admission review: 99th percentile",
            {
                f"histogram_quantile(0.99, sum by (le) (rate({OURS}_admission_duration_seconds_bucket[5m])))": "p99",
            },
            unit="s",
        ),
        Panel(
            "Who adds the entry to new ServiceAccounts",
            {
                f"max({OURS}_webhook_configured)": "webhook",
                f"max({OURS}_admission_policy_in_force)": "admission policy",
            },
        ),
        Panel("Events", {f"sum by (outcome) (increase({OURS}_events_total[10m]))": "{{outcome}}"}),
        Panel(
            "What clients of the ports did wrong",
            {f"sum by (reason) (increase({OURS}_client_faults_total[10m]))": "{{reason}}"},
        ),
    ),
)
DASHBOARDS = {"fleet": FLEET, "node": NODE, "controller": CONTROLLER}


def files() -> dict[str, str]:
    """Return the text of each dashboard by its name; a line for each panel, so that a change of one is seen as one."""
    texts = {}
    for name, dashboard in DASHBOARDS.items():
        document = dashboard.to_dict()
        panels = ",\n    ".join(json.dumps(panel) for panel in document.pop("panels"))
        head = json.dumps(document, indent=2).removesuffix("\n}")
        texts[name] = f'{head},\n  "panels": [\n    {panels}\n  ]\n}}\n'
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / f"{name}.json").write_text(text)
