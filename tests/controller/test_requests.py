"""Namespaces that ask for an instance by ECI's annotation, against a real API server."""

import pytest
from support.replica import HOSTS, ONE, TWO, Bank, Record, Team, eventually, replica, stays

INSTANCES = "k8s.aliyun.com/acr-instance-ids"


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


def annotate(api, namespace, value):
    patch = {"metadata": {"annotations": {INSTANCES: value}}}
    api.request("PATCH", f"/api/v1/namespaces/{namespace}", patch, "application/merge-patch+json")


def test_an_annotated_namespace_gets_that_instance_at_once_and_loses_it_with_the_annotation(team, api):
    meant, asking = team.open("app"), team.open("virtual")
    team.configure(namespaces=[meant])
    with replica(api, team.own, fetch=Bank()):
        eventually(lambda: set(team.passwords(meant)) == set(HOSTS.values()))
        assert team.secret(asking) is None
        annotate(api, asking, f"cn-hangzhou:{ONE}")
        eventually(lambda: set(team.passwords(asking)) == {HOSTS[ONE]})
        eventually(lambda: team.pull_secrets(asking) == [team.name])
        uid = team.secret(asking)["metadata"]["uid"]
        annotate(api, asking, f"{ONE},{TWO}")
        eventually(lambda: set(team.passwords(asking)) == set(HOSTS.values()))
        assert team.secret(asking)["metadata"]["uid"] == uid
        annotate(api, asking, None)
        eventually(lambda: team.secret(asking) is None and team.pull_secrets(asking) == [])
        assert set(team.passwords(meant)) == set(HOSTS.values())


def test_what_can_not_be_had_is_told_on_the_namespace_and_gives_nothing(team, api):
    meant, asking = team.open("app"), team.open("virtual")
    annotate(api, asking, "cri-9999999999999999,<cri-instanceId>")
    team.configure(namespaces=[meant])
    record = Record()
    with replica(api, team.own, fetch=Bank(), record=record):
        eventually(lambda: team.pull_secrets(meant) == [team.name])
        eventually(lambda: "InvalidInstanceRequest" in record.reasons())
        stays(lambda: team.secret(asking) is None, seconds=1)
    told = [(about, message) for about, reason, message in record.events if reason == "InvalidInstanceRequest"]
    ((about, message),) = told
    assert about == f"Namespace /{asking}"
    assert "cri-9999999999999999 is not an instance of the configuration" in message
    assert "<" not in message


def test_the_webhooks_view_is_that_of_the_namespace(team, api):
    meant, asking, other = team.open("app"), team.open("virtual"), team.open("other")
    annotate(api, asking, TWO)
    team.configure(namespaces=[meant])
    with replica(api, team.own, fetch=Bank()) as controller:
        eventually(lambda: team.pull_secrets(asking) == [team.name])
        found = controller.pull_secret_for(asking, "brand-new")
        assert HOSTS[TWO].encode() in found.content
        assert HOSTS[ONE].encode() not in found.content
        assert controller.pull_secret_for(other, "brand-new") is None
