"""Reads the parts of a Markdown document that tests compare or type."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from textwrap import dedent
from typing import NamedTuple

FENCE = re.compile(r"^( *)```([\w-]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its *language*, its *text* without indentation, the *line* it starts on, what stands *before*."""

    language: str
    text: str
    line: int
    before: str


def blocks(text: str, language: str | None = None) -> list[Block]:
    """Return the fenced blocks of *text*, of *language* if there is one.

    >>> blocks("a\\n\\n<!-- b -->\\n```sh\\nls\\n```\\n")
    [Block(language='sh', text='ls\\n', line=5, before='<!-- b -->')]
    """
    found = []
    for match in FENCE.finditer(text):
        before = text[: match.start()].rstrip("\n").rpartition("\n")[2].strip()
        block = Block(match[2], dedent(match[3]), text[: match.start(3)].count("\n") + 1, before)
        if language in (None, block.language):
            found.append(block)
    return found


def prose(text: str) -> str:
    """Return *text* without its fenced blocks."""
    return FENCE.sub("", text)


def anchor(heading: str) -> str:
    """Return the anchor of a *heading*, by GitHub's rule.

    >>> anchor("When a `pull` fails: 1")
    'when-a-pull-fails-1'
    """
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def headings(text: str) -> list[tuple[int, str]]:
    """Return (level, title) of each heading of *text*."""
    found = re.findall(r"^(#+) (.*)$", prose(text), re.MULTILINE)
    return [(len(marks), title) for marks, title in found]


def links(text: str) -> list[str]:
    """Return the targets of the links of *text*, in their order."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(text))


def resolved(document: str, link: str) -> str:
    """Return *link* of *document* as a path below the repository.

    >>> resolved("docs/zh-CN/install/ack.md", "../../identities.md")
    'docs/identities.md'
    """
    parts: list[str] = []
    for part in (PurePosixPath(document).parent / link).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
