"""Whatever hangs, an answer or a true cause is out before the deadline of 15 s."""

import contextlib
import fcntl
import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import write_settings
from sandbox import AcrSandbox
from sandbox.faults import Drip, Hang, Html, Huge, Redirect, Reset
from sandbox.foreign import ForeignHost
from support import harness

DEADLINE = 15.0
ROTTEN = {
    "hangs before the handshake": ("openapi", Hang("connect"), "TLS handshake"),
    "hangs after the request": ("GetAuthorizationToken", Hang("request"), "timed out"),
    "hangs in the headers": ("GetAuthorizationToken", Hang("headers"), "timed out"),
    "hangs in the body": ("GetAuthorizationToken", Hang("body"), "timed out"),
    "drips the headers": ("GetAuthorizationToken", Drip("headers"), "timed out"),
    "drips the body": ("GetAuthorizationToken", Drip("body"), "timed out"),
    "resets before the handshake": ("openapi", Reset("connect"), ""),
    "resets after the request": ("GetAuthorizationToken", Reset("request"), ""),
    "sends 300 MB": ("GetAuthorizationToken", Huge(), "larger than 64 KiB"),
    "sends a web page": ("GetAuthorizationToken", Html(), ""),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run the program against each rotten cloud, all at the same time, since most of it is waiting."""

    def run(name):
        folder = tmp_path_factory.mktemp("rotten")
        target, fault, _ = ROTTEN[name]
        with AcrSandbox() as sandbox:
            sandbox.faults.add(target, fault)
            program = harness.frozen(write_settings(folder, sandbox.settings()), folder / "cache")
            return name, program.ask(sandbox.image.partition(":latest")[0])

    with ThreadPoolExecutor(len(ROTTEN)) as pool:
        return dict(pool.map(run, ROTTEN))


@pytest.mark.alone
@pytest.mark.parametrize("name", ROTTEN)
def test_a_cloud_that_does_not_answer_right_is_named_before_the_deadline(outcomes, name):
    ended, words = outcomes[name], ROTTEN[name][2]
    assert (ended.code, ended.stdout) == (1, b"")
    assert ended.seconds < DEADLINE
    error, remedy = ended.stderr.decode().splitlines()
    assert error.startswith("error: ")
    assert words in error
    assert remedy.startswith("remedy: ")


def test_a_redirect_is_refused_and_the_foreign_host_sees_nothing(frozen, sandbox):
    with ForeignHost() as foreign:
        for status in (301, 302, 307, 308):
            sandbox.faults.clear()
            sandbox.faults.add("GetAuthorizationToken", Redirect(foreign.url, status))
            for remembered in (frozen.cache / "memo").glob("*"):
                remembered.unlink()
            ended = frozen.ask(sandbox.image.partition(":latest")[0])
            assert (ended.code, ended.stdout) == (1, b"")
            assert b"redirect" in ended.stderr
        assert foreign.requests == []


# A name server that takes questions and never answers, in a network and mount namespace of its own.
BLACK_HOLE = """
import os, socket, sys
hole = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hole.bind(("127.0.0.1", 53))
os.set_inheritable(hole.fileno(), True)
os.execv(sys.argv[1], sys.argv[1:])
"""
IN_A_BLACK_HOLE = """
ip link set lo up
mount --bind "$1" /etc/resolv.conf
shift
exec /usr/bin/python3 -c "$@"
"""


@pytest.mark.alone
def test_a_name_server_that_never_answers_is_named_before_the_deadline(frozen, sandbox, tmp_path):
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n")
    settings = sandbox.settings()
    settings["registries"][0] |= {"network": "public", "endpoints": {}}
    frozen.settings.write_text(json.dumps(settings))
    under = ("unshare", "--net", "--mount", "sh", "-ec", IN_A_BLACK_HOLE, "sh", str(resolver), BLACK_HOLE)
    ended = frozen.ask(sandbox.image.partition(":latest")[0], under=under)
    assert (ended.code, ended.stdout) == (1, b"")
    assert ended.seconds < DEADLINE
    assert b"cr.cn-hangzhou.aliyuncs.com" in ended.stderr


@contextlib.contextmanager
def held(path):
    """Hold the lock at *path*, as a process that was stopped for good would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        os.chmod(path, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.alone
def test_locks_that_are_never_given_back_end_in_an_answer_before_the_deadline(frozen, sandbox):
    """The turn, the token and a slot for each CPU: a pull goes on alone, in the spare slot, rather than fail."""
    image = sandbox.image.partition(":latest")[0]
    assert frozen.ask(image).code == 0
    folder = frozen.cache / "locks"
    for each in (frozen.cache / "memo").glob("*"):
        each.unlink()
    names = list(folder.iterdir())
    assert {each.name for each in names} > {"slot-0"}
    slots = [folder / f"slot-{number}" for number in range(len(os.sched_getaffinity(0)))]
    with contextlib.ExitStack() as stack:
        for each in {*names, *slots}:
            stack.enter_context(held(each))
        ended = frozen.ask(image)
    assert (ended.code, ended.stderr) == (0, b"")
    assert ended.seconds < DEADLINE


@pytest.mark.alone
def test_a_queue_that_never_moves_is_named_before_the_deadline(frozen, sandbox):
    image = sandbox.image.partition(":latest")[0]
    assert frozen.ask(image).code == 0
    assert frozen.run(b"", "cache", "clear", "--cache", str(frozen.cache)).code == 0
    with contextlib.ExitStack() as stack:
        for number in range(len(os.sched_getaffinity(0)) + 1):
            stack.enter_context(held(frozen.cache / f"locks/slot-{number}"))
        ended = frozen.ask(image)
    assert (ended.code, ended.stdout) == (1, b"")
    assert b"too many pulls" in ended.stderr
    assert b"lslocks" in ended.stderr
    assert ended.seconds < DEADLINE


def test_stdin_that_never_ends_is_named_at_the_deadline(frozen):
    with frozen.start() as process:
        process.stdin.write(b'{"kind":')
        process.stdin.flush()
        assert process.wait(timeout=20) == 1
        assert process.stderr.read().startswith(b"error: the request on stdin did not end")
        assert process.stdout.read() == b""


@pytest.mark.alone
def test_a_pull_does_not_wait_long_for_a_better_token_than_the_living_one(frozen, sandbox):
    """A due token and a hung cloud: the living token within 3 s, and at once for those after it."""
    image, host = sandbox.image.partition(":latest")[0], sandbox.registry.address
    sandbox.state.token_life = 16.0  # due after at most 8 s, dead after 14.4
    first = frozen.ask(image)
    assert first.duration <= 8
    threading.Event().wait(8.7)  # a Date header has whole seconds: the life may look up to one longer
    sandbox.faults.add("GetAuthorizationToken", Hang("request"))
    second, third = frozen.ask(image), frozen.ask(image)
    assert (second.code, third.code) == (0, 0)
    assert first.login(host) == second.login(host) == third.login(host)
    assert second.seconds < 3.5
    assert third.seconds < 1
    assert second.duration <= 7
    assert sandbox.calls.count("GetAuthorizationToken") == 2


def test_a_cache_on_a_socket_or_a_file_is_no_cache(frozen, sandbox, tmp_path):
    image = sandbox.image.partition(":latest")[0]
    frozen.cache.write_text("not a folder")
    ended = frozen.ask(image)
    assert ended.code == 0
    assert ended.document["auth"]
    frozen.cache.unlink()
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(frozen.cache))
        assert frozen.ask(image).code == 0
