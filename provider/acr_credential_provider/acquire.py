"""The slow path: settings, then an identity, then ACR, and a token comes out.

Everything third-party is behind this module; it is imported only once a process is
admitted to do heavy work.
"""

from __future__ import annotations

import json
import math
import random
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from . import judged
from .cloud.acr import AcrApi, acr_endpoints
from .cloud.credential import FixedCredential
from .cloud.metadata import MetadataService
from .cloud.personal import personal_token
from .cloud.proxy import ProxySettings
from .cloud.transport import Transport
from .coverage import Coverage, Hosts, cover
from .cpython import hexdigest
from .errors import (
    CloudUnreachableError,
    ConfigurationError,
    CredentialProviderError,
    DeadlineExceededError,
    IdentityUnavailableError,
    RegistryRefusedError,
    RoleRefusedError,
)
from .image import place_of
from .memo import FOREVER, LOGIN, NOT_COVERED, TOKEN, Memo, Memos, stamp, uptime
from .notes import Notes
from .roots import Roots
from .sessions import Sessions
from .sources.choose import source_of
from .sources.login import read_login
from .sources.private_file import FOR_OWNER_ALONE
from .store import Store
from .token import AuthorizationToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .cloud.credential import CloudCredential
    from .cloud.sts import StsApi
    from .deadline import Deadline
    from .locks import Locks
    from .protocol import CredentialProviderRequest
    from .settings import ProviderSettings, Registry
    from .sources.interface import CredentialSource
    from .store import Keeper
    from .token import AuthorizationGrant
    from .watchdog import EndAfter

Answer = TypeVar("Answer")

MACHINE_ID = "/etc/machine-id"
"""A cache that was cloned with the disk of another node is worth nothing: this file tells."""

HOUR = 3600.0
MOST_HOURS = 24
DAY = 86400.0
UNKNOWN_REGION_LIFE = 30.0
"""Seconds after which a metadata service that did not answer is asked again: it may have been a hiccup."""
UNSURE = 300.0
"""Seconds for which "not covered" is believed when an endpoint list not yet known might say otherwise."""


BRIEF = 3.0
"""Seconds that a renewal may take while a living token is at hand."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What the slow path works with; the command line puts it together.

    *deadline* is for the cloud, *patience* for other processes' work on the same token.
    A token that will be due in *ahead* seconds is renewed as if it were due now.
    *say_log_tag* is told what the system's log should know (`log.Log`), as far as it is known.
    *forbidden* are the permission bits that a file with a secret must not have.
    """

    settings_path: str
    store_folder: str
    memos: Memos
    locks: Locks
    deadline: Deadline
    patience: Deadline
    say_stage: Callable[[str], object]
    ahead: float = 0.0
    say_log_tag: Callable[[str], object] = str
    transport: Callable[..., Transport] = Transport
    forbidden: int = FOR_OWNER_ALONE


@contextmanager
def acquired(request: CredentialProviderRequest, *, digest: str, tools: Tools) -> Iterator[Memo]:
    """Yield the answer to *request*; what was learnt is stored when the context is left.

    Raises `CredentialProviderError`, and only before it yields.
    """
    # Stamps come before the reading: a file that changes meanwhile must make the memo untrue.
    stamps = [stamp(MACHINE_ID), stamp(tools.settings_path)]
    tools.say_stage(f"reading {tools.settings_path}")
    settings = judged.load(tools.settings_path, memos=tools.memos, stamps=stamps)
    tools.say_log_tag(settings.log)
    where = place_of(request.image)
    with Store(tools.store_folder) as store:
        cloud = Cloud(settings, request=request, store=store, machine=stamps[0], tools=tools)
        coverage = cloud.coverage(where)
        if coverage.registry is None:
            yield _memo(digest, where, settings, stamps, kind=NOT_COVERED, due=coverage.until, dead=coverage.until)
            return
        log_tag = _log_tag(settings, coverage.registry)
        tools.say_log_tag(log_tag)
        identity = coverage.registry.identity
        if identity.kind == "login":
            login = read_login(identity.username_file, identity.password_file)
            auth = _auth(where, login.username, login.password)
            yield _memo(digest, where, settings, stamps, kind=LOGIN, due=FOREVER, dead=FOREVER, auth=auth, log=log_tag)
            return
        with cloud.token(coverage.registry) as (token, files):
            yield _memo(
                digest,
                where,
                settings,
                stamps + list(files),
                kind=TOKEN,
                due=token.due_at,
                dead=token.dead_at,
                auth=_auth(where, token.username, token.password),
                log=log_tag,
            )


@contextmanager
def renewed(request: CredentialProviderRequest, *, digest: str, tools: Tools, watchdog: EndAfter) -> Iterator[Memo]:
    """Do the same under a *watchdog* that gives the living answer if this takes too long."""
    with watchdog, acquired(request, digest=digest, tools=tools) as memo:
        yield memo


def _auth(where: str, username: str, password: str) -> dict[str, dict[str, str]]:
    """Return the ``auth`` of an answer for *where*; a namespace ends in a slash, for the kubelet compares prefixes."""
    return {where + "/" if "/" in where else where: {"username": username, "password": password}}


def _memo(  # noqa: PLR0913 - the parts of an answer
    digest: str,
    where: str,
    settings: ProviderSettings,
    stamps: list[str],
    *,
    kind: str,
    due: float,
    dead: float,
    auth: dict[str, dict[str, str]] | None = None,
    log: str = "",
) -> Memo:
    return Memo(
        digest=digest,
        kind=kind,
        host=where,
        written=time.time(),
        uptime=uptime(),
        due=due,
        dead=dead,
        longest=settings.kubelet_cache,
        stamps=stamps,
        answer=json.dumps(auth or {}, separators=(",", ":")),
        log=log or settings.log,
    )


def _log_tag(settings: ProviderSettings, registry: Registry) -> str:
    """Return what the log is told of an answer: the level first, then which entry it came from."""
    return f"{settings.log} entry={registry.instance_id or 'personal'} source={registry.identity.kind}"


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
        self._sessions = Sessions(
            store=store,
            locks=tools.locks,
            memos=tools.memos,
            patience=tools.patience,
            machine=machine,
            stamps=(stamp(tools.settings_path),),
        )
        self.proxy = (
            ProxySettings(https_proxy=settings.proxy.https or "", no_proxy=settings.proxy.no_proxy)
            if settings.proxy
            else ProxySettings.from_environment()
        )

    def coverage(self, where: str) -> Coverage:
        """Say which registry of the settings has the images at *where* (`hit.place`)."""
        return cover(
            where,
            self._settings,
            path=self._tools.settings_path,
            region_of=self._region,
            known=self._known_hosts,
            ask=self._asked_hosts,
            unsure_until=time.time() + UNSURE,
        )

    def way(self, registry: Registry) -> Way:
        """Return how a token of *registry* is come by; only the node's region may have to be asked for."""
        _, name = self._asked("token", registry)
        region = self._region(registry)
        return Way(
            source=self._source(registry),
            region=region,
            endpoints=self._endpoints(registry, region),
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

    def region(self, registry: Registry) -> str:
        """Return the region of *registry*; raise `ConfigurationError` where neither settings nor node say it."""
        return self._region(registry)

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
        region = self._region(registry)
        credential = self._source(registry, seconds).find(self._request)
        if credential is None:
            raise _does_not_apply(registry)
        return {
            "transport": self.transport(seconds),
            "credentials": FixedCredential(credential),
            "region": region,
            "endpoints": self._endpoints(registry, region),
        }

    def _endpoints(self, registry: Registry, region: str) -> tuple[str, ...]:
        if registry.endpoints.acr:
            return (registry.endpoints.acr,)
        if registry.network == "vpc":
            return acr_endpoints(region, vpc_first=True)[:1]
        own = self._node_region() if registry.network == "auto" else ""
        if registry.network == "auto" and not own:  # it could not be found out: the VPC's may still be the only way
            return acr_endpoints(region, vpc_first=True)[::-1]
        return acr_endpoints(region, vpc_first=own == region)

    def _source(self, registry: Registry, seconds: float = math.inf) -> CredentialSource:
        return source_of(
            registry.identity,
            registry.assume_role,
            cloud=_ForSources(self, registry, seconds),
            forbidden=self._tools.forbidden,
        )

    def metadata(self, seconds: float, *, allow_v1: bool) -> MetadataService:
        """Return the metadata service, to be asked for at most *seconds*."""
        transport = self.transport(seconds)
        return MetadataService(transport, endpoint=self._settings.endpoints.metadata, allow_v1=allow_v1)

    def sts(self, registry: Registry, named: str, seconds: float) -> StsApi:
        """Return STS: where the settings say, else *named*, else the nearest; for at most *seconds*."""
        from .cloud.sts import StsApi, sts_endpoints  # noqa: PLC0415 - for those alone who have roles to assume

        override = self._settings.endpoints.sts or named
        if override:
            endpoints: tuple[str, ...] = (override,)
        else:
            own = self._node_region()
            near = sts_endpoints(own or registry.region or "", vpc_first=bool(own) and registry.network != "public")
            endpoints = near[:1] if registry.network == "vpc" else near
        self._tools.say_stage(f"asking STS for a role's session for {called(registry)}")
        return StsApi(self.transport(seconds), endpoints=endpoints)

    def keep(self, key: str, fetch: Callable[[], CloudCredential]) -> CloudCredential:
        """Return the session that is kept under *key*, or a new one."""
        return self._sessions.keep(key, fetch)

    def transport(self, seconds: float) -> Transport:
        """Return a way out that ends after *seconds*, with the proxy and the authorities of the settings."""
        return self._tools.transport(
            self._tools.deadline.within(seconds),
            proxy=self.proxy,
            ca_bundle=self._settings.ca_bundle,
            roots=partial(Roots, self._tools.memos),
        )

    def _region(self, registry: Registry) -> str:
        region = registry.region or self._node_region()
        if region:
            return region
        raise ConfigurationError(
            f"the settings name no region for {called(registry)}, nor does the metadata service",
            remedy="Add region: to that registry, for example region: cn-hangzhou.",
        )

    def _node_region(self) -> str:
        """Return the region of this node, "" where there is no metadata service."""
        name = f"region/{hexdigest(self._machine)}"
        kept = self._store.get(name)
        if kept is not None:
            return str(kept["region"])
        self._tools.say_stage("asking the metadata service for this node's region")
        metadata = self.metadata(math.inf, allow_v1=self._may_use_metadata_v1())
        try:
            region, life = metadata.region_id(), DAY
        except DeadlineExceededError:  # says something about us, nothing about the service
            return ""
        except (IdentityUnavailableError, CloudUnreachableError):
            region, life = "", UNKNOWN_REGION_LIFE
        self._store.put(name, {"region": region}, until=time.time() + life)
        return region

    def _may_use_metadata_v1(self) -> bool:
        return any(getattr(each.identity, "allow_metadata_v1", False) for each in self._settings.registries)

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
        return self.cloud.metadata(self.seconds, allow_v1=allow_v1)

    def sts(self, named: str = "") -> StsApi:
        return self.cloud.sts(self.registry, named, self.seconds)

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


def called(registry: Registry) -> str:
    """Return what messages call *registry*."""
    return registry.instance_id or f"the Personal Edition in {registry.region or 'the region of this node'}"
