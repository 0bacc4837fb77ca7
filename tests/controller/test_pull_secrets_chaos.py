"""Killed leaders, and others who write where the controller writes. CHAOS_FULL=1 goes all the way."""

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time

import pytest
from cluster.kube import KubeError
from replica import Bank, Record, Team, eventually, replica, settings

FULL = bool(os.environ.get("CHAOS_FULL"))
KILLS = 50 if FULL else 4
ROUNDS = 1000 if FULL else 150
LEASE_SECONDS = 3


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


class Processes:
    """Two controllers as processes, each started again when it was killed."""

    def __init__(self, team, path):
        kubeconfig = str(team.api.kubeconfig("admin", group="system:masters"))
        self._command = [sys.executable, "-m", "acr_credential_provider", "pull-secrets", "run"]
        self._command += ["--kubeconfig", kubeconfig, "--namespace", team.own, "--settings", str(path)]
        self._command += ["--address", "127.0.0.1", "--webhook-port", "0", "--health-port", "0", "--log", "error"]
        self._command += ["--lease-duration", f"{LEASE_SECONDS}s"]
        self._team = team
        self._all = []

    def __enter__(self):
        for _ in range(2):
            self._start()
        return self

    def __exit__(self, *_):
        for each in self._all:
            each.kill()
            each.wait()

    def _start(self):
        self._all.append(subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self._command]))

    def holder(self):
        name = "aliyun-acr-credential-provider-pull-secrets"
        lease = self._team.find(f"/apis/coordination.k8s.io/v1/namespaces/{self._team.own}/leases/{name}")
        return lease["spec"]["holderIdentity"] if lease else ""

    def kill_the_elder(self):
        """Kill the one that runs for longer, which most likely leads, as a machine that fails would; bring it back."""
        oldest = self._all.pop(0)
        oldest.kill()
        oldest.wait()
        self._start()


class Life:
    """Namespaces that come and go, and what must be true of those that are there."""

    def __init__(self, team, sandbox, draw):
        self._team = team
        self._sandbox = sandbox
        self._draw = draw
        self._living = []
        self._uids = {}
        self._count = 0

    def come(self):
        self._count += 1
        namespace = self._team.open(f"app-{self._count}")
        self._team.account(namespace, "build", "theirs", "others")
        self._living.append(namespace)

    def go(self):
        gone = self._living.pop(self._draw.randrange(len(self._living)))
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
        build = self._team.pull_secrets(namespace, "build")
        assert build[:2] == ["theirs", "others"], "what is others' stays, in its order"
        secret = self._team.secret(namespace)
        if secret is None or build[2:] != [self._team.name] or self._team.pull_secrets(namespace) != [self._team.name]:
            return False
        uid = secret["metadata"]["uid"]
        assert self._uids.setdefault(namespace, uid) == uid, "it is never made anew"
        (password,) = self._team.passwords(namespace).values()
        assert self._sandbox.state.find_login("cr_temp_user", password), "the login lives"
        return True


def test_leaders_die_at_random_while_namespaces_come_and_go_and_nothing_is_lost(team, sandbox, tmp_path):
    path = tmp_path / "settings.yaml"
    pull_secrets = settings(f"{team.prefix}-*", secretName=team.name)["pullSecrets"]
    path.write_text(json.dumps({**sandbox.settings(), "pullSecrets": pull_secrets}))
    path.chmod(0o600)
    draw = random.Random(7)
    life = Life(team, sandbox, draw)
    holders = set()
    with Processes(team, path) as processes:
        for _ in range(5):
            life.come()
        eventually(life.is_in_order)
        for _ in range(KILLS):
            holders.add(processes.holder())
            processes.kill_the_elder()
            life.go_on(draw.uniform(0, 2 * LEASE_SECONDS))
            eventually(life.is_in_order)
    assert len(holders) >= min(KILLS, 3), "leaders did change"
    # A new leader starts with the tokens that are there: the cloud is not asked again for each death.
    assert sandbox.calls.count("GetAuthorizationToken") <= 2


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
