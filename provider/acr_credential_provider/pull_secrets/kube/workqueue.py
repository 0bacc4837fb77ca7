"""A work queue as client-go has it: each key once, by priority, failed ones again after a growing pause."""

from __future__ import annotations

import heapq
import random
import threading
import time
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TURN = 8
"""Every eighth key is the one that waits longest among those of the lowest priority, so that none waits for ever."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 300.0
"""Seconds before a failed one is tried again; doubled each time, jittered."""


class Priority(IntEnum):
    """Why a namespace is to be looked at; lower values come first."""

    ACCOUNT = 0
    """A ServiceAccount is new or changed where the Secret exists: a Pod may wait for one write."""
    NAMESPACE = 1
    """The namespace is new or changed, and has no Secret yet."""
    SECRET = 2
    """A pull secret is changed or gone."""
    RESYNC = 3
    """All namespaces: new logins, new settings, or the regular look."""


class WorkQueue:
    """Keys for several threads, no key for two at once. A key that is added while in work comes again afterwards."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        # dicts, for they keep their order and know what is in them
        self._waiting: dict[Priority, dict[str, None]] = {priority: {} for priority in Priority}
        self._later: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._processing: set[str] = set()
        self._again: dict[str, Priority] = {}
        self._failures: dict[str, int] = {}
        self._taken = 0
        self._is_closed = False

    def add(self, key: str, priority: Priority = Priority.RESYNC, *, requeue_after: float = 0.0) -> None:
        """Add *key*, now or *requeue_after* seconds later; it waits once, for the earlier of two times."""
        with self._changed:
            if requeue_after > 0:
                self._postpone(key, self._monotonic() + requeue_after)
            elif key in self._processing:
                self._again[key] = min(priority, self._again.get(key, priority))
            else:
                self._enqueue(key, priority)
            self._changed.notify()

    def get(self, patience: float) -> str | None:
        """Return the next key, None after *patience* seconds or if the queue is closed."""
        until = self._monotonic() + patience
        with self._changed:
            while not self._is_closed:
                self._wake()
                filled = [waiting for waiting in self._waiting.values() if waiting]
                if filled:
                    self._taken += 1
                    waiting = filled[-1 if self._taken % TURN == 0 else 0]
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
            again = self._again.pop(key, None)
            if failed:
                count = self._failures[key] = self._failures.get(key, 0) + 1
                pause = min(FIRST_PAUSE * 2.0 ** min(count - 1, 20), LONGEST_PAUSE)
                pause *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
                self._postpone(key, self._monotonic() + max(pause, after))
            else:
                self._failures.pop(key, None)
                if again is not None:
                    self._enqueue(key, again)
            self._changed.notify()

    def clear(self) -> None:
        """Forget all that waits."""
        with self._changed:
            for waiting in self._waiting.values():
                waiting.clear()
            for known in (self._later, self._due, self._failures, self._again):
                known.clear()

    def close(self) -> None:
        """Wake all that wait in `get`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """Return the number of keys that wait now."""
        with self._changed:
            return sum(map(len, self._waiting.values())) + len(self._again)

    def _enqueue(self, key: str, priority: Priority) -> None:
        """Let *key* wait with the higher of two priorities; it keeps its place if it has that already."""
        if any(key in self._waiting[higher] for higher in Priority if higher <= priority):
            return
        for lower in Priority:
            self._waiting[lower].pop(key, None)
        self._waiting[priority][key] = None

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
                    self._again.setdefault(key, Priority.RESYNC)
                else:
                    self._enqueue(key, Priority.RESYNC)


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
