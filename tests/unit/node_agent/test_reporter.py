import pytest
from acr_node_config.reporter.node_report import CONDITION, STALE_AFTER
from acr_node_config.reporter.reporter import (
    FAILURE_WAIT,
    GRANT,
    HEARTBEAT,
    LONGEST_WAIT,
    REPEAT,
    STATUS,
    Clocks,
    Reporter,
)
from acr_node_config.reporter.restart_leases import LEASE_SECONDS, OWNER, ROLLOUT, RestartSemaphore, slot_name
from acr_node_config.rollout import agent_status, json_exchange
from acr_node_config.rollout.agent_status import AgentStatus, RestartGrant, SettingsStatus
from unit.node_agent.fakes import LEASES, NAMESPACE, Clock, FakeApi

NODE = "node-1"
CONTENT = "0123456789abcdef"


class Stage:
    """A reporter with both folders, and what its agent says in one of them."""

    def __init__(self, folder, api, clock, *, slots=True, node=NODE):
        self.api, self.clock, self.said = api, clock, []
        self.status, self.grants = folder / f"{node}-status", folder / f"{node}-grants"
        self.status.mkdir()
        self.grants.mkdir()
        self._slots = slots
        self._node = node
        self.start()

    def start(self):
        slots = (
            RestartSemaphore(self.api, NAMESPACE, [slot_name(0)], self._node, self.clock.boot) if self._slots else None
        )
        clocks = Clocks(self.clock.boot, self.clock.wall)
        self.reporter = Reporter(
            self._node, str(self.status), str(self.grants), self.api, slots, clocks, self.said.append
        )

    def tell(self, state=agent_status.READY, **more):
        fields = {"state": state, "content": CONTENT, "beat": self.clock.now, **more}
        json_exchange.put(str(self.status), STATUS, AgentStatus("1.0", **fields).to_dict())

    def tick(self, seconds=0.0):
        self.clock.now += seconds
        self.reporter.tick()

    @property
    def grant(self):
        document = json_exchange.get(str(self.grants), GRANT)
        return RestartGrant.from_dict(document) if document else None

    @property
    def condition(self):
        return self.api.conditions.get(self._node)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def api():
    return FakeApi(slots=1, nodes=(NODE, "node-2"))


@pytest.fixture
def stage(tmp_path, api, clock):
    return Stage(tmp_path, api, clock)


def test_a_node_that_is_well_has_a_true_condition_and_one_event(stage, api):
    stage.tell(is_serving=True)
    stage.tick()
    stage.tick(2)

    assert (stage.condition["type"], stage.condition["status"]) == (CONDITION, "True")
    assert api.reasons(NODE) == ["ACRInstalled"]
    event = api.events[0]
    assert event["involvedObject"] == {"apiVersion": "v1", "kind": "Node", "name": NODE, "uid": f"uid-of-{NODE}"}
    assert event["type"] == "Normal"


def test_a_condition_that_stays_is_patched_every_few_minutes_only(stage, api):
    for _ in range(int(HEARTBEAT)):
        stage.tell(is_serving=True)
        stage.tick(2)

    patches = [call for call in api.calls if call[0] == "PATCH"]
    assert len(patches) == 2


def test_the_time_of_the_last_transition_moves_with_the_status_only(stage):
    stage.tell(is_serving=True)
    stage.tick()
    first = stage.condition["lastTransitionTime"]
    stage.tell(agent_status.WAITING, is_serving=True, message="waiting for a turn")
    stage.tick(60)
    assert stage.condition["reason"] == "WaitingToRestart"
    assert stage.condition["lastTransitionTime"] == first
    stage.tell(agent_status.FAILED, message="the disk is full", remedy="Free some space.")
    stage.tick(60)

    assert stage.condition["status"] == "False"
    assert stage.condition["message"] == "the disk is full. Free some space."
    assert stage.condition["lastTransitionTime"] > first


def test_an_agent_that_falls_silent_is_told_of(stage):
    stage.tell(is_serving=True)
    stage.tick()
    stage.tick(STALE_AFTER + 1)

    assert (stage.condition["status"], stage.condition["reason"]) == ("Unknown", "AgentSilent")


def test_nothing_is_said_of_an_agent_that_had_no_time_to_speak_yet(stage):
    stage.tick()
    stage.tick(30)
    assert stage.condition is None
    stage.tick(STALE_AFTER)
    assert stage.condition["status"] == "Unknown"


def test_a_rejection_is_an_event_with_its_cause_and_a_warning(stage, api):
    stage.tell(agent_status.REJECTED, message="the kubelet did not start", remedy="Repair the settings.")
    stage.tick()

    (event,) = api.events
    assert (event["reason"], event["type"]) == ("ACRChangeRejected", "Warning")
    assert event["message"] == "the kubelet did not start. Repair the settings."


def test_a_node_that_flaps_does_not_fill_the_cluster_with_events(stage, api):
    for _ in range(100):
        for state in (agent_status.READY, agent_status.FAILED):
            stage.tell(state, message=f"it is {state}")
            stage.tick(2)

    assert len(api.events) == 2
    stage.tell(agent_status.READY, message="it is ready")
    stage.tick(REPEAT)
    assert len(api.events) == 3


def test_unusable_settings_and_drift_are_events(stage, api):
    stage.tell(is_serving=True)
    stage.tick()
    unusable = SettingsStatus(agent_status.UNUSABLE, "good", "bad", ("line 3: registries[0].region is not known",))
    stage.tell(is_serving=True, settings=unusable, counts={"drift_repairs": 1})
    stage.tick(2)

    assert api.reasons(NODE) == ["ACRInstalled", "ACRDriftRepaired", "ACRSettingsUnusable"]
    assert "line 3: registries[0].region" in api.events[-1]["message"]
    assert "line 3" in stage.condition["message"]
    assert stage.condition["status"] == "True"


def test_while_the_api_server_is_down_nothing_is_lost_and_it_is_not_hammered(stage, api):
    api.is_down = True
    stage.tell(agent_status.FAILED, message="the disk is full")
    for _ in range(100):
        stage.tick(1)
    assert len(api.calls) <= 100 / (FAILURE_WAIT * 0.5) + 1
    assert len(stage.said) == 1
    api.is_down = False
    stage.tell(agent_status.READY, is_serving=True)
    stage.tick(FAILURE_WAIT * 2)

    assert api.reasons(NODE) == ["ACRFailed", "ACRInstalled"]
    assert stage.condition["status"] == "True"


def test_without_its_leases_a_node_still_has_its_condition_and_what_is_missing_is_said_once(tmp_path, clock):
    api = FakeApi(slots=0, nodes=(NODE,))
    stage = Stage(tmp_path, api, clock)
    for _ in range(100):
        stage.tell(agent_status.WAITING, request="r1")
        stage.tick(1)

    assert stage.grant is None
    assert stage.condition["reason"] == "WaitingToRestart"
    assert f"refused GET {LEASES}{slot_name(0)} (404)" in stage.condition["message"]
    assert "Apply the manifests again" in stage.condition["message"]
    assert [error.status for error in stage.said] == [404]


def test_what_was_missing_is_told_no_longer_once_it_is_there(tmp_path, clock):
    api = FakeApi(slots=0, nodes=(NODE,))
    stage = Stage(tmp_path, api, clock)
    stage.tell(agent_status.WAITING, request="r1")
    stage.tick(1)
    for name in (ROLLOUT, slot_name(0)):
        api.objects[LEASES + name] = {"metadata": {"name": name, "namespace": NAMESPACE, "resourceVersion": "1"}}
    stage.tell(agent_status.WAITING, request="r1")
    stage.tick(FAILURE_WAIT * 2)

    assert stage.grant.request == "r1"
    assert "Apply the manifests" not in stage.condition["message"]


def test_leases_that_a_tool_left_out_are_made_once_and_belong_to_the_release(tmp_path, clock):
    api = FakeApi(slots=0, nodes=(NODE, "node-2"), may_create=True)
    first, second = Stage(tmp_path, api, clock), Stage(tmp_path, api, clock, node="node-2")
    for stage in (first, second):
        stage.tell(agent_status.WAITING, request="r1")
        stage.tick(1)

    assert first.grant.request == "r1"
    assert second.grant is None
    for name in (ROLLOUT, slot_name(0)):
        (owner,) = api.objects[LEASES + name]["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Role", OWNER, "uid-of-the-role")
    assert first.said + second.said == []


def test_a_lease_that_another_node_made_meanwhile_is_taken_as_it_is(tmp_path, clock):
    api = FakeApi(slots=0, nodes=(NODE,), may_create=True)
    api.before_post = lambda path, document: api.add_lease(document["metadata"]["name"])
    stage = Stage(tmp_path, api, clock)
    stage.tell(agent_status.WAITING, request="r1")
    stage.tick(1)

    assert stage.grant.request == "r1"
    assert stage.said == []


def test_a_request_is_granted_for_as_long_as_the_slot_is_held(stage, api):
    stage.tell(agent_status.WAITING, request="r1")
    stage.tick()

    assert stage.grant == RestartGrant("r1", stage.clock.now + LEASE_SECONDS)
    assert api.holder() == NODE
    stage.tell(agent_status.READY, is_serving=True)
    stage.tick(2)
    assert stage.grant is None
    assert api.holder() == ""


def test_a_grant_is_prolonged_while_it_is_needed_and_runs_out_when_nobody_can_prolong_it(stage, api):
    stage.tell(agent_status.WAITING, request="r1")
    stage.tick()
    stage.tick(60)
    assert stage.grant.until == stage.clock.now + LEASE_SECONDS
    api.is_down = True
    stage.tick(60)
    stage.tick(60)

    assert stage.grant.until == stage.clock.now - 120 + LEASE_SECONDS


def test_the_second_node_waits_until_the_first_is_done(stage, tmp_path, api, clock):
    second = Stage(tmp_path, api, clock, node="node-2")
    stage.tell(agent_status.WAITING, request="a")
    second.tell(agent_status.WAITING, request="b")
    stage.tick()
    for _ in range(10):
        stage.tick(2)
        second.tick()
    assert second.grant is None
    stage.tell(is_serving=True)
    stage.tick()
    for _ in range(int(LONGEST_WAIT)):
        second.tick(1)

    assert second.grant.request == "b"


def test_a_rejection_is_known_before_the_slot_is_given_back(stage, api):
    stage.tell(agent_status.WAITING, request="r1")
    stage.tick()
    order = []
    api.before_put = lambda path: order.append(path.removeprefix(LEASES))
    stage.tell(agent_status.REJECTED, message="the kubelet did not start")
    stage.tick(2)

    assert order == [ROLLOUT, slot_name(0)]
    assert api.holder() == ""


def test_if_a_rejection_cannot_be_told_the_slot_is_kept(stage, api):
    stage.tell(agent_status.WAITING, request="r1")
    stage.tick()
    api.is_down = True
    stage.tell(agent_status.REJECTED, message="the kubelet did not start")
    stage.tick(2)
    api.is_down = False
    assert api.holder() == NODE
    stage.tick(FAILURE_WAIT * 2)

    assert api.holder() == ""
    assert "node-1: the kubelet did not start" in str(api.objects[LEASES + ROLLOUT])


def test_after_a_rejection_the_same_content_is_refused_with_its_cause_and_other_content_is_not(
    stage, tmp_path, api, clock
):
    stage.tell(agent_status.REJECTED, message="the kubelet did not start")
    stage.tick()
    second = Stage(tmp_path, api, clock, node="node-2")
    second.tell(agent_status.WAITING, request="b")
    second.tick()
    assert second.grant == RestartGrant("b", refusal="node-1: the kubelet did not start")
    assert api.holder() == ""
    second.tell(agent_status.WAITING, request="c", content="another")
    second.tick(LONGEST_WAIT)

    assert second.grant.request == "c"
    assert second.grant.refusal == ""


def test_a_rejection_that_an_operator_took_back_is_not_written_again(stage, api):
    stage.tell(agent_status.REJECTED, message="the kubelet did not start")
    stage.tick()
    del api.objects[LEASES + ROLLOUT]["metadata"]["annotations"]
    stage.tick(2)

    assert "annotations" not in api.objects[LEASES + ROLLOUT]["metadata"]


def test_a_reporter_killed_while_its_node_changes_goes_on_where_it_was(stage, api):
    stage.tell(agent_status.WAITING, request="r1")
    stage.tick()
    stage.start()
    stage.tick(2)

    assert stage.grant.request == "r1"
    stage.tell(is_serving=True)
    stage.tick(2)
    assert api.holder() == ""


def test_a_node_that_was_slow_to_be_killed_gives_back_what_it_does_not_need(stage, api):
    stage.tell(agent_status.WAITING, request="r1")
    stage.tick()
    stage.tell(is_serving=True)
    stage.start()
    stage.tick(2)

    assert api.holder() == ""


def test_without_slots_everybody_may_go_at_once(tmp_path, api, clock):
    stage = Stage(tmp_path, api, clock, slots=False)
    stage.tell(agent_status.WAITING, request="r1")
    stage.tick()

    assert stage.grant.request == "r1"
    assert not [path for _, path in api.calls if "leases" in path]


def test_garbage_for_a_status_is_no_status(stage):
    (stage.status / STATUS).write_text('{"state": "ready"}')
    stage.tick()
    (stage.status / STATUS).unlink()
    (stage.status / STATUS).symlink_to("/etc/hostname")
    stage.tick(2)

    assert stage.reporter.agent is None
