"""The table of docs/nodes.md is the layouts' own."""

from __future__ import annotations

from support import harness
from systems.table import table


def test_the_documented_table_is_what_the_layouts_say():
    assert f"\n{table()}\n" in (harness.ROOT / "docs/nodes.md").read_text(), "write what python -m systems.table prints"
