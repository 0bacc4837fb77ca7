"""What is around the controller goes away and comes back: etcd, the API server, the network, and ACR.

Two replicas as processes, tokens that are renewed all the time, and an auditor who sees each change. CHAOS_FULL=1 lets
the outages last for longer, and ACR hang too.
"""

import os
import time

import pytest
from sandbox.faults import Failure, Hang
from support.replica import Cable, Team, eventually, stays
from support.replica_processes import LEASE_SECONDS, Auditor, Processes

FULL = bool(os.environ.get("CHAOS_FULL"))
LIFE = 24.0
"""Seconds that a token lives; it is renewed after half of them."""
SHORT = LIFE if FULL else LIFE / 2
"""The same where only ACR is away, and nobody else makes it wait."""
FAULTS = {"it refuses": Failure(), **({"it hangs": Hang()} if FULL else {})}


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


@pytest.fixture
def auditor(team, sandbox):
    """Sees everything from the beginning; logins go a tenth of their life before they are dead."""
    sandbox.state.token_life = LIFE
    with Auditor(team, life_left=sandbox.state.life_left).allow(LIFE / 10 + 1) as auditor:
        yield auditor


@pytest.fixture
def apps(team, sandbox, auditor):
    team.configure_for(sandbox)
    return [team.open(f"app-{number}") for number in range(3)]


def in_order(team, auditor, namespaces):
    """Say whether each namespace has a living login, and its account the reference to it."""
    return all(auditor.life_left(each) > 0 and team.pull_secrets(each) == [team.name] for each in namespaces)


def renewed(auditor):
    """Wait until the Secrets have got new contents, which takes half of a token's life."""
    before = auditor.contents
    eventually(lambda: auditor.contents > before)


@pytest.mark.parametrize("what", ["etcd", "kube-apiserver"])
def test_while_the_cluster_is_away_logins_live_on_and_afterwards_all_goes_on(team, apps, auditor, sandbox, what):
    """The outage is longer than a Lease: whoever led leads no more, and both begin where they were."""
    with Processes(team, *sandbox.from_cluster) as processes:
        eventually(lambda: in_order(team, auditor, apps))
        team.api.restart(what, pause=20 if FULL else LEASE_SECONDS + 2)
        late = team.open("app-late")
        eventually(lambda: in_order(team, auditor, [*apps, late]))
        renewed(auditor)
        eventually(lambda: processes.figure("acr_pull_secrets_leader_election_master_status") == 1)
    auditor.assert_nothing_was_wrong()
    assert auditor.longest_dead <= LIFE / 2


def test_connections_that_die_without_a_word_are_found_within_a_minute(team, apps, auditor, sandbox):
    """No FIN, no RST: the kernel would wait for a quarter of an hour. All are as they are by default."""
    with Cable(team.api._port) as cable, Processes(team, *sandbox.from_cluster, url=cable.url) as processes:
        eventually(lambda: in_order(team, auditor, apps))
        before = processes.figure("acr_pull_secrets_watch_restarts_total", reason="idle_timeout")
        cable.cut()
        late = team.open("app-late")
        eventually(lambda: in_order(team, auditor, [late]), within=60)
        assert processes.figure("acr_pull_secrets_watch_restarts_total", reason="idle_timeout") > before
        eventually(lambda: in_order(team, auditor, apps))
    auditor.assert_nothing_was_wrong()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_acr_is_away_for_twice_a_tokens_life(team, apps, auditor, sandbox, fault):
    """As two hours are for tokens of one: renewed before, living on, dead and taken out, and all is new at the end."""
    failures = "acr_pull_secrets_token_renewal_failures_total"
    sandbox.state.token_life = SHORT
    with Processes(team, *sandbox.from_cluster) as processes:
        eventually(lambda: in_order(team, auditor, apps))
        renewed(auditor)
        before = {each: team.secret(each)["metadata"] for each in apps}
        sandbox.faults.add("openapi", fault)
        began = time.monotonic()
        late = team.open("app-late")  # who comes meanwhile gets what lives, as long as it does
        eventually(lambda: in_order(team, auditor, [late]))
        # The login in force was got a moment ago, and nothing is taken from anybody.
        stays(lambda: in_order(team, auditor, [*apps, late]), seconds=SHORT / 4)
        eventually(lambda: processes.figure(failures, reason="CloudUnreachableError") >= 1)
        eventually(lambda: told(team, "TokenNotRenewed"))
        eventually(lambda: all(team.passwords(each) == {} for each in apps), within=60)
        assert all(team.pull_secrets(each) == [team.name] for each in apps)
        assert 0 < processes.figure("acr_pull_secrets_token_expiry_timestamp_seconds") < 2 * time.time(), "of two"
        time.sleep(max(began + (4 if FULL else 2) * SHORT - time.monotonic(), 0))
        asked = sandbox.calls.count()
        sandbox.faults.clear()
        eventually(lambda: in_order(team, auditor, [*apps, late]), within=330)
        after = {each: team.secret(each)["metadata"] for each in apps}
    assert {each: after[each]["uid"] for each in apps} == {each: before[each]["uid"] for each in apps}
    assert asked < 40, "it is asked ever more slowly"
    auditor.assert_nothing_was_wrong()


def told(team, reason):
    """Say whether there is an Event with *reason* about the ConfigMap that names the entry."""
    return any(
        each["reason"] == reason
        and each["involvedObject"]["name"] == "acr-configuration"
        and each["message"].startswith("cri-")
        for each in team.api.get(f"/api/v1/namespaces/{team.own}/events")["items"]
    )
