"""Repairs the indentation around acr-registry-info, where only one reading is left; the number of lines stays."""

from __future__ import annotations

import re

from .keys import REGISTRIES, documented_key
from .yaml_repair import Change

_KEY = re.compile(r"(?P<indent>\s*)[\"']?(?P<key>[A-Za-z][\w-]*)[\"']?\s*:(?P<value>\s.*|)")
_FOLDED = re.compile(r"(\s*)>([+-]?\d?[+-]?\s*(?:#.*)?)")
_BLOCK = re.compile(r"\s*[|>][+-]?\d?[+-]?\s*(?:#.*)?")


def repair_block(text: str) -> tuple[str, list[Change]]:
    r"""Return *text* with the list in acr-registry-info below its key and the other keys beside it, and the changes.

    >>> repair_block("acr-registry-info: |\n- instanceId: a\nrrsa: x")[0]
    'acr-registry-info: |\n  - instanceId: a\nrrsa: x'
    >>> repair_block("acr-registry-info: |\n     - instanceId: a\n   rrsa: x")[0]
    'acr-registry-info: |\n     - instanceId: a\nrrsa: x'
    """
    lines = text.split("\n")
    changes: list[Change] = []
    for number, line in enumerate(lines):
        key = _KEY.fullmatch(line)
        if key is None or documented_key(key["key"]) != REGISTRIES:
            continue
        if folded := _FOLDED.fullmatch(key["value"]):
            lines[number] = line[: len(line) - len(key["value"])] + folded[1] + "|" + folded[2]
            changes.append(Change(number + 1, f"{key['key']}: the sign > was read as |, which keeps the lines"))
        if key["value"].strip() and not _BLOCK.fullmatch(key["value"]):
            continue
        changes += _indent_list(lines, number, len(key["indent"]), key["key"])
        changes += _outdent_keys(lines, number, len(key["indent"]), key["key"])
    return "\n".join(lines), changes


def _indent_list(lines: list[str], start: int, column: int, name: str) -> list[Change]:
    """Indent the list after the line *start* if it begins on the *column* of its key and is meant as text."""
    first = next((n for n in range(start + 1, len(lines)) if lines[n].strip()), None)
    is_text = "|" in lines[start]
    if first is None or not is_text or _indent(lines[first]) != column or not lines[first].lstrip().startswith("-"):
        return []
    for number in range(first, len(lines)):
        line = lines[number]
        if not line.strip():
            continue
        key = _KEY.fullmatch(line)
        if _indent(line) < column or (_indent(line) == column and key is not None and documented_key(key["key"])):
            break
        lines[number] = "  " + line
    return [Change(start + 1, f"{name} was indented below its key")]


def _outdent_keys(lines: list[str], start: int, column: int, name: str) -> list[Change]:
    """Bring keys of the ConfigMap that stand inside the list after the line *start* back to the list's *column*."""
    found: list[str] = []
    too_far = 0
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if not line.strip():
            continue
        if _indent(line) <= column:
            break
        key = _KEY.fullmatch(line)
        if key is not None and documented_key(key["key"]):
            found.append(key["key"])
            too_far = _indent(line) - column
        if found:
            lines[number] = line[min(too_far, _indent(line)) :]
    what = f"{', '.join(found)} were read as keys beside {name}, not below it"
    return [Change(start + 2, what)] if found else []


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
