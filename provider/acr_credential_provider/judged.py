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

from .hit import question
from .memo import FOREVER, Memo, uptime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .memo import Memos
    from .settings import ProviderSettings

SUFFIX = "settings"


def load(path: str, *, memos: Memos, stamps: Sequence[str]) -> ProviderSettings:
    """Return the settings at *path* as plain values with the attributes of the model.

    *stamps* must have been taken before. Raises `ConfigurationError` as `settings.load`.
    """
    digest = question(path, "", SUFFIX)
    memo = memos.recall(digest, SUFFIX)
    text = memo.answer if memo is not None and memo.stamps == tuple(stamps) else None
    if text is None:
        from .settings import load as judge  # noqa: PLC0415 - what this module is there to spare

        text = judge(path).model_dump_json()
        _remember(memos, digest, text, stamps)
    return cast("ProviderSettings", json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields)))


def _remember(memos: Memos, digest: str, text: str, stamps: Sequence[str]) -> None:
    memo = Memo(
        digest=digest,
        kind=SUFFIX,
        host="",
        written=time.time(),
        uptime=uptime(),
        due=FOREVER,
        dead=FOREVER,
        longest=0.0,
        stamps=stamps,
        answer=text,
    )
    try:
        memos.remember(memo, SUFFIX)
    except (OSError, ValueError):  # full, read-only, not ours: the next miss judges again
        return
