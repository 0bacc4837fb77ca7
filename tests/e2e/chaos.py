"""Kills the program at random points, over and over, and says what must hold all the same."""

from __future__ import annotations

import random
import select
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conftest import write_settings
from e2e.assertions import assert_answered, assert_no_token, assert_whole, image_of
from sandbox import AcrSandbox
from support import harness

LANES = 3
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)
AFTER = 0.3
FORGOTTEN = ("nothing", "memos", "all")
BEYOND = 1.3  # how much of a whole run's time, as this machine needs it, may pass until the kill
LIVING_AGAIN = 10.0


def kill_at_random(runs: int, seed: int) -> dict[str, int]:
    """Kill *runs* runs in a few lanes; return how many were killed before and after their answer was out."""
    with ThreadPoolExecutor(LANES) as pool:
        lanes = [pool.submit(_lane, runs // LANES, f"{seed}/{lane}") for lane in range(LANES)]
        counts = [lane.result() for lane in lanes]
    return {name: sum(each[name] for each in counts) for name in counts[0]}


def _lane(runs: int, seed: str) -> dict[str, int]:
    draw = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="acr-kills-"))
    counts = {"killed before": 0, "killed after": 0, "ended first": 0}
    try:
        with AcrSandbox() as sandbox:
            program = harness.frozen(write_settings(folder, sandbox.settings()), folder / "cache")
            assert_answered(program.ask(image_of(sandbox)), sandbox)
            whole = {what: _seconds(program, sandbox, what) for what in FORGOTTEN}
            for run in range(runs):
                what = draw.choices(FORGOTTEN, (2, 2, 1))[0]
                _forget(program.cache, what)
                counts[_kill(program, sandbox, draw, BEYOND * whole[what])] += 1
                if run % 3 == 2:
                    ended = program.ask(image_of(sandbox))
                    assert_answered(ended, sandbox)
                    assert ended.seconds < LIVING_AGAIN, (seed, run, ended.seconds)
            drafts = [each.name for each in (program.cache / "memo").glob("*.memo.*")]
            assert_no_token(program.cache, sandbox, but=(".memo", "cache.db", "cache.db-journal", *drafts))
    finally:
        shutil.rmtree(folder)
    return counts


def _seconds(program, sandbox, what: str) -> float:
    """Return how long an undisturbed run takes once *what* is forgotten."""
    _forget(program.cache, what)
    ended = program.ask(image_of(sandbox))
    assert_answered(ended, sandbox)
    return ended.seconds


def _kill(program, sandbox, draw, longest: float) -> str:
    process = program.start()
    process.stdin.write(harness.request(image_of(sandbox)))
    process.stdin.close()
    process.stdin = None
    if draw.random() < AFTER:  # in the midst of what is written once the answer is out
        select.select([process.stdout], [], [], 15)
        time.sleep(0.01 * draw.random())
    else:
        time.sleep(longest * draw.random())
    process.send_signal(draw.choice(SIGNALS))
    try:
        out, err = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert err == b""
    assert process.returncode in (0, *(-number for number in SIGNALS))
    if out:
        assert_whole(out, sandbox)
    elif process.returncode == 0:
        raise AssertionError("exit code 0 without an answer")
    if process.returncode == 0:
        return "ended first"
    return "killed after" if out else "killed before"


def _forget(cache: Path, what: str) -> None:
    if what != "nothing":
        for memo in (cache / "memo").glob("*.memo"):
            memo.unlink()
    if what == "all":
        for each in (cache / "store").glob("*"):
            each.unlink(missing_ok=True)
