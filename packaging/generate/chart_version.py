"""Writes the version of version.py into the chart, which Helm wants to have its own of both kinds."""

from __future__ import annotations

import re

from freeze import inventory
from freeze.bundles import REPOSITORY

CHART = REPOSITORY / "packaging" / "chart" / "Chart.yaml"


def with_version(chart: str, version: str) -> str:
    """Return the text of a Chart.yaml with *version* in it."""
    return re.sub(r"^(version|appVersion):.*$", rf"\1: {version}", chart, flags=re.MULTILINE)


if __name__ == "__main__":
    CHART.write_text(with_version(CHART.read_text(), inventory.version()))
