"""Repairs the indentation around keys that hold YAML, where only one reading is left; the number of lines stays."""

from __future__ import annotations

import re

from .keys import MANIFEST_KEYS, NESTED_KEYS, documented_key
from .yaml_repair import Change

_KEY = re.compile(r"(?P<indent>\s*)[\"']?(?P<key>[A-Za-z][\w-]*)[\"']?\s*:(?P<value>\s.*|)")
_FOLDED = re.compile(r"(\s*)>([+-]?\d?[+-]?\s*(?:#.*)?)")
_BLOCK = re.compile(r"\s*\|[+-]?\d?[+-]?\s*(?:#.*)?")


def repair_blocks(text: str) -> tuple[str, list[Change]]:
    r"""Return *text* with the YAML of each nested key below it and the other keys beside it, and the changes.

    >>> repair_blocks("acr-registry-info: |\n- instanceId: a\nrrsa: x")[0]
    'acr-registry-info: |\n  - instanceId: a\nrrsa: x'
    >>> repair_blocks("acr-registry-info: |\n     - instanceId: a\n   rrsa: x")[0]
    'acr-registry-info: |\n     - instanceId: a\nrrsa: x'
    """
    lines = text.split("\n")
    changes: list[Change] = []
    for number, line in enumerate(lines):
        key = _KEY.fullmatch(line)
        if key is None or documented_key(key["key"]) not in NESTED_KEYS:
            continue
        value = key["value"]
        if folded := _FOLDED.fullmatch(value):
            value = f"{folded[1]}|{folded[2]}"
            lines[number] = line[: key.start("value")] + value
            changes.append(Change(number + 1, f"{key['key']}: the sign > was read as |, which keeps the lines"))
        is_text = _BLOCK.fullmatch(value) is not None
        if is_text:
            changes += _indent_block(lines, number, len(key["indent"]), key["key"])
        if is_text or not value.strip():
            changes += _outdent_keys(lines, number, len(key["indent"]), key["key"])
    return "\n".join(lines), changes


def _indent_block(lines: list[str], start: int, column: int, name: str) -> list[Change]:
    """Indent the block after the line *start* if it begins on the *column* of its own key, *name*."""
    block: list[int] = []
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if not line.strip():
            continue
        if _indent(line) < column or (_indent(line) == column and _is_beside(line)):
            break
        if not block and _indent(line) > column:
            return []  # it is below its key
        block.append(number)
    if all(lines[number].lstrip().startswith("#") for number in block):
        return []
    for number in block:
        lines[number] = "  " + lines[number]
    return [Change(start + 1, f"{name} was indented below its key")]


def _outdent_keys(lines: list[str], start: int, column: int, name: str) -> list[Change]:
    """Bring keys of the ConfigMap that stand inside the block after the line *start* back to its *column*."""
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


def _is_beside(line: str) -> bool:
    """True if *line* has a key of the ConfigMap or of its data, so that it ends a block on its own column."""
    key = _KEY.fullmatch(line)
    return key is not None and (documented_key(key["key"]) is not None or key["key"] in MANIFEST_KEYS)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
