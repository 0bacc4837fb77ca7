"""docs/migration.md on a real API server, step by step and each step undone: no Pod is without a login meanwhile.

A stand-in does what aliyun-acr-credential-helper does: it renews its Secret in each namespace, whose logins live for
seconds here, and sees to it that ServiceAccounts name it. One kind adds its entry, one writes the whole list.
"""

import base64
import contextlib
import json
import threading
import time

import pytest
from cluster.kube import KubeError
from cluster.replicas import delete, wait_until
from support import harness
from support.replica import HOSTS, ONE, Bank, Team, eventually, replica

HELPER = "aliyun-acr-credential-helper"
THEIRS = "acr-credential-secret-aggregation"
DEPLOYMENTS = "/apis/apps/v1/namespaces/kube-system/deployments"
MERGE = "application/merge-patch+json"
LIFE = 3.0
"""Seconds for which a login of the helper's is good; it renews them in a third of that."""


class Helper:
    """The stand-in: at work while its Deployment has replicas."""

    def __init__(self, api, namespace, *, writes_whole_list):
        self._api, self._namespace, self.writes_whole_list = api, namespace, writes_whole_list
        self._ends = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.install()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        delete(self._api, f"{DEPLOYMENTS}/{HELPER}")

    def install(self):
        labels = {"app": HELPER}
        spec = {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "h", "image": "h:v25"}]}},
        }
        self._api.create(DEPLOYMENTS, {"metadata": {"name": HELPER}, "spec": spec})

    def scale(self, count):
        self._api.request("PATCH", f"{DEPLOYMENTS}/{HELPER}", {"spec": {"replicas": count}}, MERGE)

    def is_valid(self, password):
        """True if a registry takes *password*; other logins than the helper's live for longer than the test."""
        return not password.startswith("helper-") or time.monotonic() < self._ends.get(password, 0.0)

    def _run(self):
        while not self._stop.wait(0.1):
            with contextlib.suppress(KubeError):  # somebody wrote at the same time: the next round
                if self._api.get(f"{DEPLOYMENTS}/{HELPER}")["spec"]["replicas"]:
                    self._work()

    def _work(self):
        password = f"helper-{int(time.monotonic() / (LIFE / 3))}"
        self._ends.setdefault(password, time.monotonic() + LIFE)
        path = f"/api/v1/namespaces/{self._namespace}"
        content = json.dumps({"auths": {HOSTS[ONE]: {"auth": encoded(f"cr_temp_user:{password}")}}})
        secret = {"metadata": {"name": THEIRS}, "type": "kubernetes.io/dockerconfigjson"}
        body = {**secret, "data": {".dockerconfigjson": encoded(content)}}
        try:
            self._api.request("PATCH", f"{path}/secrets/{THEIRS}", {"data": body["data"]}, MERGE)
        except KubeError as error:
            if error.status != 404:
                raise
            self._api.create(f"{path}/secrets", body)
        account = self._api.get(f"{path}/serviceaccounts/default")
        names = [each["name"] for each in account.get("imagePullSecrets", [])]
        wanted = [THEIRS] if self.writes_whole_list else names if THEIRS in names else [*names, THEIRS]
        if names != wanted:
            account["imagePullSecrets"] = [{"name": name} for name in wanted]
            self._api.request("PUT", f"{path}/serviceaccounts/default", account)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


class Pods:
    """Pods of a namespace, and a kubelet that pulls for each again and again; `failures` are pulls without a login.

    A Pod has the entries that its ServiceAccount had when it was created, and always one is being created.
    """

    def __init__(self, team, namespace, helper):
        self._team, self._namespace, self._helper = team, namespace, helper
        self._created = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.failures = []
        self.pulls = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def create(self, name):
        """Create a Pod, which stays as the guide's next steps come."""
        with self._lock:
            self._created[name] = self._team.pull_secrets(self._namespace)

    def recreate(self):
        """Create all of them anew, as a rollout does."""
        for name in list(self._created):
            self.create(name)

    def check(self, step):
        """Fail if a pull failed until now, or fails before all that the helper wrote last is good no more."""
        time.sleep(LIFE + 0.5)
        assert self.failures == [], step

    def _run(self):
        while not self._stop.wait(0.05):
            with self._lock:
                pods = {**self._created, "a new one": self._team.pull_secrets(self._namespace)}
            for name, entries in pods.items():
                if not self._can_pull(entries) and not (name == "a new one" and self._can_pull(self._now())):
                    self.failures.append((name, entries))
                self.pulls += 1

    def _now(self):
        return self._team.pull_secrets(self._namespace)

    def _can_pull(self, entries):
        logins = [self._team.passwords(self._namespace, name).get(HOSTS[ONE]) for name in entries]
        return any(login and self._helper.is_valid(login) for login in logins)


class Controller:
    """The controller's Deployment, of which a replica here does the work."""

    def __init__(self, api, team):
        self._api, self._team = api, team
        self._left = contextlib.ExitStack()

    def start(self, *, take_over):
        self._left.enter_context(replica(self._api, self._team.own, fetch=Bank(), take_over=take_over))

    def stop(self):
        self._left.close()


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


@pytest.fixture
def uninstall(api, team, tmp_path):
    """Run `pull-secrets uninstall` as the guide says."""
    program = harness.source(tmp_path / "settings.yaml", tmp_path / "cache")
    admin = api.kubeconfig("admin", group="system:masters")

    def run():
        words = (f"--namespace={team.own}", f"--kubeconfig={admin}", f"--secret-name={team.name}")
        ended = program.run(b"", "pull-secrets", "uninstall", *words)
        assert ended.code == 0, ended.stderr

    return run


class Migration:
    """The guide's steps in *app*, each with what undoes it."""

    def __init__(self, api, team, uninstall, helper):
        self._api, self._team, self._helper, self._uninstall = api, team, helper, uninstall
        self.app = f"{team.prefix}-app"
        self.controller = Controller(api, team)

    def run_both(self):
        self.controller.start(take_over=True)
        eventually(lambda: self._team.passwords(self.app))
        if not self._helper.writes_whole_list:
            eventually(lambda: self._entries() == [THEIRS, self._team.name])

    def stop_the_helper(self):
        self._helper.scale(0)
        eventually(lambda: self._entries() == [self._team.name])

    def remove_the_add_on(self):
        delete(self._api, f"{DEPLOYMENTS}/{HELPER}")
        self.controller.stop()
        self.controller.start(take_over=False)

    def undo(self, pods):
        """Return to the helper: the controller's Deployment goes first, or it would still replace the entries."""
        self.controller.stop()
        if self._team.find(f"{DEPLOYMENTS}/{HELPER}"):
            self._helper.scale(1)
        else:
            self._helper.install()
        wait_until(lambda: THEIRS in self._entries(), "the helper to be at work")
        pods.recreate()
        self._uninstall()
        wait_until(lambda: self._entries() == [THEIRS] and not self._team.passwords(self.app), "ours to be gone")
        secret = self._team.secret(self.app, THEIRS)["metadata"]
        assert "ownerReferences" not in secret
        assert "aliyun-acr-credential-provider/pull-secret" not in secret.get("labels", {})

    def _entries(self):
        return self._team.pull_secrets(self.app)


@pytest.mark.parametrize("writes_whole_list", [False, True], ids=["adds its entry", "writes the whole list"])
def test_no_pod_is_without_a_login_from_the_helper_to_the_controller_and_back(api, team, uninstall, writes_whole_list):
    app = team.open("app")
    team.configure()
    with contextlib.ExitStack() as left:
        helper = left.enter_context(Helper(api, app, writes_whole_list=writes_whole_list))
        eventually(lambda: team.pull_secrets(app) == [THEIRS])
        pods = left.enter_context(Pods(team, app, helper))
        step = Migration(api, team, uninstall, helper)
        left.callback(step.controller.stop)
        pods.create("of the helper")

        step.run_both()
        pods.create("while both run")
        pods.check("both run")
        step.undo(pods)
        pods.check("that is undone")

        step.run_both()
        step.stop_the_helper()
        pods.create("of the controller")
        pods.check("the helper is stopped")
        step.undo(pods)
        pods.check("all so far is undone")

        step.run_both()
        step.stop_the_helper()
        pods.recreate()
        step.remove_the_add_on()
        pods.create("without --take-over")
        pods.check("the add-on is uninstalled")
        step.undo(pods)
        pods.check("the add-on is installed again")
        assert pods.pulls > 500


def test_the_step_to_the_plugin_is_undone_by_the_label_and_nothing_is_left_in_the_end(api, team, uninstall):
    app = team.open("app", "default")
    team.account(app, "deployer", "registry-login")
    team.configure()
    controller = Controller(api, team)
    controller.start(take_over=False)
    try:
        for value in ("disabled", None, "disabled", None):
            labels = {"aliyun-acr-credential-provider/pull-secrets": value}
            api.request("PATCH", f"/api/v1/namespaces/{app}", {"metadata": {"labels": labels}}, MERGE)
            entries, hosts = ([], set()) if value else ([team.name], set(HOSTS.values()))
            eventually(lambda entries=entries: team.pull_secrets(app, "deployer") == ["registry-login", *entries])
            eventually(lambda hosts=hosts: team.passwords(app).keys() == hosts)
    finally:
        controller.stop()
    uninstall()
    assert team.pull_secrets(app) == []
    assert team.pull_secrets(app, "deployer") == ["registry-login"]
    assert not team.passwords(app)
    assert team.shared() is None
