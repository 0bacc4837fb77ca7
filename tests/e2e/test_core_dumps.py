"""A process that crashes leaves no core dump, so no secret is written to a disk by it."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from e2e.assertions import NOT_ROOT, assert_answered, image_of, unprivileged
from sandbox.faults import Hang
from support import harness

PATTERN = Path("/proc/sys/kernel/core_pattern")
CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def with_core_dumps():
    """Let a child write a core dump of any size, as a node's administrator may have set it."""
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def cores(folder):
    return sorted(path.name for path in folder.iterdir() if "core" in path.name)


@pytest.fixture
def folder(tmp_path):
    """The folder that crashing programs are in, where this machine writes core dumps."""
    if PATTERN.read_text().strip().startswith(("|", "/")):
        pytest.skip("this machine writes core dumps elsewhere")
    place = tmp_path / "here"
    place.mkdir()
    subprocess.run([sys.executable, "-c", CRASH], cwd=place, preexec_fn=with_core_dumps, check=False)
    made = cores(place)
    if not made:
        pytest.skip("this machine writes no core dumps")
    for name in made:
        (place / name).unlink()
    return place


def in_a_miss(program, sandbox, folder):
    """Start a pull that waits for ACR with the AccessKey in its memory; return the process."""
    sandbox.faults.add("GetAuthorizationToken", Hang("request"))
    process = program.start(cwd=folder, preexec_fn=with_core_dumps)
    process.stdin.write(harness.request(image_of(sandbox)))
    process.stdin.close()
    process.stdin = None
    until = time.monotonic() + 20
    while not sandbox.calls.counts() and time.monotonic() < until:
        time.sleep(0.02)
    assert sandbox.calls.counts()
    return process


@pytest.mark.parametrize("crash", [signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT], ids=lambda crash: crash.name)
def test_a_crash_in_a_miss_leaves_no_core_dump(program, sandbox, folder, crash):
    process = in_a_miss(program, sandbox, folder)
    try:
        process.send_signal(crash)
        assert process.wait(20) == -crash
    finally:
        process.kill()
        process.communicate()
    assert cores(folder) == []


def test_a_crash_before_the_request_is_read_leaves_none(frozen, folder):
    """The launcher sees to it, before a hit would read a token."""
    process = frozen.start(cwd=folder, preexec_fn=with_core_dumps)
    time.sleep(0.5)
    process.send_signal(signal.SIGSEGV)
    assert process.wait(20) == -signal.SIGSEGV
    process.communicate()
    assert cores(folder) == []


def test_the_limit_for_core_files_stays_as_it_was(program, sandbox, folder):
    """A program that is started from here, such as a kubelet, would inherit it."""
    process = in_a_miss(program, sandbox, folder)
    try:
        limits = Path(f"/proc/{process.pid}/limits").read_text()
    finally:
        process.kill()
        process.communicate()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["unlimited", "unlimited"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_who_may_not_read_its_own_process_by_proc_gets_an_answer_all_the_same(frozen, sandbox, tmp_path):
    """The files of such a process in /proc belong to root."""
    folder = tmp_path / "user"
    folder.mkdir()
    for each in (tmp_path, *tmp_path.parents):
        if each.is_relative_to("/tmp") and str(each) != "/tmp":
            each.chmod(0o755)
    with unprivileged(frozen, sandbox, folder) as program:
        for _ in ("miss", "hit"):
            assert_answered(program.ask(image_of(sandbox), under=NOT_ROOT), sandbox)
