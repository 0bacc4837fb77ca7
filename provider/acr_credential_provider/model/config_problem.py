"""A problem with a file that an operator wrote: its line and field, and the remedy."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .remedy import Remedy, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

from acr_credential_provider.fastpath.plain_text import plain_text


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One problem with a file; never the value, which may be a secret. *file* is its name if there are several.

    >>> remedy = Remedy("RegionInvalid", "Correct it.")
    >>> print(ConfigProblem(3, "registries[0].region", "is not the ID of a region", remedy))
    line 3: registries[0].region is not the ID of a region
    """

    line: int
    field: str
    problem: str
    remedy: Remedy
    file: str = ""

    def __post_init__(self) -> None:
        """Make each text one printable line, because keys of the file are among them."""
        object.__setattr__(self, "remedy", printable(self.remedy))
        for name in ("field", "problem", "file"):
            object.__setattr__(self, name, plain_text(getattr(self, name)))

    def __str__(self) -> str:
        """Return it as one line."""
        place = f"{self.file}, " if self.file else ""
        return f"{place}line {self.line}: {self.field + ' ' if self.field else ''}{self.problem}"


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return a question about the one of *words* that *word* looks like, "" if there is none.

    >>> did_you_mean("regionID", ["regionId", "domains"]), did_you_mean("x", ["regionId"])
    ('Did you mean regionId? ', '')
    """
    by_letters = {each.lower(): each for each in words}
    close = difflib.get_close_matches(word.lower(), by_letters, n=1, cutoff=0.7)
    return f"Did you mean {by_letters[close[0]]}? " if close else ""
