"""The controller against a real API server: what it writes, when, and what it never touches."""

import json
import threading
import time

import pytest
from acr_credential_provider.model.errors import CloudUnreachableError, RegistryRefusedError, RoleRefusedError
from acr_credential_provider.pull_secrets.kube.informer import Times
from acr_credential_provider.pull_secrets.kube.leader_election import LeaseTimes
from support.replica import (
    HOSTS,
    LEASE,
    ONE,
    SILENCE,
    TWO,
    Bank,
    Cable,
    Clock,
    Record,
    Team,
    eventually,
    replica,
    stays,
)


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


@pytest.fixture
def record():
    return Record()


def has_both(team, namespace):
    return set(team.passwords(namespace)) == set(HOSTS.values()) and team.name in team.pull_secrets(namespace)


def test_it_idles_without_a_configuration_and_takes_one_up_when_it_comes(team, record):
    app = team.open("app")
    with replica(team.api, team.own, fetch=Bank(), record=record) as controller:
        eventually(controller.is_ready)
        assert record.outcomes == ["absent"]
        stays(lambda: team.secret(app) is None, seconds=1)
        assert controller.pull_secret_for(app, "default") is None
        team.configure()
        eventually(lambda: has_both(team, app))
    assert record.done() == 2


def test_each_namespace_has_one_secret_and_each_account_one_entry_behind_those_of_others(team, record):
    app, other = team.open("app", "default", "build"), team.open("other")
    team.account(app, "deployer", "deployer-dockercfg-abcde", "registry-login")
    bank = Bank()
    team.configure()
    with replica(team.api, team.own, fetch=bank, record=record):
        eventually(lambda: has_both(team, other) and team.name in team.pull_secrets(app, "deployer"))
        eventually(lambda: record.done() == 6)
        assert team.pull_secrets(app, "deployer") == ["deployer-dockercfg-abcde", "registry-login", team.name]
        found = team.secret(app)
        assert found["type"] == "kubernetes.io/dockerconfigjson"
        assert found["metadata"]["labels"]["aliyun-acr-credential-provider/pull-secret"] == "true"
        assert team.secret(team.own) is None
        stays(lambda: record.done() == 6, seconds=2)
    assert bank.granted == {ONE: 1, TWO: 1}  # per instance, not per namespace


def test_what_is_right_is_not_written_however_often_it_is_looked_at(team, record):
    for number in range(5):
        team.open(f"app-{number}")
    team.configure()
    times = Times(watch=2, resync=1, silence=SILENCE)
    with replica(team.api, team.own, fetch=Bank(), record=record, resync=0.2, tick=0.1, times=times):
        eventually(lambda: record.done() == 10)
        before = record.calls["LIST", "serviceaccounts"]
        eventually(lambda: record.calls["LIST", "serviceaccounts"] >= before + 4)
        assert record.done() == 10
        assert record.calls["PATCH", "serviceaccounts"] == 5
        assert record.calls["PATCH", "secrets"] == 0


def test_a_new_account_and_a_new_namespace_get_theirs_at_once(team):
    team.configure()
    first = team.open("app")
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, first))
        for _ in range(10):  # deleted and made again, as Helm and CI do
            team.account(first, "late")
            eventually(lambda: team.pull_secrets(first, "late") == [team.name], within=1)
            team.api.request("DELETE", f"/api/v1/namespaces/{first}/serviceaccounts/late")
        second = team.open("new")
        eventually(lambda: has_both(team, second), within=1)


def test_renewed_tokens_go_into_the_same_secret(team, record):
    app = team.open("app")
    team.configure()
    clock = Clock()
    with replica(team.api, team.own, fetch=Bank(), record=record, clock=clock):
        eventually(lambda: has_both(team, app))
        before = team.secret(app)["metadata"]
        clock.moved += 46 * 60  # due is 15 minutes before the end of an hour
        eventually(lambda: set(team.passwords(app).values()) == {f"{ONE}-2", f"{TWO}-2"})
        after = team.secret(app)["metadata"]
    assert after["uid"] == before["uid"]
    assert after["creationTimestamp"] == before["creationTimestamp"]
    assert record.writes["Secret", "update", "ok"] == 1  # both tokens at once


def test_an_entry_that_fails_keeps_its_living_login_and_no_other_notices(team, record):
    app = team.open("app")
    team.configure()
    clock, bank = Clock(), Bank()
    with replica(team.api, team.own, fetch=bank, record=record, clock=clock):
        eventually(lambda: has_both(team, app))
        bank.refused[ONE] = RegistryRefusedError("GetAuthorizationToken was refused", remedy="Attach the policy.")
        clock.moved += 46 * 60
        eventually(lambda: team.passwords(app)[HOSTS[TWO]] == f"{TWO}-2")
        assert team.passwords(app)[HOSTS[ONE]] == f"{ONE}-1"
        about, _, message = next(each for each in record.events if each[1] == "TokenNotRenewed")
        assert about == f"ConfigMap {team.own}/acr-configuration"
        assert ONE in message
        assert "Attach the policy." in message
        clock.moved += 14 * 60  # it is dead now, and a dead login spoils what is public
        eventually(lambda: HOSTS[ONE] not in team.passwords(app))
        assert team.passwords(app)[HOSTS[TWO]] == f"{TWO}-2"
        del bank.refused[ONE]
        clock.moved += 301
        eventually(lambda: team.passwords(app).get(HOSTS[ONE]) == f"{ONE}-2")


def test_who_lost_all_tokens_while_one_entry_fails_leaves_its_login_where_it_is_until_it_ends(team, record):
    """Somebody deleted the Secret with the living tokens, and no replica is left that remembers them."""
    app = team.open("app")
    team.configure()
    clock, bank = Clock(), Bank()
    with replica(team.api, team.own, fetch=bank, clock=clock):
        eventually(lambda: has_both(team, app))
    uid = team.secret(app)["metadata"]["uid"]
    team.forget_tokens()
    bank.refused[ONE] = RegistryRefusedError("GetAuthorizationToken was refused", remedy="Attach the policy.")
    with replica(team.api, team.own, fetch=bank, record=record, clock=clock, name="two", resync=1):
        eventually(lambda: team.passwords(app).get(HOSTS[TWO]) == f"{TWO}-2")
        late = team.open("late")
        eventually(lambda: set(team.passwords(late)) == {HOSTS[TWO]})
        stays(lambda: team.passwords(app) == {HOSTS[ONE]: f"{ONE}-1", HOSTS[TWO]: f"{TWO}-2"}, seconds=2)
        assert record.writes["Secret", "update", "ok"] == 1
        clock.moved += 46 * 60
        eventually(lambda: team.passwords(app) == {HOSTS[ONE]: f"{ONE}-1", HOSTS[TWO]: f"{TWO}-3"})
        clock.moved += 14 * 60  # it is dead now, and a dead login spoils what is public
        eventually(lambda: team.passwords(app) == {HOSTS[TWO]: f"{TWO}-3"})
        del bank.refused[ONE]
        clock.moved += 301
        eventually(lambda: team.passwords(app).get(HOSTS[ONE]) == f"{ONE}-2")
    assert team.secret(app)["metadata"]["uid"] == uid


def test_what_one_leader_did_not_remember_the_next_one_does_not_take_away_either(team, record):
    """The state that the next one reads was written by one that had lost its memory."""
    app = team.open("app")
    team.configure()
    clock, bank = Clock(), Bank()
    with replica(team.api, team.own, fetch=bank, clock=clock):
        eventually(lambda: has_both(team, app))
    team.forget_tokens()
    bank.refused[ONE] = CloudUnreachableError("no answer", remedy="Wait.")
    with replica(team.api, team.own, fetch=bank, clock=clock, name="two"):
        eventually(lambda: team.passwords(app) == {HOSTS[ONE]: f"{ONE}-1", HOSTS[TWO]: f"{TWO}-2"})
    clock.moved += 46 * 60
    with replica(team.api, team.own, fetch=bank, clock=clock, name="three"):
        eventually(lambda: team.passwords(app) == {HOSTS[ONE]: f"{ONE}-1", HOSTS[TWO]: f"{TWO}-3"})
        stays(lambda: HOSTS[ONE] in team.passwords(app), seconds=2)
        clock.moved += 14 * 60
        eventually(lambda: team.passwords(app) == {HOSTS[TWO]: f"{TWO}-3"})


def test_who_lost_all_tokens_and_can_ask_for_none_still_serves_new_accounts_with_what_is_there(team, record):
    app = team.open("app")
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, app))
    team.forget_tokens()
    away = Bank()
    away.refused = {each: RegistryRefusedError("away", remedy="Wait.") for each in (ONE, TWO)}
    with replica(team.api, team.own, fetch=away, record=record, name="two"):
        team.account(app, "late")
        eventually(lambda: team.pull_secrets(app, "late") == [team.name])
        assert team.passwords(app) == {HOSTS[ONE]: f"{ONE}-1", HOSTS[TWO]: f"{TWO}-1"}
    assert record.writes["Secret", "update", "ok"] == 0


def test_a_password_does_not_serve_for_the_identity_that_is_asked_in_its_place_and_refused(team, record, tmp_path):
    app = team.open("app")
    for name in ("username", "password"):
        (tmp_path / name).write_text(name)
    document = json.loads(team.native())
    own = {"kind": "basicAuth", "usernameFile": f"{tmp_path}/username", "passwordFile": f"{tmp_path}/password"}
    asked = document["registries"][0]["identity"]
    bank = Bank()
    bank.refused[ONE] = RegistryRefusedError("GetAuthorizationToken was refused", remedy="Attach the policy.")
    with replica(team.api, team.own, fetch=bank, record=record, credentials_dir=str(tmp_path)):
        document["registries"][0] |= {"identity": own, "domains": [HOSTS[ONE]]}
        team.configure(json.dumps(document))
        eventually(lambda: team.passwords(app) == {HOSTS[ONE]: "password", HOSTS[TWO]: f"{TWO}-1"})
        document["registries"][0]["identity"] = asked
        team.configure(json.dumps(document))
        eventually(lambda: team.passwords(app) == {HOSTS[TWO]: f"{TWO}-1"})
        assert "TokenNotRenewed" in record.reasons()


def test_tokens_that_somebody_deleted_under_a_replica_are_written_down_again(team, record):
    app = team.open("app")
    team.configure()
    bank = Bank()
    with replica(team.api, team.own, fetch=bank, record=record):
        eventually(lambda: has_both(team, app))
        bank.refused[ONE] = RegistryRefusedError("refused", remedy="Wait.")
        before = team.shared()
        team.forget_tokens()
        after = eventually(team.shared)
        assert after["data"] == before["data"]
        stays(lambda: has_both(team, app), seconds=1)
    assert bank.granted == {ONE: 1, TWO: 1}
    assert record.writes["Secret", "update", "ok"] == 0


def test_a_mistake_of_ours_about_one_entry_costs_no_other_and_is_not_repeated_at_full_speed(team, record, caplog):
    app = team.open("app")
    team.configure()
    bank = Bank()
    bank.refused[ONE] = ValueError("CANARY")
    with replica(team.api, team.own, fetch=bank, record=record):
        eventually(lambda: set(team.passwords(app)) == {HOSTS[TWO]})
        time.sleep(2)
        assert sum(reason == "TokenNotRenewed" for _, reason, _ in record.events) <= 2
        assert "CANARY" not in repr(record.events)


def test_two_hours_without_the_cloud_end_as_they_began(team, record):
    """Nothing is taken from anybody that still lives; one instance's tokens outlive the outage, and its login stays."""
    app = team.open("app")
    team.configure()
    clock, bank = Clock(), Bank()
    bank.lives[TWO] = 190 * 60
    one, two = f"{ONE} in cn-hangzhou", f"{TWO} in cn-hangzhou"

    def pass_by(minutes):
        rounds = record.looks
        clock.moved += minutes * 60
        eventually(lambda: record.looks > rounds + 1)

    with replica(team.api, team.own, fetch=bank, record=record, clock=clock):
        eventually(lambda: has_both(team, app))
        uid = team.secret(app)["metadata"]["uid"]
        pass_by(46)
        eventually(lambda: team.passwords(app) == {HOSTS[ONE]: f"{ONE}-2", HOSTS[TWO]: f"{TWO}-1"})
        bank.refused = {each: RoleRefusedError("no answer", remedy="Wait.") for each in (ONE, TWO)}
        for minutes in range(10, 121, 10):
            pass_by(10)
            assert team.passwords(app)[HOSTS[TWO]] == f"{TWO}-1"
            if minutes < 59:
                assert team.passwords(app)[HOSTS[ONE]] == f"{ONE}-2"
            else:  # dead a minute before its end, and a dead login spoils what is public
                eventually(lambda: set(team.passwords(app)) == {HOSTS[TWO]})
        assert record.failures[one] > 2
        assert team.pull_secrets(app) == [team.name]
        late = team.open("late")
        eventually(lambda: team.passwords(late) == {HOSTS[TWO]: f"{TWO}-1"} and team.pull_secrets(late))
        assert any(reason == "TokenNotRenewed" and one in message for _, reason, message in record.events)
        bank.refused.clear()
        pass_by(10)
        eventually(lambda: team.passwords(app) == {HOSTS[ONE]: f"{ONE}-3", HOSTS[TWO]: f"{TWO}-2"})
        eventually(lambda: team.passwords(late) == team.passwords(app))
        assert team.secret(app)["metadata"]["uid"] == uid
    assert (record.renewals[one], record.renewals[two]) == (3, 2)


def test_garbage_leaves_what_held_before_in_force_and_says_what_is_wrong_and_where(team, record):
    app = team.open("app")
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), record=record):
        eventually(lambda: has_both(team, app))
        team.configure("registries: [\n")
        eventually(lambda: record.outcomes[-1] == "last_good")
        problem = next(message for _, reason, message in record.events if reason == "ConfigurationProblem")
        assert "line 1" in problem
        assert "what held before stays in force" in problem
        late = team.open("late")
        eventually(lambda: has_both(team, late))
        team.configure(instances=(ONE,))
        eventually(lambda: set(team.passwords(app)) == {HOSTS[ONE]})
    assert record.outcomes[-1] == "loaded"


def test_who_starts_amid_garbage_and_without_a_cloud_goes_on_with_what_the_last_one_knew(team):
    app = team.open("app")
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, app))
    team.configure("garbage")
    bank = Bank()
    bank.refused = {each: RegistryRefusedError("away", remedy="Wait.") for each in (ONE, TWO)}
    with replica(team.api, team.own, fetch=bank, name="two"):
        late = team.open("late")
        eventually(lambda: has_both(team, late))
    assert team.passwords(late) == team.passwords(app)


def test_what_left_the_configuration_is_detached_and_deleted(team):
    app, gone = team.open("app"), team.open("gone")
    team.account(gone, "mixed", "theirs")
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, gone) and team.pull_secrets(gone, "mixed") == ["theirs", team.name])
        team.configure(namespaces=[app])
        eventually(lambda: team.secret(gone) is None)
        assert team.pull_secrets(gone) == []
        assert team.pull_secrets(gone, "mixed") == ["theirs"]
        assert has_both(team, app)
        team.account(app, "robot")
        team.configure(namespaces=[app], serviceAccounts=["robot"])
        eventually(lambda: team.pull_secrets(app) == [])


def test_who_says_disabled_is_left_alone_and_may_say_so_later(team):
    switch = "aliyun-acr-credential-provider/pull-secrets"
    app = team.open("app", "default")
    quiet = team.open("quiet", **{switch: "disabled"})
    team.account(app, "quiet", annotations={switch: "disabled"})
    team.configure()
    with replica(team.api, team.own, fetch=Bank()) as controller:
        eventually(lambda: has_both(team, app))
        assert team.pull_secrets(app, "quiet") == []
        assert team.secret(quiet) is None
        assert controller.pull_secret_for(app, "new") is not None
        assert controller.pull_secret_for(app, "new", labels={switch: "disabled"}) is None
        assert controller.pull_secret_for(quiet, "new") is None
        patch = {"metadata": {"labels": {switch: "disabled"}}}
        path = f"/api/v1/namespaces/{app}/serviceaccounts/default"
        team.api.request("PATCH", path, patch, "application/merge-patch+json")
        eventually(lambda: team.pull_secrets(app) == [])


def test_another_name_for_the_secret_leaves_no_moment_without_one(team):
    app = team.open("app")
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), secrets=("acr-credential-new",)):
        eventually(lambda: has_both(team, app))
        team.configure(secretName="acr-credential-new")
        eventually(lambda: team.pull_secrets(app) == ["acr-credential-new"])
        eventually(lambda: team.secret(app) is None)
        assert set(team.passwords(app, "acr-credential-new")) == set(HOSTS.values())


def test_a_secret_of_somebody_else_is_left_alone_and_said_to_be_in_the_way(team, record):
    app = team.open("app")
    body = {"metadata": {"name": team.name}, "stringData": {"mine": "x"}}
    team.api.create(f"/api/v1/namespaces/{app}/secrets", body)
    before = team.secret(app)["metadata"]["resourceVersion"]
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), record=record):
        eventually(lambda: "SecretConflict" in record.reasons())
        stays(lambda: team.secret(app)["metadata"]["resourceVersion"] == before, seconds=1)
        assert team.pull_secrets(app) == []
        team.api.request("DELETE", f"/api/v1/namespaces/{app}/secrets/{team.name}")
        eventually(lambda: has_both(team, app))


def test_a_secret_that_somebody_deleted_or_changed_is_put_right(team):
    app = team.open("app")
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, app))
        path = f"/api/v1/namespaces/{app}/secrets/{team.name}"
        team.api.request("DELETE", path)
        eventually(lambda: has_both(team, app))
        change = {"data": {".dockerconfigjson": "e30="}}
        team.api.request("PATCH", path, change, "application/merge-patch+json")
        eventually(lambda: has_both(team, app))


def test_an_acr_configuration_means_what_it_means_to_the_helper(team, record):
    app, other = team.open("app"), team.open("other")
    data = {
        "service-account": "Default",
        "watch-namespace": f"{app},{other}",
        "expiring-threshold": "15m",
        "acr-registry-info": f'- instanceId: "{ONE}"\n  regionId: "cn-hangzhou"\n- instanceId: "{TWO}"\n'
        '  regionId: "cn-hangzhou"\n',
    }
    body = {"metadata": {"name": "acr-configuration"}, "data": data}
    team.api.create(f"/api/v1/namespaces/{team.own}/configmaps", body)
    team.account(app, "build")
    team.name = "acr-credential-aliyun"
    with replica(team.api, team.own, fetch=Bank(), record=record):
        eventually(lambda: has_both(team, app) and has_both(team, other))
        assert team.pull_secrets(app, "build") == []
        assert record.outcomes == ["loaded"]


def test_one_of_two_writes_and_the_other_goes_on_without_a_call_to_the_cloud(team):
    app = team.open("app")
    team.configure()
    bank, first, second = Bank(), Record(), Record()
    patient = LeaseTimes(15.0, 10.0, 0.5)  # a busy machine must not look like a dead leader
    with replica(team.api, team.own, fetch=bank, record=first, name="one", lease=patient) as one:
        eventually(lambda: has_both(team, app))
        with replica(team.api, team.own, fetch=bank, record=second, name="two", lease=patient) as two:
            eventually(two.is_ready)
            assert one.leader.may_write()
            assert not two.leader.may_write()
            assert two.pull_secret_for(app, "x") == one.pull_secret_for(app, "x")
            assert second.done() == 0
            one.stop()
            eventually(two.leader.may_write)
            late = team.open("late")
            eventually(lambda: has_both(team, late))
    assert bank.granted == {ONE: 1, TWO: 1}


def test_a_replica_that_takes_the_place_of_another_as_in_an_upgrade_writes_nothing_and_asks_for_no_token(team, record):
    app, bank = team.open("app"), Bank()
    team.configure()
    with replica(team.api, team.own, fetch=bank):
        eventually(lambda: has_both(team, app))
    account = f"/api/v1/namespaces/{app}/serviceaccounts/default"
    before = [team.secret(app), team.api.get(account)]
    with replica(team.api, team.own, fetch=bank, record=record, name="two") as second:
        eventually(lambda: second.leader.may_write() and second.is_ready() and record.looks > 3)
        stays(lambda: record.done() == 0, seconds=2)
    assert [team.secret(app), team.api.get(account)] == before
    assert bank.granted == {ONE: 1, TWO: 1}


def test_who_comes_to_lead_in_the_middle_of_a_round_writes_from_the_next_one_on(team):
    app = team.open("app")
    team.configure()
    before = {"holderIdentity": "gone", "leaseDurationSeconds": 2}
    name = "aliyun-acr-credential-provider-pull-secrets"
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{team.own}/leases"
    team.api.create(leases, {"metadata": {"name": name}, "spec": before})

    class Midway(Record):
        """Makes a round that began without leading last until after it leads."""

        def __init__(self):
            super().__init__()
            self.leads = threading.Event()

        def leading(self, is_leader):
            if is_leader:
                threading.Timer(0.3, self.leads.set).start()

        def tokens(self, states):
            self.leads.wait(30)

    record = Midway()
    with replica(team.api, team.own, fetch=Bank(), record=record):
        eventually(lambda: has_both(team, app))


def test_a_leader_that_cannot_renew_its_lease_stops_writing_before_another_begins(team):
    """Cut off from the API server, it must not come back with writes that are no longer its own."""
    team.open("app")
    team.configure()
    with Cable(team.api._port) as cable:
        bank = Bank()
        with replica(team.api, team.own, fetch=bank, name="one", url=cable.url) as one:
            eventually(one.leader.may_write)
            with replica(team.api, team.own, fetch=bank, name="two") as two:
                cable.cut()
                cable.close()  # and no way back
                eventually(two.leader.may_write)
                assert not one.leader.may_write()


def test_a_connection_that_dies_without_a_word_is_found_and_replaced(team, record):
    app = team.open("app")
    team.configure()
    with Cable(team.api._port) as cable:
        times = Times(silence=2.0)
        with replica(team.api, team.own, fetch=Bank(), record=record, url=cable.url, times=times):
            eventually(lambda: has_both(team, app))
            cable.cut()
            late = team.open("late")
            eventually(lambda: has_both(team, late))
            assert record.ends["serviceaccounts", "idle_timeout"] >= 1
            assert record.calls["LIST", "serviceaccounts"] == 1  # it went on from where it was


def test_it_outlives_a_restart_of_the_api_server(team):
    app = team.open("app")
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, app))
        team.api.restart("kube-apiserver")
        late = team.open("late")
        eventually(lambda: has_both(team, late))


def test_it_outlives_a_stop_of_etcd(team):
    app = team.open("app")
    team.configure()
    with replica(team.api, team.own, fetch=Bank()):
        eventually(lambda: has_both(team, app))
        team.api.restart("etcd", pause=LEASE[0] + 1)
        late = team.open("late")
        eventually(lambda: has_both(team, late))


def test_a_namespace_that_is_going_gets_nothing_and_disturbs_nobody(team, record):
    app, going = team.open("app"), team.open("going")
    path = f"/api/v1/namespaces/{going}"
    team.api.request("DELETE", path)  # without a controller manager it stays in this state
    team.configure()
    with replica(team.api, team.own, fetch=Bank(), record=record):
        eventually(lambda: has_both(team, app))
        stays(lambda: team.secret(going) is None, seconds=1)
    assert not [each for each in record.writes if each[2] == "failed"]


def test_no_text_of_the_controllers_holds_a_login(team, record):
    app = team.open("app")
    team.configure()
    bank = Bank()
    with replica(team.api, team.own, fetch=bank, record=record) as controller:
        eventually(lambda: has_both(team, app))
        bank.refused[ONE] = RegistryRefusedError("refused", remedy="Wait.")
        seen = repr(
            (
                controller.pull_secret_for(app, "x"),
                controller._builder.state,
                record.events,
                controller._config.active,
            )
        )
        assert f"{ONE}-1" not in seen
        assert json.dumps(record.events).count("cr_temp_user") == 0


def test_a_missing_right_is_told_and_costs_no_more_than_waiting(team, record, caplog):
    """With a secretName that the ClusterRole does not have, nothing is done, and nothing burns."""
    rbac, name = "/apis/rbac.authorization.k8s.io/v1", f"{team.prefix}-partly"

    def rule(*resources, group="", **more):
        return {"apiGroups": [group], "resources": list(resources), "verbs": ["*"], **more}

    rules = [
        rule("namespaces", "serviceaccounts", "configmaps"),
        rule("*", group="coordination.k8s.io"),
        rule("*", group="apps"),
        rule("secrets", resourceNames=["aliyun-acr-credential-provider-tokens"]),
        rule("secrets", verbs=["create"]),
    ]
    team.api.create(f"{rbac}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    subject = {"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
    team.api.create(f"{rbac}/clusterrolebindings", binding)
    for number in range(20):
        team.open(f"app-{number}")
    team.configure()
    with (
        caplog.at_level("WARNING"),
        replica(team.api, team.own, fetch=Bank(), record=record, user=(name, None)) as controller,
    ):
        eventually(lambda: any("RBAC" in each.__dict__.get("remedy", "") for each in list(caplog.records)))
        assert not controller.is_ready()
        asked = sum(record.calls.values())
        time.sleep(2)
        assert sum(record.calls.values()) - asked < 100
        assert record.done() == 0
        team.api.request(
            "PUT", f"{rbac}/clusterroles/{name}", {"metadata": {"name": name}, "rules": [*rules, rule("secrets")]}
        )
        eventually(lambda: has_both(team, f"{team.prefix}-app-0"))
