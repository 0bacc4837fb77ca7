"""Tokens of registries for one request: from the token store, else from ACR."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.model.authorization_token import AuthorizationToken
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.settings.registry_matching import match

from .domain_resolver import DomainResolver
from .endpoints import EndpointResolver, display_name
from .registry_client import RegistryClient
from .sts_session_cache import StsSessionCache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from acr_credential_provider.model.authorization_token import AuthorizationGrant
    from acr_credential_provider.model.protocol import CredentialProviderRequest
    from acr_credential_provider.settings import ProviderSettings, Registry
    from acr_credential_provider.settings.registry_matching import Hosts, Match
    from acr_credential_provider.sources.interface import CredentialSource
    from acr_credential_provider.sources.principal import Principal

    from .endpoints import CloudAccess
    from .local_state import LocalState

UNSURE = 300.0
"""Seconds for which "not covered" is believed when an endpoint list not yet known might say otherwise."""
BRIEF = 3.0
"""Seconds that a refresh may take while a valid token is at hand."""


@dataclass(frozen=True, slots=True)
class TokenRoute:
    """How to get a token of a registry: credential source, principal, endpoints, stored token.

    *endpoints* are base URLs in order of trial. *failure* is the cached one of the last seconds.
    """

    source: CredentialSource
    principal: Principal
    region: str
    endpoints: tuple[str, ...]
    stored: AuthorizationToken | None
    failure: CredentialProviderError | None


class TokenService:
    """Registries and tokens for *request* (None outside of a pull), by *settings*, with the *state* of this node."""

    def __init__(
        self,
        settings: ProviderSettings,
        request: CredentialProviderRequest | None,
        state: LocalState,
        access: CloudAccess,
    ) -> None:
        self._settings = settings
        self._request = request
        self._state = state
        self._access = access
        self._clients: dict[Registry, RegistryClient] = {}
        self._sessions = StsSessionCache(state, waiting=access.deadlines.waiting)
        self.endpoints = EndpointResolver(settings, state, access)
        self.domains = DomainResolver(
            self._client, endpoints=self.endpoints, sessions=self._sessions, state=state, access=access
        )

    def match(self, scope: str, *, settings_path: str) -> Match:
        """Return the registry of the images in *scope*; errors name *settings_path*."""
        retry_after = time.time() + UNSURE
        return match(scope, self._settings, self.domains, path=settings_path, retry_after=retry_after)

    def route(self, registry: Registry) -> TokenRoute:
        """Return how to get a token of *registry*; only the node's region may have to be asked for."""
        client = self._client(registry)
        region = self.endpoints.region(registry)
        name = client.key("token")
        return TokenRoute(
            source=client.source,
            principal=client.principal,
            region=region,
            endpoints=self.endpoints.acr(registry, region),
            stored=self._stored(name),
            failure=self._state.failures.get(name),
        )

    def grant(self, registry: Registry) -> AuthorizationGrant:
        """Return a new login to *registry*, whatever is stored; for callers that keep tokens elsewhere."""
        with self._sessions:
            return self._client(registry).grant()

    def hosts(self, registry: Registry) -> Hosts:
        """Return the hosts that ACR lists for *registry*, as of the last day."""
        return self.domains.ask(registry, 1)

    @contextmanager
    def token(self, registry: Registry, *, ahead: float = 0.0) -> Iterator[tuple[AuthorizationToken, tuple[str, ...]]]:
        """Yield a valid token of *registry* and the fingerprints of the files that it depends on.

        A token that is due within *ahead* seconds is refreshed as if it were due now. What is new is stored when the
        context is left.
        """
        client = self._client(registry)
        name = client.key("token")
        with self._state.locks.acquire(name, timeout=self._access.deadlines.waiting) as held, self._sessions:
            stored = self._stored(name)
            # Not held: another process is refreshing it, and a valid token is good enough meanwhile.
            if stored is not None and not (held and stored.needs_refresh(time.time() + ahead)):
                yield stored, client.fingerprints
                return
            try:
                fresh = self._fresh(client, stored)
            except CredentialProviderError as error:
                error.fingerprints = client.fingerprints
                raise
            yield fresh, client.fingerprints
            if fresh is not stored:
                self._state.store.put(f"token/{name}", fresh.to_dict(), until=fresh.expires_at)

    def _fresh(self, client: RegistryClient, stored: AuthorizationToken | None) -> AuthorizationToken:
        """Return a token from ACR; where that fails the *stored* one, as long as it is valid."""
        registry = client.registry
        self._access.progress.stage(f"asking ACR for a token of {display_name(registry)}")
        try:
            return AuthorizationToken.from_grant(
                client.grant(self._access.deadlines.cloud.remaining() if stored is None else BRIEF),
                now=time.time(),
                refresh_before=registry.refresh_before,
                jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
            )
        except CredentialProviderError:
            if stored is None:
                raise
            return stored

    def _stored(self, name: str) -> AuthorizationToken | None:
        stored = self._state.store.get(f"token/{name}", times=("due_at", "dead_at"))
        return AuthorizationToken.from_dict(stored) if stored else None

    def _client(self, registry: Registry) -> RegistryClient:
        if registry not in self._clients:
            self._clients[registry] = RegistryClient(
                registry, self._request, endpoints=self.endpoints, sessions=self._sessions, state=self._state
            )
        return self._clients[registry]
