"""Settings that were validated once and have not changed since.

Validation takes pydantic and a YAML parser, more than half of what a miss computes. So valid
settings are cached like an answer: a cache entry that is valid as long as its files are. A change
of the file, of the version or of the node ends it.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.lookup import cache_key
from acr_credential_provider.fastpath.response_cache import FOREVER, CacheEntry, uptime
from acr_credential_provider.settings.runtime import from_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acr_credential_provider.fastpath.response_cache import ResponseCache
    from acr_credential_provider.settings import ProviderSettings

SUFFIX = "settings"
FORMAT = "settings 3"
"""Part of the cache key: another format of the stored values is another entry."""


def load(path: str, responses: ResponseCache, fingerprints: Sequence[str]) -> ProviderSettings:
    """Return the settings at *path*, without the section for the controller; raise `ConfigurationError`.

    *fingerprints* must be older than this call, or a change meanwhile would go unnoticed.
    """
    key = cache_key(path, "", FORMAT)
    entry = responses.get(key, SUFFIX)
    if entry is not None and entry.fingerprints == tuple(fingerprints):
        return from_dict(json.loads(entry.answer))
    from acr_credential_provider.settings.loader import load as validated  # noqa: PLC0415 - loads pydantic

    settings = replace(validated(path), pull_secrets=None)
    _store(responses, key, json.dumps(asdict(settings), separators=(",", ":")), fingerprints)
    return settings


def _store(responses: ResponseCache, key: str, text: str, fingerprints: Sequence[str]) -> None:
    entry = CacheEntry(
        digest=key,
        kind=SUFFIX,
        host="",
        written=time.time(),
        uptime=uptime(),
        due=FOREVER,
        dead=FOREVER,
        longest=0.0,
        stamps=fingerprints,
        answer=text,
    )
    try:
        responses.put(entry, SUFFIX)
    except (OSError, ValueError):  # full, read-only, not ours: the next miss validates again
        return
