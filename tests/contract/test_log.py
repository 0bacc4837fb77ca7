"""The line in the system's log, as whoever reads it sees it: of each kind of answer, in each way to run."""

import json
import os
import re
import socket

import pytest
from sandbox.faults import Failure
from support.harness import HERE_ONLY

HEAD = r"<{priority}>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d aliyun-acr-credential-provider\[\d+\]: "


@pytest.fixture
def journal(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "log"))
        listening.setblocking(False)
        yield listening


def lines(journal):
    found = []
    while True:
        try:
            found.append(journal.recv(65536).decode())
        except BlockingIOError:
            return found


def environment(journal, level):
    variable = {"ACR_CREDENTIAL_PROVIDER_LOG": f"{level}:{journal.getsockname()}"}
    return {**os.environ, **HERE_ONLY, **variable}


def set_level(program, level):
    document = json.loads(program.settings.read_text())
    program.settings.write_text(json.dumps(document | {"log": level}))


def test_a_miss_and_a_hit_are_a_line_each(program, sandbox, journal):
    host = sandbox.registry.address
    for cache in ("miss", "hit"):
        assert program.ask(f"{host}/team/app", env=environment(journal, "info")).code == 0
        (line,) = lines(journal)
        assert re.fullmatch(
            HEAD.format(priority=30) + rf"answered host={host} answer=token cache={cache} "
            r"entry=cri-sandbox000000001 source=accessKey ms=\d+",
            line,
        )


def test_an_empty_answer_is_a_line_too(program, journal):
    for cache in ("miss", "hit"):
        program.ask("docker.io/library/busybox", env=environment(journal, "info"))
        (line,) = lines(journal)
        assert re.search(rf": answered host=docker\.io answer=not-covered cache={cache} ms=\d+$", line)


def test_a_failure_is_a_line_for_the_one_who_asked_and_those_told_of_it(program, sandbox, journal):
    sandbox.faults.add("GetAuthorizationToken", Failure(403, "NoPermission", "CANARYPASSWORD"))
    for _ in ("asked", "remembered"):
        assert program.ask(f"{sandbox.registry.address}/team/app", env=environment(journal, "error")).code == 1
        (line,) = lines(journal)
        assert re.match(
            HEAD.format(priority=27) + rf"failed host={sandbox.registry.address} "
            r"entry=cri-sandbox000000001 source=accessKey ms=\d+ error: GetAuthorizationToken for \S+ was refused "
            r"\(NoPermission, HTTP 403, request id [^)]*\): [^:]+ remedy: Attach",
            line,
        )
        assert "CANARY" not in line
    assert sandbox.calls.count("GetAuthorizationToken") == 1


def test_a_broken_settings_file_is_logged_for_those_who_ask_by_the_environment(program, journal):
    program.settings.write_text("kind: nonsense")
    program.ask("a.example.com/b", env=environment(journal, "error"))
    (line,) = lines(journal)
    assert ": failed host=a.example.com  ms=" in line or ": failed host=a.example.com ms=" in line


def test_debug_tells_each_stage(program, sandbox, journal):
    program.ask(f"{sandbox.registry.address}/team/app", env=environment(journal, "debug"))
    stages = [line for line in lines(journal) if ": stage " in line]
    assert any("asking ACR for a token" in line for line in stages)


def test_the_settings_level_holds_and_the_environment_overrules_it(program, sandbox, journal):
    image = f"{sandbox.registry.address}/team/app"
    set_level(program, "info")
    for _ in ("miss", "hit"):
        # A name that is no level chooses the socket only.
        assert program.ask(image, env=environment(journal, "")).code == 0
        assert len(lines(journal)) == 1
    assert program.ask(image, env=environment(journal, "off")).code == 0
    set_level(program, "error")
    assert program.ask(image, env=environment(journal, "")).code == 0
    set_level(program, False)
    assert program.ask(image, env=environment(journal, "")).code == 0
    assert lines(journal) == []


def test_a_log_whose_reader_sleeps_costs_no_pull(program, sandbox, tmp_path):
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as us,
    ):
        full.bind(str(tmp_path / "log"))
        us.setblocking(False)
        try:
            while True:
                us.sendto(b"x", str(tmp_path / "log"))
        except BlockingIOError:
            pass
        for _ in ("miss", "hit"):
            ended = program.ask(f"{sandbox.registry.address}/team/app", env=environment(full, "debug"))
            assert (ended.code, ended.stderr) == (0, b"")
            assert ended.seconds < 10
