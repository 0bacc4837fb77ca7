"""The sandbox's own clock, which need not agree with the client's."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class SandboxClock:
    """The cloud's time: *source* plus *skew*, both in seconds. Expiry, Date and x-acs-date go by it."""

    def __init__(self, source: Callable[[], float] = time.time, skew: float = 0.0) -> None:
        self.source = source
        self.skew = skew

    def now(self) -> float:
        return self.source() + self.skew

    def http_date(self) -> str:
        return formatdate(self.now(), usegmt=True)

    def iso(self, at: float) -> str:
        """Write *at* (seconds since the epoch) as RAM and STS do: 2026-01-02T03:04:05Z."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
