"""`cache show|clear|refresh`: the answers and tokens in this node's cache folder."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from acr_credential_provider.cache.cache_dirs import ensure, is_there
from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.cache.file_locks import FileLocks
from acr_credential_provider.console.arguments import add_paths, duration
from acr_credential_provider.exec.watchdog import report
from acr_credential_provider.fastpath.lookup import API_VERSIONS, cache_key
from acr_credential_provider.fastpath.response_cache import (
    FAILED,
    FOREVER,
    TOKEN,
    CacheEntry,
    ResponseCache,
    monotonic_now_for,
)
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.model.protocol import CredentialProviderRequest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from acr_credential_provider.console.command_line import CommandParser

REFRESH_DEADLINE = 15.0
"""Seconds to renew the token of one host."""


def add_to(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add the word to *commands*."""
    cache = commands.add_parser("cache", help="show, clear or refresh this node's cache").add_subparsers(required=True)
    show = cache.add_parser("show", help="list the cached answers, without their secrets")
    add_paths(show)
    show.add_argument("--output", choices=("text", "json"), default="text")
    show.set_defaults(run=_show)
    clear = cache.add_parser("clear", help="delete all cached answers and tokens")
    add_paths(clear)
    clear.set_defaults(run=_clear)
    refresh = cache.add_parser("refresh", help="renew tokens that are due soon and were used lately")
    add_paths(refresh)
    refresh.add_argument(
        "--within", type=duration, default=300.0, help="renew tokens that are due within this time (default: 5m)"
    )
    refresh.set_defaults(run=_refresh)


def _show(options: argparse.Namespace) -> int:
    found = _memos(options.cache) if is_there(options.cache) else ()
    rows = [_row(memo, asked, settings=options.settings) for memo, asked in found]
    if options.output == "json":
        print(json.dumps(rows, indent=2))  # noqa: T201 - the command's output
        return 0
    for row in rows:
        times = f"expires {row['expiresIn']}"
        if row["kind"] == TOKEN:
            times = f"refresh {row['refreshIn']}  {times}"
        what = f"{row['kind']:<12} {times}  {'valid' if row['valid'] else 'outdated'}"
        print(f"{row['host'] or '(an instance)'}  {what}  last used {row['lastUsedAgo']} ago")  # noqa: T201
    return 0


def _row(memo: CacheEntry, asked: float, *, settings: str) -> dict[str, object]:
    now = monotonic_now_for(memo)
    return {
        "host": memo.host,
        "kind": memo.kind,
        "refreshIn": _distance(memo.refresh_at, now),
        "expiresIn": _distance(memo.expires_at, now),
        "lastUsedAgo": f"{max(time.time() - asked, 0.0):.0f}s",
        "valid": memo.is_valid_for(memo.digest) and now < memo.expires_at,
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


def _refresh(options: argparse.Namespace) -> int:
    from acr_credential_provider.tokens.acquire import acquire_response  # noqa: PLC0415 - everything third-party, for this command alone
    from acr_credential_provider.tokens.endpoints import Tools  # noqa: PLC0415

    ensure(options.cache)
    memos, locks = ResponseCache(f"{options.cache}/memo"), FileLocks(f"{options.cache}/locks")
    failures = 0
    for memo, asked in list(_memos(options.cache)):
        digest = cache_key(options.settings, memo.host, "")
        if memo.digest != digest or not _is_worth_renewing(memo, asked, options.within):
            continue  # a ServiceAccount's, whose token only the kubelet has; or not due; or not asked for
        request = CredentialProviderRequest(API_VERSIONS[0], f"{memo.host}/any")
        deadline = Deadline(REFRESH_DEADLINE)
        tools = Tools(
            options.settings, f"{options.cache}/store", memos, locks, deadline, deadline, str, ahead=options.within
        )
        notes = CachedAnswer(memos, digest=digest, host=memo.host, stamps=memo.fingerprints)
        with locks.try_acquire(digest) as free:
            if not free:
                continue  # a pull is at it
            try:
                with acquire_response(request, digest=digest, tools=tools) as fresh:
                    notes.put(fresh, asked=asked)
            except CredentialProviderError as error:
                report(error)
                failures += 1
    return 1 if failures else 0


def _is_worth_renewing(memo: CacheEntry, asked: float, ahead: float) -> bool:
    """Say whether *memo* is due soon and a pull asked for it within the last token's life."""
    life = memo.expires_at - memo.written
    return memo.kind == TOKEN and monotonic_now_for(memo) >= memo.refresh_at - ahead and time.time() - asked < life
