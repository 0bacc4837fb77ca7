"""docs/compatibility.md has a row for every item, and every test that it names exists."""

import ast
import re
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LENGTHS = {"A": 9, "B": 10, "C": 5, "D": 17, "E": 8, "F": 8, "G": 13, "H": 16, "I": 8, "J": 14, "K": 10, "L": 12}
ITEMS = [f"{letter}{number}" for letter, length in LENGTHS.items() for number in range(1, length + 1)]
ROW = re.compile(r"^\| ([A-Z][0-9]+) \| (.+) \| (test_[\w, ]+) \|$", re.MULTILINE)


def rows():
    return ROW.findall((ROOT / "docs/compatibility.md").read_text())


@cache
def defined():
    """Return the names of all test functions, wherever below tests/."""
    trees = (ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py"))
    return frozenset(
        node.name
        for node in chain.from_iterable(map(ast.walk, trees))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_every_item_has_one_row_in_its_place():
    assert [item for item, _, _ in rows()] == ITEMS


def test_no_line_of_the_tables_is_left_unread():
    text = (ROOT / "docs/compatibility.md").read_text()
    lines = [line for line in text.splitlines() if re.match(r"\| [A-Z]\d", line)]
    assert len(lines) == len(ITEMS)


@pytest.mark.parametrize("item", ITEMS)
def test_every_test_that_a_row_names_exists(item):
    names = [name.strip() for row, _, named in rows() if row == item for name in named.split(",")]
    assert names
    assert [name for name in names if name not in defined()] == []
