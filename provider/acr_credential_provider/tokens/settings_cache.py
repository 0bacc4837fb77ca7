"""Settings that were judged once and have not changed since.

Judging takes pydantic and a YAML parser, half of what a miss computes. So the judged values
are remembered like an answer is: in a memo that is true as long as its file is. A change of
the file, of the version or of the node ends it.
"""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from acr_credential_provider.fastpath.lookup import cache_key
from acr_credential_provider.fastpath.response_cache import FOREVER, CacheEntry, uptime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acr_credential_provider.fastpath.response_cache import ResponseCache
    from acr_credential_provider.settings import ProviderSettings

SUFFIX = "settings"
FORMAT = "settings 2"
"""Part of the cache key: another format of the stored values is another entry."""


def load(path: str, *, memos: ResponseCache, stamps: Sequence[str]) -> ProviderSettings:
    """Return the settings at *path* as plain values with the attributes of the model.

    *stamps* must have been taken before. Raises `ConfigurationError` as `settings.load`.
    """
    digest = cache_key(path, "", FORMAT)
    memo = memos.get(digest, SUFFIX)
    text = memo.answer if memo is not None and memo.fingerprints == tuple(stamps) else None
    if text is None:
        from acr_credential_provider.settings import load as judge  # noqa: PLC0415 - what this module is there to spare

        text = judge(path).model_dump_json()
        _remember(memos, digest, text, stamps)
    return cast("ProviderSettings", json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields)))


def _remember(memos: ResponseCache, digest: str, text: str, stamps: Sequence[str]) -> None:
    memo = CacheEntry(
        digest=digest,
        kind=SUFFIX,
        host="",
        written=time.time(),
        uptime=uptime(),
        refresh_at=FOREVER,
        expires_at=FOREVER,
        max_cache_duration=0.0,
        fingerprints=stamps,
        answer=text,
    )
    try:
        memos.put(memo, SUFFIX)
    except (OSError, ValueError):  # full, read-only, not ours: the next miss judges again
        return
