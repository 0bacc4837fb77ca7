"""The slow path: settings, then an identity, then ACR, and an answer comes out.

Everything third-party is behind this module; it is imported only once a process is
admitted to do heavy work.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from acr_credential_provider.cache.token_store import TokenStore
from acr_credential_provider.fastpath.response_cache import (
    FOREVER,
    LOGIN,
    NOT_COVERED,
    TOKEN,
    CacheEntry,
    file_fingerprint,
    uptime,
)
from acr_credential_provider.model.image_reference import scope_of
from acr_credential_provider.sources.basic_auth import read_basic_auth

from . import settings_cache
from .token_service import TokenService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from acr_credential_provider.exec.watchdog import Watchdog
    from acr_credential_provider.model.protocol import CredentialProviderRequest
    from acr_credential_provider.settings import ProviderSettings, Registry

    from .endpoints import Tools

MACHINE_ID = "/etc/machine-id"
"""A cache that was cloned with the disk of another node is worth nothing: this file tells."""


@contextmanager
def acquire_response(request: CredentialProviderRequest, *, digest: str, tools: Tools) -> Iterator[CacheEntry]:
    """Yield the answer to *request*; what was learnt is stored when the context is left.

    Raises `CredentialProviderError`, and only before it yields.
    """
    # Stamps come before the reading: a file that changes meanwhile must make the memo untrue.
    stamps = [file_fingerprint(MACHINE_ID), file_fingerprint(tools.settings_path)]
    tools.say_stage(f"reading {tools.settings_path}")
    settings = settings_cache.load(tools.settings_path, memos=tools.memos, stamps=stamps)
    tools.say_log_tag(settings.log)
    where = scope_of(request.image)
    with TokenStore(tools.store_folder) as store:
        cloud = TokenService(settings, request=request, store=store, machine=stamps[0], tools=tools)
        coverage = cloud.match(where)
        if coverage.registry is None:
            yield _cache_entry(
                digest, where, settings, stamps, kind=NOT_COVERED, due=coverage.until, dead=coverage.until
            )
            return
        log_tag = _log_tag(settings, coverage.registry)
        tools.say_log_tag(log_tag)
        identity = coverage.registry.identity
        if identity.kind == "basicAuth":
            login = read_basic_auth(identity.username_file, identity.password_file)
            auth = _auth(where, login.username, login.password)
            yield _cache_entry(
                digest, where, settings, stamps, kind=LOGIN, due=FOREVER, dead=FOREVER, auth=auth, log=log_tag
            )
            return
        with cloud.token(coverage.registry) as (token, files):
            yield _cache_entry(
                digest,
                where,
                settings,
                stamps + list(files),
                kind=TOKEN,
                due=token.refresh_at,
                dead=token.expires_at,
                auth=_auth(where, token.username, token.password),
                log=log_tag,
            )


@contextmanager
def refresh_response(
    request: CredentialProviderRequest, *, digest: str, tools: Tools, watchdog: Watchdog
) -> Iterator[CacheEntry]:
    """Do the same under a *watchdog* that gives the living answer if this takes too long."""
    with watchdog, acquire_response(request, digest=digest, tools=tools) as memo:
        yield memo


def _auth(where: str, username: str, password: str) -> dict[str, dict[str, str]]:
    """Return the ``auth`` of an answer for *where*; a namespace ends in a slash, for the kubelet compares prefixes."""
    return {where + "/" if "/" in where else where: {"username": username, "password": password}}


def _cache_entry(  # noqa: PLR0913 - the parts of an answer
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
) -> CacheEntry:
    return CacheEntry(
        digest=digest,
        kind=kind,
        host=where,
        written=time.time(),
        uptime=uptime(),
        due=due,
        dead=dead,
        longest=settings.max_cache_duration,
        stamps=stamps,
        answer=json.dumps(auth or {}, separators=(",", ":")),
        log=log or settings.log,
    )


def _log_tag(settings: ProviderSettings, registry: Registry) -> str:
    """Return what the log is told of an answer: the level first, then which entry it came from."""
    return f"{settings.log} entry={registry.instance_id or 'personal'} source={registry.identity.kind}"
