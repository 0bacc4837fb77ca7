"""Killed leaders, and others who write where the controller writes. CHAOS_FULL=1 goes all the way."""

import contextlib
import os
import random
import threading
import time

import pytest
from cluster.kube import KubeError
from support.replica import Bank, Record, Team, eventually, replica
from support.replica_processes import LEASE_SECONDS, Auditor, Processes

FULL = bool(os.environ.get("CHAOS_FULL"))
KILLS = 50 if FULL else 4
ROUNDS = 1000 if FULL else 150


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


class Life:
    """Namespaces that come and go, and what must be true of those that are there."""

    def __init__(self, team, auditor, draw):
        self._team = team
        self._auditor = auditor
        self._draw = draw
        self._living = []
        self._count = 0

    def come(self):
        self._count += 1
        namespace = self._team.open(f"app-{self._count}")
        self._team.account(namespace, "build", *THEIRS["build"])
        self._living.append(namespace)

    def go(self):
        gone = self._living.pop(self._draw.randrange(len(self._living)))
        self._auditor.goes(gone)
        for each in ("default", "build"):
            self._team.api.request("DELETE", f"/api/v1/namespaces/{gone}/serviceaccounts/{each}")
        self._team.api.request("DELETE", f"/api/v1/namespaces/{gone}")

    def go_on(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.come()
            if len(self._living) > 8:
                self.go()
            time.sleep(self._draw.uniform(0, 0.2))

    def is_in_order(self):
        return all(self._has_all(each) for each in self._living)

    def _has_all(self, namespace):
        return (
            self._team.secret(namespace) is not None
            and self._team.pull_secrets(namespace) == [self._team.name]
            and self._team.pull_secrets(namespace, "build") == [*THEIRS["build"], self._team.name]
        )


THEIRS = {"build": ["theirs", "others"]}


@pytest.mark.parametrize("life", [3600.0, 24.0], ids=["tokens outlive it", "tokens are renewed all the time"])
def test_leaders_die_at_random_while_namespaces_come_and_go_and_nothing_is_lost(team, sandbox, life):
    sandbox.state.token_life = life
    team.configure_for(sandbox)
    draw = random.Random(7)
    holders = set()
    began = time.monotonic()
    auditor = Auditor(team, life_left=sandbox.state.life_left, theirs=THEIRS).allow(life / 10)
    with auditor, Processes(team, *sandbox.from_cluster) as processes:
        living = Life(team, auditor, draw)
        for _ in range(5):
            living.come()
        eventually(living.is_in_order)
        for _ in range(KILLS):
            holders.add(processes.holder())
            processes.kill_the_elder()
            living.go_on(draw.uniform(0, 2 * LEASE_SECONDS))
            eventually(living.is_in_order)
    lasted = time.monotonic() - began
    assert len(holders) >= min(KILLS, 3), "leaders did change"
    auditor.assert_nothing_was_wrong()
    renewal = life / 2
    assert auditor.longest_dead <= renewal, "no Secret is without a living login for longer than from one to the next"
    # A new leader starts with the tokens that are there: the cloud is not asked again for each death.
    assert sandbox.calls.count("GetAuthorizationToken") <= 2 + lasted / (life / 4)
    if life < lasted:
        assert auditor.contents > 5, "they were renewed"


JSON_PATCH = "application/json-patch+json"


class OtherWriter:
    """Somebody with an interest in the same list, who writes as carefully as we do."""

    def __init__(self, team, namespace):
        self._team = team
        self._path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"

    def append(self, name):
        while not self._try_to_append(name):
            pass  # somebody was quicker

    def _try_to_append(self, name):
        found = self._team.api.get(self._path)
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]}
        add = {"op": "add", "path": "/imagePullSecrets/-", "value": {"name": name}}
        if "imagePullSecrets" not in found:
            add = {"op": "add", "path": "/imagePullSecrets", "value": [{"name": name}]}
        try:
            self._team.api.request("PATCH", self._path, [test, add], JSON_PATCH)
        except KubeError as error:
            if error.status not in (409, 422):
                raise
            return False
        return True

    def drop(self, unwanted):
        found = self._team.api.get(self._path)
        names = [each["name"] for each in found.get("imagePullSecrets", [])]
        body = {**found, "imagePullSecrets": [{"name": each} for each in names if each != unwanted]}
        with contextlib.suppress(KubeError):
            self._team.api.request("PUT", self._path, body)


def test_another_writer_of_the_same_list_loses_nothing_however_often_it_writes(team):
    app = team.open("app")
    other = OtherWriter(team, app)
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        for number in range(ROUNDS):
            other.append(f"theirs-{number:04}")
            if number in (10, 60, 110):  # so that ours has to be written between theirs, again and again
                other.drop(team.name)
        eventually(lambda: team.name in team.pull_secrets(app), within=120)
        names = team.pull_secrets(app)
    assert [each for each in names if each != team.name] == [f"theirs-{number:04}" for number in range(ROUNDS)]
    assert names.count(team.name) == 1


def test_a_tool_that_puts_its_own_list_back_each_time_is_neither_robbed_nor_fought(team):
    app = team.open("app")
    path = f"/api/v1/namespaces/{app}/serviceaccounts/default"
    theirs = ["registry-login", "another"]
    stop = threading.Event()
    robbed = []

    def revert():
        for _ in range(ROUNDS):
            found = team.api.get(path)
            names = [each["name"] for each in found.get("imagePullSecrets", [])]
            if names and [each for each in names if each != team.name] != theirs:
                robbed.append(names)
            body = {**found, "imagePullSecrets": [{"name": each} for each in theirs]}
            with contextlib.suppress(KubeError):
                team.api.request("PUT", path, body)
            if stop.wait(0.02):
                return

    team.configure()
    record = Record()
    with replica(team.api, team.own, fetch=Bank(), record=record):
        thread = threading.Thread(target=revert)
        thread.start()
        try:
            eventually(lambda: "EntryReverted" in record.reasons())
            thread.join(300)
        finally:
            stop.set()
            thread.join()
        assert robbed == []
        assert record.writes["ServiceAccount", "update", "ok"] <= 20, "it is put back ever more slowly"
        late = team.open("late")
        eventually(lambda: team.pull_secrets(late) == [team.name])
