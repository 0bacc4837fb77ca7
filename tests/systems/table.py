"""Prints the table of docs/nodes.md, from the layouts: `PYTHONPATH=tests python -m systems.table`."""

from __future__ import annotations

import sys

from systems import layout

HEAD = """\
| system | without providers | with providers of others | tried as | source |
|---|---|---|---|---|"""


def table() -> str:
    """Return the table, a line a system."""
    rows = sorted(layout.every().values(), key=lambda each: each.system.lower())
    return "\n".join([HEAD, *map(_row, rows)])


def _row(system: layout.Layout) -> str:
    ends = [system.ends.get(state, "-") for state in ("fresh", "others")]
    tried = "files, booted" if system.booted else "files"
    return f"| {' | '.join([system.system, *ends, tried, system.source])} |"


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
