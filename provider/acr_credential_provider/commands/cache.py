"""`cache show|clear|warm`: what this node remembers."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from acr_credential_provider.cache.cache_dirs import ensure, is_there
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.console.arguments import add_paths, duration
from acr_credential_provider.exec.watchdog import report
from acr_credential_provider.fastpath.lookup import cache_key
from acr_credential_provider.fastpath.response_cache import (
    FAILED,
    FOREVER,
    TOKEN,
    CacheEntry,
    ResponseCache,
    monotonic_now_for,
)
from acr_credential_provider.model.deadline import Deadline, Deadlines
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.model.progress import Progress
from acr_credential_provider.model.question import Question

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from acr_credential_provider.console.command_line import CommandParser

WARM_DEADLINE = 15.0
"""Seconds for the renewal of one host."""


def add_to(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add the word to *commands*."""
    cache = commands.add_parser("cache", help="what this node remembers").add_subparsers(required=True)
    show = cache.add_parser("show", help="list the remembered answers, without their secrets")
    add_paths(show)
    show.add_argument("--output", choices=("text", "json"), default="text")
    show.set_defaults(run=_show)
    clear = cache.add_parser("clear", help="forget all answers and tokens")
    add_paths(clear)
    clear.set_defaults(run=_clear)
    warm = cache.add_parser("warm", help="renew the tokens that are due soon and were asked for lately")
    add_paths(warm)
    warm.add_argument("--ahead", type=duration, default=300.0, help="renew what is due within this time (default: 5m)")
    warm.set_defaults(run=_warm)


def _show(options: argparse.Namespace) -> int:
    found = _memos(options.cache) if is_there(options.cache) else ()
    rows = [_row(memo, asked, settings=options.settings) for memo, asked in found]
    if options.output == "json":
        print(json.dumps(rows, indent=2))  # noqa: T201 - the command's output
        return 0
    for row in rows:
        times = f"due {row['dueIn']}  dead {row['deadIn']}" if row["kind"] == TOKEN else f"until {row['deadIn']}"
        what = f"{row['kind']:<12} {times}  {'current' if row['current'] else 'outdated'}"
        print(f"{row['host'] or '(an instance)'}  {what}  asked {row['askedAgo']} ago")  # noqa: T201
    return 0


def _row(memo: CacheEntry, asked: float, *, settings: str) -> dict[str, object]:
    now = monotonic_now_for(memo)
    return {
        "host": memo.host,
        "kind": memo.kind,
        "dueIn": _distance(memo.refresh_at, now),
        "deadIn": _distance(memo.expires_at, now),
        "askedAgo": f"{max(time.time() - asked, 0.0):.0f}s",
        "current": memo.is_valid_for(memo.digest) and now < memo.expires_at,
        "renewable": memo.digest == cache_key(settings, memo.host, "") and _is_worth_renewing(memo, asked, FOREVER),
    }


def _distance(then: float, now: float) -> str:
    return "never" if then >= FOREVER else f"{then - now:+.0f}s"


def _memos(cache: str) -> Iterator[tuple[CacheEntry, float]]:
    """Yield each memo, failures too, with the time it was last asked for."""
    memos = ResponseCache(f"{cache}/memo")
    for path in sorted(Path(memos.folder).glob("*")) if os.path.isdir(memos.folder) else ():
        if path.suffix in (".memo", f".{FAILED}"):
            try:
                yield memos.read(str(path)), path.stat().st_mtime
            except (OSError, ValueError):  # torn, foreign, or replaced meanwhile
                continue


def _clear(options: argparse.Namespace) -> int:
    if not is_there(options.cache) or not os.listdir(options.cache):
        return 0  # nothing is remembered, and nothing to forget it in has to be made
    ensure(options.cache)
    for path in Path(options.cache, "memo").iterdir():
        path.unlink(missing_ok=True)
    from acr_credential_provider.cache.token_store import TokenStore  # noqa: PLC0415 - the store's library, for this command alone

    with TokenStore(f"{options.cache}/store") as store:
        store.clear()
    return 0


def _warm(options: argparse.Namespace) -> int:
    from acr_credential_provider.tokens.acquire import acquire_response  # noqa: PLC0415 - everything third-party, for this command alone

    ensure(options.cache)
    cache = CacheFolder(options.cache)
    failures = 0
    for memo, asked in list(_memos(options.cache)):
        question = Question.of_node(memo.host, options.settings)
        if memo.digest != question.key or not _is_worth_renewing(memo, asked, options.ahead):
            continue  # a ServiceAccount's, whose token only the kubelet has; or not due; or not asked for
        deadline = Deadline(WARM_DEADLINE)
        deadlines = Deadlines(deadline, deadline)
        cached = CachedAnswer(cache.responses, digest=question.key, host=memo.host, stamps=memo.fingerprints)
        with cache.locks.try_acquire(question.key) as free:
            if not free:
                continue  # a pull is at it
            try:
                with acquire_response(question, cache, deadlines, Progress(), ahead=options.ahead) as fresh:
                    cached.put(fresh, asked=asked)
            except CredentialProviderError as error:
                report(error)
                failures += 1
    return 1 if failures else 0


def _is_worth_renewing(memo: CacheEntry, asked: float, ahead: float) -> bool:
    """Say whether *memo* is due soon and a pull asked for it within the last token's life."""
    life = memo.expires_at - memo.written
    return memo.kind == TOKEN and monotonic_now_for(memo) >= memo.refresh_at - ahead and time.time() - asked < life
