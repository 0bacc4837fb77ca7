"""The slow path: settings, then an identity, then ACR, and an answer comes out.

Everything third-party is behind this module; it is imported only once a process is
admitted to do heavy work.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from . import judged
from .asking import Cloud
from .image import place_of
from .memo import FOREVER, LOGIN, NOT_COVERED, TOKEN, Memo, stamp, uptime
from .sources.login import read_login
from .store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .protocol import CredentialProviderRequest
    from .reach import Tools
    from .settings import ProviderSettings, Registry
    from .watchdog import EndAfter

MACHINE_ID = "/etc/machine-id"
"""A cache that was cloned with the disk of another node is worth nothing: this file tells."""


@contextmanager
def acquired(request: CredentialProviderRequest, *, digest: str, tools: Tools) -> Iterator[Memo]:
    """Yield the answer to *request*; what was learnt is stored when the context is left.

    Raises `CredentialProviderError`, and only before it yields.
    """
    # Stamps come before the reading: a file that changes meanwhile must make the memo untrue.
    stamps = [stamp(MACHINE_ID), stamp(tools.settings_path)]
    tools.say_stage(f"reading {tools.settings_path}")
    settings = judged.load(tools.settings_path, memos=tools.memos, stamps=stamps)
    tools.say_log_tag(settings.log)
    where = place_of(request.image)
    with Store(tools.store_folder) as store:
        cloud = Cloud(settings, request=request, store=store, machine=stamps[0], tools=tools)
        coverage = cloud.coverage(where)
        if coverage.registry is None:
            yield _memo(digest, where, settings, stamps, kind=NOT_COVERED, due=coverage.until, dead=coverage.until)
            return
        log_tag = _log_tag(settings, coverage.registry)
        tools.say_log_tag(log_tag)
        identity = coverage.registry.identity
        if identity.kind == "login":
            login = read_login(identity.username_file, identity.password_file)
            auth = _auth(where, login.username, login.password)
            yield _memo(digest, where, settings, stamps, kind=LOGIN, due=FOREVER, dead=FOREVER, auth=auth, log=log_tag)
            return
        with cloud.token(coverage.registry) as (token, files):
            yield _memo(
                digest,
                where,
                settings,
                stamps + list(files),
                kind=TOKEN,
                due=token.due_at,
                dead=token.dead_at,
                auth=_auth(where, token.username, token.password),
                log=log_tag,
            )


@contextmanager
def renewed(request: CredentialProviderRequest, *, digest: str, tools: Tools, watchdog: EndAfter) -> Iterator[Memo]:
    """Do the same under a *watchdog* that gives the living answer if this takes too long."""
    with watchdog, acquired(request, digest=digest, tools=tools) as memo:
        yield memo


def _auth(where: str, username: str, password: str) -> dict[str, dict[str, str]]:
    """Return the ``auth`` of an answer for *where*; a namespace ends in a slash, for the kubelet compares prefixes."""
    return {where + "/" if "/" in where else where: {"username": username, "password": password}}


def _memo(  # noqa: PLR0913 - the parts of an answer
    digest: str,
    where: str,
    settings: ProviderSettings,
    stamps: list[str],
    *,
    kind: str,
    due: float,
    dead: float,
    auth: dict[str, dict[str, str]] | None = None,
    log: str = "",
) -> Memo:
    return Memo(
        digest=digest,
        kind=kind,
        host=where,
        written=time.time(),
        uptime=uptime(),
        due=due,
        dead=dead,
        longest=settings.kubelet_cache,
        stamps=stamps,
        answer=json.dumps(auth or {}, separators=(",", ":")),
        log=log or settings.log,
    )


def _log_tag(settings: ProviderSettings, registry: Registry) -> str:
    """Return what the log is told of an answer: the level first, then which entry it came from."""
    return f"{settings.log} entry={registry.instance_id or 'personal'} source={registry.identity.kind}"
