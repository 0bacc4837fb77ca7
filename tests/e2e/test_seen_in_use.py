"""The kubelet's first call leaves a trace, whoever else runs the plugin leaves none."""

import os
import shutil
import stat
import time

import pytest
from acr_credential_provider.fastpath.lookup import TRACE
from acr_node_config.hostfs.plugin_calls import first_call

SHELL = shutil.which("dash") or "/bin/sh"


@pytest.fixture
def calling(tmp_path):
    """Return the words under which the plugin is run by a process called as it is told."""

    def under(name):
        shell = tmp_path / name
        shutil.copy(SHELL, shell)
        return str(shell), "-c", '"$@"; exit $?', name

    return under


def image(sandbox):
    return f"{sandbox.registry.address}/team/app"


def trace(program):
    return program.cache / TRACE


@pytest.mark.parametrize("name", ["kubelet", "k3s-server", "hyperkube"])
def test_the_kubelets_first_call_leaves_a_trace_that_stays(program, sandbox, calling, name):
    before = time.time()
    assert program.ask(image(sandbox), under=calling(name)).code == 0
    found = trace(program).stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert before - 2 < first_call("/", str(program.cache)) < time.time() + 1

    os.utime(trace(program), (found.st_atime, found.st_mtime - 1000))
    assert program.ask(image(sandbox), under=calling(name)).code == 0  # a hit
    assert first_call("/", str(program.cache)) == pytest.approx(found.st_mtime - 1000)


def test_a_hit_leaves_it_too(program, sandbox, calling):
    """As after an upgrade, where the cache is older than the trace."""
    assert program.ask(image(sandbox)).code == 0
    assert not trace(program).exists()
    assert program.ask(image(sandbox), under=calling("kubelet")).code == 0
    assert trace(program).exists()


def test_a_call_that_fails_is_a_call(program, sandbox, calling):
    program.ask(f"{sandbox.registry.address}/", under=calling("kubelet"))
    program.run(b"{}", under=calling("kubelet"))
    program.ask("other.example.com/team/app", under=calling("kubelet"))
    assert trace(program).exists()


@pytest.mark.parametrize("name", ["bash", "aliyun-acr-cred", "my-kubelet"])
def test_whoever_else_calls_leaves_none(program, sandbox, calling, name):
    for _ in range(2):
        assert program.ask(image(sandbox), under=calling(name)).code == 0
    assert not trace(program).exists()
    assert first_call("/", str(program.cache)) == 0.0


def test_commands_and_the_docker_helper_leave_none_though_a_kubelet_runs_them(program, sandbox, calling):
    paths = ["--settings", str(program.settings), "--cache", str(program.cache)]
    assert program.ask(image(sandbox)).code == 0
    for words in (["explain", image(sandbox), *paths], ["cache", "show", *paths], ["cache", "refresh", *paths]):
        program.run(b"", *words, under=calling("kubelet"))
    assert not trace(program).exists()


def test_clearing_the_cache_keeps_it(program, sandbox, calling):
    assert program.ask(image(sandbox), under=calling("kubelet")).code == 0
    paths = ["--settings", str(program.settings), "--cache", str(program.cache)]
    assert program.run(b"", "cache", "clear", *paths).code == 0
    assert trace(program).exists()


def test_without_a_place_for_it_the_answer_is_the_same(program, sandbox, calling):
    assert program.ask(image(sandbox)).code == 0
    locks = program.cache / "locks"
    shutil.rmtree(locks)
    locks.write_text("")
    ended = program.ask(image(sandbox), under=calling("kubelet"))
    assert (ended.code, ended.stderr) == (0, b"")
