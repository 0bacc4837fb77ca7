"""One pull in this process, the way `__main__` goes: the fast lane first, the slow side after it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from acr_credential_provider.acquire import acquired
from acr_credential_provider.deadline import Deadline
from acr_credential_provider.folders import prepare
from acr_credential_provider.hit import answer_from_memo, question
from acr_credential_provider.image import place_of
from acr_credential_provider.locks import Locks
from acr_credential_provider.memo import Memos, stamp
from acr_credential_provider.notes import Notes
from acr_credential_provider.protocol import CredentialProviderRequest
from acr_credential_provider.reach import Tools

if TYPE_CHECKING:
    from pathlib import Path


def ask(raw: bytes, settings: Path, cache: Path, *, seconds: float = 10.0) -> bytes:
    """Return the response to the request in *raw* within *seconds*; raise what the program would report."""
    hit = answer_from_memo(raw, {"--settings": str(settings), "--cache": str(cache)})
    if hit is not None:
        return hit
    request = CredentialProviderRequest.decode(raw)
    prepare(str(cache))
    host = place_of(request.image)
    digest = question(str(settings), host, request.asker)
    memos = Memos(f"{cache}/memo")
    tools = Tools(
        str(settings),
        f"{cache}/store",
        memos,
        Locks(f"{cache}/locks"),
        Deadline(seconds),
        Deadline(seconds / 2),
        lambda _: None,
    )
    with acquired(request, digest=digest, tools=tools) as memo:
        Notes(memos, digest=digest, host=host, stamps=(stamp(str(settings)),)).keep(memo)
        return memo.response(request.api_version, now=time.time())
