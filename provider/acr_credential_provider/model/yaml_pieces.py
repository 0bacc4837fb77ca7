"""YAML in pieces: one document of several, and the pieces that can be read where the whole cannot.

Text alone decides what a piece is: the lines from one key or dash to the next one in the same column. A piece that
cannot be read is replaced by a marker on its first line. The number of lines stays.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .config_problem import ConfigProblem
from .remedy import Remedy
from .yaml_syntax import likely_problem, syntax_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNREADABLE = "'*'"
"""The marker, in YAML: a text that no key of ours accepts."""
_KEY = re.compile(r"""\s*(?P<key>[\w.-]+|"[\w.-]+"|'[\w.-]+')\s*:(?P<value>\s.*)?""", re.ASCII)
_SEPARATOR = re.compile(r"---(?=\s|\Z)|\.\.\.\s*\Z|%[A-Z]+ ")


@dataclass(frozen=True, slots=True)
class BrokenPiece:
    """A piece that cannot be read: its *key* ("" for an item of a list, and for a line without one), and its text."""

    key: str
    text: str
    problem: ConfigProblem


@dataclass(frozen=True, slots=True)
class Pieces:
    """A text of which every piece can be read; *broken* are those that could not, by their first lines."""

    text: str
    broken: dict[int, BrokenPiece]


def one_document(text: str, is_meant: Callable[[str], bool]) -> str | ConfigProblem:
    r"""Return *text* with blank lines in place of all its documents but the one that *is_meant*.

    >>> one_document("---\nkind: A\n---\nkind: B\n---\n", lambda document: "B" in document)
    '\n\n   \nkind: B\n\n'
    """
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines) if _SEPARATOR.match(line)]
    if not starts:
        return text
    for number in starts:
        sign = _SEPARATOR.match(lines[number])
        length = len(lines[number]) if lines[number].startswith("%") else len(sign[0]) if sign else 0
        lines[number] = " " * length + lines[number][length:]
    bounds = [0, *starts, len(lines)]
    ranges = [(start, end) for start, end in itertools.pairwise(bounds) if any(map(_counts, lines[start:end]))]
    if len(ranges) > 1:
        meant = [(start, end) for start, end in ranges if is_meant("\n".join(lines[start:end]))]
        if len(meant) != 1:
            line = (meant[1] if meant else ranges[1])[0] + 1
            return ConfigProblem(
                line, "", "is the second document of the file", Remedy("SettingsSyntax", "Give one document alone.")
            )
        ranges = meant
    start, end = ranges[0] if ranges else (0, 0)
    return "\n".join([*[""] * start, *lines[start:end], *[""] * (len(lines) - end)])


def readable_pieces(
    text: str, *, first_line: int = 1, is_container: Callable[[str], bool] = lambda _key: False
) -> Pieces | ConfigProblem:
    """Return *text* without its unreadable pieces, or the problem of the whole if nothing else is left.

    A broken piece below a key that *is_container* takes only itself away, any other one its whole key or item. A line
    that belongs to no piece is left out, and is in `broken` all the same.
    """
    problem = syntax_problem(text, first_line)
    if problem is None:
        return Pieces(text, {})
    lines = text.split("\n")
    pieces = list(_pieces(lines, 0, len(lines)))
    if text.lstrip()[:1] in ("{", "[") or not pieces:
        return problem
    broken: dict[int, BrokenPiece] = {}
    _contain(lines, pieces, first_line, is_container, broken)
    whole = "\n".join(lines)
    is_nothing_left = all(start + first_line in broken for start, _ in pieces)
    if is_nothing_left or syntax_problem(whole, first_line) is not None:
        return problem
    return Pieces(whole, broken)


def _contain(
    lines: list[str],
    pieces: list[tuple[int, int]],
    first_line: int,
    is_container: Callable[[str], bool],
    broken: dict[int, BrokenPiece],
) -> None:
    for start, end in pieces:
        text = "\n".join(lines[start:end])
        problem = syntax_problem(text, start + first_line)
        key = _KEY.fullmatch(lines[start])
        if problem is None and (key or _is_item(lines[start])):
            continue
        name = key["key"].strip("\"'") if key else ""
        inner = list(_pieces(lines, start + 1, end)) if key and is_container(name) and _is_empty(key["value"]) else []
        if inner and problem is not None:
            _contain(lines, inner, first_line, is_container, broken)
            continue
        problem = problem or likely_problem(lines[start : start + 1], 0, start + first_line)
        broken[start + first_line] = BrokenPiece(name, text, problem)
        head = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
        marker = (
            f"{head}{key['key']}: {UNREADABLE}" if key else f"{head}- {UNREADABLE}" if _is_item(lines[start]) else ""
        )
        lines[start:end] = [marker, *[""] * (end - start - 1)]


def _pieces(lines: list[str], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of the pieces in a range of *lines*: all that starts in the column of its first line."""
    content = [number for number in range(start, end) if _counts(lines[number])]
    if not content:
        return
    column, is_list = _column(lines[content[0]]), _is_item(lines[content[0]])
    starts = [n for n in content if _column(lines[n]) == column and _is_item(lines[n]) == is_list]
    starts = starts[:1] + [n for n in starts[1:] if lines[n].lstrip()[0] not in "]}"]
    yield from zip(starts, [*starts[1:], end], strict=True)


def _counts(line: str) -> bool:
    return bool(line.strip()) and line.lstrip()[0] != "#"


def _column(line: str) -> int:
    return len(line.expandtabs()) - len(line.expandtabs().lstrip(" "))


def _is_item(line: str) -> bool:
    return line.lstrip().startswith("- ") or line.strip() == "-"


def _is_empty(value: str | None) -> bool:
    return not (value or "").partition("#")[0].strip()
