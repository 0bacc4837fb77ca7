"""Objects as a tenant may make them, and namespaces that refuse what we do: none of them stops the work on others."""

import json
import subprocess
import sys

import pytest
import yaml
from cluster.kube import KubeError
from support.replica import HOSTS, Bank, Team, eventually, replica

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
ODD_LISTS = [
    [{}],
    [{"name": ""}],
    [None],
    [{"name": "../../secrets"}],
    [{"name": "UPPER case"}, {}, {"name": "\u001b[31mred\n"}],
    [{"name": "x" * 5000}],
]


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


class Tenant:
    """Somebody who may edit one namespace; signs in with the token of a ServiceAccount there."""

    def __init__(self, team, namespace):
        self._namespace = namespace
        team.account(namespace, "tenant")
        # What the role "edit" is aggregated from: no controller does that here.
        role = {"kind": "ClusterRole", "name": "system:aggregate-to-edit", "apiGroup": "rbac.authorization.k8s.io"}
        eventually(lambda: team.find(f"{RBAC}/clusterroles/{role['name']}"))
        subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": namespace}
        team.api.create(
            f"{RBAC}/namespaces/{namespace}/rolebindings",
            {"metadata": {"name": "edit"}, "roleRef": role, "subjects": [subject]},
        )
        document = yaml.safe_load(team.api.kubeconfig_of(namespace, "tenant").read_text())
        self._token = document["users"][0]["user"]["token"]
        self._api = team.api

    def request(self, method, plural, name="", body=None, kind="application/merge-patch+json"):
        import http.client
        import ssl

        tls = ssl.create_default_context(cafile=str(self._api.ca_file))
        connection = http.client.HTTPSConnection("127.0.0.1", self._api._port, context=tls, timeout=30)
        path = f"/api/v1/namespaces/{self._namespace}/{plural}" + (f"/{name}" if name else "")
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise KubeError(answer.status, content.decode(errors="replace"))

    def make_odd_accounts(self):
        for number, entries in enumerate(ODD_LISTS):
            metadata = {"name": f"odd-{number}", "labels": None, "annotations": None}
            body = {"metadata": metadata, "imagePullSecrets": entries, "secrets": [{}, {"name": ""}]}
            self.request("POST", "serviceaccounts", body=body, kind="application/json")


def uninstalled(team, *words):
    command = [sys.executable, "-m", "acr_credential_provider", "pull-secrets", "uninstall", "--namespace", team.own]
    command += ["--kubeconfig", str(team.api.kubeconfig("admin", group="system:masters")), "--force", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def lists(team, namespace):
    found = team.api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts")["items"]
    return {each["metadata"]["name"]: each.get("imagePullSecrets") for each in found}


def has_both(team, namespace):
    return set(team.passwords(namespace)) == set(HOSTS.values()) and team.name in team.pull_secrets(namespace)


def names_of_webhook_and_own(team):
    own = [each["metadata"]["name"] for each in team.api.get(f"/api/v1/namespaces/{team.own}/secrets")["items"]]
    leases = team.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{team.own}/leases")["items"]
    return own, leases


def test_entries_that_name_no_secret_stop_neither_the_controller_nor_its_uninstallation(team):
    app, odd = team.open("app"), team.open("odd")
    tenant = Tenant(team, odd)
    tenant.make_odd_accounts()
    before = lists(team, odd)
    team.configure(serviceAccounts=["default", "odd-1"])
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, app) and has_both(team, odd))
        eventually(lambda: lists(team, odd)["odd-1"] == [*before["odd-1"], {"name": team.name}])
        assert {name: each for name, each in lists(team, odd).items() if name not in ("default", "odd-1")} == {
            name: each for name, each in before.items() if name not in ("default", "odd-1")
        }
    done = uninstalled(team, "--secret-name", "")
    assert done.returncode == 0, done.stderr
    assert lists(team, odd) == {**before, "default": None}
    assert team.secret(odd) is None
    assert team.secret(app) is None
    assert names_of_webhook_and_own(team) == ([], [])


@pytest.fixture
def policy(team):
    """Let a policy refuse changes of ServiceAccounts in one namespace."""
    made = []

    def refuse(namespace, *, resource="serviceaccounts", operation="UPDATE"):
        name = f"{namespace}-{resource}"
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": [operation], "resources": [resource]}
        spec = {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": "the platform team says no"}],
        }
        team.api.create(f"{ADMISSION}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
        made.append(f"{ADMISSION}/validatingadmissionpolicies/{name}")
        only = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        binding = {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": only},
        }
        team.api.create(f"{ADMISSION}/validatingadmissionpolicybindings", {"metadata": {"name": name}, "spec": binding})
        made.append(f"{ADMISSION}/validatingadmissionpolicybindings/{name}")

    yield refuse
    for path in made:
        team.api.request("DELETE", path)


def test_a_namespace_that_refuses_its_own_release_is_named_and_keeps_nothing_else(team, policy):
    held, other, last = team.open("a-held"), team.open("b-other"), team.open("z-last")
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: all(has_both(team, each) for each in (held, other, last)))
    policy(held)

    def is_refused():
        patch = {"metadata": {"annotations": {"probe": "x"}}}
        try:
            team.api.request(
                "PATCH", f"/api/v1/namespaces/{held}/serviceaccounts/default", patch, "application/merge-patch+json"
            )
        except KubeError:
            return True
        return False

    eventually(is_refused)
    done = uninstalled(team)
    assert done.returncode == 1
    assert f"namespace {held}: " in done.stderr
    assert "(422 Invalid)" in done.stderr
    assert f"--secret-name {team.name}" in done.stderr
    for each in (other, last):
        assert team.secret(each) is None
        assert team.pull_secrets(each) == []
    assert names_of_webhook_and_own(team) == ([], [])


def test_a_secret_that_a_tenants_finalizer_holds_is_named_and_keeps_nothing_else(team):
    held, last = team.open("a-held"), team.open("z-last")
    tenant = Tenant(team, held)
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, held) and has_both(team, last))
    tenant.request("PATCH", "secrets", team.name, {"metadata": {"finalizers": ["example.com/keep"]}})
    done = uninstalled(team)
    assert done.returncode == 1
    assert f"Secret {held}/{team.name}: a finalizer holds it" in done.stderr
    assert team.secret(last) is None
    assert names_of_webhook_and_own(team) == ([], [])
    tenant.request("PATCH", "secrets", team.name, {"metadata": {"finalizers": None}})
    assert uninstalled(team, "--secret-name", team.name).returncode == 0


def test_a_namespace_and_an_account_that_are_on_their_way_out_keep_nothing_else(team):
    going, last = team.open("a-going"), team.open("z-last")
    team.account(going, "held", finalizers=["example.com/keep"])
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, going) and has_both(team, last))
        eventually(lambda: team.pull_secrets(going, "held") == [team.name])
    team.api.request("DELETE", f"/api/v1/namespaces/{going}/serviceaccounts/held")
    team.api.request("DELETE", f"/api/v1/namespaces/{going}")  # without a controller manager it stays in this state
    done = uninstalled(team)
    assert done.returncode == 0, done.stderr
    assert team.secret(going) is None
    assert team.secret(last) is None


def test_secrets_of_our_name_that_are_not_ours_stay_and_one_that_is_immutable_goes(team):
    mine, fixed = team.open("mine"), team.open("fixed")
    body = {"metadata": {"name": team.name}, "stringData": {"mine": "x"}}
    team.api.create(f"/api/v1/namespaces/{mine}/secrets", body)
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, fixed))
    path = f"/api/v1/namespaces/{fixed}/secrets/{team.name}"
    team.api.request("PATCH", path, {"immutable": True}, "application/merge-patch+json")
    done = uninstalled(team)
    assert done.returncode == 0, done.stderr
    assert team.secret(mine) is not None
    assert team.secret(fixed) is None
