"""When tokens are refreshed before any pull waits for them: a pure schedule.

The plugin jitters each token's due time per node, so refreshing at that time spreads the calls over nodes, and costs
one call per token and (life - refreshBefore): 60/45 per hour with one-hour tokens. `cache refresh` itself leaves out
what no pull asked for within a token's life.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

AHEAD = 60.0
"""Seconds before a token is due at which its refresh may start: about the time between two looks at it."""
LOOK_EVERY = 300.0
"""Seconds between two looks at the token cache: pulls may have added to it."""
RETRY_EVERY = 45.0
"""Seconds between two tries while the cloud fails: an outage that ends so long before a token expires costs no hit."""
SOONEST = 5.0


@dataclass(frozen=True, slots=True)
class CachedToken:
    """A token on the node's disk; *refresh_in* and *expires_in* are seconds from now.

    *is_wanted*: a pull used it within its life, and the node can refresh it by itself.
    """

    host: str
    refresh_in: float
    expires_in: float
    is_wanted: bool = True
    is_valid: bool = True

    @property
    def is_due_soon(self) -> bool:
        """Whether it is time to refresh it. An expired or outdated one is fetched anew by the next pull."""
        return self._is_refreshable and self.refresh_in <= AHEAD

    @property
    def _is_refreshable(self) -> bool:
        return self.is_wanted and self.is_valid and self.expires_in > 0

    def wait(self) -> float:
        """Return the seconds until it is time, `LOOK_EVERY` if that will never be."""
        return self.refresh_in - AHEAD if self._is_refreshable else LOOK_EVERY


@dataclass(frozen=True, slots=True)
class RefreshSchedule:
    """When to refresh. Times are seconds by a clock that is never set; after a failure, none is tried for a while."""

    backoff_until: float | None = None

    def is_time(self, tokens: Iterable[CachedToken], now: float) -> bool:
        """True if `cache refresh` should run now."""
        may_try = self.backoff_until is None or now >= self.backoff_until
        return may_try and any(token.is_due_soon for token in tokens)

    def ran(self, *, after: Iterable[CachedToken], now: float) -> RefreshSchedule:
        """Return the schedule once `cache refresh` has run; *after* are the cached tokens since.

        A token that is still due soon could not be refreshed, and the plugin goes on with the old one.
        """
        return RefreshSchedule(now + RETRY_EVERY if any(token.is_due_soon for token in after) else None)

    def next_look(self, tokens: Iterable[CachedToken], now: float) -> float:
        """Return the seconds until *tokens* should be looked at again, never more than `LOOK_EVERY`."""
        rest = 0.0 if self.backoff_until is None else self.backoff_until - now
        return min(max(min((token.wait() for token in tokens), default=LOOK_EVERY), rest, SOONEST), LOOK_EVERY)
