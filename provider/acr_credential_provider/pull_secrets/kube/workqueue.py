"""A work queue as client-go has it: each key once, urgent ones first, failed ones again after a growing pause."""

from __future__ import annotations

import heapq
import random
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 300.0
"""Seconds before a failed one is tried again; doubled each time, jittered."""


class WorkQueue:
    """Keys for several threads, no key for two at once. A key that is added while in work comes again afterwards."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._urgent: dict[str, None] = {}  # dicts, for they keep their order and know what is in them
        self._usual: dict[str, None] = {}
        self._later: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._processing: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._is_closed = False

    def add(self, key: str, *, urgent: bool = False, requeue_after: float = 0.0) -> None:
        """Add *key*, now or *requeue_after* seconds later; it waits once, for the earlier of two times."""
        with self._changed:
            if requeue_after > 0:
                self._postpone(key, self._monotonic() + requeue_after)
            elif key in self._processing:
                self._again.add(key)
            elif urgent:
                self._usual.pop(key, None)
                self._urgent[key] = None
            elif key not in self._urgent:
                self._usual[key] = None
            self._changed.notify()

    def get(self, patience: float) -> str | None:
        """Return the next key, None after *patience* seconds or if the queue is closed."""
        until = self._monotonic() + patience
        with self._changed:
            while not self._is_closed:
                self._wake()
                for waiting in (self._urgent, self._usual):
                    if waiting:
                        key = next(iter(waiting))
                        del waiting[key]
                        self._processing.add(key)
                        return key
                left = until - self._monotonic()
                if left <= 0:
                    return None
                if self._later:
                    left = min(left, max(self._later[0][0] - self._monotonic(), 0.001))
                self._changed.wait(left)
        return None

    def done(self, key: str, *, failed: bool = False, after: float = 0.0) -> None:
        """End the work on *key*; a *failed* one comes again, *after* seconds or later."""
        with self._changed:
            self._processing.discard(key)
            if failed:
                count = self._failures[key] = self._failures.get(key, 0) + 1
                pause = min(FIRST_PAUSE * 2.0 ** min(count - 1, 20), LONGEST_PAUSE)
                pause *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
                self._again.discard(key)
                self._postpone(key, self._monotonic() + max(pause, after))
            else:
                self._failures.pop(key, None)
                if key in self._again:
                    self._again.discard(key)
                    self._usual[key] = None
            self._changed.notify()

    def clear(self) -> None:
        """Forget all that waits."""
        with self._changed:
            for waiting in (self._urgent, self._usual, self._later, self._due, self._failures, self._again):
                waiting.clear()

    def close(self) -> None:
        """Wake all that wait in `get`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """Return the number of keys that wait now."""
        with self._changed:
            return len(self._urgent) + len(self._usual) + len(self._again)

    def _postpone(self, key: str, due: float) -> None:
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._later, (due, key))

    def _wake(self) -> None:
        now = self._monotonic()
        while self._later and self._later[0][0] <= now:
            due, key = heapq.heappop(self._later)
            if self._due.get(key) == due:
                del self._due[key]
                if key in self._processing:
                    self._again.add(key)
                elif key not in self._urgent:
                    self._usual[key] = None


class RateLimiter:
    """At most *rate* writes a second in the long run, *burst* of them at once."""

    def __init__(self, rate: float, burst: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._left = float(burst)
        self._at = monotonic()

    def wait(self) -> float:
        """Take a turn; return the seconds to wait before it."""
        with self._lock:
            now = self._monotonic()
            self._left = min(self._burst, self._left + (now - self._at) * self._rate) - 1
            self._at = now
            return max(-self._left / self._rate, 0.0)

    def allows(self) -> bool:
        """True if there is a turn now, which is then taken."""
        with self._lock:
            now = self._monotonic()
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True
