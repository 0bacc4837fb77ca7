"""A pull's token service that sends nothing and keeps nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from acr_credential_provider.cache.cache_folder import NOWHERE
from acr_credential_provider.cache.file_locks import FileLocks
from acr_credential_provider.cache.token_store import TokenStore
from acr_credential_provider.cloud.transport import Transport
from acr_credential_provider.fastpath.response_cache import file_fingerprint
from acr_credential_provider.model.deadline import Deadline, Deadlines
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.model.remedy import NONE
from acr_credential_provider.tokens.acquire import MACHINE_ID
from acr_credential_provider.tokens.endpoints import CloudAccess
from acr_credential_provider.tokens.local_state import FailureCache, LocalState
from acr_credential_provider.tokens.token_service import TokenService

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
        raise WouldCallError(f"{action} {request.url.split('?')[0]}", remedy=NONE)


class ReadOnlyStore(TokenStore):
    """Reads what pulls have kept, and adds nothing to it."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder if os.path.exists(f"{folder}/cache.db") else NOWHERE)

    def put(self, name: str, value: dict[str, Any], *, until: float) -> None:
        """Keep nothing."""


def offline_token_service(
    settings: ProviderSettings, request: CredentialProviderRequest, store: ReadOnlyStore, failures: FailureCache
) -> TokenService:
    """Return the token service of a pull, which reads *store* and *failures*, calls nothing and keeps nothing."""
    access = CloudAccess(Deadlines(Deadline(60.0), Deadline(0.0)), transport=NoNetworkTransport)
    state = LocalState(store, FileLocks(NOWHERE), failures, file_fingerprint(MACHINE_ID))
    return TokenService(settings, request, state, access)
