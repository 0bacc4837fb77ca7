"""Which root certificate each host was verified by last time, so that the next process loads that one alone.

A distribution's CA bundle holds some 140, and parsing them all is a third of what a miss
computes. What is remembered came out of the bundle, and is believed only as long as the
bundle's file has not changed: nothing is ever trusted that is not in there.
"""

from __future__ import annotations

import time

from acr_credential_provider.fastpath.lookup import cache_key
from acr_credential_provider.fastpath.response_cache import FOREVER, CacheEntry, file_fingerprint, uptime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from acr_credential_provider.fastpath.response_cache import ResponseCache

SUFFIX = "root"


class TrustAnchorCache:
    """The remembered roots of the hosts that were verified against the file *bundle*. Never raises."""

    def __init__(self, memos: ResponseCache, bundle: str) -> None:
        self._memos = memos
        self._bundle = bundle
        self._stamp = file_fingerprint(bundle)  # before anybody loads it: what changes meanwhile must make memos untrue

    def get(self, host: str) -> str:
        """Return the root's certificate in PEM, "" when none is known."""
        memo = self._memos.get(self._digest(host), SUFFIX)
        return memo.answer if memo is not None and memo.fingerprints == (self._stamp,) else ""

    def put(self, host: str, certificate: str) -> None:
        """Keep the *certificate* (PEM) that *host*'s chain ended in."""
        memo = CacheEntry(
            digest=self._digest(host),
            kind=SUFFIX,
            host=host,
            written=time.time(),
            uptime=uptime(),
            refresh_at=FOREVER,
            expires_at=FOREVER,
            max_cache_duration=0.0,
            fingerprints=(self._stamp,),
            answer=certificate,
        )
        try:
            self._memos.put(memo, SUFFIX)
        except (OSError, ValueError):  # full, read-only, not ours: the next miss loads the whole bundle again
            return

    def _digest(self, host: str) -> str:
        return cache_key(self._bundle, host, SUFFIX)
