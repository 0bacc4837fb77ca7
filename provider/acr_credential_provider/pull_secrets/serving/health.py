"""Whether this replica works (/healthz) and whether it should be asked (/readyz).

Neither looks at the cloud: a restart, or a webhook that is not asked, would mend nothing there, and break what still
works with valid tokens.
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
    """Returns in a few words what is wrong, "" if nothing is."""


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
        """Return for how long there was no beat, "" if that is allowed."""
        with self._lock:
            silent = self._clock() - self._last
        return f"no sign of life for {silent:.0f} s" if silent > self._allowed else ""


def handler(checks: Mapping[str, Check]) -> Handler:
    """Return the handler that runs all *checks* by name: 200 if all are well, else 503."""

    async def answer(_request: Request) -> Answer:
        problems = {name: check() for name, check in checks.items()}
        lines = [f"[{'-' if problem else '+'}] {name} {problem or 'ok'}\n" for name, problem in problems.items()]
        return Answer(503 if any(problems.values()) else 200, "".join(lines).encode())

    return answer
