"""A problem with a file that an operator wrote: its line and field, and the remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One problem with a file; never the value, which may be a secret.

    >>> print(ConfigProblem(3, "registries[0].region", "is not the ID of a region", "Correct it."))
    line 3: registries[0].region is not the ID of a region
    """

    line: int
    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"line {self.line}: {self.field + ' ' if self.field else ''}{self.problem}"
