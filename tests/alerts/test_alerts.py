"""Each alert fires in what it is for and stays quiet in what looks like it, as Prometheus' own promtool judges."""

import re
import subprocess

import pytest
import yaml
from alerts.prometheus import program
from alerts.scenarios import SCENARIOS, controllers, leader, node, nodes, standby
from prometheus_client.parser import text_string_to_metric_families
from support.harness import ROOT

FILES = sorted((ROOT / "packaging/chart/files").glob("*-alerts.yaml"))
RULES = {
    rule["alert"]: rule
    for file in FILES
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
}


def series_of(pages, minutes):
    """Return promtool's input: what is scraped each minute, and `_` for what is not there."""
    found = {}
    for minute in range(minutes + 1):
        for pod, text in pages(minute).items():
            target = {"pod": pod, "node": pod.replace("_", "-")}
            for sample in (each for family in text_string_to_metric_families(text) for each in family.samples):
                if sample.name.startswith("acr_"):
                    key = (sample.name, *sorted({**sample.labels, **target}.items()))
                    found.setdefault(key, ["_"] * (minutes + 1))[minute] = f"{sample.value:.12g}"
    return [{"series": written(*key), "values": " ".join(values)} for key, values in found.items()]


def written(name, *labels):
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}"


def expected(scenario):
    """Return the alert as it arrives, with what its summary says."""
    if scenario.labels is None:
        return []
    rule = RULES[scenario.alert]

    def filled(text):
        text = re.sub(r"{{ \$labels\.(\w+) }}", lambda match: scenario.labels[match[1]], text)
        return text.replace("{{ $value }}", scenario.value)

    annotations = {name: filled(text) for name, text in rule["annotations"].items()}
    return [{"exp_labels": {**rule["labels"], **scenario.labels}, "exp_annotations": annotations}]


def judged(tmp_path, pages, minutes, alerts):
    """Let promtool judge that after *minutes* of *pages* exactly *alerts* fire, by their names."""
    test = {
        "interval": "1m",
        "input_series": series_of(pages, minutes),
        "alert_rule_test": [
            {"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": wanted} for name, wanted in alerts.items()
        ],
    }
    document = {"rule_files": list(map(str, FILES)), "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
    words = [program("promtool"), "test", "rules", str(tmp_path / "test.yaml")]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_prometheus_reads_the_rules():
    words = [program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *map(str, FILES)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[f"{each.alert}: {each.about}" for each in SCENARIOS])
def test_an_alert_fires_in_what_it_is_for_and_in_nothing_else(scenario, tmp_path):
    done = judged(tmp_path, scenario.pages, scenario.minutes, {scenario.alert: expected(scenario)})
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_scenario_in_which_it_fires_and_one_in_which_it_does_not():
    outcomes = {(each.alert, each.labels is not None) for each in SCENARIOS}
    assert outcomes == {(name, fires) for name in RULES for fires in (True, False)}


@pytest.mark.parametrize(
    ("of", "pages"),
    [("node", nodes(node_1=node(), node_2=node())), ("pull-secrets", controllers(leader(), standby))],
    ids=["nodes", "controller"],
)
def test_where_all_is_well_nothing_fires(of, pages, tmp_path):
    (file,) = (each for each in FILES if each.name == f"{of}-alerts.yaml")
    names = [rule["alert"] for rule in yaml.safe_load(file.read_text())["groups"][0]["rules"]]
    done = judged(tmp_path, pages, 60, {name: [] for name in names})
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_what_did_not_fire(tmp_path):
    wanted = [{"exp_labels": RULES["AcrNodeDrift"]["labels"], "exp_annotations": {}}]
    done = judged(tmp_path, nodes(node_1=node()), 10, {"AcrNodeDrift": wanted})
    assert done.returncode == 1
