import pytest
from acr_credential_provider.kube_api.client import ApiRefusedError
from acr_node_config.reporter.restart_leases import (
    LEASE_SECONDS,
    MOST_REJECTED,
    REJECTED,
    ROLLOUT,
    RestartSemaphore,
    slot_name,
)
from unit.node_agent.fakes import LEASES, NAMESPACE, Clock, FakeApi


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def api():
    return FakeApi(slots=1)


def slots_of(node, api, clock, *, count=1):
    return RestartSemaphore(api, NAMESPACE, [slot_name(number) for number in range(count)], node, clock.boot)


def test_one_slot_has_one_holder_until_it_is_given_back(api, clock):
    one, other = slots_of("one", api, clock), slots_of("other", api, clock)

    assert one.acquire(0)
    assert not other.acquire(0)
    one.release()
    assert other.acquire(0)
    assert api.holder() == "other"


def test_as_many_nodes_hold_slots_as_there_are(clock):
    api = FakeApi(slots=3)
    nodes = [slots_of(f"node-{number}", api, clock, count=3) for number in range(5)]

    held = [node.acquire(number) for number, node in enumerate(nodes)]

    assert held == [True, True, True, False, False]


def test_of_two_who_write_at_the_same_moment_one_gets_it(api, clock):
    one, other = slots_of("one", api, clock), slots_of("other", api, clock)

    def other_was_faster(_path):
        api.before_put = lambda _path: None
        assert other.acquire(0)

    api.before_put = other_was_faster

    assert not one.acquire(0)
    assert one.held == ""
    assert api.holder() == "other"


def test_the_slot_of_a_node_that_died_is_free_once_it_was_seen_unchanged_for_its_whole_time(api, clock):
    dead, other = slots_of("dead", api, clock), slots_of("other", api, clock)
    assert dead.acquire(0)

    clock.now += 5000  # nobody looked: how long it has been so is not known
    assert not other.acquire(0)
    clock.now += LEASE_SECONDS
    assert not other.acquire(0)
    clock.now += 1
    assert other.acquire(0)


def test_a_holder_that_renews_is_never_taken_for_dead_however_wrong_its_clock_is(api, clock):
    slow = Clock()
    slow.now = -1e9
    holder, other = slots_of("holder", api, slow), slots_of("other", api, clock)
    assert holder.acquire(0)

    for _ in range(20):
        clock.now += LEASE_SECONDS / 2
        assert not other.acquire(0)
        assert holder.renew()


def test_who_was_taken_for_dead_notices_and_leaves_the_new_holder_alone(api, clock):
    slept, other = slots_of("slept", api, clock), slots_of("other", api, clock)
    assert slept.acquire(0)
    other.acquire(0)
    clock.now += LEASE_SECONDS + 1
    assert other.acquire(0)

    assert not slept.renew()
    assert slept.held == ""
    slept.release()
    assert api.holder() == "other"


def test_a_reporter_that_was_killed_takes_up_the_slot_its_node_held(api, clock):
    assert slots_of("node", api, clock).acquire(0)
    again = slots_of("node", api, clock)

    again.adopt()

    assert again.held == slot_name(0)
    again.release()
    assert api.holder() == ""


def test_what_one_node_rejected_is_known_to_all_and_other_content_is_not_concerned(api, clock):
    slots_of("bad", api, clock).reject("0123456789abcdef", "the kubelet\ndid not start")
    other = slots_of("other", api, clock)

    assert other.rejection("0123456789abcdef") == "bad: the kubelet did not start"
    assert other.rejection("fedcba9876543210") == ""


def test_a_rejection_is_written_even_when_others_write_too(api, clock):
    rounds = iter(range(3))

    def somebody_else(path):
        if next(rounds, None) is not None:
            api._store(path, api.get(path))

    api.before_put = somebody_else

    slots_of("bad", api, clock).reject("a", "crash")

    assert slots_of("other", api, clock).rejection("a") == "bad: crash"


def test_old_rejections_make_room_for_new_ones_and_foreign_annotations_stay(api, clock):
    api.objects[LEASES + ROLLOUT]["metadata"]["annotations"] = {"somebody.else/note": "kept"}
    bad = slots_of("bad", api, clock)

    for number in range(MOST_REJECTED + 5):
        bad.reject(f"content-{number}", "crash")

    annotations = api.objects[LEASES + ROLLOUT]["metadata"]["annotations"]
    assert annotations["somebody.else/note"] == "kept"
    ours = [name for name in annotations if name.startswith(REJECTED)]
    assert len(ours) == MOST_REJECTED
    assert ours[-1] == f"{REJECTED}content-{MOST_REJECTED + 4}"


def test_a_lease_that_is_not_there_names_the_manifests(clock):
    with pytest.raises(ApiRefusedError, match="404") as caught:
        slots_of("node", FakeApi(slots=0), clock).acquire(0)
    assert "manifests" in caught.value.remedy
