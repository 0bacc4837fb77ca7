"""What every parser promises of its refusals, and how a target is found."""

from __future__ import annotations

import functools
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
CORPORA = HERE / "corpus"
LONGEST_TEXT = 4096
"""Characters of a problem or a remedy: a line of a log, not a copy of the input."""
SECONDS = 5
"""For one input, of processor time."""


@dataclass(frozen=True, slots=True)
class Target:
    """A harness: *path* is its file, and `fuzz` takes the bytes of a stranger."""

    name: str
    path: Path

    @functools.cache  # noqa: B019 - the targets live as long as the process
    def load(self) -> Callable[[bytes], None]:
        """Import it once, with all that it tests."""
        spec = importlib.util.spec_from_file_location(f"fuzz_{self.path.stem}", self.path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.fuzz

    @property
    def corpus(self) -> Path:
        """The folder of its seeds, and of inputs that once broke a promise."""
        return CORPORA / self.name


def all_targets() -> dict[str, Target]:
    """Return the targets by name: the names of their files."""
    paths = sorted(HERE.glob("targets/*/*.py"))
    return {path.stem: Target(path.stem, path) for path in paths}


def check_text(*texts: str) -> None:
    """Raise unless *texts*, which a log or a terminal shows, are one printable line of bounded length each."""
    for text in texts:
        assert isinstance(text, str), type(text)
        assert text.isprintable(), f"not printable: {text!r}"
        assert len(text) <= LONGEST_TEXT, f"too long: {len(text)}"


def check_error(error) -> None:
    """Raise unless *error*, a `CredentialProviderError`, can be shown."""
    check_text(error.problem, error.remedy)
    assert error.problem
    assert error.remedy


def check_problems(problems) -> None:
    """The same for `ConfigProblem`."""
    for problem in problems:
        check_text(str(problem), problem.remedy)


def same_number(one: float, other: float) -> bool:
    """True if they are equal, or both no number."""
    return one == other or (one != one and other != other)  # noqa: PLR0124 - NaN


def in_memory(name: str) -> str:
    """Return a folder of this process alone, in memory where the system has such a place, that only we can read."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
    folder = f"{base}/acr-fuzz-{os.getpid()}-{name}"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder
