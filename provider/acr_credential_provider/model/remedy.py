"""What to do about a problem: a text with a code, under which docs/remedies.md explains it.

A code stands for one thing to do, not for one place in the source: it stays when sentences change. All codes are
listed in packaging/generate/remedy_codes.txt, and none is taken back.
"""

from __future__ import annotations

from acr_credential_provider.fastpath.plain_text import plain_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class Remedy(str):
    """A text that knows its code, so that whatever hands the text on hands on the code.

    >>> remedy = Remedy("ClockWrong", "Correct this node's clock.")
    >>> print(remedy.code, remedy, sep=": ")
    ClockWrong: Correct this node's clock.
    """

    __slots__ = ("code",)
    code: str
    """ "" if it is not known: an earlier version wrote the text."""

    def __new__(cls, code: str, text: str) -> Self:
        """Return *text* with *code*."""
        self = super().__new__(cls, text)
        self.code = code
        return self

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # a copy needs both arguments
        """Return what makes a copy of this."""
        return self.code, str(self)


NONE = Remedy("", "")
"""There is nothing to do about it."""


def printable(remedy: str) -> Remedy:
    """Return *remedy* as one line of printable characters, with its code."""
    return Remedy(code_of(remedy), plain_text(remedy))


def code_of(remedy: str) -> str:
    """Return the code of *remedy*, "" for a text without one."""
    return remedy.code if isinstance(remedy, Remedy) else ""


def coded(problem: str, remedy: str) -> str:
    """Return *problem* with the code of its *remedy* behind it, as people see both.

    >>> coded("the clock is 20 min behind", Remedy("ClockWrong", "Correct it."))
    'the clock is 20 min behind [ClockWrong]'
    """
    return f"{problem} [{code}]" if (code := code_of(remedy)) else problem


def uncoded(shown: str, remedy: str) -> tuple[str, Remedy]:
    """Return problem and remedy as another process of this program had them, from what it printed.

    >>> problem, remedy = uncoded("the clock is 20 min behind [ClockWrong]", "Correct it.")
    >>> problem, remedy.code
    ('the clock is 20 min behind', 'ClockWrong')
    """
    problem, bracket, code = shown.removesuffix("]").rpartition(" [")
    if bracket and shown.endswith("]") and code.isalnum() and code[0].isupper():
        return problem, Remedy(code, remedy)
    return shown, Remedy("", remedy)
