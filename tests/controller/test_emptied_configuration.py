"""Edits that would leave nobody a login: what held before stays in force, in every replica and through restarts."""

import json
from base64 import b64encode

import pytest
from support.replica import HOSTS, ONE, TWO, Bank, Record, Team, eventually, replica, stays

EMPTY = [
    pytest.param({"data": {}}, id="made anew without data"),
    pytest.param({"data": {"acr-registry-info": ""}}, id="an empty list"),
    pytest.param({"data": {"acr-registry-info": "# to be filled in\n"}}, id="only a comment"),
    pytest.param({"data": {"settings.yaml": ""}}, id="native, empty"),
    pytest.param({"data": {"acr-registry-info": "- instanceId: 5/x\n  regionId: 7\n"}}, id="all entries broken"),
    pytest.param(
        {"binaryData": {"acr-registry-info": b64encode("- instanceId: 实例\n".encode("gbk")).decode()}},
        id="a file that is not in UTF-8",
    ),
]
INFO = f'- instanceId: "{ONE}"\n  regionId: "cn-hangzhou"\n- instanceId: "{TWO}"\n  regionId: "cn-hangzhou"\n'


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


@pytest.fixture
def record():
    return Record()


def write(team, **content):
    """Delete the ConfigMap, if there is one, and make it anew."""
    path = f"/api/v1/namespaces/{team.own}/configmaps"
    if team.find(f"{path}/acr-configuration") is not None:
        team.api.request("DELETE", f"{path}/acr-configuration")
    team.api.create(path, {"metadata": {"name": "acr-configuration"}, **content})


def of_the_helper(team, *namespaces):
    team.name = "acr-credential-aliyun"
    return {"acr-registry-info": INFO, "watch-namespace": ",".join(namespaces), "service-account": "*"}


def has_both(team, namespace):
    return set(team.passwords(namespace)) == set(HOSTS.values()) and team.name in team.pull_secrets(namespace)


@pytest.mark.parametrize("content", EMPTY)
def test_an_edit_that_takes_everything_away_is_told_and_takes_nothing_away(team, record, content):
    app, late = team.open("app"), f"{team.prefix}-late"
    write(team, data=of_the_helper(team, app, late))
    with replica(team.api, team.own, fetch=Bank(), record=record):
        eventually(lambda: has_both(team, app))
        write(team, **content)
        eventually(lambda: record.outcomes[-1] == "last_good" and "ConfigurationProblem" in record.reasons())
        stays(lambda: has_both(team, app), seconds=2)
        assert team.open("late") == late
        eventually(lambda: has_both(team, late))
        write(team, data={**of_the_helper(team, app, late), "acr-registry-info": INFO[: INFO.index("- ", 2)]})
        eventually(lambda: set(team.passwords(app)) == {HOSTS[ONE]})
    told = [message for _, reason, message in record.events if reason == "ConfigurationProblem"]
    assert all("what held before stays in force" in each for each in told)


@pytest.mark.parametrize("content", EMPTY)
def test_who_starts_with_an_emptied_configuration_goes_on_with_what_was_in_force(team, record, content):
    app = team.open("app")
    write(team, data=of_the_helper(team, app))
    bank = Bank()
    with replica(team.api, team.own, fetch=bank):
        eventually(lambda: has_both(team, app))
    write(team, **content)
    with replica(team.api, team.own, fetch=bank, record=record, name="two") as second:
        eventually(lambda: second.is_ready() and second.leader.may_write() and "last_good" in record.outcomes)
        stays(lambda: has_both(team, app), seconds=2)
    assert bank.granted == {ONE: 1, TWO: 1}


def test_what_would_go_is_named_and_how_to_take_it_away(team, record):
    app = team.open("app")
    write(team, data=of_the_helper(team, app))
    with replica(team.api, team.own, fetch=Bank(), record=record):
        eventually(lambda: has_both(team, app))
        write(team, data={})
        eventually(lambda: "ConfigurationProblem" in record.reasons())
    (message,) = [message for _, reason, message in record.events if reason == "ConfigurationProblem"]
    assert f"{ONE} in cn-hangzhou, {TWO} in cn-hangzhou" in message
    assert "kubectl acr uninstall" in message


def test_namespaces_that_are_misspelt_lose_nothing_until_there_is_one_that_is_meant(team, record):
    app = team.open("app")
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), record=record):
        eventually(lambda: has_both(team, app))
        team.configure(namespaces=[f"{team.prefix}-pap"])
        eventually(lambda: record.outcomes[-1] == "last_good")
        stays(lambda: has_both(team, app), seconds=2)
        assert any(app in message for _, reason, message in record.events if reason == "ConfigurationProblem")
        pap = team.open("pap")
        eventually(lambda: has_both(team, pap) and team.secret(app) is None)
    assert record.outcomes[-1] == "loaded"


def test_instances_that_take_the_place_of_all_others_are_taken_up_and_the_loss_is_told(team, record):
    app = team.open("app")
    team.configure()
    document = json.loads(team.native())
    with replica(team.api, team.own, fetch=Bank(), record=record):
        eventually(lambda: has_both(team, app))
        other = "cri-0000000000000003"
        document["registries"] = [{**document["registries"][0], "instanceId": other}]
        team.configure(json.dumps(document))
        eventually(lambda: set(team.passwords(app)) == {f"{other}-registry.cn-hangzhou.cr.aliyuncs.com"})
        eventually(lambda: "LoginsRemoved" in record.reasons())
    (message,) = [message for _, reason, message in record.events if reason == "LoginsRemoved"]
    assert "nothing is left" in message
    assert ONE in message
    assert TWO in message
    assert f"in 1 namespaces ({app})" in message
    assert record.edits == {("taken", "all"): 1}


def test_service_accounts_that_are_misspelt_lose_nothing(team, record):
    app = team.open("app")
    team.account(app, "build")
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), record=record):
        eventually(lambda: has_both(team, app) and team.pull_secrets(app, "build") == [team.name])
        team.configure(serviceAccounts=["defualt"])
        eventually(lambda: record.outcomes[-1] == "last_good")
        stays(lambda: has_both(team, app) and team.pull_secrets(app, "build") == [team.name], seconds=2)
        assert any(
            f"{app}/build" in message for _, reason, message in record.events if reason == "ConfigurationProblem"
        )
        team.configure(serviceAccounts=["default"])
        eventually(lambda: team.pull_secrets(app, "build") == [])
        assert has_both(team, app)
        eventually(lambda: "LoginsRemoved" in record.reasons())
    assert any(f"({app}/build)" in message for _, reason, message in record.events if reason == "LoginsRemoved")
    assert record.edits == {("refused", "all"): 1, ("taken", "some"): 1}


def test_a_replica_that_starts_with_such_an_edit_judges_it_by_the_accounts_that_are_there(team, record):
    app = team.open("app")
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, app))
    team.configure(serviceAccounts=["defualt"])
    with replica(team.api, team.own, fetch=Bank(), record=record, name="two"):
        eventually(lambda: "last_good" in record.outcomes)
        stays(lambda: has_both(team, app), seconds=2)


def test_a_deleted_configuration_is_told_and_takes_nothing_away(team, record):
    app = team.open("app")
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), record=record):
        eventually(lambda: has_both(team, app))
        team.api.request("DELETE", f"/api/v1/namespaces/{team.own}/configmaps/acr-configuration")
        eventually(lambda: "ConfigurationAbsent" in record.reasons())
        stays(lambda: has_both(team, app), seconds=1)
