"""Whatever hangs, an answer or a true cause is out before the deadline of 15 s."""

import contextlib
import fcntl
import json
import os
import socket
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

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


class World(NamedTuple):
    """A cloud, a program with a cache of its own, and a folder."""

    frozen: harness.Program
    sandbox: AcrSandbox
    folder: Path

    @property
    def image(self):
        return self.sandbox.image.partition(":latest")[0]


def a_rotten_cloud_is_named(world, name):
    target, fault, words = ROTTEN[name]
    world.sandbox.faults.add(target, fault)
    ended = world.frozen.ask(world.image)
    assert (ended.code, ended.stdout) == (1, b"")
    assert ended.seconds < DEADLINE
    error, remedy = ended.stderr.decode().splitlines()
    assert error.startswith("error: ")
    assert words in error
    assert remedy.startswith("remedy: ")


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


def a_name_server_that_never_answers_is_named(world):
    resolver = world.folder / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n")
    settings = world.sandbox.settings()
    settings["registries"][0] |= {"network": "public", "endpoints": {}}
    world.frozen.settings.write_text(json.dumps(settings))
    under = ("unshare", "--net", "--mount", "sh", "-ec", IN_A_BLACK_HOLE, "sh", str(resolver), BLACK_HOLE)
    ended = world.frozen.ask(world.image, under=under)
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


def locks_that_are_never_given_back_end_in_an_answer(world):
    """The turn, the token and a slot for each CPU: a pull goes on alone, in the spare slot, rather than fail."""
    assert world.frozen.ask(world.image).code == 0
    folder = world.frozen.cache / "locks"
    for each in (world.frozen.cache / "memo").glob("*"):
        each.unlink()
    names = list(folder.iterdir())
    assert {each.name for each in names} > {"slot-0"}
    slots = [folder / f"slot-{number}" for number in range(len(os.sched_getaffinity(0)))]
    with contextlib.ExitStack() as stack:
        for each in {*names, *slots}:
            stack.enter_context(held(each))
        ended = world.frozen.ask(world.image)
    assert (ended.code, ended.stderr) == (0, b"")
    assert ended.seconds < DEADLINE


def a_queue_that_never_moves_is_named(world):
    assert world.frozen.ask(world.image).code == 0
    assert world.frozen.run(b"", "cache", "clear", "--cache", str(world.frozen.cache)).code == 0
    with contextlib.ExitStack() as stack:
        for number in range(len(os.sched_getaffinity(0)) + 1):
            stack.enter_context(held(world.frozen.cache / f"locks/slot-{number}"))
        ended = world.frozen.ask(world.image)
    assert (ended.code, ended.stdout) == (1, b"")
    assert b"too many pulls" in ended.stderr
    assert b"lslocks" in ended.stderr
    assert ended.seconds < DEADLINE


WAITS = {
    **{f"the cloud {name}": partial(a_rotten_cloud_is_named, name=name) for name in ROTTEN},
    "a name server that never answers": a_name_server_that_never_answers_is_named,
    "locks that are never given back": locks_that_are_never_given_back_end_in_an_answer,
    "a queue that never moves": a_queue_that_never_moves_is_named,
}


@pytest.mark.alone
def test_whatever_hangs_an_answer_or_a_true_cause_is_out_before_the_deadline(tmp_path):
    """One test for all: each waits for most of the 15 s, and while one of them runs, no other test may."""

    def wrong(name):
        folder = tmp_path / name
        folder.mkdir()
        try:
            with AcrSandbox() as sandbox:
                frozen = harness.frozen(write_settings(folder, sandbox.settings()), folder / "cache")
                WAITS[name](World(frozen, sandbox, folder))
        except AssertionError:
            return traceback.format_exc()
        return ""

    with ThreadPoolExecutor(len(WAITS)) as pool:
        found = dict(zip(WAITS, pool.map(wrong, WAITS), strict=True))
    assert {name: what for name, what in found.items() if what} == {}


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
