"""A pull's token service that sends nothing and keeps nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from acr_credential_provider.cache.file_locks import FileLocks
from acr_credential_provider.cache.token_store import TokenStore
from acr_credential_provider.cloud.transport import Transport
from acr_credential_provider.fastpath.response_cache import ResponseCache, file_fingerprint
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.tokens.acquire import MACHINE_ID
from acr_credential_provider.tokens.endpoints import Tools
from acr_credential_provider.tokens.token_service import TokenService

from .candidates import NOWHERE

if TYPE_CHECKING:
    from acr_credential_provider.cloud.transport import HttpRequest, HttpResponse
    from acr_credential_provider.model.protocol import CredentialProviderRequest
    from acr_credential_provider.settings import ProviderSettings


class WouldCallError(CredentialProviderError):
    """A pull would make the call that is named in `problem`."""


class NoNetworkTransport(Transport):
    """Sends nothing."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Raise `WouldCallError`, which names the call."""
        action = request.headers.get("x-acs-action", request.method)
        raise WouldCallError(f"{action} {request.url.split('?')[0]}", remedy="")


class ReadOnlyStore(TokenStore):
    """Reads what pulls have kept, and adds nothing to it."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder if os.path.exists(f"{folder}/cache.db") else NOWHERE)

    def put(self, name: str, value: dict[str, Any], *, until: float) -> None:
        """Keep nothing."""


def offline_token_service(
    settings: ProviderSettings,
    *,
    request: CredentialProviderRequest,
    store: ReadOnlyStore,
    settings_path: str,
    cache: str,
) -> TokenService:
    """Return the token service that a pull would use, short of its network."""
    tools = Tools(
        settings_path=settings_path,
        store_folder=f"{cache}/store",
        memos=ResponseCache(f"{cache}/memo"),
        locks=FileLocks(NOWHERE),
        deadline=Deadline(60.0),
        patience=Deadline(0.0),
        say_stage=str,
        transport=NoNetworkTransport,
    )
    return TokenService(settings, request=request, store=store, machine=file_fingerprint(MACHINE_ID), tools=tools)
