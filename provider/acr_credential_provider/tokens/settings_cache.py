"""Settings that were validated once and have not changed since.

Validation takes pydantic and a YAML parser, more than half of what a miss computes. So valid
settings are cached like an answer: a cache entry that is valid as long as its files are. A change
of the file, of the version or of the node ends it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.lookup import cache_key
from acr_credential_provider.fastpath.response_cache import FOREVER, CacheEntry
from acr_credential_provider.settings.runtime import from_dict, to_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acr_credential_provider.fastpath.response_cache import ResponseCache
    from acr_credential_provider.settings import ProviderSettings

SUFFIX = "settings"
FORMAT = "settings 4"
"""Part of the cache key: another format of the stored values is another entry."""


def load(path: str, responses: ResponseCache, fingerprints: Sequence[str]) -> ProviderSettings:
    """Return the settings at *path*; raise `ConfigurationError`. Cached ones lack the section for the controller.

    *fingerprints* must be older than this call, or a change meanwhile would go unnoticed.
    """
    key = cache_key(path, "", FORMAT)
    entry = responses.get(key, SUFFIX)
    if entry is not None and entry.fingerprints == tuple(fingerprints):
        return from_dict(json.loads(entry.answer))
    from acr_credential_provider.settings.loader import load as validated  # noqa: PLC0415 - loads pydantic

    settings = validated(path)
    _store(responses, key, json.dumps(to_dict(settings), separators=(",", ":")), fingerprints)
    return settings


def _store(responses: ResponseCache, key: str, text: str, fingerprints: Sequence[str]) -> None:
    entry = CacheEntry(
        key=key,
        kind=SUFFIX,
        scope="",
        refresh_at=FOREVER,
        expires_at=FOREVER,
        fingerprints=fingerprints,
        answer=text,
    )
    try:
        responses.put(entry, SUFFIX)
    except (OSError, ValueError):  # full, read-only, not ours: the next miss validates again
        return
