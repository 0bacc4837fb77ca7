"""Twenty simulated nodes: real agents and reporters, one API server, and what a bad node means for the others."""

import random

import pytest
from acr_node_config.reporter.restart_leases import LEASE_SECONDS, REJECTED, ROLLOUT
from acr_node_config.rollout import agent_status
from unit.node_agent.fakes import CONFIG, LEASES, PROGRAM, Clock, FakeApi
from unit.node_agent.machine import Machine, run

NAMES = tuple(f"node-{number:02}" for number in range(20))
BAD = "node-07"
GOOD = "match: *.*.cr.aliyuncs.com\nregistry: one\n"
WIDER = "match: *.*.cr.aliyuncs.com\nmatch: images.example.com\nregistry: one\n"


@pytest.fixture
def clock():
    return Clock()


def cluster_of(tmp_path, clock, *, slots):
    api = FakeApi(slots=slots, nodes=NAMES)
    machines = {}
    for name in NAMES:
        machine = machines[name] = Machine(tmp_path / name, clock, name=name, api=api, slots=slots)
        machine.push(GOOD)
        machine.node.before_install = holding(machine, api, slots)
    return api, machines


def holding(machine, api, slots):
    """Return what sees to it that no node restarts its kubelet without a slot."""

    def check(plan):
        assert not plan.restarts or machine.name in [api.holder(number) for number in range(slots)]

    return check


def states(machines):
    return [machine.status["state"] for machine in machines.values()]


@pytest.mark.parametrize("slots", [1, 3])
def test_all_nodes_get_their_turn_and_never_more_at_once_than_there_are_slots(tmp_path, clock, slots):
    api, machines = cluster_of(tmp_path, clock, slots=slots)

    run(list(machines.values()), clock, 900)

    assert states(machines) == [agent_status.READY] * 20
    assert [machine.node.restarts for machine in machines.values()] == [1] * 20
    assert [api.holder(number) for number in range(slots)] == [""] * slots
    assert {condition["status"] for condition in api.conditions.values()} == {"True"}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("slots", [1, 3])
def test_the_first_bad_node_stops_the_rollout_and_the_others_are_untouched(tmp_path, clock, slots, seed):
    random.seed(seed)
    api, machines = cluster_of(tmp_path, clock, slots=slots)
    run(list(machines.values()), clock, 900)
    bad = machines[BAD]
    bad.node.lives_with = lambda config: "images.example.com" not in config
    for machine in machines.values():
        machine.push(WIDER)
    changed_after = []
    for machine in machines.values():
        machine.node.before_install = lambda _, name=machine.name: changed_after.append((name, bad.node.restarts > 1))

    run(list(machines.values()), clock, 1200)

    # Whoever held a slot at that moment may have gone on; nobody else.
    late = [name for name, was_rejected in changed_after if was_rejected and name != BAD]
    assert len(late) < slots
    done = [name for name, machine in machines.items() if "images.example.com" in machine.node.text(CONFIG)]
    for name in set(NAMES) - set(done) - {BAD}:
        machine = machines[name]
        assert machine.node.restarts == 1
        assert machine.settings == GOOD
        assert machine.status["state"] == agent_status.WAITING
        assert BAD in machine.status["message"]
        assert machine.status["is_serving"] is True
    assert bad.status["state"] == agent_status.REJECTED
    assert bad.settings == GOOD
    assert api.conditions[BAD]["reason"] == "ChangeRejected"
    assert "ACRChangeRejected" in api.reasons(BAD)
    assert len(done) < 19

    for machine in machines.values():
        machine.push(GOOD + "registry: two\n")
    run(list(machines.values()), clock, 1200)
    assert {machine.settings for machine in machines.values()} == {GOOD + "registry: two\n"}


def test_an_operator_can_have_the_others_go_on(tmp_path, clock):
    api, machines = cluster_of(tmp_path, clock, slots=1)
    machines[BAD].node.lives_with = lambda config: False
    run([machines[BAD]], clock, 60)
    run(list(machines.values()), clock, 300)
    assert states(machines).count(agent_status.WAITING) == 19
    annotations = api.objects[LEASES + ROLLOUT]["metadata"]["annotations"]
    for name in [name for name in annotations if name.startswith(REJECTED)]:
        del annotations[name]
    run(list(machines.values()), clock, 900)

    assert [name for name, machine in machines.items() if machine.status["state"] != agent_status.READY] == [BAD]


def test_while_the_api_server_is_down_no_kubelet_is_restarted_and_what_needs_none_goes_on(tmp_path, clock):
    api, machines = cluster_of(tmp_path, clock, slots=1)
    api.is_down = True
    run(list(machines.values()), clock, 600)
    assert states(machines) == [agent_status.WAITING] * 20
    assert [machine.node.restarts for machine in machines.values()] == [0] * 20
    api.is_down = False
    run(list(machines.values()), clock, 900)
    assert states(machines) == [agent_status.READY] * 20
    api.is_down = True
    for machine in machines.values():
        machine.push(GOOD + "registry: two\n")
    run(list(machines.values()), clock, 310)

    assert {machine.settings for machine in machines.values()} == {GOOD + "registry: two\n"}


def test_a_node_that_dies_with_a_slot_holds_the_others_up_for_minutes_only(tmp_path, clock):
    api, machines = cluster_of(tmp_path, clock, slots=1)
    dead = machines.pop("node-00")

    def die(_):
        raise SystemExit

    dead.node.before_install = die
    with pytest.raises(SystemExit):
        run([dead], clock, 60)
    assert api.holder() == "node-00"
    run(list(machines.values()), clock, LEASE_SECONDS + 900)

    assert states(machines) == [agent_status.READY] * 19


def test_agents_and_reporters_killed_at_random_bring_all_nodes_to_their_end(tmp_path, clock):
    chance = random.Random(7)
    api, machines = cluster_of(tmp_path, clock, slots=2)
    for _ in range(300):
        for machine in machines.values():
            if chance.random() < 0.03:
                machine.start()
        run(list(machines.values()), clock, 4)
    run(list(machines.values()), clock, 600)

    assert states(machines) == [agent_status.READY] * 20
    assert [machine.node.text(PROGRAM) for machine in machines.values()] == ["1"] * 20
    assert [api.holder(number) for number in range(2)] == ["", ""]
