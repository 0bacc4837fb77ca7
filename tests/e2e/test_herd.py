"""Many pulls at once: one call to the cloud, and everybody hears the truth."""

import json
import os
import signal
import time

import pytest
from sandbox.faults import Delay, Failure, Throttle
from support.guide import as_service_accounts
from support.harness import request

HERD = 100


def image_of(sandbox):
    return sandbox.image.partition(":latest")[0]


def lock_holders(folder):
    """Return the pids that hold an flock on a file in *folder*, by the kernel's own list."""
    inodes = {os.stat(each).st_ino for each in folder.glob("*.lock")}
    holders = set()
    with open("/proc/locks") as locks:
        for line in locks:
            words = line.split()
            if words[1] == "FLOCK" and int(words[5].rpartition(":")[2]) in inodes:
                holders.add(int(words[4]))
    return holders


def wait_for_a_call(sandbox):
    assert sandbox.calls.wait_for("GetAuthorizationToken", count=1, timeout=20)


@pytest.mark.alone
def test_a_hundred_cold_pulls_make_one_call_and_all_get_its_token(frozen, sandbox):
    ended = frozen.ask_together([image_of(sandbox)] * HERD)
    host = sandbox.registry.address
    assert {(each.code, each.stderr) for each in ended} == {(0, b"")}
    assert len({each.login(host) for each in ended}) == 1
    assert sandbox.calls.counts() == {"GetAuthorizationToken": 1}


@pytest.mark.alone
def test_a_hundred_cold_pulls_survive_the_death_of_the_one_that_asked(frozen, sandbox):
    sandbox.faults.add("GetAuthorizationToken", Delay(1.0), times=1)
    killed = []

    def kill_the_leader(processes):
        wait_for_a_call(sandbox)
        ours = {process.pid for process in processes}
        for pid in lock_holders(frozen.cache / "locks") & ours:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    ended = frozen.ask_together([image_of(sandbox)] * HERD, before_end=kill_the_leader)
    codes = [each.code for each in ended]
    assert killed
    assert codes.count(-signal.SIGKILL) == len(killed)
    assert codes.count(0) == HERD - len(killed)
    assert sandbox.calls.count("GetAuthorizationToken") <= 1 + len(killed)


@pytest.mark.alone
def test_a_hundred_pulls_are_refused_with_the_true_cause_for_two_calls(frozen, sandbox):
    sandbox.faults.add("GetAuthorizationToken", Failure(403, "NoPermission", "no"))
    ended = frozen.ask_together([image_of(sandbox)] * HERD)
    assert {(each.code, each.stdout) for each in ended} == {(1, b"")}
    assert all(b"NoPermission" in each.stderr and b"cr:GetAuthorizationToken" in each.stderr for each in ended)
    assert sandbox.calls.count("GetAuthorizationToken") <= 2


def test_a_throttled_node_leaves_the_cloud_alone_for_as_long_as_it_asked(frozen, sandbox):
    sandbox.faults.add("GetAuthorizationToken", Throttle(retry_after_ms=60_000))
    first = frozen.ask(image_of(sandbox))
    calls = sandbox.calls.count("GetAuthorizationToken")
    time.sleep(1)
    second = frozen.ask(image_of(sandbox))
    assert (first.code, second.code) == (1, 1)
    assert b"Throttling" in first.stderr
    assert first.stderr == second.stderr
    assert sandbox.calls.count("GetAuthorizationToken") == calls <= 3


@pytest.mark.alone
def test_two_hosts_of_one_instance_share_one_call(frozen, sandbox):
    other = sandbox.add_registry(sandbox.instance, "127.0.0.2")
    settings = sandbox.settings()
    settings["registries"][0]["domains"].append(other)
    frozen.settings.write_text(json.dumps(settings))
    ended = frozen.ask_together([image_of(sandbox), f"{other}/team/app"] * (HERD // 2))
    assert {each.code for each in ended} == {0}
    assert len({next(iter(each.document["auth"].values()))["password"] for each in ended}) == 1
    assert sandbox.calls.counts() == {"GetAuthorizationToken": 1}


@pytest.mark.alone
def test_thirty_identities_at_once_each_get_a_token_of_their_own(frozen, sandbox):
    ask = as_service_accounts(sandbox, frozen.settings)
    processes = [frozen.start() for _ in range(30)]
    for number, process in enumerate(processes):
        process.stdin.write(ask(f"app-{number}"))
        process.stdin.close()
        process.stdin = None
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 30, [err for _, err in answers]
    passwords = {json.loads(out)["auth"][sandbox.registry.address]["password"] for out, _ in answers}
    assert len(passwords) == sandbox.calls.count("GetAuthorizationToken") == 30
    assert sandbox.calls.count("AssumeRoleWithOIDC") == 30


def test_service_accounts_share_the_token_of_an_identity_that_is_the_nodes(frozen, sandbox):
    cluster = sandbox.add_cluster()
    for name in ("one", "two"):
        raw = request(image_of(sandbox), serviceAccountToken=cluster.token("team", name))
        assert frozen.run(raw).code == 0
    assert sandbox.calls.counts() == {"GetAuthorizationToken": 1}


def test_a_pull_that_was_stopped_while_it_asked_does_not_stop_the_others(frozen, sandbox):
    sandbox.faults.add("GetAuthorizationToken", Delay(2.0), times=1)
    stopped = []

    def stop_the_leader(_processes):
        wait_for_a_call(sandbox)
        for pid in lock_holders(frozen.cache / "locks"):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)

    leader = frozen.start()
    leader.stdin.write(request(image_of(sandbox)))
    leader.stdin.close()
    leader.stdin = None
    stop_the_leader([leader])
    try:
        ended = frozen.ask_together([image_of(sandbox)] * 10)
        assert stopped == [leader.pid]
        assert {each.code for each in ended} == {0}
        assert max(each.seconds for each in ended) < 15
    finally:
        leader.send_signal(signal.SIGCONT)
        out, _ = leader.communicate(timeout=60)
    assert (leader.returncode, bool(out)) in {(0, True), (1, False)}, "no torn answer"


@pytest.mark.parametrize("times", [1, 2])
def test_a_passing_failure_of_the_cloud_costs_no_pull(frozen, sandbox, times):
    sandbox.faults.add("GetAuthorizationToken", Failure(503), times=times)
    assert frozen.ask(image_of(sandbox)).code == 0
    assert sandbox.calls.count("GetAuthorizationToken") == times + 1
