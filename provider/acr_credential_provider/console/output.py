"""What commands write: lines for people, each printable and short; documents for programs, as they are.

No command writes to stdout or stderr by itself, so that no name of others can forge a line there.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.model.remedy import NONE, Remedy, coded

if TYPE_CHECKING:
    from collections.abc import Iterable


def say(line: str) -> None:
    """Write one line to stdout."""
    sys.stdout.write(plain_text(line) + "\n")


def warn(label: str, text: str, *, remedy: Remedy = NONE) -> None:
    """Write *text* to stderr behind *label* (``note``), and its *remedy* on a line of its own."""
    lines = f"{label}: {coded(plain_text(text), remedy)}\n"
    sys.stderr.write(lines + (f"remedy: {plain_text(remedy)}\n" if remedy else ""))


def warn_of_all(label: str, texts: Iterable[str]) -> None:
    """Write each of *texts* to stderr behind *label*."""
    for text in texts:
        warn(label, text)


def pass_on(lines: bytes) -> None:
    """Write to stderr what a program that was run wrote there."""
    for line in lines.decode("utf-8", "surrogateescape").split("\n"):
        sys.stderr.write(plain_text(line) + "\n" if line else "")


def write_document(text: str) -> None:
    """Write JSON, YAML or a report of `checks` to stdout; its writer has made what is in it printable."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
