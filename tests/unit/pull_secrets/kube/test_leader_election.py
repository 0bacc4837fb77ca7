"""The election against an API server that is a dictionary with versions, and clocks that differ."""

import pytest
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.leader_election import LONGEST, Clocks, LeaderElector
from acr_credential_provider.pull_secrets.model.telemetry import Telemetry


class Leases:
    """The API server's part: one Lease, its version, and whether anybody can reach it."""

    def __init__(self):
        self.telemetry = Telemetry()
        self.lease = None
        self.is_away = False

    def _check(self):
        if self.is_away:
            raise ClusterError("away", remedy="Wait.")

    def get(self, path):
        self._check()
        return None if self.lease is None else {**self.lease, "spec": dict(self.lease["spec"])}

    def create(self, path, body):
        self._check()
        if self.lease is not None:
            raise ClusterError("exists", remedy="", status=409)
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}

    def replace(self, path, body):
        self._check()
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ClusterError("changed", remedy="", status=409)
        version = str(int(body["metadata"]["resourceVersion"]) + 1)
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases():
    return Leases()


def candidate(leases, clock, name, *, wall=lambda: 0.0, told=None):
    elector = LeaderElector(leases, "own", name, clocks=Clocks(clock, wall))
    elector.on_change = (told if told is not None else []).append
    return elector


def test_the_first_one_leads_and_the_second_waits(leases, clock):
    one, two = candidate(leases, clock, "one"), candidate(leases, clock, "two")
    assert one.try_once()
    assert not two.try_once()
    assert one.may_write()
    assert not two.may_write()


def test_who_does_not_renew_stops_before_another_can_begin(leases, clock):
    one, two = candidate(leases, clock, "one"), candidate(leases, clock, "two")
    one.try_once()
    two.try_once()
    writers = []
    for _ in range(300):
        clock.now += 0.1
        two.try_once()
        writers.append((one.may_write(), two.may_write()))
    assert (True, True) not in writers
    assert writers[-1] == (False, True)
    assert writers.index((False, True)) * 0.1 == pytest.approx(15, abs=0.3)


def test_clocks_that_are_wrong_by_hours_change_nothing(leases, clock):
    one = candidate(leases, clock, "one", wall=lambda: 0.0)
    two = candidate(leases, clock, "two", wall=lambda: 1e6)
    one.try_once()
    for _ in range(100):
        clock.now += 2
        one.try_once()
        assert not two.try_once()


def test_an_api_server_that_is_away_ends_leadership_by_itself(leases, clock):
    one = candidate(leases, clock, "one")
    one.try_once()
    leases.is_away = True
    clock.now += 9.9
    with pytest.raises(ClusterError):
        one.try_once()
    assert one.may_write()
    clock.now += 0.2
    assert not one.may_write()


def test_a_renewal_counts_from_when_it_was_sent_not_from_its_answer(leases, clock):
    one = candidate(leases, clock, "one")
    replace = leases.replace

    def slow(path, body):
        clock.now += 8
        return replace(path, body)

    one.try_once()
    leases.replace = slow
    one.try_once()
    clock.now += 2.1
    assert not one.may_write()


def test_of_two_who_try_at_once_one_is_refused(leases, clock):
    one, two = candidate(leases, clock, "one"), candidate(leases, clock, "two")
    one.try_once()
    clock.now += 20
    two.try_once()  # sees it for the first time: it may be fresh
    clock.now += 20
    seen = leases.get("")
    three = candidate(leases, clock, "three")
    two.try_once()
    leases.get = lambda _: seen
    three._seen = (seen["metadata"]["resourceVersion"], clock.now - 20)
    with pytest.raises(ClusterError):
        three.try_once()
    assert two.may_write()
    assert not three.may_write()


def test_who_leaves_gives_it_back(leases, clock):
    told = []
    one, two = candidate(leases, clock, "one", told=told), candidate(leases, clock, "two")
    one.try_once()
    one._notify()
    one.stop()
    assert told == [True, False]
    assert two.try_once()
    assert leases.lease["spec"]["leaseTransitions"] == 1


def test_a_lease_that_is_none_is_taken_over_in_time(leases, clock):
    leases.lease = {"metadata": {"name": "lease", "resourceVersion": "5"}, "spec": {"holderIdentity": None}}
    assert candidate(leases, clock, "one").try_once()


def test_a_lease_that_somebody_wrote_for_years_counts_for_minutes(leases, clock):
    candidate(leases, clock, "gone").try_once()
    leases.lease["spec"]["leaseDurationSeconds"] = 2**31 - 1
    two = candidate(leases, clock, "two")
    assert not two.try_once()
    clock.now += LONGEST - 1
    assert not two.try_once()
    clock.now += 2
    assert two.try_once()
