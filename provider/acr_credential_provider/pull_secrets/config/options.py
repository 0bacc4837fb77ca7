"""What the command line of the controller says."""

from __future__ import annotations

from dataclasses import dataclass, field

TICK = 10.0
"""Seconds after which a round is due in any case: files may have changed, tokens died, a helper come back."""


@dataclass(frozen=True, slots=True)
class Options:
    """*namespace* is the controller's own; all times are seconds."""

    namespace: str
    config_map: tuple[str, str] = ("kube-system", "acr-configuration")
    settings_file: str = ""
    token_mode: str = "auto"  # noqa: S105 - a mode
    take_over: bool = False
    keys_directory: str = "/run/aliyun-acr-credential-provider/keys"
    writes_per_second: float = 100.0
    workers: int = 4
    resync: float = 600.0
    tick: float = TICK
    lease: tuple[float, float, float] = field(default=(15.0, 10.0, 2.0))
    """How long others leave it alone, until when its holder writes, and how often it is renewed."""
    owner: str = ""
    """The ClusterRole that owns what the controller writes; "": nothing is owned."""
