"""What is done once aliyun-acr-credential-helper is gone, and that ours is not taken for it."""

import base64
import json

import pytest
from acr_credential_provider.model.errors import RegistryRefusedError
from support.replica import HOSTS, ONE, TWO, Bank, Clock, Record, Team, eventually, replica

HELPER = "aliyun-acr-credential-helper"
THEIRS = "acr-credential-secret-aggregation"
DEPLOYMENTS = "/apis/apps/v1/namespaces/kube-system/deployments"


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


@pytest.fixture
def helper(api):
    """The helper's Deployment, as it is in a cluster of ACK; it is gone afterwards."""
    container = {"name": "helper", "image": "registry.example/helper:v25"}
    labels = {"app": HELPER}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    api.create(DEPLOYMENTS, {"metadata": {"name": HELPER}, "spec": spec})

    def scale(count):
        patch = {"spec": {"replicas": count}}
        api.request("PATCH", f"{DEPLOYMENTS}/{HELPER}", patch, "application/merge-patch+json")

    yield scale
    api.request("DELETE", f"{DEPLOYMENTS}/{HELPER}")


def kept_by_the_helper(team, name):
    """Make a namespace as the helper leaves it: its Secret, attached to the default ServiceAccount behind another."""
    full = team.open(name, "other")
    auth = base64.b64encode(b"cr_temp_user:of-the-helper").decode()
    content = json.dumps({"auths": {host: {"auth": auth} for host in HOSTS.values()}}).encode()
    secret = {
        "metadata": {"name": THEIRS},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(content).decode()},
    }
    team.api.create(f"/api/v1/namespaces/{full}/secrets", secret)
    team.account(full, "default", "registry-login", THEIRS)
    return full


def test_once_the_helper_is_gone_what_waited_is_done(team, api, helper):
    app = kept_by_the_helper(team, "app")
    team.configure()
    record = Record()
    with replica(api, team.own, fetch=Bank(), record=record):
        eventually(lambda: "HelperRunning" in record.reasons())
        helper(0)
        eventually(lambda: team.name in team.pull_secrets(app))
        assert team.pull_secrets(app)[:2] == ["registry-login", THEIRS]


def test_an_entry_that_can_not_be_asked_for_keeps_the_login_that_the_helper_left(team, api):
    """Its Secret is ours from now on, and so are the Pods that pull with it."""
    app = kept_by_the_helper(team, "app")
    team.configure()
    bank = Bank()
    bank.refused[ONE] = RegistryRefusedError("refused", remedy="Attach the policy.")
    with replica(api, team.own, fetch=bank, take_over=True):
        eventually(lambda: team.pull_secrets(app) == ["registry-login", team.name])
        expected = {HOSTS[ONE]: "of-the-helper", HOSTS[TWO]: f"{TWO}-1"}
        eventually(lambda: team.passwords(app) == expected and team.passwords(app, THEIRS) == expected)
    # It carries our label now, and other tests uninstall in this cluster.
    api.request("DELETE", f"/api/v1/namespaces/{app}/secrets/{THEIRS}")


def test_a_login_of_a_helper_that_ran_beside_ours_for_long_outlives_the_take_over(team, api, helper):
    """Its Secrets hold what it wrote a moment before it went, whatever was known before that."""
    app = kept_by_the_helper(team, "app")
    team.configure()
    clock, record, bank = Clock(), Record(), Bank()
    bank.refused[ONE] = RegistryRefusedError("refused", remedy="Attach the policy.")
    with replica(api, team.own, fetch=bank, take_over=True, record=record, clock=clock):
        eventually(lambda: team.passwords(app) == {HOSTS[TWO]: f"{TWO}-1"})
        clock.moved += 2 * 3600
        eventually(lambda: team.passwords(app) == {HOSTS[TWO]: f"{TWO}-2"})
        helper(0)
        eventually(lambda: team.pull_secrets(app) == ["registry-login", team.name])
        expected = {HOSTS[ONE]: "of-the-helper", HOSTS[TWO]: f"{TWO}-2"}
        eventually(lambda: team.passwords(app) == expected and team.passwords(app, THEIRS) == expected)
        clock.moved += 30 * 60
        eventually(lambda: team.passwords(app)[HOSTS[ONE]] == "of-the-helper")
        clock.moved += 31 * 60
        eventually(lambda: HOSTS[ONE] not in team.passwords(app))
    api.request("DELETE", f"/api/v1/namespaces/{app}/secrets/{THEIRS}")


def test_our_own_deployment_may_have_its_name(team, api):
    """Users' RRSA trust policies name its ServiceAccount, and so the Deployment is often called after it too."""
    ours = {"app.kubernetes.io/name": "aliyun-acr-credential-provider"}
    container = {"name": "ours", "image": "registry.example/ours:1"}
    spec = {
        "selector": {"matchLabels": ours},
        "template": {"metadata": {"labels": ours}, "spec": {"containers": [container]}},
    }
    api.create(DEPLOYMENTS, {"metadata": {"name": HELPER, "labels": ours}, "spec": spec})
    app = team.open("app")
    team.configure()
    try:
        with replica(api, team.own, fetch=Bank()):
            eventually(lambda: team.pull_secrets(app) == [team.name])
    finally:
        api.request("DELETE", f"{DEPLOYMENTS}/{HELPER}")
