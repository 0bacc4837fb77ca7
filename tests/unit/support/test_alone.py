"""Tests that run side by side, by real workers: what measures time has the machine for itself."""

import json
import os
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

PYTEST = (sys.executable, "-m", "pytest", "-q", "--rootdir=.", "-p", "no:hypothesispytest")
PYTEST += ("--numprocesses=3", "--dist=worksteal")
ALONE = Path(__file__).parents[2] / "support/alone.py"
TESTS = """
import json, os, time, pytest

def work(name):
    began = time.monotonic()
    time.sleep(0.2)
    with open("spans", "a") as file:
        file.write(json.dumps([name, began, time.monotonic()]) + "\\n")
    assert name not in os.environ["BROKEN"].split()

@pytest.mark.parametrize("number", range(12))
def test_with_others(number):
    work(f"others-{number}")

@pytest.mark.alone
@pytest.mark.parametrize("number", range(4))
def test_alone(number):
    work(f"alone-{number}")
"""
CONFTEST = """
import alone

def pytest_configure(config):
    config.addinivalue_line("markers", "alone: as in this project")
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(alone.Turns())
"""


def run(folder, *words, broken=""):
    """Run the tests in *folder* with three workers; return how that ended, and when each of them ran."""
    (folder / "test_it.py").write_text(TESTS)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "spans").write_text("")
    # A copy: its own file is what workers lock, and the workers that run this test hold a lock on it.
    shutil.copy(ALONE, folder)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [*PYTEST, *words],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(folder), "BROKEN": broken},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    spans = [json.loads(line) for line in (folder / "spans").read_text().splitlines()]
    return done, {name: (began, ended) for name, began, ended in spans}


def overlapping(spans):
    return {
        (one, other)
        for one, other in combinations(sorted(spans), 2)
        if spans[one][0] < spans[other][1] and spans[other][0] < spans[one][1]
    }


def test_no_test_runs_beside_one_that_is_to_be_alone(tmp_path):
    done, spans = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(spans) == 16
    pairs = overlapping(spans)
    assert pairs, "the others do run side by side"
    assert not [pair for pair in pairs if any(name.startswith("alone") for name in pair)]


def test_what_failed_beside_others_and_alone_can_be_run_by_itself(tmp_path):
    done, _ = run(tmp_path, broken="others-3 alone-2")
    assert (done.returncode, done.stdout.count("\nFAILED ")) == (1, 2)
    done, spans = run(tmp_path, "--last-failed")
    assert (done.returncode, set(spans)) == (0, {"others-3", "alone-2"})
