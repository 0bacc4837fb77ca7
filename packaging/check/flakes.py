"""Says which tests of a run of `.ci/run` failed and then passed, and whether one of them has done so before.

A machine may stall, so what fails is tried once more. A race that fails now and then would pass by that, too: so a
second time within the last ten runs is a failure. Earlier runs are known from a file that this machine keeps, and from
`.ci/flakes.txt`, which everyone has.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RUNS = 10
"""That many earlier runs are looked at."""


def flaked(logs: Path) -> list[str]:
    """Return the tests of the run in *logs* that failed and then passed: SUITE.first names them, of SUITE.passed."""
    tests = []
    for file in sorted(logs.glob("*.first")):
        if file.with_suffix(".passed").exists():
            tests += json.loads(file.read_text())
    return sorted(set(tests))


def listed(text: str) -> set[str]:
    """Return the tests in *text*, one a line, without comments.

    >>> listed("# why\\ntests/unit/test_a.py::test_b  # since the summer\\n\\n")
    {'tests/unit/test_a.py::test_b'}
    """
    return {line.partition("  #")[0].strip() for line in text.splitlines() if line.strip() and line[0] != "#"}


def remembered(history: Path) -> list[list[str]]:
    """Return the flaked tests of the last runs on this machine; a file that cannot be read holds none."""
    try:
        runs = [json.loads(line) for line in history.read_text().splitlines()]
    except (OSError, ValueError):
        return []
    return [run for run in runs if isinstance(run, list)][-RUNS:]


def remember(history: Path, runs: Iterable[list[str]]) -> None:
    """Keep the last of *runs* in *history*."""
    history.parent.mkdir(parents=True, exist_ok=True)
    history.write_text("".join(json.dumps(run) + "\n" for run in [*runs][-RUNS:]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each flake; return 1 if one is not the first of its test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", type=Path, help="what .ci/run wrote about its suites")
    parser.add_argument("list", type=Path, help="the tests that are known to flake")
    parser.add_argument("history", type=Path, help="what this machine keeps of earlier runs")
    options = parser.parse_args(arguments)
    now = flaked(options.logs)
    earlier = remembered(options.history)
    known = listed(options.list.read_text()).union(*earlier)
    remember(options.history, [*earlier, now])
    for test in now:
        again = (
            "failed and then passed, and not for the first time: repair it"
            if test in known
            else (f"failed and then passed: find out why, and add it to {options.list} until then")
        )
        sys.stdout.write(f"{test}: {again}\n")
    return 1 if known.intersection(now) else 0


if __name__ == "__main__":
    sys.exit(main())
