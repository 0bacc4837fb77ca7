"""Whom the API server itself counts as selected, while no replica answers: the same as the controller does."""

import itertools

import pytest
from acr_credential_provider.pull_secrets.model.objects import Namespace, ServiceAccount
from acr_credential_provider.pull_secrets.model.selection import is_left_out, selects_account, selects_namespace
from acr_credential_provider.pull_secrets.webhook import registration
from acr_credential_provider.pull_secrets.webhook.registration import ServiceReference
from acr_credential_provider.settings.pull_secrets import PullSecrets
from cluster.kube import KubeError
from support.replica import eventually
from support.selections import ACCOUNTS, NAMESPACES, SPECS

HOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


@pytest.fixture
def spaces(api, namespace):
    """Return the namespaces by name; a dot in a pattern is no wildcard, so one name has none where another has."""
    made = {}
    for name, metadata in NAMESPACES.items():
        full = f"{namespace}-{name.replace('.', '-')}"
        api.create("/api/v1/namespaces", {"metadata": {"name": full, **(metadata or {})}})
        labels = api.get(f"/api/v1/namespaces/{full}")["metadata"]["labels"]
        made[full] = Namespace(full, labels=labels)
    return made


def refused(api, space, name):
    body = {"metadata": {"name": name, **ACCOUNTS[name]}}
    try:
        api.request("POST", f"/api/v1/namespaces/{space}/serviceaccounts", body)
    except KubeError as error:
        if "failed calling webhook" not in str(error):
            raise
        return True
    api.request("DELETE", f"/api/v1/namespaces/{space}/serviceaccounts/{name}")
    return False


@pytest.mark.parametrize("words", SPECS, ids=range(len(SPECS)))
def test_while_no_replica_answers_fail_refuses_those_whom_the_settings_select_and_no_others(
    api, namespace, spaces, words
):
    filled = {
        key: [pattern.format(f"{namespace}-") for pattern in value] if isinstance(value, list) else value
        for key, value in words.items()
    }
    spec = PullSecrets.model_validate(
        {**filled, "admission": {"mode": "webhook", "failurePolicy": "Fail", "timeoutSeconds": 1}}
    )
    expected = {
        (space, name): selects_namespace(spec, spaces[space])
        and not is_left_out(spec, spaces[space])
        and selects_account(
            spec, ServiceAccount(space, name, labels=each.get("labels", {}), annotations=each.get("annotations", {}))
        )
        for space, (name, each) in itertools.product(spaces, ACCOUNTS.items())
    }
    nowhere = ServiceReference("kube-public", "nobody")
    document = registration.manifest(spec, nowhere, b"")
    for hook in document["webhooks"]:  # this API server looks for no Services
        hook["clientConfig"] = {"url": "https://127.0.0.1:1/"}
        hook["namespaceSelector"]["matchExpressions"].append(
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(spaces)}
        )
    api.create(HOOKS, document)
    try:
        eventually(
            lambda: {(space, name): refused(api, space, name) for space, name in expected} == expected, within=20
        )
    finally:
        api.request("DELETE", f"{HOOKS}/{registration.NAME}")


def test_under_fail_a_name_that_is_yet_to_be_generated_is_asked_about(api, namespace):
    spec = PullSecrets.model_validate(
        {
            "namespaces": [namespace],
            "serviceAccounts": ["robot-*"],
            "admission": {"mode": "webhook", "failurePolicy": "Fail", "timeoutSeconds": 1},
        }
    )
    document = registration.manifest(spec, ServiceReference("kube-public", "nobody"), b"")
    for hook in document["webhooks"]:
        hook["clientConfig"] = {"url": "https://127.0.0.1:1/"}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    told = []

    def is_asked():
        try:
            api.create(path, {"metadata": {"generateName": "robot-"}})
        except KubeError as error:
            told.append(str(error))
            return True
        return False

    api.create(HOOKS, document)
    try:
        eventually(is_asked, within=20)
    finally:
        api.request("DELETE", f"{HOOKS}/{registration.NAME}")
    assert "failed calling webhook" in told[0]
