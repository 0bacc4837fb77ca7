"""Others write the same lists at the same time: nothing of theirs is lost, nothing of ours is there twice."""

import os
import threading

import pytest
from cluster.kube import KubeError
from support.replica import Bank, Record, Team, eventually, replica

ROUNDS = 1000 if os.environ.get("E2E_FULL") else 60


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


def append(api, path, entry):
    """Add *entry* as tools do that read, change and write back; try again when somebody was faster."""
    while True:
        found = api.get(path)
        found["imagePullSecrets"] = [*found.get("imagePullSecrets", []), {"name": entry}]
        try:
            api.request("PUT", path, found)
        except KubeError as error:
            if error.status == 409:
                continue
            raise
        return


def test_who_appends_at_the_same_moment_loses_nothing_and_ours_is_there_once(team, api):
    app = team.open("app")
    team.configure()
    record = Record()
    with replica(api, team.own, fetch=Bank(), record=record):
        eventually(lambda: team.pull_secrets(app) == [team.name])

        def write(number):
            for each in range(number, ROUNDS, 4):
                team.account(app, f"robot-{each}", "first")
                path = f"/api/v1/namespaces/{app}/serviceaccounts/robot-{each}"
                for entry in ("second", "third"):
                    append(api, path, entry)

        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        def all_are_whole():
            lists = [team.pull_secrets(app, f"robot-{each}") for each in range(ROUNDS)]
            return all(
                [name for name in names if name != team.name] == ["first", "second", "third"]
                and names.count(team.name) == 1
                for names in lists
            )

        eventually(all_are_whole)


def test_a_tool_that_reverts_again_and_again_keeps_its_own_list_and_is_told(team, api):
    app = team.open("app", "other")
    team.account(app, "default", "theirs", "default-dockercfg-abcde")
    team.configure()
    record = Record()
    path = f"/api/v1/namespaces/{app}/serviceaccounts/default"
    with replica(api, team.own, fetch=Bank(), record=record):
        for _ in range(ROUNDS):
            seen = team.pull_secrets(app)
            assert [name for name in seen if name != team.name] == ["theirs", "default-dockercfg-abcde"]
            assert seen.count(team.name) <= 1
            if team.name in seen:
                wanted = {"metadata": {"name": "default"}}
                wanted["imagePullSecrets"] = [{"name": "theirs"}, {"name": "default-dockercfg-abcde"}]
                api.request("PUT", path, wanted)
            if "EntryReverted" in record.reasons():
                break
            eventually(lambda: team.name in team.pull_secrets(app))
        assert "EntryReverted" in record.reasons()
        assert 5 < record.done() < ROUNDS
        assert team.pull_secrets(app, "other") == [team.name]  # who fights one account serves the others


def test_who_applies_a_list_on_the_servers_side_gets_it_by_force_and_ours_comes_behind(team, api):
    """As Argo CD and Flux do. Without force the API server names us, because a list has one owner."""
    app = team.open("app", "other")
    path = f"/api/v1/namespaces/{app}/serviceaccounts/default"
    wanted = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    wanted["imagePullSecrets"] = [{"name": "theirs"}]

    def apply(query):
        return api.request("PATCH", f"{path}?fieldManager=tool{query}", wanted, "application/apply-patch+yaml")

    apply("&force=true")
    team.configure()
    with replica(api, team.own, fetch=Bank()):
        eventually(lambda: team.pull_secrets(app) == ["theirs", team.name])
        (entry,) = [each for each in api.get(path)["metadata"]["managedFields"] if each["manager"] != "tool"]
        assert entry["fieldsV1"] == {"f:imagePullSecrets": {}}
        with pytest.raises(KubeError, match=r"conflict with .*aliyun-acr-credential-provider-pull-secrets"):
            apply("")
        assert apply("&force=true")["imagePullSecrets"] == [{"name": "theirs"}]
        eventually(lambda: team.pull_secrets(app) == ["theirs", team.name])
