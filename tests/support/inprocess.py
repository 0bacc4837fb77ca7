"""One pull in this process, the way `__main__` goes: the fast lane first, the slow side after it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from acr_credential_provider.cache.cache_dirs import ensure
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.fastpath.lookup import lookup
from acr_credential_provider.fastpath.response_cache import file_fingerprint
from acr_credential_provider.model.deadline import Deadline, Deadlines
from acr_credential_provider.model.progress import Progress
from acr_credential_provider.model.protocol import CredentialProviderRequest
from acr_credential_provider.model.question import Question
from acr_credential_provider.tokens.acquire import acquire_response

if TYPE_CHECKING:
    from pathlib import Path


def ask(raw: bytes, settings: Path, cache: Path, *, seconds: float = 10.0) -> bytes:
    """Return the response to the request in *raw* within *seconds*; raise what the program would report."""
    hit = lookup(raw, {"--settings": str(settings), "--cache": str(cache)})
    if hit is not None:
        return hit[0]
    question = Question(CredentialProviderRequest.decode(raw), str(settings))
    ensure(str(cache))
    folder = CacheFolder(str(cache))
    deadlines = Deadlines(Deadline(seconds), Deadline(seconds / 2))
    with acquire_response(question, folder, deadlines, Progress()) as entry:
        fingerprints = (file_fingerprint(str(settings)),)
        CachedAnswer(folder.responses, key=question.key, host=question.scope, fingerprints=fingerprints).put(entry)
        return entry.response(question.request.api_version, now=time.time())
