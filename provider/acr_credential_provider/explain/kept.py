"""What this node has kept for an image: an answer, a token, a failure of a moment ago."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.memo import FAILED, FOREVER, TOKEN, judge_time

from .explanation import Kept

if TYPE_CHECKING:
    from acr_credential_provider.errors import CredentialProviderError
    from acr_credential_provider.memo import Memo, Memos
    from acr_credential_provider.token import AuthorizationToken

    from .explanation import Explanation


def token_state(
    kept: AuthorizationToken | None, failure: CredentialProviderError | None, calls: tuple[str, ...]
) -> tuple[tuple[Kept, ...], tuple[str, ...]]:
    """Return what the store has of the entry's token, and which of *calls* a pull would make: all, or none."""
    now = time.time()
    if kept is None or not kept.is_alive(now):
        found, needs_call = [Kept("token in the store", "none")], True
    elif kept.is_due(now):
        found, needs_call = [Kept("token in the store", "due: given out while it is renewed", kept.dead_at - now)], True
    else:
        found, needs_call = [Kept("token in the store", "fresh", kept.due_at - now)], False
    if failure is not None:
        found.append(Kept("failure of a moment ago", f"told instead of asking again: {failure.problem}"))
    return tuple(found), () if not needs_call or failure is not None else calls


def with_memos(found: Explanation, memos: Memos, digest: str) -> Explanation:
    """Add what the fast lane would find: it comes before everything else."""
    answer, failure = _read(memos, digest, "memo"), _read(memos, digest, FAILED)
    kept = [_memo_state(answer, digest)]
    would_ask = found.would_ask
    if answer is not None and kept[0].state.startswith("fresh"):
        would_ask = ()
    if failure is not None and failure.is_true_of(digest) and judge_time(failure) < failure.dead:
        problem = failure.answer.split("\n")[1:2]
        seconds = failure.dead - judge_time(failure)
        kept.append(Kept("failure of this host", f"told instead of asking again: {''.join(problem)}", seconds))
        would_ask = ()
    return replace(found, kept=(*kept, *found.kept), would_ask=would_ask)


def _read(memos: Memos, digest: str, suffix: str) -> Memo | None:
    try:
        return memos.read(memos.path(digest, suffix))
    except (OSError, ValueError):
        return None


def _memo_state(memo: Memo | None, digest: str) -> Kept:
    what = "answer of this host"
    if memo is None:
        return Kept(what, "none")
    if memo.digest != digest:
        return Kept(what, "another question's: not used")
    if not memo.is_true_of(digest):
        return Kept(what, "outdated: a file that it depended on has changed")
    now = judge_time(memo)
    if now >= memo.dead:
        return Kept(what, "dead")
    if now >= memo.due:
        return Kept(what, "due: given out while it is renewed", memo.dead - now)
    kind = "a token" if memo.kind == TOKEN else f"that it is {memo.kind}".replace("-", " ")
    return Kept(what, f"fresh: {kind}", None if memo.due >= FOREVER else memo.due - now)
