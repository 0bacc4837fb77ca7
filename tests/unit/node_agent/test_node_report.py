import json
from dataclasses import replace
from pathlib import Path

import pytest
from acr_credential_provider.model.connection_table import ClientFault
from acr_node_config.reporter.node_report import NodeEvent, condition, events_between, metrics
from acr_node_config.rollout import agent_status
from acr_node_config.rollout.agent_status import AgentStatus, SettingsStatus, TokenStatus, plain_text
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

HOST = "shop-registry.cn-hangzhou.cr.aliyuncs.com"
words = st.text(max_size=40).map(plain_text)
statuses = st.builds(
    AgentStatus,
    version=words,
    state=st.sampled_from(agent_status.STATES),
    message=words,
    remedy=words,
    is_serving=st.booleans(),
    content=words,
    request=words,
    settings=st.builds(
        SettingsStatus,
        outcome=words,
        in_force=words,
        offered=words,
        problems=st.lists(words, max_size=3).map(tuple),
        lost=st.lists(words, max_size=3).map(tuple),
    ),
    counts=st.dictionaries(words, st.integers(0, 10**6), max_size=3),
    tokens=st.lists(st.builds(TokenStatus, words, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=3).map(tuple),
    beat=st.floats(0, 1e9),
)


@given(statuses)
def test_a_status_reads_back_as_it_was_written(status):
    assert AgentStatus.from_dict(json.loads(json.dumps(status.to_dict()))) == status


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["version", "state", "settings", "counts", "tokens", "request"]), inner)
        ),
    )
)
def test_anything_else_is_a_value_error(document):
    try:
        AgentStatus.from_dict(document)
    except ValueError:
        return
    raise AssertionError("it was taken for a status")


@given(statuses, statuses)
def test_whatever_a_status_says_the_cluster_is_told_in_its_own_limits(before, after):
    told = condition(after, after.beat)
    assert told.status in ("True", "False", "Unknown")
    assert 0 < len(told.message) <= 1024
    for each in events_between(before, after):
        event = each.to_dict("node", "uid", name="x", now=0.0)
        assert each.reason.isidentifier()
        assert 0 < len(event["message"]) <= 1024


def series(text):
    """Return what Prometheus' own client reads of *text*: values by name and labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples), "a series is there twice"
    return found


@given(statuses)
def test_prometheus_reads_the_metrics_and_finds_no_series_twice(status):
    faults = dict.fromkeys(ClientFault, 1)
    text = metrics(status, status.beat, 1.7e9, faults)
    found = series(text)
    assert len(found) == len([line for line in text.splitlines() if not line.startswith("#")])
    assert found["acr_node_state", ("state", status.state)] == 1


def test_of_several_tokens_of_a_registry_the_soonest_times_are_given():
    """Each ServiceAccount has a token of its own."""
    tokens = (TokenStatus(HOST, 600.0, 1500.0), TokenStatus(HOST, 900.0, 1200.0), TokenStatus("other", 1.0, 2.0))
    found = series(metrics(AgentStatus("1.0", tokens=tokens), 0.0, 1.7e9))
    assert found["acr_node_token_due_seconds", ("registry", HOST)] == 600
    assert found["acr_node_token_dead_seconds", ("registry", HOST)] == 1200
    assert found["acr_node_token_dead_seconds", ("registry", "other")] == 2


def test_metrics_say_what_an_alert_needs():
    status = AgentStatus(
        "1.0",
        state=agent_status.READY,
        is_serving=True,
        settings=SettingsStatus(agent_status.UNUSABLE, "a", "b"),
        counts={"drift_repairs": 3, "token_refreshes": 7},
        tokens=(TokenStatus(HOST, 600.0, 1500.0),),
        beat=100.0,
    )

    lines = metrics(status, 130.0, 1.7e9).splitlines()

    for line in (
        "acr_node_agent_up 1",
        "acr_node_agent_last_heartbeat_timestamp_seconds 1699999970",
        "acr_node_ready 1",
        'acr_node_state{state="ready"} 1',
        'acr_node_state{state="rejected"} 0',
        "acr_node_settings_usable 0",
        "acr_node_drift_repairs_total 3",
        "acr_node_token_refreshes_total 7",
        f'acr_node_token_due_seconds{{registry="{HOST}"}} 600',
        f'acr_node_token_dead_seconds{{registry="{HOST}"}} 1500',
    ):
        assert line in lines


def test_a_change_of_settings_that_took_logins_away_is_a_warning_and_stays_in_the_condition():
    before = AgentStatus("1.0", state=agent_status.READY, settings=SettingsStatus(agent_status.IN_FORCE, "a", "a"))
    after = replace(before, settings=SettingsStatus(agent_status.IN_FORCE, "b", "b", lost=("cri-1 in cn-hangzhou",)))
    (event,) = events_between(before, after)
    words = "The last change of the settings took away the logins of cri-1 in cn-hangzhou."
    assert event == NodeEvent("ACRSettingsChanged", f"Settings b are in force. {words}", is_warning=True)
    assert words in condition(after, after.beat).message
    assert "acr_node_settings_lost_logins 1" in metrics(after, 0.0, 1.7e9).splitlines()
    assert "took away" not in condition(before, before.beat).message


def test_a_host_cannot_break_out_of_its_label():
    status = AgentStatus("1.0", tokens=(TokenStatus('a"} 1\nevil{x="\\', 1.0, 2.0),))

    assert 'acr_node_token_due_seconds{registry="a\\"} 1 evil{x=\\"\\\\"} 1' in metrics(status, 0.0, 1.7e9).splitlines()


@pytest.mark.parametrize(
    ("called_at", "words"),
    [
        (0.0, "The kubelet runs with the plugin. The kubelet has not called it yet."),
        (1764583200.0, "The kubelet runs with the plugin. In use since 2025-12-01T10:00:00Z."),
        (1.0, "The kubelet runs with the plugin. In use."),
    ],
)
def test_installed_is_told_from_in_use(called_at, words):
    status = AgentStatus("1.0", state=agent_status.READY, is_serving=True, first_call=called_at)
    told = condition(status, 0.0)
    assert (told.status, told.reason, told.message) == ("True", "Installed", words)
    metric = f"acr_node_plugin_first_call_timestamp_seconds {called_at:.12g}"
    assert metric in metrics(AgentStatus.from_dict(status.to_dict()), 0.0, 1.8e9).splitlines()


def test_of_a_plugin_that_is_not_there_no_use_is_told():
    status = AgentStatus("1.0", state=agent_status.FAILED, message="the disk is full", first_call=1764583200.0)
    assert condition(status, 0.0).message == "the disk is full."


def test_what_clients_did_wrong_is_told_by_its_kind_also_without_an_agent():
    faults = dict.fromkeys(ClientFault, 0) | {ClientFault.TIMEOUT: 3}
    lines = metrics(None, 0.0, 1.7e9, faults).splitlines()
    assert 'acr_node_client_faults_total{reason="timeout"} 3' in lines
    assert 'acr_node_client_faults_total{reason="too_many_connections"} 0' in lines


def test_without_an_agent_it_is_down_and_nothing_else_is_claimed():
    assert metrics(None, 0.0, 1.7e9).splitlines()[-1] == "acr_node_agent_up 0"
    assert condition(None, 0.0).status == "Unknown"


def test_every_metric_reason_and_event_is_in_the_operators_page():
    page = (Path(__file__).resolve().parents[3] / "docs/node-agent.md").read_text()
    status = AgentStatus("1.0", tokens=(TokenStatus(HOST, 1.0, 2.0),))
    names = {line.split()[2] for line in metrics(status, 0.0, 1.7e9).splitlines() if line.startswith("# TYPE ")}
    reasons = {condition(AgentStatus("1.0", state=state), 0.0).reason for state in agent_status.STATES}

    assert [name for name in sorted(names) if f"`{name}" not in page] == []
    assert [
        each for each in sorted(reasons - {"Starting", "OtherAgentAtWork", "Uninstalled"}) if each not in page
    ] == []
