"""Whether this replica works (/healthz) and whether it should be asked (/readyz).

Neither looks at the cloud: to restart us, or to take the webhook away, would mend nothing
there and break what still works from living tokens.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from .http_server import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .http_server import Handler, Request

    Check = Callable[[], str]
    """Says in a few words what is wrong, "" when nothing is."""


class Heartbeat:
    """A loop's sign of life: `beat` from within it, `check` from outside."""

    def __init__(self, allowed: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow *allowed* seconds between two beats."""
        self._allowed = allowed
        self._clock = clock
        self._lock = threading.Lock()
        self._last = clock()

    def beat(self) -> None:
        """Show that the loop turns."""
        with self._lock:
            self._last = self._clock()

    def check(self) -> str:
        """Say since when it does not, "" if it does."""
        with self._lock:
            silent = self._clock() - self._last
        return f"no sign of life for {silent:.0f} s" if silent > self._allowed else ""


def handler(checks: Mapping[str, Check]) -> Handler:
    """Return what answers with all *checks* by name: 200 when none has anything to say, else 503."""

    async def answer(_request: Request) -> Answer:
        said = {name: check() for name, check in checks.items()}
        lines = [f"[{'-' if wrong else '+'}] {name} {wrong or 'ok'}\n" for name, wrong in said.items()]
        return Answer(503 if any(said.values()) else 200, "".join(lines).encode())

    return answer
