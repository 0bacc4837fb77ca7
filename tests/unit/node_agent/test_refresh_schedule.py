"""A simulated day: how often the cloud is asked, and which pulls have to wait for it."""

import random

import pytest
from acr_node_config.agent.refresh_schedule import AHEAD, LOOK_EVERY, RETRY_EVERY, CachedToken, RefreshSchedule
from hypothesis import given
from hypothesis import strategies as st
from unit.node_agent.fakes import Clock
from unit.node_agent.machine import Machine

HOUR = 3600
SHOP, LAB = "shop-registry.cn-hangzhou.cr.aliyuncs.com", "lab-registry.cn-hangzhou.cr.aliyuncs.com"

remembered = st.builds(
    CachedToken,
    st.sampled_from([SHOP, LAB]),
    st.floats(-1e5, 1e5),
    st.floats(-1e5, 1e5),
    st.booleans(),
    st.booleans(),
)


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path, Clock())
    machine.push("match: *.*.cr.aliyuncs.com\n")
    machine.run(10)
    return machine


def live(machine, seconds, *, pulls=()):
    """Let time pass; each of *pulls* is pulled from every quarter of an hour or so. Return who waited when."""
    chance, waited = random.Random(3), []
    end, due = machine.clock.now + seconds, dict.fromkeys(pulls, machine.clock.now)
    while machine.clock.now < end:
        for host, at in due.items():
            if machine.clock.now >= at:
                if machine.node.pull(host):
                    waited.append((host, machine.clock.now))
                due[host] = machine.clock.now + chance.uniform(60, 1800)
        machine.run(10)
    return waited


def test_over_a_day_a_registry_in_use_costs_one_call_in_45_minutes_and_no_pull_waits_but_the_first(machine):
    waited = live(machine, 24 * HOUR, pulls=[SHOP])

    assert [host for host, _ in waited] == [SHOP]
    assert 1.25 <= machine.node.calls / 24 <= 1.45


def test_a_registry_that_nobody_asks_for_any_more_costs_nothing(machine):
    live(machine, HOUR, pulls=[SHOP, LAB])
    live(machine, 3 * HOUR, pulls=[SHOP])
    lab = machine.node.tokens[LAB].dead
    before = machine.node.calls
    live(machine, 20 * HOUR, pulls=[SHOP])

    assert machine.node.tokens[LAB].dead == lab
    assert machine.node.calls - before <= 20 * 1.45


def test_a_node_without_pulls_calls_nobody_and_hardly_looks(machine):
    live(machine, 6 * HOUR)

    assert machine.node.calls == 0
    assert "token_refreshes" not in machine.status["counts"]


@pytest.mark.parametrize("start", range(0, 60, 9))
def test_an_outage_shorter_than_the_remaining_life_costs_no_hit(machine, start):
    live(machine, HOUR, pulls=[SHOP])
    live(machine, start * 60, pulls=[SHOP])
    token = machine.node.tokens[SHOP]
    machine.node.cloud_fails = True
    left = token.dead - machine.clock.now
    waited = live(machine, left - 2 * RETRY_EVERY, pulls=[SHOP])
    machine.node.cloud_fails = False
    waited += live(machine, 3 * HOUR, pulls=[SHOP])

    assert waited == []


def test_a_failing_cloud_is_asked_now_and_then_only(machine):
    live(machine, HOUR, pulls=[SHOP])
    machine.node.cloud_fails = True
    before = machine.status["counts"].get("token_refreshes", 0)
    live(machine, 2 * HOUR)

    assert machine.status["counts"]["token_refreshes"] - before <= (900 + 120) / RETRY_EVERY + 1
    assert machine.status["counts"]["token_refresh_failures"] > 5


def test_many_nodes_that_got_their_tokens_together_do_not_renew_them_together(tmp_path):
    times = []
    for number in range(12):
        machine = Machine(tmp_path / str(number), Clock(), name=f"node-{number}")
        machine.push("match: x\n")
        machine.run(10)
        machine.node.pull(SHOP)
        refresh = machine.node.refresh
        machine.node.refresh = lambda ahead, machine=machine, refresh=refresh: (
            times.append(machine.clock.now),
            refresh(ahead),
        )
        live(machine, HOUR, pulls=[SHOP])

    assert max(times) - min(times) > 30


@given(st.lists(remembered, max_size=6), st.floats(0, 1e6))
def test_the_next_look_is_never_far_and_never_at_once(tokens, now):
    for schedule in (
        RefreshSchedule(),
        RefreshSchedule(now + RETRY_EVERY),
        RefreshSchedule().ran(after=tokens, now=now),
    ):
        assert 5 <= schedule.next_look(tokens, now) <= LOOK_EVERY


@given(st.lists(remembered, max_size=6), st.floats(0, 1e6))
def test_what_was_not_to_be_had_is_tried_again_after_a_rest(tokens, now):
    schedule = RefreshSchedule().ran(after=tokens, now=now)

    assert not schedule.is_time(tokens, now + RETRY_EVERY - 1)
    assert schedule.is_time(tokens, now + RETRY_EVERY) is any(each.is_due_soon for each in tokens)


@given(st.lists(remembered, min_size=1, max_size=6), st.floats(0, 1e6))
def test_a_wanted_token_that_is_due_is_renewed_at_the_first_look_and_no_other(tokens, now):
    is_due = any(
        each.is_wanted and each.is_valid and each.expires_in > 0 and each.refresh_in <= AHEAD for each in tokens
    )

    assert RefreshSchedule().is_time(tokens, now) is is_due
