"""When tokens are renewed before any pull waits for them: a pure schedule.

The plugin jitters each token's due time per node, so renewing at that time spreads the calls over nodes by itself, and
costs one call per token and (life - refreshBefore): 60/45 per hour with one-hour tokens. `cache refresh` itself
leaves out what no pull asked for within a token's life.
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
class CachedToken:
    """A token on the node's disk; *due_in* and *dead_in* are seconds from now.

    *is_wanted*: a pull asked for it within its life, and it is one that the node can renew by itself.
    """

    host: str
    due_in: float
    dead_in: float
    is_wanted: bool = True
    is_current: bool = True

    @property
    def is_due_soon(self) -> bool:
        """Whether it is time to renew it. What is dead or outdated is fetched anew when a pull asks."""
        return self._is_renewable and self.due_in <= AHEAD

    @property
    def _is_renewable(self) -> bool:
        return self.is_wanted and self.is_current and self.dead_in > 0

    def wait(self) -> float:
        """Return the seconds until it is time, `LOOK_EVERY` if that will never be."""
        return self.due_in - AHEAD if self._is_renewable else LOOK_EVERY


@dataclass(frozen=True, slots=True)
class RefreshSchedule:
    """How renewals went so far: until when none is tried again. Times are seconds by a clock that nobody sets."""

    backoff_until: float | None = None

    def is_time(self, tokens: Iterable[CachedToken], now: float) -> bool:
        """Say whether `cache refresh` should run now."""
        return (self.backoff_until is None or now >= self.backoff_until) and any(each.is_due_soon for each in tokens)

    def ran(self, *, after: Iterable[CachedToken], now: float) -> RefreshSchedule:
        """Return what is known once `cache refresh` has run; *after* is what is remembered since.

        A token that is as near as before was not to be had, whatever was said: the plugin lives on with the old one.
        """
        return RefreshSchedule(now + RETRY_EVERY if any(each.is_due_soon for each in after) else None)

    def next_look(self, tokens: Iterable[CachedToken], now: float) -> float:
        """Return the seconds until *tokens* should be looked at again, never more than `LOOK_EVERY`."""
        rest = 0.0 if self.backoff_until is None else self.backoff_until - now
        return min(max(min((each.wait() for each in tokens), default=LOOK_EVERY), rest, SOONEST), LOOK_EVERY)
