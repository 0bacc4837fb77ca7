"""A test that fails and then passes does so once in ten runs, or the run fails."""

import json

import pytest

from check import flakes

A, B = "tests/unit/test_a.py::test_a", "tests/unit/test_b.py::test_b[1 - x]"


class Machine:
    """The folder of a clone's logs, its list, and what the machine keeps between clones."""

    def __init__(self, path):
        self.path = path
        self.list = path / "flakes.txt"
        self.list.write_text("# those that are known\n")
        self.runs = 0

    def run(self, failed=(), *, passed_then=True):
        """Return the exit code after a run in which *failed* failed at first."""
        self.runs += 1
        logs = self.path / str(self.runs)
        logs.mkdir()
        if failed:
            (logs / "test.first").write_text(json.dumps(dict.fromkeys(failed, True)))
            if passed_then:
                (logs / "test.passed").touch()
        return flakes.main([str(logs), str(self.list), str(self.path / "kept/history")])


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_first_flake_is_told_and_passes(machine, capsys):
    assert machine.run([A]) == 0
    assert f"{A}: failed and then passed: find out why" in capsys.readouterr().out


def test_a_second_flake_of_the_same_test_is_a_failure(machine, capsys):
    assert [machine.run([A]), machine.run([B]), machine.run([A])] == [0, 0, 1]
    assert "not for the first time" in capsys.readouterr().out


@pytest.mark.parametrize(("between", "code"), [(flakes.RUNS - 1, 1), (flakes.RUNS, 0)])
def test_a_flake_is_forgotten_after_ten_runs_without_it(machine, between, code):
    machine.run([A])
    assert {machine.run() for _ in range(between)} <= {0}
    assert machine.run([A]) == code


def test_a_test_in_the_list_has_no_flake_to_spare_on_any_machine(machine):
    machine.list.write_text(f"{B}  # a port that is slow to close\n")
    assert machine.run([B]) == 1


def test_what_fails_twice_in_one_run_is_no_flake(machine):
    assert machine.run([A], passed_then=False) == 0
    assert machine.run([A]) == 0


def test_a_history_that_is_damaged_is_no_reason_to_fail(machine):
    (machine.path / "kept").mkdir()
    (machine.path / "kept/history").write_text('["half')
    assert machine.run([A]) == 0
    assert machine.run([A]) == 1
