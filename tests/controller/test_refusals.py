"""A real API server refuses what we write, each in its own way: operators hear the true cause, others are served."""

import json

import pytest
from cluster.kube import KubeError
from support.replica import Bank, Record, Team, eventually, replica, stays

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
MERGE = "application/merge-patch+json"


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


@pytest.fixture
def admission(api, namespace):
    """Return a function that makes an object of admission which applies to one namespace; it is gone after the test."""
    made = []

    def make(plural, body):
        body["metadata"] = {"name": f"{namespace}-{len(made)}"}
        api.create(f"{ADMISSION}/{plural}", body)
        made.append(f"{ADMISSION}/{plural}/{body['metadata']['name']}")
        return body["metadata"]["name"]

    yield make
    for path in reversed(made):
        api.request("DELETE", path)


def with_quota(team, namespace):
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    quota = team.api.create(path, {"metadata": {"name": "few"}, "spec": {"hard": {"secrets": "0"}}})
    # In life a controller writes this; without it nothing is counted.
    quota["status"] = {"hard": {"secrets": "0"}, "used": {"secrets": "0"}}
    team.api.request("PUT", f"{path}/few/status", quota)


def with_policy(admission, namespace, resource, **reason):
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}]
    name = admission(
        "validatingadmissionpolicies",
        {
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": rules},
                "validations": [{"expression": "false", "message": "not in this house", **reason}],
            }
        },
    )
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    admission(
        "validatingadmissionpolicybindings",
        {
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": selector},
            }
        },
    )


def with_broken_webhook(admission, namespace):
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    hook = {
        "name": "broken.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 1,
        "failurePolicy": "Fail",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [rule],
    }
    admission("validatingwebhookconfigurations", {"webhooks": [hook]})


def refused(api, method, path, body):
    """Wait until the API server goes by what was just made: it may take it a moment."""

    def is_refused():
        try:
            api.request(method, f"{path}?dryRun=All", body)
        except KubeError as error:
            return error.status != 404
        return False

    eventually(is_refused)


def said_about(record, namespace):
    return [
        text for about, reason, text in record.events if about.endswith(f"/{namespace}") and reason == "WriteRefused"
    ]


def test_each_refusal_is_told_with_its_cause_and_concerns_its_namespace_alone(team, api, admission):
    names = [team.open(name) for name in ("quota", "policy", "forbidding", "webhook", "well")]
    quota, policy, forbidding, webhook, well = names
    with_quota(team, quota)
    with_policy(admission, policy, "secrets")
    with_policy(admission, forbidding, "secrets", reason="Forbidden")
    with_broken_webhook(admission, webhook)
    body = {"metadata": {"name": "any"}}
    for namespace in names[:-1]:
        refused(api, "POST", f"/api/v1/namespaces/{namespace}/secrets", body)
    team.configure()
    record = Record()
    with replica(api, team.own, fetch=Bank(), record=record):
        eventually(lambda: team.pull_secrets(well) == [team.name])
        eventually(lambda: all(said_about(record, namespace) for namespace in names[:-1]))
        said = {namespace: said_about(record, namespace)[0] for namespace in names[:-1]}
        assert "exceeded quota: few" in said[quota]
        assert f"kubectl get resourcequota -n {quota}" in said[quota]
        for namespace in (policy, forbidding):
            assert "not in this house" in said[namespace]
            assert "admission policy or webhook" in said[namespace]
        assert "broken.example.com" in said[webhook]
        assert "cannot reach it" in said[webhook]
        assert not any("RBAC" in text or "Correct" in text for text in said.values())
        outcomes = {outcome for kind, verb, outcome in record.writes if (kind, verb) == ("Secret", "create")}
        assert {"quota", "policy", "webhook", "ok"} <= outcomes
        # What was in the way goes, and nobody need tell us.
        api.request("DELETE", f"/api/v1/namespaces/{quota}/resourcequotas/few")
        eventually(lambda: team.pull_secrets(quota) == [team.name])


def test_an_account_that_a_policy_protects_keeps_no_other_from_its_entry(team, api, admission):
    app = team.open("app", "default", "other")
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["serviceaccounts"]}]
    name = admission(
        "validatingadmissionpolicies",
        {
            "spec": {
                "matchConstraints": {"resourceRules": rules},
                "validations": [{"expression": "object.metadata.name != 'default'", "message": "hands off"}],
            }
        },
    )
    selector = {"matchLabels": {"kubernetes.io/metadata.name": app}}
    admission(
        "validatingadmissionpolicybindings",
        {
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": selector},
            }
        },
    )
    path = f"/api/v1/namespaces/{app}/serviceaccounts/default"
    refused(api, "PUT", path, api.get(path))
    team.configure()
    record = Record()
    with replica(api, team.own, fetch=Bank(), record=record):
        eventually(lambda: team.pull_secrets(app, "other") == [team.name])
        eventually(lambda: said_about(record, app))
        assert "hands off" in said_about(record, app)[0]
        assert record.writes["ServiceAccount", "update", "policy"] > 0
        assert record.writes["ServiceAccount", "update", "conflict"] == 0


def test_a_secret_that_a_tenant_made_immutable_is_told(team, api):
    app = team.open("app")
    team.configure()
    record, bank = Record(), Bank()
    with replica(api, team.own, fetch=bank, record=record):
        eventually(lambda: team.passwords(app))
        path = f"/api/v1/namespaces/{app}/secrets/{team.name}"
        api.request("PATCH", path, {"immutable": True, "metadata": {"annotations": {"x": "y"}}}, MERGE)
        team.configure(team.native(secretName=team.name).replace("cri-0000000000000002", "cri-0000000000000003"))
        eventually(lambda: said_about(record, app))
        assert "field is immutable" in said_about(record, app)[0]
        assert "Delete the object" in said_about(record, app)[0]
        # The remedy, followed.
        api.request("DELETE", path)
        eventually(lambda: any("cri-0000000000000003" in host for host in team.passwords(app)))


def test_a_failed_test_of_a_json_patch_is_a_conflict_and_a_refusal_is_not(team, api):
    """The API server answers both with 422; the worker depends on telling them apart."""
    from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.refusals import Cause

    app = team.open("app")
    kube = KubeClient.find(kubeconfig=str(api.kubeconfig("admin", group="system:masters")))
    path = f"/api/v1/namespaces/{app}/serviceaccounts/default"
    causes = []
    for operations in (
        [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}],
        [{"op": "test", "path": "/imagePullSecrets/0/name", "value": "x"}],
        [{"op": "remove", "path": "/imagePullSecrets/7"}],
        [{"op": "add", "path": "/metadata/labels", "value": {"a": "not a label value!"}}],
        [{"op": "add", "path": "/metadata/resourceVersion", "value": "1"}],
    ):
        with pytest.raises(ClusterError) as caught:
            kube.patch(path, operations)
        causes.append(caught.value.cause)
    kube.close()
    assert causes == [Cause.CONFLICT, Cause.CONFLICT, Cause.CONFLICT, Cause.INVALID, Cause.CONFLICT]


def test_an_account_that_is_deleted_and_made_again_is_served_as_fast_as_the_first(team, api):
    app = team.open("app", "other")
    team.configure()
    record = Record()
    with replica(api, team.own, fetch=Bank(), record=record):
        for number in range(12):
            team.account(app, "robot")
            eventually(lambda: team.pull_secrets(app, "robot") == [team.name], within=5 if number else 60)
            api.request("DELETE", f"/api/v1/namespaces/{app}/serviceaccounts/robot")
        team.account(app, "robot")
        for _ in range(12):
            team.configure(serviceAccounts=["robot"])
            eventually(lambda: team.pull_secrets(app, "other") == [], within=5)
            team.configure(serviceAccounts=["*"])
            eventually(lambda: team.pull_secrets(app, "other") == [team.name], within=5)
    assert "EntryReverted" not in record.reasons()


@pytest.mark.parametrize("how", ["deletes", "changes"])
def test_who_undoes_our_secret_again_and_again_is_named_and_not_fought_at_full_speed(team, api, how):
    app, well = team.open("app"), team.open("well")
    team.configure()
    record = Record()
    path = f"/api/v1/namespaces/{app}/secrets/{team.name}"
    patch = {"data": {".dockerconfigjson": "e30="}}
    with replica(api, team.own, fetch=Bank(), record=record):
        eventually(lambda: team.passwords(app))
        rounds = 0
        while "SecretReverted" not in record.reasons():
            assert rounds < 30, record.writes
            if how == "deletes":
                api.request("DELETE", path)
            else:
                api.request("PATCH", f"{path}?fieldManager=replicator", patch, MERGE)
            eventually(lambda: team.passwords(app))
            rounds += 1
        (said,) = {text for _, reason, text in record.events if reason == "SecretReverted"}
        assert ("replicator changes this Secret" if how == "changes" else "another client deletes this Secret") in said
        before = record.done()
        for _ in range(20):
            if team.passwords(app):
                api.request(*(("DELETE", path) if how == "deletes" else ("PATCH", path, patch, MERGE)))
            stays(lambda: True, seconds=0.1)
        assert record.done() - before <= 4, "what is undone is repaired ever more slowly"
        eventually(lambda: team.passwords(well))


def test_our_secret_without_its_label_is_still_recognised(team, api):
    app = team.open("app")
    team.configure()
    record = Record()
    with replica(api, team.own, fetch=Bank(), record=record):
        eventually(lambda: team.pull_secrets(app) == [team.name])
        path = f"/api/v1/namespaces/{app}/secrets/{team.name}"
        api.request("PATCH", path, {"metadata": {"labels": None}}, MERGE)
        eventually(lambda: (team.secret(app) or {})["metadata"].get("labels"))
        labels = {"labels": {"aliyun-acr-credential-provider/pull-secrets": "disabled"}}
        api.request("PATCH", path, {"metadata": {"labels": None}}, MERGE)
        api.request("PATCH", f"/api/v1/namespaces/{app}", {"metadata": labels}, MERGE)
        eventually(lambda: team.secret(app) is None)
        eventually(lambda: team.pull_secrets(app) == [])
    assert "SecretConflict" not in record.reasons()


def test_a_secret_of_somebody_else_is_told_of_only_where_it_is_in_the_way(team, api):
    app, elsewhere = team.open("app"), team.open("elsewhere")
    theirs = {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}}
    for namespace in (app, elsewhere):
        api.create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": team.name}, **theirs})
    team.configure(
        json.dumps({**json.loads(team.native()), "pullSecrets": {"namespaces": [app], "secretName": team.name}})
    )
    record = Record()
    with replica(api, team.own, fetch=Bank(), record=record):
        eventually(lambda: "SecretConflict" in record.reasons())
        stays(lambda: not any(elsewhere in about for about, reason, _ in record.events), seconds=2)


def test_a_new_account_does_not_wait_for_hundreds_of_new_namespaces(team, api):
    app = team.open("app")
    team.configure()
    with replica(api, team.own, fetch=Bank(), writes_per_second=20):
        eventually(lambda: team.pull_secrets(app) == [team.name])
        many = [team.open(f"burst-{number}") for number in range(200)]
        team.account(app, "robot")
        eventually(lambda: team.pull_secrets(app, "robot") == [team.name])
        last = sum(bool(team.pull_secrets(namespace)) for namespace in many[-50:])
        assert last < 50, "it was served before the namespaces that were there first"
        eventually(lambda: all(team.pull_secrets(namespace) for namespace in many))


def test_a_full_quota_is_no_reason_against_an_account_whose_secret_is_there(team, api):
    """The API server judges the quota first, and answers 403 where the Secret exists."""
    from acr_credential_provider.pull_secrets.commands.servers import ensure_secret
    from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret

    served, empty = team.open("served"), team.open("empty")
    kube = KubeClient.find(kubeconfig=str(api.kubeconfig("admin", group="system:masters")), telemetry=Record())
    secret = PullSecret("acr-credential-aliyun", b'{"auths":{}}')
    ensure_secret(kube, served, secret, 10.0)
    for namespace in (served, empty):
        with_quota(team, namespace)
        refused(api, "POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "any"}})
    ensure_secret(kube, served, secret, 10.0)
    with pytest.raises(ClusterError, match="exceeded quota"):
        ensure_secret(kube, empty, secret, 10.0)
    assert kube.telemetry.writes == {("Secret", "create", "ok"): 1, ("Secret", "create", "quota"): 1}
    kube.close()


def test_a_quota_that_the_clusters_own_controller_counts_is_told_and_one_that_is_used_up_takes_nothing(team, api):
    served, full = team.open("served"), team.open("full")

    def quota(namespace, most):
        path = f"/api/v1/namespaces/{namespace}/resourcequotas"
        body = {"metadata": {"name": "few"}, "spec": {"hard": {"secrets": most}}}
        if team.find(f"{path}/few") is None:
            api.create(path, body)
        else:
            api.request("PUT", f"{path}/few", body)
        return lambda: api.get(f"{path}/few").get("status", {}).get("used", {}).get("secrets")

    record = Record()
    team.configure()
    with api.controllers("resourcequota-controller"):
        eventually(lambda: quota(full, "0")() == "0")
        with replica(api, team.own, fetch=Bank(), record=record):
            eventually(lambda: team.pull_secrets(served) == [team.name])
            used = quota(served, "1")
            eventually(lambda: used() == "1")
            team.account(served, "late")
            eventually(lambda: team.pull_secrets(served, "late") == [team.name], within=2)
            eventually(lambda: any("exceeded quota: few" in text for text in said_about(record, full)))
            quota(full, "1")
            eventually(lambda: team.pull_secrets(full) == [team.name])
    assert said_about(record, served) == []
