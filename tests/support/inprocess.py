"""One pull in this process, the way `__main__` goes: the fast lane first, the slow side after it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from acr_credential_provider.cache.cache_dirs import ensure
from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.cache.file_locks import FileLocks
from acr_credential_provider.fastpath.lookup import cache_key, lookup
from acr_credential_provider.fastpath.response_cache import ResponseCache, file_fingerprint
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.image_reference import scope_of
from acr_credential_provider.model.protocol import CredentialProviderRequest
from acr_credential_provider.tokens.acquire import acquire_response
from acr_credential_provider.tokens.endpoints import Tools

if TYPE_CHECKING:
    from pathlib import Path


def ask(raw: bytes, settings: Path, cache: Path, *, seconds: float = 10.0) -> bytes:
    """Return the response to the request in *raw* within *seconds*; raise what the program would report."""
    hit = lookup(raw, {"--settings": str(settings), "--cache": str(cache)})
    if hit is not None:
        return hit[1]
    request = CredentialProviderRequest.decode(raw)
    ensure(str(cache))
    host = scope_of(request.image)
    digest = cache_key(str(settings), host, request.subject)
    memos = ResponseCache(f"{cache}/memo")
    tools = Tools(
        str(settings),
        f"{cache}/store",
        memos,
        FileLocks(f"{cache}/locks"),
        Deadline(seconds),
        Deadline(seconds / 2),
        lambda _: None,
    )
    with acquire_response(request, digest=digest, tools=tools) as memo:
        CachedAnswer(memos, digest=digest, host=host, stamps=(file_fingerprint(str(settings)),)).put(memo)
        return memo.response(request.api_version, now=time.time())
