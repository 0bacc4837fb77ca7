"""The table of attacks: who tries what, what must come of it; and the report of what came of it."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from support import security_page
from support.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

FOLDER = ROOT / "build/hostile"
OUTCOMES = FOLDER / "outcomes"


class Seat(Protocol):
    """Where an actor sits: what is within his reach, and the victims."""

    def prove(self) -> None:
        """Assert what must be so after every attack: nothing of others was changed, run or seen, and pulls go on."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack. *attempt* is the row of docs/security.md, under the heading *actor*, that it belongs to."""

    actor: str
    attempt: str
    tried: str
    must: str
    act: Callable[..., str] = field(repr=False)
    given: tuple = field(default=(), repr=False)
    case: str = ""

    def __str__(self) -> str:
        name = self.act.__name__.replace("_", " ")
        return f"{name}: {self.case}" if self.case else name

    def carry_out(self, seat: Seat) -> None:
        """Carry it out from *seat*, prove that it came to nothing, and note what happened."""
        began = time.monotonic()
        happened = "IT SUCCEEDED, or its test broke"
        try:
            happened = self.act(seat, *self.given)
            seat.prove()
        except BaseException:
            happened = "IT SUCCEEDED, or its test broke"
            raise
        finally:
            self._note(happened, time.monotonic() - began)

    def _note(self, happened: str, seconds: float) -> None:
        row = {"actor": self.actor, "attempt": self.attempt, "attack": str(self), "tried": self.tried}
        row |= {"must": self.must, "happened": happened, "seconds": round(seconds, 1)}
        OUTCOMES.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", f"{self.actor} {self}")
        (OUTCOMES / f"{name[:200]}.json").write_text(json.dumps(row))


class Attacks(list[Attack]):
    """All attacks of one file, by *actor*: a heading of docs/security.md."""

    def __init__(self, actor: str) -> None:
        super().__init__()
        self.actor = actor

    def tries(
        self, attempt: str, tried: str, *, must: str, each: Mapping[str, object] | Iterable[str] = ()
    ) -> Callable:
        """Add the function below to the table: called with the seat, it attacks, and returns what happened.

        With *each*, it is one attack for each of them, called with the seat and the value; the name of the case takes
        the place of {} in *tried*.
        """

        def add(act: Callable[..., str]) -> Callable[..., str]:
            cases = each if hasattr(each, "items") else {case: case for case in each}
            for case, value in cases.items():
                self.append(Attack(self.actor, attempt, tried.format(case), must, act, (value,), case))
            if not cases:
                self.append(Attack(self.actor, attempt, tried, must, act))
            return act

        return add


def attempts() -> list[tuple[str, str]]:
    """Return each row of docs/security.md that says what an actor attempts: the heading above it, and the attempt."""
    found, actor, is_table = [], "", False
    for line in security_page.text().splitlines():
        if heading := re.match(r"### (.*)|\*\*(.*?)\*\*", line):
            actor = heading[1] or heading[2]
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        is_table = line.startswith("|") and (is_table or cells[0] == "attempt")
        if is_table and cells[0] != "attempt" and set(line) - set("|- "):
            found.append((actor, cells[0]))
    return found


def report(outcomes: Path = OUTCOMES) -> str:
    """Return what was tried and what happened, as Markdown."""
    rows = [json.loads(each.read_text()) for each in sorted(outcomes.glob("*.json"))]
    counts = Counter(row["actor"] for row in rows)
    lines = ["# Attacks", "", f"{len(rows)} attacks by {len(counts)} actors.", ""]
    for actor, count in counts.items():
        lines += [f"## {actor} ({count})", "", "| attack | what was tried | what must happen | what happened | s |"]
        lines.append("|---|---|---|---|---|")
        for row in rows:
            if row["actor"] == actor:
                cells = (row["attack"], row["tried"], row["must"], row["happened"], str(row["seconds"]))
                lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)
