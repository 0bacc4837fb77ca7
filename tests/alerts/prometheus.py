"""Prometheus and promtool, built from their Go module: once per version, and kept outside of the tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster import assets, parts

OF = "github.com/prometheus/prometheus"


@dataclass(frozen=True)
class Prometheus(parts.Module):
    @property
    def tag(self) -> str:
        """Leave out what finds targets in clouds: a third of what is to build."""
        return "remove_all_sd"


MODULE = Prometheus("prometheus", sources=Path(__file__).parent, of=OF)


def program(name: str) -> str:
    """Return the path of ``promtool`` or ``prometheus``; build both if they are not there."""
    if not (MODULE.built / name).exists():
        assets.build(MODULE, {each: f"{OF}/cmd/{each}" for each in ("promtool", "prometheus")})
    return str(MODULE.built / name)
