"""What this node remembers about one question: its answer, and a failure of a moment ago."""

from __future__ import annotations

import os
import time

from acr_credential_provider.fastpath.response_cache import (
    FAILED,
    LOGIN,
    CacheEntry,
    ResponseCache,
    monotonic_now_for,
    uptime,
)
from acr_credential_provider.model.errors import (
    CredentialProviderError,
    ThrottledError,
    TokenRefusedError,
    error_from_cache,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from acr_credential_provider.fastpath.syslog import Log

COOL_DOWN = (3.0, 7.0)
"""Seconds, drawn anew each time, for which a failure answers whoever asks the same."""
THROTTLED_COOL_DOWN = (15.0, 30.0)
"""The same after the cloud asked us to slow down and did not say for how long."""
LONGEST_COOL_DOWN = 300.0


class CachedAnswer:
    """The memos of the question *digest* about *host*. Nothing here ever raises.

    *stamps* are of the files whose change makes a remembered failure worthless. What was told
    to *log* about a failure is remembered with it, for those who are told of it later.
    """

    def __init__(
        self, memos: ResponseCache, *, digest: str, host: str, stamps: Iterable[str], log: Log | None = None
    ) -> None:
        self._memos = memos
        self._digest = digest
        self._host = host
        self._stamps = tuple(stamps)
        self._log = log

    def valid(self) -> CacheEntry | None:
        """Return the answer that may still be given."""
        return self._memos.get(self._digest)

    def is_due(self, memo: CacheEntry) -> bool:
        """Say whether *memo* should be renewed."""
        return monotonic_now_for(memo) >= memo.refresh_at

    def failure(self) -> CredentialProviderError | None:
        """Return the failure that was met a moment ago, or None."""
        memo = self._memos.get(self._digest, FAILED)
        if memo is None:
            return None
        if self._log is not None:
            self._log.tag = memo.log
        kind, problem, remedy = (memo.answer + "\n\n").split("\n")[:3]
        error = error_from_cache(kind, problem, remedy)
        error.cached_for = memo.expires_at - monotonic_now_for(memo)
        return error

    def put(self, memo: CacheEntry, *, asked: float | None = None) -> None:
        """Remember *memo*, and that all is well again; *asked* is when a pull last wanted it, if not now.

        Of a memo with a password that someone chose only the latter: it is never written down.
        """
        if memo.kind != LOGIN:
            self._write(memo)
        if asked is not None:
            self._memos.mark_used(self._digest, asked)
        self._memos.delete(self._digest, FAILED)

    def put_failure(self, error: CredentialProviderError) -> None:
        """Remember *error* for a moment, so that a herd of pulls does not repeat it."""
        if isinstance(error, TokenRefusedError):
            return
        now = time.time()
        words = (type(error).__name__, error.problem, error.remedy)
        end = now + _cool_down(error)
        self._write(
            CacheEntry(
                digest=self._digest,
                kind=FAILED,
                host=self._host,
                written=now,
                uptime=uptime(),
                refresh_at=end,
                expires_at=end,
                max_cache_duration=0.0,
                fingerprints=(*self._stamps, *error.depends_on),
                log=self._log.tag if self._log is not None else "",
                answer="\n".join(" ".join(each.split()) for each in words),
            ),
            FAILED,
        )

    def _write(self, memo: CacheEntry, suffix: str = "memo") -> None:
        try:
            self._memos.put(memo, suffix)
        except (OSError, ValueError):  # full, read-only, not ours: the next pull asks again
            return


def _cool_down(error: CredentialProviderError) -> float:
    if error.cached_for is not None:  # it was read from the cache, and did not happen again
        return error.cached_for
    if not isinstance(error, ThrottledError):
        return _between(*COOL_DOWN)
    return max(min(error.retry_after, LONGEST_COOL_DOWN), _between(*THROTTLED_COOL_DOWN))


def _between(least: float, most: float) -> float:
    """Return a number drawn evenly, without loading all of ``random`` into those who only wait."""
    return least + (most - least) * int.from_bytes(os.urandom(2), "big") / 0xFFFF
