"""What this node has kept for an image: an answer, a token, a failure of a moment ago."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.response_cache import FAILED, FOREVER, TOKEN, monotonic_now_for

from .explanation import CacheState

if TYPE_CHECKING:
    from acr_credential_provider.fastpath.response_cache import CacheEntry, ResponseCache
    from acr_credential_provider.model.authorization_token import AuthorizationToken
    from acr_credential_provider.model.errors import CredentialProviderError

    from .explanation import Explanation


def token_state(
    kept: AuthorizationToken | None, failure: CredentialProviderError | None, calls: tuple[str, ...]
) -> tuple[tuple[CacheState, ...], tuple[str, ...]]:
    """Return what the store has of the entry's token, and which of *calls* a pull would make: all, or none."""
    now = time.time()
    if kept is None or not kept.is_valid(now):
        found, needs_call = [CacheState("token in the store", "none")], True
    elif kept.needs_refresh(now):
        found, needs_call = (
            [CacheState("token in the store", "due: given out while it is renewed", kept.expires_at - now)],
            True,
        )
    else:
        found, needs_call = [CacheState("token in the store", "fresh", kept.refresh_at - now)], False
    if failure is not None:
        found.append(CacheState("failure of a moment ago", f"told instead of asking again: {failure.problem}"))
    return tuple(found), () if not needs_call or failure is not None else calls


def with_memos(found: Explanation, memos: ResponseCache, digest: str) -> Explanation:
    """Add what the fast lane would find: it comes before everything else."""
    answer, failure = _read(memos, digest, "memo"), _read(memos, digest, FAILED)
    kept = [_memo_state(answer, digest)]
    would_ask = found.would_ask
    if answer is not None and kept[0].state.startswith("fresh"):
        would_ask = ()
    if failure is not None and failure.is_valid_for(digest) and monotonic_now_for(failure) < failure.expires_at:
        problem = failure.answer.split("\n")[1:2]
        seconds = failure.expires_at - monotonic_now_for(failure)
        kept.append(CacheState("failure of this host", f"told instead of asking again: {''.join(problem)}", seconds))
        would_ask = ()
    return replace(found, kept=(*kept, *found.kept), would_ask=would_ask)


def _read(memos: ResponseCache, digest: str, suffix: str) -> CacheEntry | None:
    try:
        return memos.read(memos.path(digest, suffix))
    except (OSError, ValueError):
        return None


def _memo_state(memo: CacheEntry | None, digest: str) -> CacheState:
    what = "answer of this host"
    if memo is None:
        return CacheState(what, "none")
    if memo.key != digest:
        return CacheState(what, "another question's: not used")
    if not memo.is_valid_for(digest):
        return CacheState(what, "outdated: a file that it depended on has changed")
    now = monotonic_now_for(memo)
    if now >= memo.expires_at:
        return CacheState(what, "dead")
    if now >= memo.refresh_at:
        return CacheState(what, "due: given out while it is renewed", memo.expires_at - now)
    kind = "a token" if memo.kind == TOKEN else f"that it is {memo.kind}".replace("-", " ")
    return CacheState(what, f"fresh: {kind}", None if memo.refresh_at >= FOREVER else memo.refresh_at - now)
