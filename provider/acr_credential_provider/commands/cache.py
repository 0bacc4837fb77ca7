"""`cache show|clear|refresh`: the answers and tokens in this node's cache folder."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from acr_credential_provider.cache.cache_dirs import ensure, is_there, part
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.console.arguments import duration
from acr_credential_provider.console.command_line import add_output, add_yes
from acr_credential_provider.console.confirmation import is_confirmed
from acr_credential_provider.console.output import report, say, write_json
from acr_credential_provider.console.paths import add_paths
from acr_credential_provider.console.times import as_duration, as_rfc3339
from acr_credential_provider.fastpath.lookup import cache_key
from acr_credential_provider.fastpath.response_cache import (
    FAILED,
    FOREVER,
    TOKEN,
    CacheEntry,
    monotonic_now_for,
)
from acr_credential_provider.model import exit_codes
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
    add_output(show)
    show.set_defaults(run=_show)
    clear = cache.add_parser("clear", help="delete all cached answers and tokens")
    add_paths(clear)
    add_output(clear)
    add_yes(clear)
    clear.set_defaults(run=_clear)
    refresh = cache.add_parser("refresh", help="renew tokens that are due soon and were used lately")
    add_paths(refresh)
    add_output(refresh)
    refresh.add_argument(
        "--within", type=duration, default=300.0, help="renew tokens that are due within this time (default: 5m)"
    )
    refresh.set_defaults(run=_refresh)


def _show(options: argparse.Namespace) -> int:
    entries = _entries(options.cache) if is_there(options.cache) else ()
    rows = [_row(entry, used_at, settings=options.settings) for entry, used_at in entries]
    if options.output == "json":
        write_json(rows)
        return 0
    if not rows:
        say(f"nothing is cached in {options.cache}")
    for row in rows:
        times = f"expires {_when(row['expiresInSeconds'])}"
        if row["kind"] == TOKEN:
            times = f"refresh {_when(row['refreshInSeconds'])}  {times}"
        what = f"{row['kind']:<12} {times}  {'valid' if row['valid'] else 'outdated'}"
        say(f"{row['host'] or '(an instance)'}  {what}  last used {as_duration(row['lastUsedSeconds'])} ago")
    return 0


def _row(entry: CacheEntry, used_at: float, *, settings: str) -> dict[str, Any]:
    now, wall = monotonic_now_for(entry), time.time()
    refresh_in, expires_in = _distance(entry.refresh_at, now), _distance(entry.expires_at, now)
    return {
        "host": entry.scope,
        "kind": entry.kind,
        "refreshAt": None if refresh_in is None else as_rfc3339(wall + refresh_in),
        "refreshInSeconds": refresh_in,
        "expiresAt": None if expires_in is None else as_rfc3339(wall + expires_in),
        "expiresInSeconds": expires_in,
        "lastUsedAt": as_rfc3339(used_at),
        "lastUsedSeconds": round(max(wall - used_at, 0.0)),
        "valid": entry.is_valid_for(entry.key) and now < entry.expires_at,
        "renewable": entry.key == cache_key(settings, entry.scope, "") and _is_worth_renewing(entry, used_at, FOREVER),
    }


def _distance(then: float, now: float) -> int | None:
    """Return the seconds from *now* to *then*, None for never."""
    return None if then >= FOREVER else round(then - now)


def _when(seconds: int | None) -> str:
    """Return the time in *seconds* as people say it.

    >>> _when(2519), _when(-60), _when(None)
    ('in 42m', '1m ago', 'never')
    """
    if seconds is None:
        return "never"
    return f"in {as_duration(seconds)}" if seconds >= 0 else f"{as_duration(-seconds)} ago"


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
        return _tell_cleared(options, 0)  # no folder has to be made to say so
    answers = sum(1 for _ in _entries(options.cache))
    if options.dry_run:
        return _tell_cleared(options, answers)
    if not is_confirmed(options, f"Delete all answers ({answers}) and tokens in {options.cache}?"):
        return exit_codes.FAILED
    ensure(options.cache)
    with part(options.cache, "memo") as memo:
        for name in memo.names():
            memo.unlink(name)
    from acr_credential_provider.cache.token_store import TokenStore  # noqa: PLC0415 - loads diskcache

    with TokenStore(f"{options.cache}/store") as store:
        store.clear()
    return _tell_cleared(options, answers)


def _tell_cleared(options: argparse.Namespace, answers: int) -> int:
    if options.output == "json":
        write_json({"cache": options.cache, "answers": answers, "dryRun": options.dry_run})
    elif options.dry_run:
        say(f"would delete all answers ({answers}) and tokens in {options.cache}")
    else:
        say(f"{options.cache} is clear; answers deleted: {answers}")
    return exit_codes.DONE


def _refresh(options: argparse.Namespace) -> int:
    from acr_credential_provider.tokens.acquire import acquire_response  # noqa: PLC0415 - all that is third-party

    ensure(options.cache)
    cache = CacheFolder(options.cache)
    renewed: list[str] = []
    failed: list[str] = []
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
                renewed.append(entry.scope)
            except CredentialProviderError as error:
                report(error)
                failed.append(entry.scope)
    if options.output == "json":
        write_json({"renewed": renewed, "failed": failed})
    else:
        for host in renewed:
            say(f"renewed {host}")
        if not renewed and not failed:
            say(f"no token is due within {as_duration(options.within)}")
    return exit_codes.FAILED if failed else exit_codes.DONE


def _is_worth_renewing(entry: CacheEntry, used_at: float, within: float) -> bool:
    """True if *entry* is due soon and was used within the life of its token."""
    is_due = monotonic_now_for(entry) >= entry.refresh_at - within
    return entry.kind == TOKEN and is_due and time.time() - used_at < entry.expires_at - entry.written
