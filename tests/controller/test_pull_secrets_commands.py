"""The commands `pull-secrets run|plan|uninstall` as processes, and the way from another helper to ours and back."""

import contextlib
import json
import signal
import subprocess
import sys
from base64 import b64encode

import pytest
import yaml
from acr_credential_provider.cluster_doctor.checks import check_session_duration
from acr_credential_provider.cluster_doctor.snapshot import Cluster, Configuration
from acr_credential_provider.settings.verdict import judge
from sandbox.state import Role
from support import harness
from support.replica import HOSTS, Bank, Record, Team, eventually, replica, settings, stays

HELPER = "/apis/apps/v1/namespaces/kube-system/deployments"
THEIRS = "acr-credential-secret-aggregation"


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


@pytest.fixture
def command(api, team, tmp_path):
    """Return the start of a command line as an administrator, and run one to its end."""
    kubeconfig = str(api.kubeconfig("admin", group="system:masters"))

    def arguments(verb, *words):
        own = ["--kubeconfig", kubeconfig, "--namespace", team.own]
        return [sys.executable, "-m", "acr_credential_provider", "pull-secrets", verb, *own, *words]

    return arguments


def ran(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@contextlib.contextmanager
def running(command):
    ports = ["--address", "127.0.0.1", "--webhook-port", "0", "--health-port", "0"]
    with subprocess.Popen([*command, *ports], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def of_the_sandbox(team, sandbox):
    pull_secrets = settings(f"{team.prefix}-*", secretName=team.name)["pullSecrets"]
    return json.dumps({**sandbox.settings(), "pullSecrets": pull_secrets})


def test_it_keeps_pull_secrets_with_one_call_to_acr_and_ends_when_told(team, command, sandbox, tmp_path):
    app, other = team.open("app"), team.open("other")
    path = tmp_path / "settings.yaml"
    path.write_text(of_the_sandbox(team, sandbox))
    path.chmod(0o600)
    with running(command("run", "--settings", str(path))) as process:
        eventually(lambda: team.name in team.pull_secrets(app) and team.name in team.pull_secrets(other))
        (password,) = team.passwords(app).values()
        assert sandbox.state.find_login("cr_temp_user", password)
        assert sandbox.calls.count("GetAuthorizationToken") == 1
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{team.own}/leases/aliyun-acr-credential-provider-pull-secrets"
    assert team.api.get(lease)["spec"]["holderIdentity"] == ""
    assert all(json.loads(line) for line in log.splitlines())
    assert not [secret for secret in sandbox.state.secrets() if secret in log]


def test_a_session_that_sts_refuses_is_an_event_with_its_remedy_and_the_doctor_finds_it(team, command, sandbox):
    user = sandbox.key.principal.arn
    trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"RAM": [user]}}]}
    role = sandbox.state.add_role(Role(f"pull-{team.prefix}", trust, max_session_duration=3600))
    document = json.loads(of_the_sandbox(team, sandbox))
    document["registries"][0]["assumeRole"] = [{"roleArn": role.arn, "sessionDuration": "12h"}]
    body = {"metadata": {"name": "acr-configuration"}, "data": {"settings.yaml": json.dumps(document)}}
    team.api.create(f"/api/v1/namespaces/{team.own}/configmaps", body)
    events = f"/api/v1/namespaces/{team.own}/events"
    with running(command("run", "--config-map", f"{team.own}/acr-configuration", *sandbox.from_cluster)):
        told = eventually(
            lambda: [each for each in team.api.get(events)["items"] if each["reason"] == "TokenNotRenewed"]
        )
    team.api.request("DELETE", events)  # other tests ask the doctor about this cluster too
    assert f"Raise the maximum session duration of {role.arn} to 43200 s" in told[0]["message"]
    found = next(
        check_session_duration(
            Cluster(
                Configuration(judge(json.dumps(document), place="controller").settings), lambda *_: True, events=told
            )
        )
    )
    assert (str(found.status), "longer than its role allows" in found.detail) == ("failed", True)


def test_the_plan_says_what_will_be_done_and_then_that_nothing_is_left(team, command):
    app = team.open("app")
    team.account(app, "build", "theirs")
    team.configure()
    config_map = ["--config-map", f"{team.own}/acr-configuration"]
    first = ran(command("plan", *config_map, "--output", "json"))
    assert first.returncode == 0
    document = json.loads(first.stdout)
    assert document["actions"][:1] == [{"kind": "Secret", "namespace": app, "name": team.name, "action": "create"}]
    assert {each["name"] for each in document["actions"][1:]} == {"build", "default"}
    assert team.secret(app) is None, "a plan writes nothing"
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: team.name in team.pull_secrets(app, "build") and team.name in team.pull_secrets(app))
    again = ran(command("plan", *config_map))
    assert again.stdout == "nothing to do\n"
    assert ran(command("plan", "--config-map", f"{team.own}/absent")).returncode == 1


def test_the_plan_of_an_edit_says_what_it_takes_away_from_whom_and_whether_it_is_refused(team, command, tmp_path):
    app, other = team.open("app"), team.open("other")
    team.account(app, "build")
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: team.name in team.pull_secrets(other) and team.name in team.pull_secrets(app, "build"))

    def planned(*words, **edit):
        instances = edit.pop("instances", tuple(HOSTS))
        path = tmp_path / "edited.yaml"
        path.write_text(json.dumps(settings(f"{team.prefix}-*", instances=instances, secretName=team.name, **edit)))
        return ran(command("plan", "--settings", str(path), "--from", "cluster", *words))

    one, two = HOSTS
    fewer = planned(instances=(one,), excludedNamespaces=["*-controller", other])
    assert fewer.returncode == 0, fewer.stderr
    lines = fewer.stdout.splitlines()
    assert lines[:3] == [
        f"lose in {app}: the login of {two} in cn-hangzhou",
        f"lose in {other}: the login of {two} in cn-hangzhou",
        f"lose in {other}: logins that the settings keep for others",
    ]
    assert f"change ServiceAccount {other}/default: -{team.name}" in lines
    assert f"delete Secret {other}/{team.name}" in lines
    assert f"update Secret {app}/{team.name}" in lines
    accounts = json.loads(planned("--output", "json", serviceAccounts=["default"]).stdout)
    assert accounts["loss"] == {
        "extent": "some",
        "logins": [],
        "namespaces": [],
        "serviceAccounts": [f"{app}/build"],
        "isRefused": False,
    }
    refused = planned(serviceAccounts=["defualt"])
    assert refused.returncode == 1
    assert f"would lose, but is refused: in {app}: the entry of ServiceAccount build" in refused.stdout.splitlines()
    assert "stays in force" in refused.stderr
    assert team.pull_secrets(app, "build") == [team.name], "a plan writes nothing"


def test_uninstall_leaves_no_entry_no_secret_and_nothing_of_the_controllers_own(team, command):
    app = team.open("app")
    team.account(app, "build", "theirs")
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: team.name in team.pull_secrets(app, "build") and team.name in team.pull_secrets(app))
        refused = ran(command("uninstall"))
        assert refused.returncode == 1
        assert "a controller is at work" in refused.stderr
        assert team.secret(app) is not None
    shown = ran(command("uninstall", "--dry-run"))
    assert shown.returncode == 0, shown.stderr
    assert team.secret(app) is not None
    assert team.pull_secrets(app, "build") == ["theirs", team.name]
    assert team.shared() is not None
    done = ran(command("uninstall"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown.stdout
    assert ran(command("uninstall", "--dry-run")).stdout == "nothing of ours is there\n"
    assert team.secret(app) is None
    assert team.pull_secrets(app) == []
    assert team.pull_secrets(app, "build") == ["theirs"]
    assert team.shared() is None
    leases = team.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{team.own}/leases")
    assert leases["items"] == []
    assert ran(command("uninstall")).stdout == "nothing of ours is there\n"


@pytest.fixture
def helper(team):
    """aliyun-acr-credential-helper's Deployment, as far as anyone can see it."""
    labels = {"app": "aliyun-acr-credential-helper"}
    container = {"name": "helper", "image": "registry.example/acr-credential-helper"}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    body = {"metadata": {"name": "aliyun-acr-credential-helper", "labels": labels}, "spec": spec}
    path = f"{HELPER}/aliyun-acr-credential-helper"

    def delete():
        if team.find(path) is not None:
            team.api.request("DELETE", path)

    team.api.create(HELPER, body)
    yield delete
    delete()


def of_the_helper(team, namespace):
    content = b64encode(b'{"auths":{"old.example":{"auth":"b2xkOm9sZA=="}}}').decode()
    body = {
        "metadata": {"name": THEIRS},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": content},
    }
    team.api.create(f"/api/v1/namespaces/{namespace}/secrets", body)
    patch = {"imagePullSecrets": [{"name": THEIRS}]}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    team.api.request("PATCH", path, patch, "application/merge-patch+json")


def test_beside_a_running_helper_nothing_is_written_and_it_is_named(team, helper):
    app, record = team.open("app"), Record()
    of_the_helper(team, app)
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), record=record) as controller:
        eventually(lambda: "HelperRunning" in record.reasons())
        stays(lambda: team.secret(app) is None, seconds=1.5)
        assert team.pull_secrets(app) == [THEIRS]
        assert controller.pull_secret_for(app, "new") is None
        helper()
        eventually(lambda: team.pull_secrets(app) == [THEIRS, team.name])  # its entry is not ours to remove


def test_taking_over_replaces_its_entry_without_a_gap_and_keeps_its_secret_alive_for_its_pods(team, helper, command):
    app = team.open("app")
    of_the_helper(team, app)
    uid = team.secret(app, THEIRS)["metadata"]["uid"]
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), take_over=True):
        eventually(lambda: team.pull_secrets(app) == [THEIRS, team.name])
        assert set(team.passwords(app)) == set(HOSTS.values())
        assert set(team.passwords(app, THEIRS)) == {"old.example"}, "its own as long as it is at work"
        helper()
        eventually(lambda: team.pull_secrets(app) == [team.name])
        eventually(lambda: set(team.passwords(app, THEIRS)) == set(HOSTS.values()))
        assert team.secret(app, THEIRS)["metadata"]["uid"] == uid
    assert ran(command("uninstall", "--force")).returncode == 0
    assert team.secret(app, THEIRS) is None
    assert team.pull_secrets(app) == []


def test_the_rights_in_the_manifests_are_enough_to_take_over(team):
    manifests = harness.ROOT / "packaging/manifests/pull-secrets"
    granted = []
    text = "---\n".join((manifests / name).read_text() for name in ("rbac.yaml", "take-over.yaml"))
    for document in yaml.safe_load_all(text):
        if "subjects" in document:  # a certificate has no room for the ServiceAccount's whole name
            assert "aliyun-acr-credential-provider-pull-secrets" in [each["name"] for each in document["subjects"]]
            document["subjects"] = [{"kind": "User", "name": "taker", "apiGroup": "rbac.authorization.k8s.io"}]
        if document["kind"] != "ServiceAccount":
            where = document["metadata"].get("namespace")
            place = f"/namespaces/{where}" if where else ""
            path = f"/apis/rbac.authorization.k8s.io/v1{place}/{document['kind'].lower()}s"
            granted.append(f"{path}/{document['metadata']['name']}")
            if team.find(granted[-1]) is None:
                team.api.create(path, document)
    app, record = team.open("app"), Record()
    of_the_helper(team, app)
    team.name = "acr-credential-aliyun"
    body = {"metadata": {"name": "acr-configuration"}, "data": {"settings.yaml": team.native()}}
    team.api.create("/api/v1/namespaces/kube-system/configmaps", body)
    own = {"config_map": ("kube-system", "acr-configuration"), "take_over": True, "user": ("taker", None)}
    try:
        with replica(team.api, "kube-system", fetch=Bank(), record=record, **own):
            eventually(lambda: team.pull_secrets(app) == [team.name])
            eventually(lambda: set(team.passwords(app, THEIRS)) == set(HOSTS.values()))
        assert not record.reasons() & {"WriteRefused", "SyncFailed", "HelperUnknown"}
    finally:
        own = "/api/v1/namespaces/kube-system"
        tokens = f"{own}/secrets/aliyun-acr-credential-provider-tokens"
        for path in [*granted, f"{own}/configmaps/acr-configuration", tokens]:
            if team.find(path) is not None:
                team.api.request("DELETE", path)
