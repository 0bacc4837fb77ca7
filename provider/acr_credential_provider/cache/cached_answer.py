"""The cached answer to one question, and its cached failure of the last seconds."""

from __future__ import annotations

import os
import time

from acr_credential_provider.fastpath.response_cache import (
    FAILED,
    LOGIN,
    CacheEntry,
    ResponseCache,
    monotonic_now_for,
)
from acr_credential_provider.model.errors import (
    CredentialProviderError,
    ServiceAccountTokenRefusedError,
    ThrottledError,
    error_from_cache,
)
from acr_credential_provider.model.remedy import Remedy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from acr_credential_provider.fastpath.syslog import Log

COOL_DOWN = (3.0, 7.0)
"""Seconds, drawn anew each time, for which a failure answers the same question again."""
THROTTLED_COOL_DOWN = (15.0, 30.0)
"""The same after the cloud asked for fewer calls and did not say for how long."""
LONGEST_COOL_DOWN = 300.0


class CachedAnswer:
    """The entries of *responses* under *key*, about *host*. No method raises.

    *fingerprints* are of the files whose change ends a cached failure. The tag of *log* is
    cached with a failure, for the runs that read it later.
    """

    def __init__(
        self, responses: ResponseCache, *, key: str, host: str, fingerprints: Iterable[str], log: Log | None = None
    ) -> None:
        self._responses = responses
        self._key = key
        self._host = host
        self._fingerprints = tuple(fingerprints)
        self._log = log

    def valid(self) -> CacheEntry | None:
        """Return the answer that may still be given."""
        return self._responses.get(self._key)

    def is_due(self, entry: CacheEntry) -> bool:
        """True if *entry* should be refreshed."""
        return monotonic_now_for(entry) >= entry.refresh_at

    def failure(self) -> CredentialProviderError | None:
        """Return the failure of the last seconds."""
        entry = self._responses.get(self._key, FAILED)
        if entry is None:
            return None
        if self._log is not None:
            self._log.tag = entry.log
        kind, problem, remedy, code = (entry.answer + "\n\n\n").split("\n")[:4]
        error = error_from_cache(kind, problem, Remedy(code, remedy))
        error.cool_down = entry.expires_at - monotonic_now_for(entry)
        return error

    def put(self, entry: CacheEntry, *, used_at: float | None = None) -> None:
        """Cache *entry* and end a cached failure; *used_at* is the time of last use, if not now.

        An entry of kind `LOGIN` has a user's password and is never written to disk.
        """
        if entry.kind != LOGIN:
            self._write(entry)
        if used_at is not None:
            self._responses.mark_used(self._key, used_at)
        self._responses.delete(self._key, FAILED)

    def put_failure(self, error: CredentialProviderError) -> None:
        """Cache *error* for some seconds, so that a herd of pulls does not repeat it."""
        if isinstance(error, ServiceAccountTokenRefusedError):
            return
        words = (type(error).__name__, error.problem, error.remedy, error.remedy.code)
        now = time.time()
        end = now + _cool_down(error)
        entry = CacheEntry(
            key=self._key,
            kind=FAILED,
            scope=self._host,
            refresh_at=end,
            expires_at=end,
            fingerprints=(*self._fingerprints, *error.fingerprints),
            written=now,
            log=self._log.tag if self._log is not None else "",
            answer="\n".join(" ".join(text.split()) for text in words),
        )
        self._write(entry, FAILED)

    def _write(self, entry: CacheEntry, suffix: str = "memo") -> None:
        try:
            self._responses.put(entry, suffix)
        except (OSError, ValueError):  # full, read-only, not ours: the next pull asks again
            return


def _cool_down(error: CredentialProviderError) -> float:
    if error.cool_down is not None:  # read from the cache
        return error.cool_down
    if not isinstance(error, ThrottledError):
        return _between(*COOL_DOWN)
    return max(min(error.retry_after, LONGEST_COOL_DOWN), _between(*THROTTLED_COOL_DOWN))


def _between(least: float, most: float) -> float:
    """Return a number drawn evenly, without ``random``, whose import all waiting processes would pay."""
    return least + (most - least) * int.from_bytes(os.urandom(2), "big") / 0xFFFF
