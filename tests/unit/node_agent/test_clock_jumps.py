"""The clock of a node is set while something is at work: forth by a year, back to 1970. Nothing is decided by it.

What counts seconds counts those since the boot, or looks; the wall clock's time is for people to read.
"""

import ast
import random
from pathlib import Path

import acr_node_config
import pytest
from acr_node_config.kubelet.health_gate import Clock as InstallersClock
from acr_node_config.rollout import agent_status
from unit.node_agent.fakes import CONFIG, Clock, FakeApi
from unit.node_agent.machine import Machine, run
from unit.node_agent.test_rollout import holding

YEAR = 365 * 86400.0
NAMES = tuple(f"node-{number}" for number in range(6))
GOOD = "match: *.*.cr.aliyuncs.com\nregistry: one\n"
FOR_PEOPLE = {
    "state.py": "when a content was rejected, in status",
    "restart_leases.py": "the times in a Lease, which nobody counts from",
    "reporter_cli.py": "the times in conditions and Events",
    "node_report.py": "how those are written",
    "plugin_calls.py": "since when the kubelet calls the plugin; a time to come counts as now",
    "first_call.py": "how that is written",
}
WALL_CLOCKS = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "CLOCK_REALTIME"},
    "datetime": {"now", "utcnow"},
}


class SetClock(Clock):
    """A clock that somebody sets, at every look anew."""

    def __init__(self) -> None:
        super().__init__()
        self._chance = random.Random(5)

    def wall(self) -> float:
        return max(0.0, super().wall() + self._chance.choice([-60 * YEAR, -3600.0, 0.0, 3600.0, YEAR]))


def asks_the_wall_clock(source: str) -> bool:
    names = (each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Attribute))
    return any(
        isinstance(each.value, ast.Name) and each.attr in WALL_CLOCKS.get(each.value.id, ()) for each in names
    ) or ("datetime" in source and "fromtimestamp" in source)


def test_only_what_people_read_is_told_by_the_wall_clock():
    files = Path(acr_node_config.__file__).parent.rglob("*.py")

    assert {file.name for file in files if asks_the_wall_clock(file.read_text())} == set(FOR_PEOPLE)


def test_the_guards_script_counts_looks():
    script = (Path(acr_node_config.__file__).parent / "install/guard.sh").read_text()

    assert not [line for line in script.splitlines() if "date " in line.partition("#")[0] or "SECONDS" in line]


def test_the_installer_watches_by_a_clock_that_nobody_sets():
    assert InstallersClock().now.__name__ == "monotonic"


@pytest.fixture
def clock():
    return SetClock()


def test_all_nodes_get_their_turn_one_after_the_other(tmp_path, clock):
    api = FakeApi(nodes=NAMES)
    machines = [Machine(tmp_path / name, clock, name=name, api=api) for name in NAMES]
    for machine in machines:
        machine.push(GOOD)
        machine.node.before_install = holding(machine, api, 1)

    run(machines, clock, 600)

    assert [machine.status["state"] for machine in machines] == [agent_status.READY] * len(NAMES)
    assert [machine.node.restarts for machine in machines] == [1] * len(NAMES)
    assert api.holder() == ""
    assert {condition["status"] for condition in api.conditions.values()} == {"True"}


def test_a_bad_node_stops_the_others_all_the_same(tmp_path, clock):
    api = FakeApi(nodes=NAMES)
    machines = [Machine(tmp_path / name, clock, name=name, api=api) for name in NAMES]
    for machine in machines:
        machine.node.lives_with = lambda config: False
        machine.push(GOOD)

    run(machines, clock, 600)

    states = sorted(machine.status["state"] for machine in machines)
    assert states == [agent_status.REJECTED] + [agent_status.WAITING] * (len(NAMES) - 1)
    assert sum(machine.node.restarts for machine in machines) == 2


def test_drift_is_repaired_as_soon_as_ever(tmp_path, clock):
    api = FakeApi(nodes=NAMES[:1])
    machine = Machine(tmp_path / "one", clock, name=NAMES[0], api=api)
    machine.push(GOOD)
    machine.run(60)
    machine.node.at(CONFIG).unlink()
    machine.run(60)
    assert machine.node.text(CONFIG)
    machine.node.at("/etc/aliyun-acr-credential-provider/settings.yaml").unlink()
    machine.run(10)
    assert machine.settings == GOOD
