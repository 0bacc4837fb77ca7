"""Fetches tokens by the plugin's slow path, with a memory instead of a disk."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.cloud.transport import Transport
from acr_credential_provider.model.deadline import Deadline, Deadlines
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.sources.basic_auth import read_basic_auth
from acr_credential_provider.sources.secret_file import NOT_WRITTEN_BY_OTHERS
from acr_credential_provider.tokens.endpoints import CloudAccess
from acr_credential_provider.tokens.local_state import FailureCache, LocalState
from acr_credential_provider.tokens.token_service import TokenService

from .token_cache import Fetched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from acr_credential_provider.settings import ProviderSettings, Registry
    from acr_credential_provider.sources.basic_auth import BasicAuth

SECONDS = 30.0
"""For all calls that one entry's token needs."""


class Memory:
    """A `KeyValueStore` in memory: sessions of roles, lists of hosts and the region, between fetches."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._values: dict[str, tuple[dict[str, Any], float]] = {}

    def get(self, name: str, *, times: Sequence[str] = ()) -> dict[str, Any] | None:  # noqa: ARG002 - of a `KeyValueStore`
        """Return the valid value under *name*, or None."""
        with self._lock:
            value, until = self._values.get(name, ({}, 0.0))
            return dict(value) if self._clock() < until else None

    def put(self, name: str, value: dict[str, Any], *, until: float) -> None:
        """Keep *value* until *until*; drop expired ones."""
        with self._lock:
            now = self._clock()
            self._values = {key: kept for key, kept in self._values.items() if kept[1] > now}
            self._values[name] = dict(value), until


class TokenFetcher:
    """Asks the cloud. *folder* is for locks and cached failures, which hold no secret; it may be missing."""

    def __init__(
        self, folder: str, *, transport: Callable[..., Transport] = Transport, seconds: float = SECONDS
    ) -> None:
        self._folder = folder
        self._transport = transport
        self._seconds = seconds
        self._memory = Memory()

    def fetch(self, settings: ProviderSettings, registry: Registry, *, known: tuple[str, ...]) -> Fetched:
        """Return a new login of *registry*; raise `CredentialProviderError`.

        *known* are the hosts that ACR listed last time; they are used if it does not answer now.
        """
        cloud = self._cloud(settings)
        region = cloud.endpoints.region(registry)
        grant = cloud.grant(registry)
        if registry.domains or not registry.instance_id:
            return Fetched(grant, region, ())
        try:
            hosts = tuple(cloud.hosts(registry).names)
        except CredentialProviderError:
            if not known:
                raise
            hosts = known
        return Fetched(grant, region, hosts)

    @staticmethod
    def read_login(username_file: str, password_file: str) -> BasicAuth:
        """Return the user name and password in two files of a mounted Secret, which may be readable for a group."""
        return read_basic_auth(username_file, password_file, forbidden=NOT_WRITTEN_BY_OTHERS)

    def _cloud(self, settings: ProviderSettings) -> TokenService:
        cache, deadline = CacheFolder(self._folder), Deadline(self._seconds)
        state = LocalState(
            self._memory, cache.locks, FailureCache(cache.responses), "pull-secrets", forbidden=NOT_WRITTEN_BY_OTHERS
        )
        access = CloudAccess(Deadlines(deadline, deadline), transport=self._transport)
        return TokenService(settings, None, state, access)
