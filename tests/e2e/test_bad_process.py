"""Started in a bad state, or ended in a bad moment: no torn answer, no secret astray, and the next run works."""

import json
import os
import random
import resource
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from acr_credential_provider.fastpath.response_cache import CacheEntry
from conftest import write_settings
from e2e.assertions import (
    DEADLINE,
    assert_answered,
    assert_no_token,
    assert_told,
    assert_whole,
    assert_whole_or_nothing,
    image_of,
    unprivileged,
)
from e2e.chaos import kill_at_random
from sandbox import AcrSandbox
from sandbox.faults import Delay, Failure
from support import harness

MIB = 1 << 20


def make_due(cache):
    """Let the one answer that is remembered be due for renewal."""
    (path,) = (cache / "memo").glob("*.memo")
    memo = CacheEntry.decode(path.read_bytes())
    memo.refresh_at = memo.written
    path.write_bytes(memo.encode())


def closing(*files):
    """Return shell words that run a command with *files* closed."""
    return ("sh", "-c", 'exec "$@" ' + " ".join(f"{'<' if file == 0 else f'{file}>'}&-" for file in files), "sh")


@pytest.mark.parametrize("files", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("case", ["miss", "hit", "refused", "due"])
def test_with_closed_files_nothing_goes_where_it_does_not_belong(frozen, sandbox, files, case):
    """Else the next file that is opened takes the number of stdout, and a token ends in a lock."""
    if case == "refused":
        sandbox.faults.add("GetAuthorizationToken", Failure(403, "NoPermission", "no"))
    elif case == "hit":
        assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    elif case == "due":
        assert_answered(frozen.ask(image_of(sandbox)), sandbox)
        make_due(frozen.cache)
    with frozen.start(under=closing(*files)) as process:
        try:
            out, err = process.communicate(harness.request(image_of(sandbox)), timeout=30)
        except BrokenPipeError:
            out, err = b"", b""
    assert b"Traceback" not in err
    if 0 in files or 1 in files or case == "refused":
        assert (process.returncode, out) == (1, b"")
        assert 2 in files or err.startswith(b"error: ")
    else:
        assert process.returncode == 0
        assert_whole(out, sandbox)
    assert_no_token(frozen.cache, sandbox)
    for path in frozen.cache.rglob("*.lock"):
        assert path.read_bytes() == b""
    sandbox.faults.clear()


def test_what_was_said_to_a_closed_stdout_is_asked_again(frozen, sandbox):
    frozen.run(b"", under=closing(1))
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)


@pytest.mark.parametrize("case", ["miss", "hit"])
def test_a_reader_that_is_gone_is_told_on_stderr(frozen, sandbox, case):
    if case == "hit":
        assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        assert_told(frozen.ask(image_of(sandbox), stdout=stdout), "could not be written to stdout")


@pytest.fixture(scope="module")
def stuck(tmp_path_factory):
    """Run the program with pipes that nobody reads, full to the brim, all at the same time."""

    def run(case):
        folder = tmp_path_factory.mktemp("stuck")
        with AcrSandbox() as sandbox:
            program = harness.frozen(write_settings(folder, sandbox.settings()), folder / "cache")
            if "hit" in case:
                assert program.ask(image_of(sandbox)).code == 0
            if "refused" in case:
                sandbox.faults.add("GetAuthorizationToken", Failure(403, "NoPermission", "no"))
            if "unsafe" in case:
                program.cache.mkdir()
                program.cache.chmod(0o777)
            pipes = [_full_pipe() for name in ("stdout", "stderr") if name in case]
            options = dict(
                zip([name for name in ("stdout", "stderr") if name in case], [w for _, w in pipes], strict=True)
            )
            stdin = b"" if "no request" in case else harness.request(image_of(sandbox))
            ended = program.run(stdin, **options)
            for pipe in pipes:
                for end in pipe:
                    os.close(end)
            return case, ended

    with ThreadPoolExecutor(len(STUCK)) as pool:
        return dict(pool.map(run, STUCK))


STUCK = {
    "a miss, stdout": 1,
    "a hit, stdout": 1,
    "a miss, stdout and stderr": 1,
    "a hit, stdout and stderr": 1,
    "refused, stderr": 1,
    "no request, stderr": 1,
    "a miss, unsafe cache, stderr": 0,
}


def _full_pipe():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x")
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, writer


@pytest.mark.parametrize("case", STUCK)
def test_a_pipe_that_nobody_reads_holds_nobody_past_the_deadline(stuck, case):
    ended = stuck[case]
    assert ended.seconds < DEADLINE + 3
    assert (ended.code != 0) == bool(STUCK[case])
    if "stderr" not in case:
        assert_told(ended, "could not be written to stdout", within=DEADLINE + 3)


def test_neither_environment_nor_home_nor_folder_is_needed(frozen, sandbox, tmp_path):
    for turn in ("miss", "hit"):
        assert_answered(frozen.ask(image_of(sandbox), env={}), sandbox), turn
    gone = tmp_path / "gone"
    gone.mkdir()
    removing = ("sh", "-c", f'cd {gone}; rmdir {gone}; exec "$@"', "sh")
    frozen.settings.write_bytes(frozen.settings.read_bytes())
    for turn in ("miss", "hit"):
        assert_answered(frozen.ask(image_of(sandbox), under=removing), sandbox), turn
        gone.mkdir(exist_ok=True)


@pytest.mark.parametrize(
    "odd",
    [
        {"HOME": "/nowhere", "TMPDIR": "/nowhere", "PATH": ""},
        {"LANG": "xx_XX.klingon", "LC_ALL": "tr_TR", "PYTHONIOENCODING": "utf-16"},
        {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere", "PYTHONSTARTUP": "/etc/passwd", "PYTHONINSPECT": "1"},
        {"PYTHONVERBOSE": "9", "PYTHONDEBUG": "1", "PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"},
        {"DEBUG": "sdk", "ALIBABA_CLOUD_ACCESS_KEY_ID": "x", "ALIBABA_CLOUD_ROLE_ARN": "x"},
        {"OPENSSL_CONF": "/nowhere", "SSLKEYLOGFILE": "/nowhere/keys", "SSL_CERT_DIR": "/nowhere"},
        {"TZ": "Mars/Olympus", "MALLOC_PERTURB_": "165"},
    ],
    ids=lambda odd: next(iter(odd)),
)
def test_an_odd_environment_changes_nothing(frozen, sandbox, odd):
    for _ in ("miss", "hit"):
        assert_answered(frozen.ask(image_of(sandbox), env={**harness.HERE_ONLY, **odd}), sandbox)


def test_whatever_the_umask_only_root_can_read_what_is_kept(frozen, sandbox):
    loose = ("sh", "-c", 'umask 0; exec "$@"', "sh")
    assert_answered(frozen.ask(image_of(sandbox), under=loose), sandbox)
    paths = ["--settings", str(frozen.settings), "--cache", str(frozen.cache)]
    assert frozen.run(b"", "cache", "clear", "--cache", str(frozen.cache), under=loose).code == 0
    assert_answered(frozen.ask(image_of(sandbox), under=loose), sandbox)
    assert frozen.run(b"", "cache", "refresh", "--within", "24h", *paths, under=loose).code == 0
    for each in [frozen.cache, *frozen.cache.rglob("*")]:
        assert each.stat().st_mode & 0o077 == 0, each


def limited(**limits):
    """Return what sets resource *limits* in the child."""

    def apply():
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))

    return apply


@pytest.mark.parametrize("count", [4, 5, 6, 7, 8, 9, 12, 20])
def test_too_few_open_files_are_an_answer_or_an_error(frozen, sandbox, count):
    for _ in range(2):
        assert_whole_or_nothing(frozen.ask(image_of(sandbox), preexec_fn=limited(NOFILE=count)), sandbox)
    assert_no_token(frozen.cache, sandbox)


def test_enough_open_files_are_a_dozen(frozen, sandbox):
    assert_answered(frozen.ask(image_of(sandbox), preexec_fn=limited(NOFILE=12)), sandbox)


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 4096, 20_000, 65_536])
def test_files_that_may_not_grow_cost_no_answer(frozen, sandbox, size):
    for _ in range(2):
        assert_answered(frozen.ask(image_of(sandbox), preexec_fn=limited(FSIZE=size)), sandbox)
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)


@pytest.mark.parametrize("mib", [16, 24, 32, 48, 64, 96, 128, 192])
def test_too_little_memory_is_an_answer_or_a_clean_end(frozen, sandbox, mib):
    ended = frozen.ask(image_of(sandbox), preexec_fn=limited(AS=mib * MIB))
    assert_whole_or_nothing(ended, sandbox)
    for secret in (sandbox.key.secret.encode(), b"cr_temp_user"):
        assert secret not in ended.stderr
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_where_no_thread_can_be_had_that_is_told(frozen, sandbox, tmp_path):
    lonely = ("setpriv", "--reuid=63421", "--clear-groups", "prlimit", "--nproc=1")
    folder = tmp_path / "lonely"
    folder.mkdir()
    for each in (tmp_path, *tmp_path.parents):
        if each.is_relative_to("/tmp") and str(each) != "/tmp":
            each.chmod(0o755)
    with unprivileged(frozen, sandbox, folder) as program:
        assert_told(program.ask(image_of(sandbox), under=lonely), "processes or threads", "TasksMax")


def _memory_group():
    """Return a new cgroup's folder, its limit's file name, its peak's and its kills', or None where there is none."""
    for root, names in (
        (Path("/sys/fs/cgroup/memory"), ("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control")),
        (Path("/sys/fs/cgroup"), ("memory.max", "memory.peak", "memory.events")),
    ):
        group = root / f"acr-adversity-{os.getpid()}"
        try:
            group.mkdir()
            if (group / names[0]).exists():
                return group, names
            group.rmdir()
        except OSError:
            continue
    return None


@pytest.mark.alone
def test_a_hundred_pulls_fit_into_two_gigabytes(frozen, sandbox):
    made = _memory_group()
    if made is None:
        pytest.skip("no memory cgroup can be made here")
    group, (limit, peak, kills) = made
    try:
        (group / limit).write_text(str(2 << 30))
        inside = ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
        sandbox.faults.add("GetAuthorizationToken", Delay(1.0), times=1)
        ended = frozen.ask_together([image_of(sandbox)] * 100, under=inside)
        for each in ended:
            assert_answered(each, sandbox)
        assert "oom_kill 0" in (group / kills).read_text()
        assert int((group / peak).read_text()) < 2 << 30
    finally:
        group.rmdir()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=str)
@pytest.mark.parametrize("at", ["stdin", "cloud"])
def test_told_to_end_it_ends_at_once_and_without_a_word(frozen, sandbox, number, at):
    if at == "cloud":
        sandbox.faults.add("GetAuthorizationToken", Delay(5.0))
    # Whoever runs the tests may have been told to ignore SIGHUP, which is inherited.
    with frozen.start(under=("env", "--default-signal=HUP")) as process:
        if at == "cloud":
            process.stdin.write(harness.request(image_of(sandbox)))
            process.stdin.close()
            process.stdin = None
            assert sandbox.calls.wait_for("GetAuthorizationToken", count=1, timeout=20)
        else:
            threading.Event().wait(0.3)
        process.send_signal(number)
        out, err = process.communicate(timeout=3)
    assert (process.returncode, out, err) == (-number, b"", b"")
    sandbox.faults.clear()
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)


def test_three_hundred_kills_at_random_points_tear_nothing():
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    sys.stdout.write(f"SEED={seed}\n")  # shown when it fails
    counts = kill_at_random(300, seed)
    sys.stdout.write(json.dumps(counts) + "\n")
    assert sum(counts.values()) == 300
    assert counts["killed before"] > 50


@pytest.mark.parametrize("count", [5, 6, 7, 8, 9, 10])
def test_too_few_open_files_are_told_as_such(frozen, sandbox, count):
    ended = frozen.ask(image_of(sandbox), preexec_fn=limited(NOFILE=count))
    if ended.code:
        assert_told(ended, "open no more files", "LimitNOFILE")
    else:
        assert_whole(ended.stdout, sandbox)
