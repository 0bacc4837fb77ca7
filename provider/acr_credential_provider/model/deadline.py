"""One deadline for the whole answer, handed down instead of a time-out per call that adds up."""

from __future__ import annotations

import time

TYPE_CHECKING = False  # not from typing: a waiting process has not paid for that import yet
if TYPE_CHECKING:
    from collections.abc import Callable


class Deadline:
    """A point on the monotonic clock by which the answer must be out.

    >>> ticks = iter([100.0, 104.0, 120.0])
    >>> deadline = Deadline(10.0, monotonic=lambda: next(ticks))
    >>> deadline.remaining(), deadline.remaining()
    (6.0, 0.0)
    """

    def __init__(self, seconds: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._at = monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that are left, never less than 0."""
        return max(0.0, self._at - self._monotonic())

    def within(self, seconds: float) -> Deadline:
        """Return a deadline at most *seconds* from now that never outlives this one."""
        return Deadline(min(seconds, self.remaining()), monotonic=self._monotonic)


class Deadlines:
    """The deadlines of one run: *cloud* for all calls, *waiting* for other processes' work on the same token."""

    __slots__ = ("cloud", "waiting")

    def __init__(self, cloud: Deadline, waiting: Deadline) -> None:
        self.cloud = cloud
        self.waiting = waiting
