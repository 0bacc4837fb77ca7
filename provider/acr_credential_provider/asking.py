"""One request's way through the settings: to the registry that has the image, and to a token of it.

Tokens and lists of hosts are taken from what is kept, or asked for by whoever comes first.
"""

from __future__ import annotations

import math
import random
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .cloud.acr import AcrApi
from .cloud.credential import FixedCredential
from .cloud.personal import personal_token
from .coverage import Coverage, Hosts, cover
from .cpython import hexdigest
from .errors import CredentialProviderError, IdentityUnavailableError, RegistryRefusedError, RoleRefusedError
from .memo import stamp
from .notes import Notes
from .reach import DAY, Reach, called
from .sessions import Sessions
from .sources.choose import source_of
from .token import AuthorizationToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .cloud.credential import CloudCredential
    from .cloud.metadata import MetadataService
    from .cloud.sts import StsApi
    from .protocol import CredentialProviderRequest
    from .reach import Tools
    from .settings import ProviderSettings, Registry
    from .sources.interface import CredentialSource
    from .store import Keeper
    from .token import AuthorizationGrant

Answer = TypeVar("Answer")

HOUR = 3600.0
MOST_HOURS = 24
UNSURE = 300.0
"""Seconds for which "not covered" is believed when an endpoint list not yet known might say otherwise."""
BRIEF = 3.0
"""Seconds that a renewal may take while a living token is at hand."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a token of one registry is come by: who asks, where, and what this node has of it already.

    *endpoints* are base URLs in order of trial. *failure* is what went wrong a moment ago.
    """

    source: CredentialSource
    region: str
    endpoints: tuple[str, ...]
    kept: AuthorizationToken | None
    failure: CredentialProviderError | None


class Cloud:
    """One request's way through the settings and the cloud; without a *request* that of a process that goes on."""

    def __init__(
        self,
        settings: ProviderSettings,
        *,
        request: CredentialProviderRequest | None,
        store: Keeper,
        machine: str,
        tools: Tools,
    ) -> None:
        self._settings = settings
        self._request = request
        self._store = store
        self._machine = machine
        self._tools = tools
        self.reach = Reach(settings, store=store, machine=machine, tools=tools)
        self._sessions = Sessions(
            store=store,
            locks=tools.locks,
            memos=tools.memos,
            patience=tools.patience,
            machine=machine,
            stamps=(stamp(tools.settings_path),),
        )

    def coverage(self, where: str) -> Coverage:
        """Say which registry of the settings has the images at *where* (`hit.place`)."""
        return cover(
            where,
            self._settings,
            path=self._tools.settings_path,
            region_of=self.reach.region,
            known=self._known_hosts,
            ask=self._asked_hosts,
            unsure_until=time.time() + UNSURE,
        )

    def way(self, registry: Registry) -> Way:
        """Return how a token of *registry* is come by; only the node's region may have to be asked for."""
        _, name = self._asked("token", registry)
        region = self.reach.region(registry)
        return Way(
            source=self._source(registry),
            region=region,
            endpoints=self.reach.endpoints(registry, region),
            kept=self._kept_token(name),
            failure=self._notes(name).failure(),
        )

    def grant(self, registry: Registry) -> AuthorizationGrant:
        """Return a new login to *registry*, whatever is kept; for those who keep their tokens elsewhere."""
        _, name = self._asked("token", registry)
        with self._sessions:
            return self._remembering(name, lambda: self._grant(registry, math.inf))

    def hosts(self, registry: Registry) -> Hosts:
        """Return the hosts that ACR lists for *registry*, as it was told within the last day."""
        return self._asked_hosts(registry, 1)

    @contextmanager
    def token(self, registry: Registry) -> Iterator[tuple[AuthorizationToken, tuple[str, ...]]]:
        """Yield a living token of *registry* and the stamps of the files it depended on."""
        files, name = self._asked("token", registry)
        with self._tools.locks.hold(name, patience=self._tools.patience) as held, self._sessions:
            kept = self._kept_token(name)
            # Not held: another process is renewing it, and a living token is good enough meanwhile.
            if kept is not None and not (held and kept.is_due(time.time() + self._tools.ahead)):
                yield kept, files
                return
            try:
                fresh = self._fresh_token(registry, name, kept)
            except CredentialProviderError as error:
                error.stamps = files
                raise
            yield fresh, files
            if fresh is not kept:
                self._store.put(f"token/{name}", asdict(fresh), until=fresh.dead_at)

    def _notes(self, name: str) -> Notes:
        return Notes(self._tools.memos, digest=name, host="", stamps=(stamp(self._tools.settings_path),))

    def _kept_token(self, name: str) -> AuthorizationToken | None:
        kept = self._store.get(f"token/{name}", times=("due_at", "dead_at"))
        try:
            return AuthorizationToken(**kept) if kept else None
        except TypeError:  # another version's
            return None

    def _fresh_token(self, registry: Registry, name: str, kept: AuthorizationToken | None) -> AuthorizationToken:
        """Ask ACR; a failure is not this pull's as long as *kept* lives."""
        self._tools.say_stage(f"asking ACR for a token of {called(registry)}")
        seconds = self._tools.deadline.remaining() if kept is None else BRIEF
        try:
            return AuthorizationToken.from_grant(
                self._remembering(name, lambda: self._grant(registry, seconds)),
                now=time.time(),
                refresh_before=registry.refresh_before,
                jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
            )
        except CredentialProviderError:
            if kept is None:
                raise
            return kept

    def _known_hosts(self, registry: Registry) -> Hosts | None:
        """Return the hosts that ACR listed for *registry* within the last day, if this node ever asked."""
        _, name = self._asked("domains", registry)
        return self._kept_hosts(name)

    def _asked_hosts(self, registry: Registry, still_to_ask: int) -> Hosts:
        """Ask ACR for the hosts of *registry*, leaving time for as many others as are *still_to_ask*."""
        _, name = self._asked("domains", registry)
        with self._tools.locks.hold(name, patience=self._tools.patience), self._sessions:
            hosts = self._kept_hosts(name)
            if hosts is not None:
                return hosts
            self._tools.say_stage(f"asking ACR for the domains of {registry.instance_id}")
            seconds = self._tools.deadline.remaining() / still_to_ask
            names = self._remembering(name, lambda: self._api(registry, seconds).registry_domains(registry.instance_id))
            hosts = Hosts(names, time.time() + DAY * random.uniform(0.9, 1.0))  # noqa: S311 - spreads load
            self._store.put(f"domains/{name}", {"domains": list(names), "until": hosts.until}, until=hosts.until)
            return hosts

    def _kept_hosts(self, name: str) -> Hosts | None:
        kept = self._store.get(f"domains/{name}", times=("until",))
        return Hosts(kept["domains"], kept["until"]) if kept else None

    def _remembering(self, name: str, ask: Callable[[], Answer]) -> Answer:
        """Return what *ask* brings, or raise its failure: the one of a moment ago, or a new one that is remembered."""
        notes = self._notes(name)
        failure = notes.failure()
        if failure is not None:
            raise failure
        try:
            return ask()
        except CredentialProviderError as error:
            notes.keep_failure(error)
            if isinstance(error, RegistryRefusedError | RoleRefusedError):
                self._sessions.distrust()
            raise

    def _grant(self, registry: Registry, seconds: float) -> AuthorizationGrant:
        if registry.instance_id:
            return self._api(registry, seconds).authorization_token(registry.instance_id, hours=_hours(registry))
        return personal_token(**self._way_to_acr(registry, seconds))

    def _api(self, registry: Registry, seconds: float) -> AcrApi:
        return AcrApi(**self._way_to_acr(registry, seconds))

    def _way_to_acr(self, registry: Registry, seconds: float) -> dict[str, Any]:
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
        return source_of(
            registry.identity,
            registry.assume_role,
            cloud=_ForSources(self, registry, seconds),
            forbidden=self._tools.forbidden,
        )

    def keep(self, key: str, fetch: Callable[[], CloudCredential]) -> CloudCredential:
        """Return the session that is kept under *key*, or a new one."""
        return self._sessions.keep(key, fetch)

    def _asked(self, what: str, registry: Registry) -> tuple[tuple[str, ...], str]:
        """Return the stamps of the files that decide who asks, and the name of what is asked for.

        The name says who asks for what, on which machine. A request that must be refused is
        refused here, before any call.
        """
        source = self._source(registry)
        who = source.who(self._request)
        if who is None:
            raise _does_not_apply(registry)
        files = tuple(stamp(path) for path in source.files())
        region = registry.region or "own"
        asked_for = repr((registry.token_duration, registry.refresh_before, registry.endpoints.acr, registry.network))
        parts = (what, registry.instance_id, region, asked_for, who.key, self._machine, *files)
        return files, hexdigest("\n".join(parts))


@dataclass(frozen=True, slots=True)
class _ForSources:
    """The cloud as the sources of one registry see it."""

    cloud: Cloud
    registry: Registry
    seconds: float

    def metadata(self, *, allow_v1: bool) -> MetadataService:
        return self.cloud.reach.metadata(self.seconds, allow_v1=allow_v1)

    def sts(self, named: str = "") -> StsApi:
        return self.cloud.reach.sts(self.registry, named, self.seconds)

    def keep(self, key: str, fetch: Callable[[], CloudCredential]) -> CloudCredential:
        return self.cloud.keep(key, fetch)


def _does_not_apply(registry: Registry) -> IdentityUnavailableError:
    return IdentityUnavailableError(
        f"the identity of {called(registry)} ({registry.identity.kind}) does not apply to this request",
        remedy="Choose another identity for that registry in the settings.",
    )


def _hours(registry: Registry) -> int:
    """Return the life to ask for in hours; without a word on it that of the last session, in which it ends anyway."""
    session = registry.assume_role[-1] if registry.assume_role else registry.identity
    seconds = registry.token_duration or getattr(session, "session_duration", None) or HOUR
    return min(math.ceil(seconds / HOUR), MOST_HOURS)
