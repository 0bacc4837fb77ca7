"""When tokens are renewed before any pull waits for them: a pure schedule.

The plugin jitters each token's due time per node, so renewing at that time spreads the calls over nodes by itself, and
costs one call per token and (life - refreshBefore): 60/45 per hour with one-hour tokens. `cache warm` itself leaves out
what no pull asked for within a token's life.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

AHEAD = 60.0
"""Seconds before a token is due at which its renewal may start: about the time between two looks at it."""
LOOK_EVERY = 300.0
"""Seconds between two looks at what is remembered: pulls may have added to it."""
RETRY_EVERY = 45.0
"""Seconds between two tries while the cloud fails: an outage that ends so long before a token's death costs no hit."""
SOONEST = 5.0


@dataclass(frozen=True, slots=True)
class Remembered:
    """A token on the node's disk; *due_in* and *dead_in* are seconds from now."""

    host: str
    due_in: float
    dead_in: float
    asked_ago: float
    is_current: bool = True

    @property
    def is_renewable(self) -> bool:
        """Whether renewing it is a renewal: what is dead or outdated is fetched anew when a pull asks."""
        return self.is_current and self.dead_in > 0


@dataclass(frozen=True, slots=True)
class Warming:
    """How renewals went so far. Times are seconds by a clock that nobody sets.

    *left* are the hosts that the last run had no reason to renew, with the time of their death: nobody asks for them.
    """

    ran_at: float | None = None
    has_failed: bool = False
    left: frozenset[tuple[str, int]] = frozenset()

    def is_time(self, tokens: Iterable[Remembered], now: float) -> bool:
        """Say whether `cache warm` should run now."""
        if self.has_failed and self.ran_at is not None and now < self.ran_at + RETRY_EVERY:
            return False
        return any(self._is_near(each, now) for each in tokens)

    def next_look(self, tokens: Iterable[Remembered], now: float) -> float:
        """Return the seconds until *tokens* should be looked at again, never more than `LOOK_EVERY`."""
        waits = [each.due_in - AHEAD for each in tokens if each.is_renewable and not self._was_left(each, now)]
        soonest = SOONEST
        if self.has_failed and self.ran_at is not None:
            soonest = max(SOONEST, self.ran_at + RETRY_EVERY - now)
        return min(max(min(waits, default=LOOK_EVERY), soonest), LOOK_EVERY)

    def ran(self, *, succeeded: bool, after: Iterable[Remembered], now: float) -> Warming:
        """Return what is known once `cache warm` has run; *after* is what is remembered since."""
        left = (each for each in after if each.is_renewable and each.due_in <= AHEAD)
        return Warming(now, not succeeded, frozenset(_mark(each, now) for each in left) if succeeded else frozenset())

    def _is_near(self, token: Remembered, now: float) -> bool:
        return token.is_renewable and token.due_in <= AHEAD and not self._was_left(token, now)

    def _was_left(self, token: Remembered, now: float) -> bool:
        # Which memo it was is told by when it dies, give or take the rounding of a look. A pull that asked since then
        # makes it worth another run.
        host, dead_at = _mark(token, now)
        was_left = any(host == name and abs(dead_at - at) <= 2 for name, at in self.left)
        return was_left and not (self.ran_at is not None and token.asked_ago < now - self.ran_at)


def _mark(token: Remembered, now: float) -> tuple[str, int]:
    return token.host, round(now + token.dead_in)
