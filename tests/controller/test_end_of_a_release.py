"""However a release is deleted, what the controller wrote for it goes too: the real garbage collector sees to it."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from cluster import parts
from cluster.kube import KubeError
from cluster.replicas import CERTIFICATES, CONFIGURATION, delete, find, wait_until
from support.harness import ROOT
from support.replica import HOSTS, Bank, Record, Team, eventually, replica, stays

NAME = "aliyun-acr-credential-provider-pull-secrets"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
WEBHOOK = "aliyun-acr-credential-provider-webhook"
TOKENS = "aliyun-acr-credential-provider-tokens"
MANIFESTS = ROOT / "packaging/manifests"
CHART = ROOT / "packaging/chart"


@pytest.fixture(scope="module", autouse=True)
def _collector(api):
    with api.controllers("garbage-collector-controller", "namespace-controller"):
        yield


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


@pytest.fixture
def admin(api):
    return str(api.kubeconfig("admin", group="system:masters"))


def ran(*words):
    environment = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Kubectl:
    """The plain manifests with the webhook's component, by kubectl, in kube-system."""

    own = "kube-system"

    def __init__(self, admin, folder):
        kubectl = Path(sys.executable).parent / "kubectl"
        self._kubectl = [kubectl, f"--kubeconfig={admin}", f"--cache-dir={os.devnull}"]
        (folder / "manifests").symlink_to(MANIFESTS)
        self._overlay = folder / "overlay"
        self._overlay.mkdir()
        document = {"resources": ["../manifests/pull-secrets"], "components": ["../manifests/components/webhook"]}
        (self._overlay / "kustomization.yaml").write_text(yaml.safe_dump(document))

    def install(self):
        ran(*self._kubectl, "apply", "-k", self._overlay)

    def uninstall(self):
        ran(*self._kubectl, "delete", "-k", self._overlay, "--wait=false")


class Foreground(Kubectl):
    """The same manifests, deleted in the foreground as Argo CD does."""

    def uninstall(self):
        ran(*self._kubectl, "delete", "-k", self._overlay, "--cascade=foreground", "--wait=false")


class Helm:
    """The chart, by Helm, in a namespace of its own."""

    def __init__(self, admin, own):
        self.own = own
        self._helm = [parts.find("helm"), f"--kubeconfig={admin}", f"--namespace={own}"]

    def install(self):
        values = "image.repository=registry.example/acr,plugin.enabled=false"
        controller = "pullSecrets.enabled=true,pullSecrets.webhook.enabled=true"
        ran(*self._helm, "install", "acr", CHART, f"--set={values},{controller}")

    def uninstall(self):
        ran(*self._helm, "uninstall", "acr")


@pytest.fixture(params=["kubectl", "foreground", "helm"])
def release(request, api, team, admin, tmp_path):
    if request.param == "helm":
        release = Helm(admin, team.own)
    else:
        release = (Kubectl if request.param == "kubectl" else Foreground)(admin, tmp_path)
    release.install()
    yield release
    with contextlib.suppress(AssertionError):
        release.uninstall()
    for path in (CONFIGURATION, f"{ROLES}/{NAME}", f"{LEASES.format(release.own)}/{NAME}"):
        delete(api, path)
    for name in (TOKENS, CERTIFICATES):
        delete(api, f"/api/v1/namespaces/{release.own}/secrets/{name}")


@pytest.fixture
def settings(team, sandbox, tmp_path):
    team.name = "acr-credential-aliyun"
    path = tmp_path / "settings.yaml"
    admission = {"mode": "webhook", "failurePolicy": "Fail", "timeoutSeconds": 1}
    chosen = {"namespaces": [f"{team.prefix}-app*"], "serviceAccounts": ["*"], "admission": admission}
    path.write_text(json.dumps({**sandbox.settings(), "pullSecrets": chosen}))
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def at_work(api, release, settings):
    """Run the controller as the release's Deployment says, with its ServiceAccount's rights; nobody answers for it."""
    path = f"/apis/apps/v1/namespaces/{release.own}/deployments/{NAME}"
    (container,) = api.get(path)["spec"]["template"]["spec"]["containers"]
    words = [each.replace("$(POD_NAMESPACE)", release.own) for each in container["args"]]
    words += [f"--kubeconfig={api.kubeconfig_of(release.own, NAME)}", f"--settings={settings}", "--lease-duration=3s"]
    words += ["--address=127.0.0.1", "--webhook-port=0", "--health-port=0"]
    command = [sys.executable, "-m", "acr_credential_provider", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def written(api, team, release, *namespaces):
    """Return what the controller has in the cluster."""
    found = [each for each in namespaces if team.secret(each)]
    found += [name for name in (TOKENS, CERTIFICATES) if find(api, f"/api/v1/namespaces/{release.own}/secrets/{name}")]
    return found + (["the webhook"] if find(api, CONFIGURATION) else [])


def can_create_an_account(api, namespace):
    try:
        api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"generateName": "made-"}})
    except KubeError:
        return False
    return True


@pytest.mark.parametrize("is_running", [True, False], ids=["at work", "down"])
def test_nothing_that_stops_the_cluster_or_logs_in_outlives_a_release(api, team, release, settings, is_running):
    app, other = team.open("app"), team.open("app-2")
    with at_work(api, release, settings) as process:
        wait_until(lambda: len(written(api, team, release, app, other)) == 5, "all of it")
        wait_until(lambda: not can_create_an_account(api, app), "the webhook to be asked, and not to answer")
        if not is_running:
            process.kill()
            process.wait()
        release.uninstall()
        wait_until(lambda: not written(api, team, release, app, other), "all of it to go")
        wait_until(lambda: can_create_an_account(api, app), "ServiceAccounts to be created again")
        rights = [f"{path}/{name}" for path in (ROLES, BINDINGS) for name in (NAME, WEBHOOK)]
        wait_until(lambda: not any(find(api, path) for path in rights), "its rights to go, the webhook's too")
        stays(lambda: not written(api, team, release, app, other), seconds=5)


def test_a_releases_namespace_takes_the_webhook_along_and_its_clusterrole_the_logins(api, team, admin, settings):
    app = team.open("app")
    release = Helm(admin, team.own)
    release.install()
    with at_work(api, release, settings):
        wait_until(lambda: len(written(api, team, release, app)) == 4, "all of it")
        wait_until(lambda: not can_create_an_account(api, app), "the webhook to be asked, and not to answer")
        api.request("DELETE", f"/api/v1/namespaces/{team.own}")
        wait_until(lambda: find(api, CONFIGURATION) is None, "the webhook to be taken back", timeout=5)
        wait_until(lambda: can_create_an_account(api, app), "ServiceAccounts to be created again")
        wait_until(lambda: find(api, f"/api/v1/namespaces/{team.own}") is None, "the namespace to go")
        assert find(api, CONFIGURATION) is None
    assert team.secret(app) is not None
    delete(api, f"{ROLES}/{NAME}")
    wait_until(lambda: team.secret(app) is None, "the logins to go")


# What the references are, and what becomes of them.


class Role:
    """A ClusterRole that a replica of this process takes for its release's."""

    def __init__(self, api, name):
        self.name, self._api = name, api
        self.make()

    def make(self):
        made = self._api.create(ROLES, {"metadata": {"name": self.name}, "rules": []})
        self.uid = made["metadata"]["uid"]

    def delete(self):
        delete(self._api, f"{ROLES}/{self.name}")

    def reference(self):
        return {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "name": self.name,
            "uid": self.uid,
            "blockOwnerDeletion": False,
        }


@pytest.fixture
def role(api, namespace):
    role = Role(api, namespace)
    yield role
    role.delete()


def owners(team, namespace, name=""):
    found = team.secret(namespace, name)
    return found and found["metadata"].get("ownerReferences")


def has_both(team, namespace):
    return set(team.passwords(namespace)) == set(HOSTS.values()) and team.name in team.pull_secrets(namespace)


def test_what_an_earlier_version_left_without_an_owner_is_adopted_at_the_usual_pace(team, role):
    apps = [team.open(f"app-{number}") for number in range(30)]
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: all(has_both(team, each) for each in apps))
    before = {each: team.secret(each)["metadata"]["uid"] for each in apps}
    assert not any(owners(team, each) for each in apps)
    record = Record()
    began = time.monotonic()
    with replica(team.api, team.own, fetch=Bank(), record=record, owner=role.name, writes_per_second=10.0):
        eventually(lambda: all(owners(team, each) == [role.reference()] for each in apps))
        took = time.monotonic() - began
        eventually(lambda: owners(team, team.own, TOKENS) == [role.reference()])
        eventually(lambda: record.writes["Secret", "update", "ok"] == 30)  # the last one is counted after it was made
        stays(lambda: record.writes["Secret", "update", "ok"] == 30, seconds=2)
    assert took > 1.9, "ten at once, and then ten a second"
    assert {each: team.secret(each)["metadata"]["uid"] for each in apps} == before
    assert record.done() == 30


def test_a_clusterrole_that_was_made_anew_owns_what_is_made_anew_for_it(team, role):
    apps = [team.open(f"app-{number}") for number in range(3)]
    team.configure()
    record = Record()
    with replica(team.api, team.own, fetch=Bank(), record=record, owner=role.name, tick=10.0):
        eventually(lambda: all(owners(team, each) == [role.reference()] for each in apps))
        passwords = team.passwords(apps[0])
        role.delete()
        role.make()
        began = time.monotonic()
        eventually(lambda: all(owners(team, each) == [role.reference()] for each in apps))
        eventually(lambda: owners(team, team.own, TOKENS) == [role.reference()])
        assert time.monotonic() - began < 15
        assert team.passwords(apps[0]) == passwords
        before = Counter(record.writes)
        stays(lambda: all(has_both(team, each) for each in apps), seconds=4)
        assert Counter(record.writes) == before


def test_a_clusterrole_that_is_gone_for_a_while_is_waited_for(team, role):
    app, record = team.open("app"), Record()
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), record=record, owner=role.name, tick=30.0) as controller:
        eventually(lambda: owners(team, app) == [role.reference()])
        role.delete()
        eventually(lambda: team.secret(app) is None and "OwnerGone" in record.reasons())
        stays(lambda: team.secret(app) is None, seconds=2)
        assert controller.spec() is None, "the webhook is withdrawn"
        role.make()
        eventually(lambda: has_both(team, app), within=20)
        assert owners(team, app) == [role.reference()]


def test_who_has_no_rights_while_the_clusterrole_is_away_goes_on_when_it_is_back(api, team, admin, settings, tmp_path):
    """As by kubectl replace --force; the webhook's authority stays, for other replicas still serve what it signed."""
    app, release = team.open("app"), Kubectl(admin, tmp_path)
    release.install()
    path = f"{ROLES}/{NAME}"

    def authority():
        found = find(api, CONFIGURATION)
        return found and found["webhooks"][0]["clientConfig"]["caBundle"]

    def owned_by(uid):
        paths = (CONFIGURATION, f"/api/v1/namespaces/{app}/secrets/{team.name}")
        paths += tuple(f"/api/v1/namespaces/{release.own}/secrets/{name}" for name in (TOKENS, CERTIFICATES))
        found = [find(api, each) or {"metadata": {}} for each in paths]
        return [each["metadata"].get("ownerReferences", [{}])[0].get("uid") for each in found] == [uid] * 4

    try:
        with at_work(api, release, settings):
            role = api.get(path)
            wait_until(lambda: owned_by(role["metadata"]["uid"]), "all of it")
            before = authority()
            api.request("DELETE", path)
            wait_until(lambda: not written(api, team, release, app), "all of it to go")
            made = api.create(ROLES, {"metadata": {"name": NAME}, "rules": role["rules"]})
            wait_until(lambda: owned_by(made["metadata"]["uid"]), "all of it to be back", timeout=10)
            assert authority() == before
    finally:
        release.uninstall()
        for path in (CONFIGURATION, f"{LEASES.format(release.own)}/{NAME}"):
            delete(api, path)
        wait_until(lambda: not written(api, team, release, app), "all of it to go")


@pytest.mark.parametrize(
    "tampered",
    [
        None,
        [{"apiVersion": "v1", "kind": "ConfigMap", "name": "kube-root-ca.crt", "uid": "7"}],
        "beside",
    ],
    ids=["taken off", "another", "another beside it"],
)
def test_whoever_changes_who_owns_a_secret_of_ours_changes_nothing(team, role, tampered):
    app = team.open("app")
    team.configure()
    made = team.api.create(f"/api/v1/namespaces/{app}/configmaps", {"metadata": {"name": "keeper"}})
    keeper = {"apiVersion": "v1", "kind": "ConfigMap", "name": "keeper", "uid": made["metadata"]["uid"]}
    with replica(team.api, team.own, fetch=Bank(), owner=role.name):
        eventually(lambda: owners(team, app) == [role.reference()])
        wished = [role.reference(), keeper] if tampered == "beside" else tampered
        patch = {"metadata": {"ownerReferences": wished}}
        path = f"/api/v1/namespaces/{app}/secrets/{team.name}"
        team.api.request("PATCH", path, patch, "application/merge-patch+json")
        eventually(lambda: owners(team, app) == [role.reference()] and has_both(team, app))
    role.delete()
    eventually(lambda: team.secret(app) is None)


def test_without_the_clusterrole_everything_is_as_it_was_and_it_is_told(team):
    app, record = team.open("app"), Record()
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), record=record, owner=f"{team.prefix}-none"):
        eventually(lambda: has_both(team, app))
        assert owners(team, app) is None
    assert record.reasons() & {"OwnerAbsent", "OwnerGone"} == {"OwnerAbsent"}


def test_rights_of_the_version_before_are_enough_and_what_is_missing_is_told(team, role):
    """As while a roll-out is under way: the controller is new, its ClusterRole is not."""
    rules = [{"apiGroups": ["", "coordination.k8s.io", "apps"], "resources": ["*"], "verbs": ["*"]}]
    old = f"{team.prefix}-old"
    team.api.create(ROLES, {"metadata": {"name": old}, "rules": rules})
    binding = {
        "metadata": {"name": old},
        "roleRef": {"kind": "ClusterRole", "name": old, "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": old, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    team.api.create(BINDINGS, binding)
    app, record = team.open("app"), Record()
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), record=record, owner=role.name, user=(old, None)):
        eventually(lambda: has_both(team, app) and "OwnerUnknown" in record.reasons())
        right = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["get"]}
        team.api.request("PUT", f"{ROLES}/{old}", {"metadata": {"name": old}, "rules": [*rules, right]})
        eventually(lambda: owners(team, app) == [role.reference()])
