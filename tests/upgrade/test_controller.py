"""The controller across an upgrade and back, on a real API server: what one version wrote, the other takes over."""

import contextlib
import json
import subprocess
import urllib.error
import urllib.request

import pytest
from cluster.loopback_api import free_ports
from cluster.replicas import CERTIFICATES, CONFIGURATION, create, delete, find, names
from cluster.service import Service
from support.replica import Team, eventually, stays

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
TOKENS = "aliyun-acr-credential-provider-tokens"
LEASE = "aliyun-acr-credential-provider-pull-secrets"


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


class Release:
    """One installation in a cluster: its ConfigMap, its webhook's Service, and controllers of any version."""

    def __init__(self, team, sandbox):
        self.team = team
        self.api = team.api
        self.service = Service(team.api, team.own, "hook")
        admission = {"mode": "webhook", "failurePolicy": "Fail"}
        chosen = {"namespaces": [f"{team.prefix}-app*"], "serviceAccounts": ["*"], "secretName": team.name}
        self._limits = sandbox.from_cluster
        self.document = {
            **sandbox.settings(),
            "maxCacheDuration": "10m",
            "pullSecrets": {**chosen, "admission": admission},
        }
        self._kubeconfig = team.api.kubeconfig("admin", group="system:masters")

    def configure(self, version):
        self.team.configure(json.dumps(version.settings(self.document)))

    @contextlib.contextmanager
    def controller(self, version, *words):
        """Run a controller of *version* until it is told to end, behind the Service from when it is ready."""
        webhook, health = free_ports(2)
        command = [version.controller, "pull-secrets", "run", f"--namespace={self.team.own}", *words]
        command += [f"--kubeconfig={self._kubeconfig}", f"--config-map={self.team.own}/acr-configuration"]
        command += ["--address=127.0.0.1", "--webhook-service=hook", f"--webhook-service-port={self.service.port}"]
        command += [f"--webhook-port={webhook}", f"--health-port={health}", "--lease-duration=3s"]
        command += [] if version.is_old else self._limits
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: _is_ready(health) or process.poll() is not None)
                assert process.poll() is None
                self.service.ports.append(webhook)
                yield
                process.terminate()
                eventually(lambda: not _is_ready(health))
                self.service.ports.remove(webhook)
                assert process.wait(60) == 0
            finally:
                process.kill()

    def leader(self):
        lease = self.team.find(f"/apis/coordination.k8s.io/v1/namespaces/{self.team.own}/leases/{LEASE}")
        return lease["spec"]["holderIdentity"] if lease else ""

    def objects(self):
        """Return by path every object that a controller writes, but the Lease."""
        paths = [
            CONFIGURATION,
            *(f"/api/v1/namespaces/{self.team.own}/secrets/{name}" for name in (TOKENS, CERTIFICATES)),
        ]
        for namespace in self.api.get("/api/v1/namespaces")["items"]:
            name = namespace["metadata"]["name"]
            if name.startswith(f"{self.team.prefix}-app"):
                paths.append(f"/api/v1/namespaces/{name}/secrets/{self.team.name}")
                accounts = self.api.get(f"/api/v1/namespaces/{name}/serviceaccounts")["items"]
                paths += [
                    f"/api/v1/namespaces/{name}/serviceaccounts/{account['metadata']['name']}" for account in accounts
                ]
        return {path: find(self.api, path) for path in paths}

    def is_complete(self):
        objects = self.objects()
        accounts = [document for path, document in objects.items() if "/serviceaccounts/" in path]
        return all(objects.values()) and all(self.team.name in names(account) for account in accounts)

    def uninstall(self, version):
        command = [version.controller, "pull-secrets", "uninstall", f"--kubeconfig={self._kubeconfig}"]
        return subprocess.run(
            [*command, f"--namespace={self.team.own}"], capture_output=True, text=True, check=False, timeout=120
        )


def _is_ready(health):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{health}/readyz", timeout=20) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


@pytest.fixture
def release(team, sandbox):
    release = Release(team, sandbox)
    with release.service:
        yield release
    delete(team.api, CONFIGURATION)


def versions_of(objects):
    return {path: document["metadata"]["resourceVersion"] for path, document in objects.items()}


def _content(document):
    metadata = {
        key: value for key, value in document["metadata"].items() if key not in ("resourceVersion", "managedFields")
    }
    return {**document, "metadata": metadata}


def assert_taken_over(release, before):
    """Wait until the writes end, then compare with the objects *before*: none is new, gone, or written for nothing."""
    assert eventually(release.leader)
    state = eventually(lambda: _unchanged_for(release, seconds=4))
    assert state.keys() == before.keys()
    for path, document in state.items():
        was = before[path]
        assert document["metadata"]["uid"] == was["metadata"]["uid"], path
        assert document["metadata"].get("labels") == was["metadata"].get("labels"), path
        if document["metadata"]["resourceVersion"] != was["metadata"]["resourceVersion"]:
            assert "/serviceaccounts/" not in path, "our entries are there"
            assert _content(document) != _content(was), f"{path} was written for nothing"
    authorities = [objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"] for objects in (before, state)]
    assert authorities[0] == authorities[1]
    return state


def _unchanged_for(release, *, seconds):
    objects = release.objects()
    with contextlib.suppress(AssertionError):
        stays(lambda: versions_of(release.objects()) == versions_of(objects), seconds=seconds)
        return objects
    return None


@pytest.mark.parametrize("owner", ["", "release"], ids=["plain", "owned"])
def test_the_other_version_takes_over_all_that_one_wrote_and_gives_it_back(release, old, present, sandbox, owner):
    """With an owner, as the manifests of the present version have it, its name is what is written."""
    team = release.team
    words = []
    if owner:
        name = f"{team.prefix}-owner"
        uid = team.api.create(ROLES, {"metadata": {"name": name}, "rules": []})["metadata"]["uid"]
        words = [f"--owner={name}"]
    app, other = team.open("app"), team.open("app-2", "default", "build")
    team.account(other, "theirs", "registry-login")
    release.configure(old)
    with release.controller(old):
        eventually(release.is_complete)
    before = release.objects()
    passwords = team.passwords(app)
    calls = sandbox.calls.count("GetAuthorizationToken")

    release.configure(present)
    with release.controller(present, *words):
        state = assert_taken_over(release, before)
        owners = [state[path]["metadata"].get("ownerReferences", []) for path in state if "/secrets/" in path]
        assert not owner or all(uid in [reference["uid"] for reference in references] for references in owners)
        assert names(create(team.api, team.open("app-3"))) == [team.name]
    assert team.pull_secrets(other, "theirs") == ["registry-login", team.name]
    before = release.objects()

    release.configure(old)
    with release.controller(old):
        assert_taken_over(release, before)
        assert names(create(team.api, team.open("app-4"))) == [team.name]
    assert team.passwords(app) == team.passwords(other) == passwords
    assert sandbox.calls.count("GetAuthorizationToken") == calls, "the tokens were in the state Secret"

    done = release.uninstall(present)
    assert done.returncode == 0, done.stderr
    left = {path: document for path, document in release.objects().items() if document and "/secrets/" in path}
    assert (left, find(team.api, CONFIGURATION)) == ({}, None)
    assert team.pull_secrets(other, "theirs") == ["registry-login"]
    assert release.uninstall(old).stdout == "nothing of ours is there\n"
    delete(team.api, f"{ROLES}/{team.prefix}-owner")


def test_while_both_are_at_work_each_serves_new_accounts_and_nothing_is_written_twice(release, old, present, sandbox):
    """As in a roll-out: the old version leads, the new one comes, the old one goes; and the same way back."""
    team = release.team
    # One ConfigMap for both, in words that both read.
    del release.document["maxCacheDuration"]
    chosen = release.document["pullSecrets"]
    chosen["webhook"] = {"enabled": True, "failurePolicy": chosen.pop("admission")["failurePolicy"]}
    app = team.open("app")
    release.configure(present)
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(contextlib.ExitStack())
        running.enter_context(release.controller(old))
        eventually(release.is_complete)
        for number, version in enumerate((present, old, present)):
            before, leader = release.objects(), release.leader()
            following = stack.enter_context(contextlib.ExitStack())
            following.enter_context(release.controller(version))
            # The Service asks one after the other.
            for turn in range(4):
                assert names(create(team.api, team.open(f"app-both-{number}-{turn}"))) == [team.name]
            running.close()
            running = following
            eventually(lambda leader=leader: release.leader() not in ("", leader))
            assert names(create(team.api, team.open(f"app-after-{number}"))) == [team.name]
            objects = release.objects()
            assert {path: objects[path]["metadata"]["uid"] for path in before} == {
                path: document["metadata"]["uid"] for path, document in before.items()
            }
    assert team.passwords(app)
    assert sandbox.calls.count("GetAuthorizationToken") == 1


def with_an_unknown_key(_document, _sandbox):
    """It costs that key alone."""
    return "kubeletCache", []


def with_an_unknown_kind(document, sandbox):
    """It costs the entry, and there is no other."""
    del document["maxCacheDuration"]
    identity = {"kind": "basicAuth"}
    for field, content in (("username", "ci-robot"), ("password", "a password")):
        file = sandbox.directory / field
        file.write_text(content)
        identity[f"{field}File"] = str(file)
    document["registries"] = [{"domains": [sandbox.registry.address], "identity": identity}]
    return "has a kind that is not known", [CONFIGURATION]


@pytest.mark.parametrize("set_up", [with_an_unknown_key, with_an_unknown_kind])
def test_a_configuration_in_words_that_the_new_version_does_not_know_takes_nothing_away(
    release, old, present, sandbox, set_up
):
    """As when the image is upgraded first. The state Secret's last good configuration is in those words too.

    A webhook without usable settings might hold up ServiceAccounts: it is withdrawn until there are some.
    """
    team = release.team
    named, withdrawn = set_up(release.document, sandbox)
    app = team.open("app")
    release.configure(old)
    with release.controller(old):
        eventually(release.is_complete)
    before, passwords = release.objects(), team.passwords(app)
    with release.controller(present):
        stays(lambda: team.passwords(app) == passwords and team.name in team.pull_secrets(app), seconds=6)
        events = team.api.get(f"/api/v1/namespaces/{team.own}/events")["items"]
        assert any(named in event["message"] for event in events), "the operator is told what it is"
        assert [path for path, document in release.objects().items() if document is None] == withdrawn
        release.configure(present)
        eventually(release.is_complete)
        before[CONFIGURATION] = release.objects()[CONFIGURATION]
        assert_taken_over(release, before)
        eventually(lambda: names(create(team.api, team.open("app-2"))) == [team.name])
