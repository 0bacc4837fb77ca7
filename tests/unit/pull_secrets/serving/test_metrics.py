"""The figures are what docs/metrics.md says they are, and hold no name of a workload."""

import asyncio
import re

import pytest
from acr_credential_provider.pull_secrets.model.telemetry import TokenState
from acr_credential_provider.pull_secrets.serving.http_server import Request
from acr_credential_provider.pull_secrets.serving.metrics import PREFIX, Metrics
from prometheus_client.parser import text_string_to_metric_families
from support.harness import ROOT

NOW = 1_800_000_000.0
ISSUED, EXPIRY = f"{PREFIX}_token_issued_timestamp_seconds", f"{PREFIX}_token_expiry_timestamp_seconds"


@pytest.fixture
def metrics():
    return Metrics()


def scrape(metrics):
    answer = asyncio.run(metrics.answer(Request("GET", "/metrics", {}, b"")))
    assert answer.status == 200
    assert answer.content_type.startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_a_tokens_times_are_those_that_the_token_has(metrics):
    metrics.tokens([TokenState("cri-1 in cn-hangzhou", issued_at=NOW - 60, expires_at=NOW + 600)])
    found = scrape(metrics)
    assert found[ISSUED, "cri-1 in cn-hangzhou"] == NOW - 60
    assert found[EXPIRY, "cri-1 in cn-hangzhou"] == NOW + 600


def test_an_entry_without_a_token_expired_at_the_epoch_and_was_never_issued_one(metrics):
    metrics.tokens([TokenState("cri-1", 0, 0), TokenState("cri-2", NOW - 9000, NOW - 5000)])
    found = scrape(metrics)
    assert found[EXPIRY, "cri-1"] == 0
    assert found[EXPIRY, "cri-2"] == NOW - 5000
    assert (ISSUED, "cri-1") not in found


def test_an_entry_that_left_the_configuration_leaves_the_figures(metrics):
    metrics.tokens([TokenState("cri-1", NOW, NOW + 1)])
    metrics.tokens([])
    found = scrape(metrics)
    assert (EXPIRY, "cri-1") not in found
    assert (ISSUED, "cri-1") not in found


def test_the_configuration_is_in_one_state_at_a_time(metrics):
    metrics.configuration("loaded", problems=0)
    metrics.configuration("last_good", problems=3)
    found = scrape(metrics)
    states = {state: found[f"{PREFIX}_configuration", state] for state in ("loaded", "partial", "last_good", "absent")}
    assert states == {"loaded": 0, "partial": 0, "last_good": 1, "absent": 0}
    assert found[f"{PREFIX}_configuration_problems",] == 3


def test_everything_that_is_told_is_counted(metrics):
    metrics.renewed("cri-1")
    metrics.renewal_failed("cri-1", "RoleRefusedError")
    metrics.wrote("Secret", "create", "ok")
    metrics.called("GET", "secrets", "200", 0.003)
    metrics.watch_ended("serviceaccounts", "idle_timeout")
    metrics.managed(secrets=2, service_accounts=20)
    metrics.queue(7)
    metrics.leading(True)
    metrics.event_sent("dropped")
    metrics.admitted("patched", 0.01)
    metrics.webhook(True)
    metrics.certificate(leaf=NOW + 1, authority=NOW + 2)
    found = scrape(metrics)
    assert found[f"{PREFIX}_token_renewals_total", "cri-1"] == 1
    assert found[f"{PREFIX}_token_renewal_failures_total", "RoleRefusedError", "cri-1"] == 1
    assert found[f"{PREFIX}_writes_total", "Secret", "create", "ok"] == 1
    assert found[f"{PREFIX}_api_call_duration_seconds_count", "200", "GET", "secrets"] == 1
    assert found[f"{PREFIX}_watch_restarts_total", "idle_timeout", "serviceaccounts"] == 1
    assert found[f"{PREFIX}_managed_objects", "ServiceAccount"] == 20
    assert found[f"{PREFIX}_workqueue_depth",] == 7
    assert found[f"{PREFIX}_leader_election_master_status",] == 1
    assert found[f"{PREFIX}_events_total", "dropped"] == 1
    assert found[f"{PREFIX}_admissions_total", "patched"] == 1
    assert found[f"{PREFIX}_webhook_configured",] == 1
    assert found[f"{PREFIX}_serving_certificate_expiry_timestamp_seconds", "serving"] == NOW + 1


def test_what_the_process_itself_uses_is_among_the_figures(metrics):
    assert scrape(metrics)["process_resident_memory_bytes",] > 0


def test_every_figure_is_in_the_documentation_with_its_labels_and_nothing_else_is(metrics):
    families = {
        family.name + ("_total" if family.type == "counter" else "_info" if family.type == "info" else "")
        for family in metrics.registry.collect()
        if family.name.startswith(PREFIX)
    }
    text = (ROOT / "docs/metrics.md").read_text()
    rows = re.findall(rf"^\| `({PREFIX}_\w+)(?:{{([a-z,]+)}})?` \| (\w+) \|", text, re.MULTILINE)
    assert {name for name, _, _ in rows} == families
    told = {name: set(filter(None, labels.split(","))) for name, labels, _ in rows}
    for family in metrics.registry.collect():
        for collector, names in metrics.registry._collector_to_names.items():
            if family.name in names and hasattr(collector, "_labelnames"):
                whole = next(
                    name for name in families if name in (family.name, f"{family.name}_total", f"{family.name}_info")
                )
                if family.type != "info":
                    assert told[whole] == set(collector._labelnames), whole
