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
from typing import TYPE_CHECKING

from . import judged
from .cloud.acr import AcrApi, acr_endpoints
from .cloud.credential import FixedCredential
from .cloud.metadata import MetadataService
from .cloud.personal import personal_token
from .cloud.proxy import ProxySettings
from .cloud.transport import Transport
from .cpython import hexdigest
from .errors import (
    CloudUnreachableError,
    ConfigurationError,
    CredentialProviderError,
    IdentityUnavailableError,
    RegistryRefusedError,
    RoleRefusedError,
)
from .image import place_of
from .memo import FOREVER, LOGIN, NOT_COVERED, TOKEN, Memo, Memos, stamp, uptime
from .notes import Notes
from .registry import SYSTEM_NAMESPACES, EnterpriseHost, PersonalHost, SharedHost, recognise
from .roots import Roots
from .sessions import Sessions
from .sources.choose import source_of
from .sources.login import read_login
from .store import Store
from .token import AuthorizationToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .cloud.credential import CloudCredential
    from .cloud.sts import StsApi
    from .deadline import Deadline
    from .locks import Locks
    from .protocol import CredentialProviderRequest
    from .registry import AcrHost
    from .settings import ProviderSettings, Registry
    from .sources.interface import CredentialSource
    from .token import AuthorizationGrant
    from .watchdog import EndAfter

MACHINE_ID = "/etc/machine-id"
"""A cache that was cloned with the disk of another node is worth nothing: this file tells."""

HOUR = 3600.0
MOST_HOURS = 24
DAY = 86400.0
UNKNOWN_REGION_LIFE = 3600.0
"""Seconds after which a node whose metadata service did not answer is asked again."""
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
class Coverage:
    """The registry whose token is for a host, or None and how long that may be believed."""

    registry: Registry | None
    until: float = FOREVER


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
    """One request's way through the settings and the cloud."""

    def __init__(
        self,
        settings: ProviderSettings,
        *,
        request: CredentialProviderRequest,
        store: Store,
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
        """Say which registry of the settings has the images at *where* (`hit.place`).

        A registry with ``domains`` has those and no others. Of one without, the Personal
        Edition has the shared hosts of its region; for the Enterprise Edition ACR is asked,
        but only about hosts that look like it: a custom domain is known from the settings or
        from a list that an earlier pull brought.
        """
        if is_better_without_login(where):
            return Coverage(None)
        named, others = sort_out(where, self._settings.registries)
        if named is not None:
            return Coverage(named)
        host = where.partition("/")[0]
        return self._listed(host, recognise(host), others)

    def _listed(self, host: str, system: AcrHost | None, registries: list[Registry]) -> Coverage:
        """Say which of *registries*, all without domains, has *host*."""
        failures: list[CredentialProviderError] = []
        until = FOREVER
        for registry in registries:
            try:
                if not may_be(registry, system) or (system is not None and self._region(registry) != system.region):
                    continue
                if isinstance(system, SharedHost):
                    return Coverage(registry)
                enterprise = system if isinstance(system, EnterpriseHost) else None
                domains, known_until = self._domains(registry, may_ask=enterprise is not None)
            except CredentialProviderError as failure:
                failures.append(failure)
                continue
            if host in domains or (enterprise is not None and enterprise.listed_as in domains):
                return Coverage(registry)
            until = min(until, known_until)
        if failures:
            raise failures[0]
        self._raise_what_was_skipped()
        return Coverage(None, until)

    def _raise_what_was_skipped(self) -> None:
        """Raise the first thing that is wrong with the settings, if entries had to be left out of them."""
        skipped = getattr(self._settings, "skipped", ())
        if skipped:
            problem, remedy = skipped[0]
            raise ConfigurationError(f"{self._tools.settings_path}, {problem}", remedy=remedy)

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
            fresh = self._fresh_token(registry, name, kept)
            yield fresh, files
            if fresh is not kept:
                self._store.put(f"token/{name}", asdict(fresh), until=fresh.dead_at)

    def _notes(self, name: str) -> Notes:
        return Notes(self._tools.memos, digest=name, host="", stamps=(stamp(self._tools.settings_path),))

    def _kept_token(self, name: str) -> AuthorizationToken | None:
        kept = self._store.get(f"token/{name}")
        try:
            return AuthorizationToken(**kept) if kept else None
        except TypeError:  # another version's
            return None

    def _fresh_token(self, registry: Registry, name: str, kept: AuthorizationToken | None) -> AuthorizationToken:
        """Ask ACR; a failure is remembered, and is not this pull's as long as *kept* lives."""
        notes = self._notes(name)
        failure = notes.failure()
        if failure is None:
            self._tools.say_stage(f"asking ACR for a token of {called(registry)}")
            try:
                return AuthorizationToken.from_grant(
                    self._grant(registry, brief=kept is not None),
                    now=time.time(),
                    refresh_before=registry.refresh_before,
                    jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
                )
            except CredentialProviderError as error:
                failure = error
                notes.keep_failure(error)
                if isinstance(error, RegistryRefusedError | RoleRefusedError):
                    self._sessions.distrust()
        if kept is not None:
            return kept
        raise failure

    def _domains(self, registry: Registry, *, may_ask: bool) -> tuple[list[str], float]:
        """Return the hosts that ACR lists for *registry* and until when that is believed."""
        _, name = self._asked("domains", registry)
        with self._tools.locks.hold(name, patience=self._tools.patience), self._sessions:
            kept = self._store.get(f"domains/{name}")
            if kept is not None:
                return kept["domains"], kept["until"]
            if not may_ask:
                return [], time.time() + UNSURE
            self._tools.say_stage(f"asking ACR for the domains of {registry.instance_id}")
            domains = list(self._api(registry, brief=False).registry_domains(registry.instance_id))
            until = time.time() + DAY * random.uniform(0.9, 1.0)  # noqa: S311 - spreads load
            self._store.put(f"domains/{name}", {"domains": domains, "until": until}, until=until)
            return domains, until

    def _grant(self, registry: Registry, *, brief: bool) -> AuthorizationGrant:
        if registry.instance_id:
            return self._api(registry, brief=brief).authorization_token(registry.instance_id, hours=_hours(registry))
        region = self._region(registry)
        return personal_token(
            self.transport(BRIEF if brief else self._tools.deadline.remaining()),
            self._credential(registry, brief=brief),
            region=region,
            endpoints=self._endpoints(registry, region),
        )

    def _api(self, registry: Registry, *, brief: bool) -> AcrApi:
        region = self._region(registry)
        return AcrApi(
            self.transport(BRIEF if brief else self._tools.deadline.remaining()),
            self._credential(registry, brief=brief),
            region=region,
            endpoints=self._endpoints(registry, region),
        )

    def _credential(self, registry: Registry, *, brief: bool) -> FixedCredential:
        credential = self._source(registry, brief=brief).find(self._request)
        if credential is None:
            raise _does_not_apply(registry)
        return FixedCredential(credential)

    def _endpoints(self, registry: Registry, region: str) -> tuple[str, ...]:
        if registry.endpoints.acr:
            return (registry.endpoints.acr,)
        if registry.network == "vpc":
            return acr_endpoints(region, vpc_first=True)[:1]
        return acr_endpoints(region, vpc_first=registry.network == "auto" and self._node_region() == region)

    def _source(self, registry: Registry, *, brief: bool = False) -> CredentialSource:
        return source_of(registry.identity, registry.assume_role, cloud=_ForSources(self, registry, brief))

    def metadata(self, *, allow_v1: bool) -> MetadataService:
        """Return the metadata service."""
        transport = self.transport(self._tools.deadline.remaining())
        return MetadataService(transport, endpoint=self._settings.endpoints.metadata, allow_v1=allow_v1)

    def sts(self, registry: Registry, named: str, *, brief: bool) -> StsApi:
        """Return STS: where the settings say, else *named*, else the nearest."""
        from .cloud.sts import StsApi, sts_endpoints  # noqa: PLC0415 - for those alone who have roles to assume

        override = self._settings.endpoints.sts or named
        if override:
            endpoints: tuple[str, ...] = (override,)
        else:
            own = self._node_region()
            near = sts_endpoints(own or registry.region or "", vpc_first=bool(own) and registry.network != "public")
            endpoints = near[:1] if registry.network == "vpc" else near
        self._tools.say_stage(f"asking STS for a role's session for {called(registry)}")
        return StsApi(self.transport(BRIEF if brief else self._tools.deadline.remaining()), endpoints=endpoints)

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
        try:
            region, life = self.metadata(allow_v1=self._may_use_metadata_v1()).region_id(), DAY
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
        return files, hexdigest("\n".join((what, registry.instance_id, region, who.key, self._machine, *files)))


@dataclass(frozen=True, slots=True)
class _ForSources:
    """The cloud as the sources of one registry see it."""

    cloud: Cloud
    registry: Registry
    brief: bool

    def metadata(self, *, allow_v1: bool) -> MetadataService:
        return self.cloud.metadata(allow_v1=allow_v1)

    def sts(self, named: str = "") -> StsApi:
        return self.cloud.sts(self.registry, named, brief=self.brief)

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


def is_better_without_login(where: str) -> bool:
    """Say whether a login for *where* (`hit.place`), whichever it is, could only spoil the pull of a public image."""
    host, _, namespace = where.partition("/")
    return isinstance(recognise(host), SharedHost) and (not namespace or namespace in SYSTEM_NAMESPACES)


def sort_out(where: str, registries: Iterable[Registry]) -> tuple[Registry | None, list[Registry]]:
    """Return the registry whose settings name *where* (`hit.place`), if one does, and those that name no domains.

    The latter are none where no login can be of use.
    """
    if is_better_without_login(where):
        return None, []
    host, _, namespace = where.partition("/")
    is_shared = isinstance(recognise(host), SharedHost)
    candidates = [each for each in registries if not is_shared or _may_have(each, namespace)]
    # An entry that names the namespace goes before one that takes the rest.
    candidates.sort(key=lambda each: not each.namespaces)
    named = next((each for each in candidates if host in each.domains), None)
    return named, [each for each in candidates if not each.domains]


def may_be(registry: Registry, system: AcrHost | None) -> bool:
    """Say whether *registry*, which has no domains, may be behind a host of this form, in whichever region."""
    # Personal Edition's own domains are named in the settings or not covered; and each edition has its own form.
    return not isinstance(system, PersonalHost) and isinstance(system, SharedHost) != bool(registry.instance_id)


def _may_have(registry: Registry, namespace: str) -> bool:
    return not registry.namespaces or namespace in registry.namespaces


def called(registry: Registry) -> str:
    """Return what messages call *registry*."""
    return registry.instance_id or f"the Personal Edition in {registry.region or 'the region of this node'}"
