"""`cache show|clear|refresh`: the answers and tokens in this node's cache folder."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from acr_credential_provider.cache.cache_dirs import ensure, is_there, part
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.console.arguments import add_paths, duration
from acr_credential_provider.console.output import say, write_document
from acr_credential_provider.exec.watchdog import report
from acr_credential_provider.fastpath.lookup import cache_key
from acr_credential_provider.fastpath.response_cache import (
    FAILED,
    FOREVER,
    TOKEN,
    CacheEntry,
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
    entries = _entries(options.cache) if is_there(options.cache) else ()
    rows = [_row(entry, used_at, settings=options.settings) for entry, used_at in entries]
    if options.output == "json":
        write_document(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        times = f"expires {row['expiresIn']}"
        if row["kind"] == TOKEN:
            times = f"refresh {row['refreshIn']}  {times}"
        what = f"{row['kind']:<12} {times}  {'valid' if row['valid'] else 'outdated'}"
        say(f"{row['host'] or '(an instance)'}  {what}  last used {row['lastUsedAgo']} ago")
    return 0


def _row(entry: CacheEntry, used_at: float, *, settings: str) -> dict[str, object]:
    now = monotonic_now_for(entry)
    return {
        "host": entry.scope,
        "kind": entry.kind,
        "refreshIn": _distance(entry.refresh_at, now),
        "expiresIn": _distance(entry.expires_at, now),
        "lastUsedAgo": f"{max(time.time() - used_at, 0.0):.0f}s",
        "valid": entry.is_valid_for(entry.key) and now < entry.expires_at,
        "renewable": entry.key == cache_key(settings, entry.scope, "") and _is_worth_renewing(entry, used_at, FOREVER),
    }


def _distance(then: float, now: float) -> str:
    return "never" if then >= FOREVER else f"{then - now:+.0f}s"


def _entries(cache: str) -> Iterator[tuple[CacheEntry, float]]:
    """Yield each entry, failures too, with the time of last use."""
    responses = CacheFolder(cache).responses
    for name in sorted(os.listdir(responses.folder)) if os.path.isdir(responses.folder) else ():
        if name.endswith((".memo", f".{FAILED}")):
            path = f"{responses.folder}/{name}"
            try:
                yield responses.read(path), os.stat(path).st_mtime
            except (OSError, ValueError):  # torn, foreign, or replaced meanwhile
                continue


def _clear(options: argparse.Namespace) -> int:
    if not is_there(options.cache) or not os.listdir(options.cache):
        return 0  # nothing is cached, and no folder has to be made to say so
    ensure(options.cache)
    with part(options.cache, "memo") as memo:
        for name in memo.names():
            memo.unlink(name)
    from acr_credential_provider.cache.token_store import TokenStore  # noqa: PLC0415 - loads diskcache

    with TokenStore(f"{options.cache}/store") as store:
        store.clear()
    return 0


def _refresh(options: argparse.Namespace) -> int:
    from acr_credential_provider.tokens.acquire import acquire_response  # noqa: PLC0415 - all that is third-party

    ensure(options.cache)
    cache = CacheFolder(options.cache)
    failures = 0
    for entry, used_at in list(_entries(options.cache)):
        if not _is_worth_renewing(entry, used_at, options.within):
            continue
        question = Question.of_node(entry.scope, options.settings)
        if entry.key != question.key:
            continue  # a ServiceAccount's, whose token only the kubelet has
        deadline = Deadline(REFRESH_DEADLINE)
        deadlines = Deadlines(deadline, deadline)
        cached = CachedAnswer(cache.responses, key=question.key, host=entry.scope, fingerprints=entry.fingerprints)
        with cache.locks.try_acquire(question.key) as free:
            if not free:
                continue  # a pull is at it
            try:
                with acquire_response(question, cache, deadlines, Progress(), ahead=options.within) as fresh:
                    cached.put(fresh, used_at=used_at)
            except CredentialProviderError as error:
                report(error)
                failures += 1
    return 1 if failures else 0


def _is_worth_renewing(entry: CacheEntry, used_at: float, within: float) -> bool:
    """True if *entry* is due soon and was used within the life of its token."""
    is_due = monotonic_now_for(entry) >= entry.refresh_at - within
    return entry.kind == TOKEN and is_due and time.time() - used_at < entry.expires_at - entry.written
