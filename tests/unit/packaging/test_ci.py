"""What CI runs, with a make that only says what it was asked for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RUN = ROOT / ".ci/run"
SUITES = {
    *("lint", "lint-workflows", "demo", "distros", "test-image", "reproduce", "test", "test-systemd", "test-upgrade"),
    *("e2e", "test-controller", "hostile", "test-chart"),
}
MAKE = """#!/bin/sh
for target; do :; done
echo "$target" >> asked
case " $BROKEN " in
    *" $target "*) echo "this is $target, which fails, with $PYTEST_ADDOPTS"; exit 2 ;;
    *" $target-once "*)
        case $PYTEST_ADDOPTS in
            *--last-failed) ;;
            *)
                folder=${PYTEST_ADDOPTS#-o cache_dir=}/v/cache
                mkdir -p "$folder" && echo "{\\"tests/$target.py::test_a\\": true}" >"$folder/lastfailed"
                echo "once is never"
                exit 2
                ;;
        esac
        ;;
esac
echo "this is $target"; sleep 0.2; echo "this was $target"
"""

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own takes root"),
]


@pytest.fixture
def run(tmp_path):
    """Return a function that runs it in a tree with nothing else in it, and returns how it ended and what it made."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(RUN, tmp_path / ".ci/run")
    (tmp_path / "packaging/check").mkdir(parents=True)
    (tmp_path / "packaging/check/system_packages.sh").touch()
    for name in ("packaging/check/flakes.py", ".ci/flakes.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "tests/cluster").mkdir(parents=True)
    (tmp_path / "tests/cluster/assets.py").touch()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {"make": MAKE, "go": "#!/bin/sh\n"}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)

    def run(broken=""):
        done = subprocess.run(
            [tmp_path / ".ci/run"],
            env={"PATH": f"{tools}:{os.environ['PATH']}", "BROKEN": broken, "HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, (tmp_path / "asked").read_text().split()

    return run


def test_each_suite_is_run_once_and_shown_in_one_piece(run):
    code, said, asked = run()
    assert code == 0, said
    assert sorted(asked) == sorted([*SUITES, "e2e-assets", "image"])
    assert all(f"\nthis is {each}\nthis was {each}\n" in said for each in SUITES)
    durations = said.partition("== duration of each suite\n")[2].splitlines()
    assert {line.split()[2] for line in durations if " s  " in line} == {*SUITES, "e2e-assets"}


def test_what_fails_is_tried_once_more_by_itself_and_stops_no_other_suite(run):
    code, said, asked = run("distros test-controller")
    assert code == 1
    assert set(asked) >= SUITES
    assert (asked.count("distros"), asked.count("test-controller"), asked.count("test")) == (2, 2, 1)
    assert said.count("which fails, with -o cache_dir=") == 4
    assert said.count("distros.cache --last-failed\n") == said.count("test-controller.cache --last-failed\n") == 1
    last = said.splitlines()[-1]
    assert last.startswith("== failed: ")
    assert sorted(last.split()[2:]) == ["distros", "test-controller"]


def test_what_passes_the_second_time_is_told_and_fails_nothing(run):
    code, said, asked = run("e2e-once test-chart-once")
    assert code == 0, said
    assert (asked.count("e2e"), asked.count("test-chart")) == (2, 2)
    assert "== e2e failed: what failed, once more" in said
    assert "tests/e2e.py::test_a: failed and then passed: find out why" in said


def test_what_passes_the_second_time_in_two_runs_fails_the_second(run):
    assert run("e2e-once")[0] == 0
    code, said, _ = run("e2e-once test-chart-once")
    assert code == 1
    assert said.splitlines()[-1] == "== failed: flakes "
    assert "tests/e2e.py::test_a: failed and then passed, and not for the first time" in said
    assert "tests/test-chart.py::test_a: failed and then passed: find out why" in said


@pytest.mark.parametrize("what", ["lint", "demo", "reproduce"])
def test_what_is_no_test_is_not_tried_again(run, what):
    code, said, asked = run(what)
    assert (code, asked.count(what)) == (1, 1)
    assert said.splitlines()[-1] == f"== failed: {what} "


def test_without_what_is_tested_nothing_is_run(run):
    code, _, asked = run("image")
    assert code != 0
    assert set(asked) <= {"image", "e2e-assets"}
