"""The slow path: settings, then an identity, then ACR, and an answer comes out.

Everything third-party is behind this module; it is imported only once a process is
admitted to do heavy work.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from acr_credential_provider.cache.token_store import TokenStore
from acr_credential_provider.fastpath.response_cache import (
    FOREVER,
    LOGIN,
    NOT_COVERED,
    TOKEN,
    CacheEntry,
    file_fingerprint,
)
from acr_credential_provider.sources.basic_auth import read_basic_auth

from . import settings_cache
from .endpoints import CloudAccess
from .local_state import FailureCache, LocalState
from .token_service import TokenService

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from acr_credential_provider.cache.cache_folder import CacheFolder
    from acr_credential_provider.exec.watchdog import Watchdog
    from acr_credential_provider.model.deadline import Deadlines
    from acr_credential_provider.model.progress import Progress
    from acr_credential_provider.model.question import Question
    from acr_credential_provider.settings import ProviderSettings, Registry

MACHINE_ID = "/etc/machine-id"
"""Differs between nodes: a cache that was cloned with the disk of another node is worth nothing."""


class _Answer(NamedTuple):
    """What is answered, and from when it is refreshed or no longer given out; *files* are fingerprints."""

    kind: str
    refresh_at: float = FOREVER
    expires_at: float = FOREVER
    username: str = ""
    password: str = ""
    fingerprints: tuple[str, ...] = ()


@contextmanager
def acquire_response(
    question: Question, cache: CacheFolder, deadlines: Deadlines, progress: Progress, *, ahead: float = 0.0
) -> Iterator[CacheEntry]:
    """Yield the answer to *question*; new tokens and sessions are stored when the context is left.

    A token that is due within *ahead* seconds is refreshed. Raises `CredentialProviderError` only before it yields.
    """
    # Before the files are read: one that changes meanwhile must make the entry invalid.
    fingerprints = [file_fingerprint(MACHINE_ID), file_fingerprint(question.settings_path)]
    progress.stage(f"reading {question.settings_path}")
    settings = settings_cache.load(question.settings_path, cache.responses, fingerprints)
    progress.set_tag(settings.log)
    with TokenStore(cache.store_path) as store:
        state = LocalState(store, cache.locks, FailureCache(cache.responses, fingerprints[1:]), fingerprints[0])
        service = TokenService(settings, question.request, state, CloudAccess(deadlines, progress))
        match = service.match(question.scope, settings_path=question.settings_path)
        registry, tag = match.registry, settings.log
        if registry is None:
            answer = _Answer(NOT_COVERED, match.until, match.until)
            yield _cache_entry(question, settings, answer, fingerprints, tag)
            return
        tag = _log_tag(settings, registry)
        progress.set_tag(tag)
        if not registry.identity.traits.asks_cloud:
            login = read_basic_auth(registry.identity.username_file, registry.identity.password_file)
            answer = _Answer(LOGIN, username=login.username, password=login.password)
            yield _cache_entry(question, settings, answer, fingerprints, tag)
            return
        with service.token(registry, ahead=ahead) as (token, files):
            answer = _Answer(TOKEN, token.refresh_at, token.expires_at, token.username, token.password, files)
            yield _cache_entry(question, settings, answer, fingerprints, tag)


@contextmanager
def refresh_response(
    question: Question, cache: CacheFolder, deadlines: Deadlines, progress: Progress, *, watchdog: Watchdog
) -> Iterator[CacheEntry]:
    """Do the same under a *watchdog*, which gives the valid answer if this takes too long."""
    with watchdog, acquire_response(question, cache, deadlines, progress) as entry:
        yield entry


def _cache_entry(
    question: Question, settings: ProviderSettings, answer: _Answer, fingerprints: Sequence[str], tag: str
) -> CacheEntry:
    scope = question.scope
    # A namespace ends in a slash, because the kubelet compares prefixes.
    auth_key = scope + "/" if "/" in scope else scope
    auth = {auth_key: {"username": answer.username, "password": answer.password}} if answer.kind != NOT_COVERED else {}
    return CacheEntry(
        key=question.key,
        kind=answer.kind,
        scope=scope,
        refresh_at=answer.refresh_at,
        expires_at=answer.expires_at,
        max_cache_duration=settings.max_cache_duration,
        fingerprints=(*fingerprints, *answer.fingerprints),
        answer=json.dumps(auth, separators=(",", ":")),
        log=tag,
    )


def _log_tag(settings: ProviderSettings, registry: Registry) -> str:
    """Return the log's tag of an answer: the level first, then the entry it came from."""
    return f"{settings.log} entry={registry.instance_id or 'personal'} source={registry.identity.kind}"
