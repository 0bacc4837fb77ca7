"""`cache show|clear|warm`: what this node remembers."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from acr_credential_provider.arguments import add_paths, duration
from acr_credential_provider.deadline import Deadline
from acr_credential_provider.errors import CredentialProviderError
from acr_credential_provider.folders import is_there, prepare
from acr_credential_provider.hit import API_VERSIONS, question
from acr_credential_provider.locks import Locks
from acr_credential_provider.memo import FAILED, FOREVER, TOKEN, Memo, Memos, judge_time
from acr_credential_provider.notes import Notes
from acr_credential_provider.protocol import CredentialProviderRequest
from acr_credential_provider.watchdog import report

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from acr_credential_provider.command_line import CommandParser

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


def _row(memo: Memo, asked: float, *, settings: str) -> dict[str, object]:
    now = judge_time(memo)
    return {
        "host": memo.host,
        "kind": memo.kind,
        "dueIn": _distance(memo.due, now),
        "deadIn": _distance(memo.dead, now),
        "askedAgo": f"{max(time.time() - asked, 0.0):.0f}s",
        "current": memo.is_true_of(memo.digest) and now < memo.dead,
        "renewable": memo.digest == question(settings, memo.host, "") and _is_worth_renewing(memo, asked, FOREVER),
    }


def _distance(then: float, now: float) -> str:
    return "never" if then >= FOREVER else f"{then - now:+.0f}s"


def _memos(cache: str) -> Iterator[tuple[Memo, float]]:
    """Yield each memo, failures too, with the time it was last asked for."""
    memos = Memos(f"{cache}/memo")
    for path in sorted(Path(memos.folder).glob("*")) if os.path.isdir(memos.folder) else ():
        if path.suffix in (".memo", f".{FAILED}"):
            try:
                yield memos.read(str(path)), path.stat().st_mtime
            except (OSError, ValueError):  # torn, foreign, or replaced meanwhile
                continue


def _clear(options: argparse.Namespace) -> int:
    if not is_there(options.cache) or not os.listdir(options.cache):
        return 0  # nothing is remembered, and nothing to forget it in has to be made
    prepare(options.cache)
    for path in Path(options.cache, "memo").iterdir():
        path.unlink(missing_ok=True)
    from acr_credential_provider.store import Store  # noqa: PLC0415 - the store's library, for this command alone

    with Store(f"{options.cache}/store") as store:
        store.clear()
    return 0


def _warm(options: argparse.Namespace) -> int:
    from acr_credential_provider.acquire import acquired  # noqa: PLC0415 - everything third-party, for this command alone
    from acr_credential_provider.reach import Tools  # noqa: PLC0415

    prepare(options.cache)
    memos, locks = Memos(f"{options.cache}/memo"), Locks(f"{options.cache}/locks")
    failures = 0
    for memo, asked in list(_memos(options.cache)):
        digest = question(options.settings, memo.host, "")
        if memo.digest != digest or not _is_worth_renewing(memo, asked, options.ahead):
            continue  # a ServiceAccount's, whose token only the kubelet has; or not due; or not asked for
        request = CredentialProviderRequest(API_VERSIONS[0], f"{memo.host}/any")
        deadline = Deadline(WARM_DEADLINE)
        tools = Tools(
            options.settings, f"{options.cache}/store", memos, locks, deadline, deadline, str, ahead=options.ahead
        )
        notes = Notes(memos, digest=digest, host=memo.host, stamps=memo.stamps)
        with locks.try_to_hold(digest) as free:
            if not free:
                continue  # a pull is at it
            try:
                with acquired(request, digest=digest, tools=tools) as fresh:
                    notes.keep(fresh, asked=asked)
            except CredentialProviderError as error:
                report(error)
                failures += 1
    return 1 if failures else 0


def _is_worth_renewing(memo: Memo, asked: float, ahead: float) -> bool:
    """Say whether *memo* is due soon and a pull asked for it within the last token's life."""
    life = memo.dead - memo.written
    return memo.kind == TOKEN and judge_time(memo) >= memo.due - ahead and time.time() - asked < life
