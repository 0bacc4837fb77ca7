"""A document's commands, block by block: what is typed, what it must print, and what is not typed for which reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.harness import ROOT
from support.markdown import blocks

if TYPE_CHECKING:
    from pathlib import Path

NOT_TYPED = re.compile(r"<!-- not typed: (.+) -->")
OUTPUT = "<!-- output -->"
EXIT_CODE = re.compile(r"<!-- exit code: (\d+) -->")
OF_A_CLUSTER = re.compile(
    r"^(kubectl|kubectl-acr|helm|oc) |pull-secrets|--cluster|provider openshift |render eci| oc ", re.MULTILINE
)
NODES_OWN = re.compile(r"provider node (?!render)")
"""Verbs that work on the node itself."""


@dataclass(frozen=True)
class Typed:
    """A block of commands at *line* of its document; *output* is what stands below it as its output, if anything."""

    line: int
    text: str
    reason: str = ""
    output: str | None = None
    code: int = 0

    @property
    def commands(self) -> list[str]:
        """The commands in it, one each, comments left out."""
        whole = re.sub(r"\\\n\s*|\|\s*(#.*)?\n\s*", " ", self.text)
        return [line for line in whole.splitlines() if line.strip() and line.strip()[0] != "#"]

    @property
    def needs_cluster(self) -> bool:
        return bool(OF_A_CLUSTER.search(self.text)) and not NODES_OWN.search(self.text)


def typed(path: Path) -> list[Typed]:
    """Return the blocks of commands of the document at *path*."""
    text = path.read_text()
    found: list[Typed] = []
    for block in blocks(text):
        if block.before == OUTPUT:
            if not found:
                raise ValueError(f"{path}:{block.line}: an output without a command")
            found[-1] = Typed(found[-1].line, found[-1].text, found[-1].reason, block.text, found[-1].code)
        elif block.language == "sh":
            reason, code = NOT_TYPED.fullmatch(block.before), EXIT_CODE.fullmatch(block.before)
            found.append(Typed(block.line, block.text, reason[1] if reason else "", code=int(code[1]) if code else 0))
    return found


def every_typed() -> dict[str, list[Typed]]:
    """Return the blocks of commands of each document, by its path. The Chinese ones have the same; a test compares."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {str(path.relative_to(ROOT)): typed(path) for path in paths if "zh-CN" not in path.parts}


def fits(shown: str, printed: str) -> bool:
    """Return whether *printed* is what a document shows: ``...`` stands for any text in a line, or for any lines.

    >>> fits("a\\n...\\nd ... f\\n", "a\\nb\\nc\\nd e f\\n")
    True
    >>> fits("a\\n", "a\\nb\\n")
    False
    """
    pattern = re.escape(shown.strip())
    pattern = re.sub(r"(^|\\\n)\\\.\\\.\\\.(\\\n|$)", r"\1(?:.*\\n)*?.*\2", pattern)
    pattern = re.sub(r"\\\.\\\.\\\.", ".*", pattern)
    return re.fullmatch(pattern, printed.strip()) is not None
