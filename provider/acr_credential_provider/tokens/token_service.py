"""One request's way through the settings: to the registry that has the image, and to a token of it.

Tokens and lists of hosts are taken from what is kept, or asked for by whoever comes first.
"""

from __future__ import annotations

import math
import random
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.cloud.acr import AcrApi
from acr_credential_provider.cloud.acr_personal_edition import personal_token
from acr_credential_provider.fastpath.cpython import hexdigest
from acr_credential_provider.fastpath.response_cache import file_fingerprint
from acr_credential_provider.model.authorization_token import AuthorizationToken
from acr_credential_provider.model.cloud_credential import FixedCredential
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import (
    CredentialProviderError,
    IdentityUnavailableError,
    RegistryRefusedError,
    RoleRefusedError,
)
from acr_credential_provider.settings.registry_matching import Hosts, Match, match
from acr_credential_provider.sources.factory import create_source

from .endpoints import DAY, EndpointResolver
from .sts_session_cache import StsSessionCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from acr_credential_provider.cache.token_store import KeyValueStore
    from acr_credential_provider.cloud.imds import Imds
    from acr_credential_provider.cloud.sts import StsApi
    from acr_credential_provider.model.authorization_token import AuthorizationGrant
    from acr_credential_provider.model.cloud_credential import CloudCredential
    from acr_credential_provider.model.protocol import CredentialProviderRequest
    from acr_credential_provider.settings import ProviderSettings, Registry
    from acr_credential_provider.sources.interface import CredentialSource

    from .endpoints import Tools

Answer = TypeVar("Answer")

HOUR = 3600.0
MOST_HOURS = 24
UNSURE = 300.0
"""Seconds for which "not covered" is believed when an endpoint list not yet known might say otherwise."""
BRIEF = 3.0
"""Seconds that a renewal may take while a living token is at hand."""


@dataclass(frozen=True, slots=True)
class TokenRoute:
    """How a token of one registry is come by: who asks, where, and what this node has of it already.

    *endpoints* are base URLs in order of trial. *failure* is what went wrong a moment ago.
    """

    source: CredentialSource
    region: str
    endpoints: tuple[str, ...]
    kept: AuthorizationToken | None
    failure: CredentialProviderError | None


class TokenService:
    """One request's way through the settings and the cloud; without a *request* that of a process that goes on."""

    def __init__(
        self,
        settings: ProviderSettings,
        *,
        request: CredentialProviderRequest | None,
        store: KeyValueStore,
        machine: str,
        tools: Tools,
    ) -> None:
        self._settings = settings
        self._request = request
        self._store = store
        self._machine = machine
        self._tools = tools
        self.reach = EndpointResolver(settings, store=store, machine=machine, tools=tools)
        self._sessions = StsSessionCache(
            store=store,
            locks=tools.locks,
            memos=tools.memos,
            patience=tools.patience,
            machine=machine,
            stamps=(file_fingerprint(tools.settings_path),),
        )

    def match(self, where: str) -> Match:
        """Say which registry of the settings has the images at *where* (`lookup.cache_scope`)."""
        return match(
            where,
            self._settings,
            path=self._tools.settings_path,
            region_of=self.reach.region,
            known=self._hosts_if_cached,
            ask=self._fetch_hosts,
            retry_after=time.time() + UNSURE,
        )

    def route(self, registry: Registry) -> TokenRoute:
        """Return how a token of *registry* is come by; only the node's region may have to be asked for."""
        _, name = self._cache_key("token", registry)
        region = self.reach.region(registry)
        return TokenRoute(
            source=self._source(registry),
            region=region,
            endpoints=self.reach.endpoints(registry, region),
            kept=self._cached_token(name),
            failure=self._notes(name).failure(),
        )

    def grant(self, registry: Registry) -> AuthorizationGrant:
        """Return a new login to *registry*, whatever is kept; for those who keep their tokens elsewhere."""
        _, name = self._cache_key("token", registry)
        with self._sessions:
            return self._with_failure_cache(name, lambda: self._grant(registry, math.inf))

    def hosts(self, registry: Registry) -> Hosts:
        """Return the hosts that ACR lists for *registry*, as it was told within the last day."""
        return self._fetch_hosts(registry, 1)

    @contextmanager
    def token(self, registry: Registry) -> Iterator[tuple[AuthorizationToken, tuple[str, ...]]]:
        """Yield a living token of *registry* and the stamps of the files it depended on."""
        files, name = self._cache_key("token", registry)
        with self._tools.locks.acquire(name, timeout=self._tools.patience) as held, self._sessions:
            kept = self._cached_token(name)
            # Not held: another process is renewing it, and a living token is good enough meanwhile.
            if kept is not None and not (held and kept.needs_refresh(time.time() + self._tools.ahead)):
                yield kept, files
                return
            try:
                fresh = self._fresh_token(registry, name, kept)
            except CredentialProviderError as error:
                error.depends_on = files
                raise
            yield fresh, files
            if fresh is not kept:
                self._store.put(f"token/{name}", fresh.to_dict(), until=fresh.expires_at)

    def _notes(self, name: str) -> CachedAnswer:
        return CachedAnswer(
            self._tools.memos, digest=name, host="", stamps=(file_fingerprint(self._tools.settings_path),)
        )

    def _cached_token(self, name: str) -> AuthorizationToken | None:
        kept = self._store.get(f"token/{name}", times=("due_at", "dead_at"))
        return AuthorizationToken.from_dict(kept) if kept else None

    def _fresh_token(self, registry: Registry, name: str, kept: AuthorizationToken | None) -> AuthorizationToken:
        """Ask ACR; a failure is not this pull's as long as *kept* lives."""
        self._tools.say_stage(f"asking ACR for a token of {display_name(registry)}")
        seconds = self._tools.deadline.remaining() if kept is None else BRIEF
        try:
            return AuthorizationToken.from_grant(
                self._with_failure_cache(name, lambda: self._grant(registry, seconds)),
                now=time.time(),
                refresh_before=registry.refresh_before,
                jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
            )
        except CredentialProviderError:
            if kept is None:
                raise
            return kept

    def _hosts_if_cached(self, registry: Registry) -> Hosts | None:
        """Return the hosts that ACR listed for *registry* within the last day, if this node ever asked."""
        _, name = self._cache_key("domains", registry)
        return self._cached_hosts(name)

    def _fetch_hosts(self, registry: Registry, remaining_registries: int) -> Hosts:
        """Ask ACR for the hosts of *registry*, leaving time for as many others as are *still_to_ask*."""
        _, name = self._cache_key("domains", registry)
        with self._tools.locks.acquire(name, timeout=self._tools.patience), self._sessions:
            hosts = self._cached_hosts(name)
            if hosts is not None:
                return hosts
            self._tools.say_stage(f"asking ACR for the domains of {registry.instance_id}")
            seconds = self._tools.deadline.remaining() / remaining_registries
            names = self._with_failure_cache(
                name, lambda: self._api(registry, seconds).registry_domains(registry.instance_id)
            )
            hosts = Hosts(names, time.time() + DAY * random.uniform(0.9, 1.0))  # noqa: S311 - spreads load
            self._store.put(f"domains/{name}", {"domains": list(names), "until": hosts.until}, until=hosts.until)
            return hosts

    def _cached_hosts(self, name: str) -> Hosts | None:
        kept = self._store.get(f"domains/{name}", times=("until",))
        return Hosts(kept["domains"], kept["until"]) if kept else None

    def _with_failure_cache(self, name: str, ask: Callable[[], Answer]) -> Answer:
        """Return what *ask* brings, or raise its failure: the one of a moment ago, or a new one that is remembered."""
        notes = self._notes(name)
        failure = notes.failure()
        if failure is not None:
            raise failure
        try:
            return ask()
        except CredentialProviderError as error:
            notes.put_failure(error)
            if isinstance(error, RegistryRefusedError | RoleRefusedError):
                self._sessions.invalidate()
            raise

    def _grant(self, registry: Registry, seconds: float) -> AuthorizationGrant:
        if registry.instance_id:
            return self._api(registry, seconds).authorization_token(registry.instance_id, hours=_hours(registry))
        return personal_token(**self._acr_call_options(registry, seconds))

    def _api(self, registry: Registry, seconds: float) -> AcrApi:
        return AcrApi(**self._acr_call_options(registry, seconds))

    def _acr_call_options(self, registry: Registry, seconds: float) -> dict[str, Any]:
        """Return what both editions' APIs are called with, for at most *seconds*."""
        region = self.reach.region(registry)
        credential = self._source(registry, seconds).find(self._request)
        if credential is None:
            raise _does_not_apply(registry)
        return {
            "transport": self.reach.transport(seconds),
            "credentials": FixedCredential(credential),
            "region": region,
            "endpoints": self.reach.endpoints(registry, region),
        }

    def _source(self, registry: Registry, seconds: float = math.inf) -> CredentialSource:
        return create_source(
            registry.identity,
            registry.assume_role,
            cloud=_ForSources(self, registry, seconds),
            forbidden=self._tools.forbidden,
        )

    def keep(self, key: str, fetch: Callable[[], CloudCredential]) -> CloudCredential:
        """Return the session that is kept under *key*, or a new one."""
        return self._sessions.get_or_fetch(key, fetch)

    def _cache_key(self, what: str, registry: Registry) -> tuple[tuple[str, ...], str]:
        """Return the stamps of the files that decide who asks, and the name of what is asked for.

        The name says who asks for what, on which machine. A request that must be refused is
        refused here, before any call.
        """
        source = self._source(registry)
        who = source.principal(self._request)
        if who is None:
            raise _does_not_apply(registry)
        files = tuple(file_fingerprint(path) for path in source.files())
        region = registry.region or "own"
        asked_for = repr((registry.token_duration, registry.refresh_before, registry.endpoints.acr, registry.network))
        parts = (what, registry.instance_id, region, asked_for, who.key, self._machine, *files)
        return files, hexdigest("\n".join(parts))


@dataclass(frozen=True, slots=True)
class _ForSources:
    """The cloud as the sources of one registry see it."""

    cloud: TokenService
    registry: Registry
    seconds: float

    def metadata(self, *, allow_v1: bool) -> Imds:
        return self.cloud.reach.metadata(self.seconds, allow_v1=allow_v1)

    def sts(self, named: str = "") -> StsApi:
        return self.cloud.reach.sts(self.registry, named, self.seconds)

    def keep(self, key: str, fetch: Callable[[], CloudCredential]) -> CloudCredential:
        return self.cloud.keep(key, fetch)


def _does_not_apply(registry: Registry) -> IdentityUnavailableError:
    return IdentityUnavailableError(
        f"the identity of {display_name(registry)} ({registry.identity.kind}) does not apply to this request",
        remedy="Choose another identity for that registry in the settings.",
    )


def _hours(registry: Registry) -> int:
    """Return the life to ask for in hours; without a word on it that of the last session, in which it ends anyway."""
    session = registry.assume_role[-1] if registry.assume_role else registry.identity
    seconds = registry.token_duration or getattr(session, "session_duration", None) or HOUR
    return min(math.ceil(seconds / HOUR), MOST_HOURS)
