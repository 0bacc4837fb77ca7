"""Dashboards and alerts ask for what the product exposes, and each alert leads to what its reader should do."""

import json
import re
from itertools import pairwise

import pytest
import yaml
from support.exposition import labels_by_series
from support.harness import ROOT
from support.markdown import anchor, headings

from generate import dashboards

FILES = ROOT / "packaging/chart/files"
RULES = {
    rule["alert"]: rule
    for file in sorted(FILES.glob("*-alerts.yaml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
}
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((FILES / "dashboards").glob("*.json"))}
TARGETS = [
    (f"{name}: {panel['title']}", target)
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel["targets"]
]
QUERIES = {f"{where} {target['refId']}": target["expr"] for where, target in TARGETS} | {
    name: rule["expr"] for name, rule in RULES.items()
}
SERIES = labels_by_series()
OF_THE_POD = {"node"}
"""What the PodMonitor adds to every series."""
GROWING = {"pod", "namespace", "container", "instance", "uid", "service_account", "image"}
"""Labels that have as many values as a cluster has Pods or namespaces."""
ASKED = re.compile(r"\b(acr_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
BY = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


def faults(query):
    """Return what in *query* the product does not have."""
    found: list[str] = []
    known: set[str] = set()
    if "acr_" not in query:
        return ["asks for nothing of ours"]
    for name, matchers in ASKED.findall(query):
        labels = SERIES.get(name)
        if labels is None:
            found.append(f"no series {name}")
            continue
        known |= labels.keys() | OF_THE_POD
        rest = MATCHER.sub("", matchers).strip(", ")
        if rest:
            found.append(f"unreadable: {rest}")
        for label, operator, value in MATCHER.findall(matchers):
            if label in OF_THE_POD:
                continue
            values = set(value.split("|") if "~" in operator else [value])
            found += [f"{name} has no {label} {each}" for each in sorted(values - labels.get(label, set()))]
    grouped = {label.strip() for labels in BY.findall(query) for label in labels.split(",")}
    return [*found, *(f"no label {label}" for label in sorted(grouped - known))]


def shown(query):
    """Return the labels that the answers to *query* have: those of the outermost group."""
    groups = BY.search(query)
    return {label.strip() for label in groups[1].split(",")} if groups else set()


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_asks_for_series_labels_and_values_that_there_are(name):
    assert faults(QUERIES[name]) == []


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("max(acr_node_redy)", "no series acr_node_redy"),
        ("sum by (pool) (acr_node_ready)", "no label pool"),
        ('acr_node_state{state=~"refused|rejekted"}', "acr_node_state has no state rejekted"),
        ('acr_pull_secrets_admissions_total{outcome="late"}', "acr_pull_secrets_admissions_total has no outcome late"),
        ('acr_pull_secrets_writes_total{verb!="make"}', "acr_pull_secrets_writes_total has no verb make"),
        ("acr_pull_secrets_writes", "no series acr_pull_secrets_writes"),
        ("acr_node_state{state='ready'}", "unreadable: state='ready'"),
        ("up == 0", "asks for nothing of ours"),
    ],
)
def test_what_there_is_not_is_found(query, fault):
    assert faults(query) == [fault]


def test_no_label_grows_with_pods():
    assert {name: found for name, labels in SERIES.items() if (found := labels.keys() & GROWING)} == {}


@pytest.mark.parametrize(("where", "target"), TARGETS, ids=[where for where, _ in TARGETS])
def test_a_legend_names_labels_that_the_answer_has(where, target):
    named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert named == shown(target["expr"]) - {"le"}, where


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_says_how_bad_it_is_and_leads_to_its_runbook(alert):
    rule = RULES[alert]
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= shown(rule["expr"])
    page, _, fragment = rule["annotations"]["runbook_url"].partition("#")
    assert fragment == anchor(alert)
    assert fragment in {anchor(title) for _, title in headings((ROOT / page).read_text())}


def test_the_runbooks_and_the_table_have_these_alerts_and_no_others():
    runbooks = [title for level, title in headings((ROOT / "docs/alerts.md").read_text()) if level == 3]
    table = re.findall(r"^\| \[`(Acr\w+)`\].*\| (\w+) \|$", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    assert sorted(runbooks) == sorted(RULES)
    assert dict(table) == {name: rule["labels"]["severity"] for name, rule in RULES.items()}


def test_the_dashboards_are_what_their_description_says():
    texts = {path.stem: path.read_text() for path in (FILES / "dashboards").glob("*.json")}
    assert texts == dashboards.files(), "make dashboards manifests"


@pytest.mark.parametrize("name", BOARDS)
def test_no_two_panels_lie_on_each_other(name):
    places = [panel["gridPos"] for panel in BOARDS[name]["panels"]]
    squares = [(p["x"] + x, p["y"] + y) for p in places for x in range(p["w"]) for y in range(p["h"])]
    assert len(squares) == len(set(squares))
    assert max(x for x, _ in squares) < dashboards.COLUMNS
    assert all(first["y"] <= second["y"] for first, second in pairwise(places))
