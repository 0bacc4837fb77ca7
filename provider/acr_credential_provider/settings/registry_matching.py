"""Which registry entry an image belongs to: decided from values alone.

What has to be fetched (a node's region, an instance's hosts) comes from a `Domains`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from acr_credential_provider.fastpath.response_cache import FOREVER
from acr_credential_provider.model.acr_hosts import (
    PUBLIC_NAMESPACES,
    SYSTEM_NAMESPACES,
    EnterpriseHost,
    PersonalHost,
    SharedHost,
    recognise,
)
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acr_credential_provider.model.acr_hosts import AcrHost

    from .runtime import ProviderSettings, Registry


@dataclass(frozen=True, slots=True)
class Match:
    """The registry entry for a scope, or None and how long (local time) that may be believed."""

    registry: Registry | None
    until: float = FOREVER


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts that ACR lists for an instance, and until when (local time) that is believed."""

    names: Sequence[str]
    until: float


class Domains(Protocol):
    """What can be found out about registry entries; all methods may raise `CredentialProviderError`."""

    def region_of(self, registry: Registry) -> str:
        """Return the region of *registry*, by default the node's."""

    def known(self, registry: Registry) -> Hosts | None:
        """Return the hosts that an earlier pull fetched; makes no call."""

    def ask(self, registry: Registry, remaining: int) -> Hosts:
        """Return the hosts that ACR lists; *remaining* registries, this one included, may have to be asked in turn."""


def is_better_without_login(scope: str) -> bool:
    """True if any login for the cache scope *scope* could only spoil the pull of a public image."""
    host, slash, namespace = scope.partition("/")
    return isinstance(recognise(host), SharedHost) and (not slash or namespace in SYSTEM_NAMESPACES)


def match(scope: str, settings: ProviderSettings, domains: Domains, *, path: str, retry_after: float) -> Match:
    """Return the registry entry that has the images in *scope* (`lookup.cache_scope`).

    An entry with ``domains`` has those and no others. Of one without, the Personal Edition
    has the shared hosts of its region; for the Enterprise Edition *domains* is asked, but a
    call is made only about hosts of ACR's own form: a custom domain is known from the settings
    or from a list that an earlier pull fetched, and is looked up again at *retry_after*.
    One entry's failure does not hide another's match. Errors name *path*, the settings file.

    The scope ``HOST/`` is a shared host as a whole, which a docker client asks for: it belongs to an entry only if no
    entry names namespaces there.
    """
    if is_better_without_login(scope):
        return Match(None)
    host, _, namespace = scope.partition("/")
    system = recognise(host)
    _refuse_quarantined(host, system, settings, path)
    if isinstance(system, SharedHost):
        found = _match_shared(host, namespace, system, settings.registries, domains)
    else:
        named = next((registry for registry in settings.registries if host in registry.domains), None)
        if named is not None:
            return Match(named)
        found = _HostSearch(host, system, domains).match(candidates(scope, settings.registries), retry_after)
    if found.registry is None:
        _raise_skipped(settings, path)  # an entry that could not be read may have had it
    return found


def candidates(scope: str, registries: Sequence[Registry]) -> list[Registry]:
    """Return the entries that *scope* may belong to, as far as the settings alone tell."""
    if is_better_without_login(scope):
        return []
    host, _, namespace = scope.partition("/")
    system = recognise(host)
    if isinstance(system, SharedHost):
        groups = _groups(host, namespace, system, registries)
        return next((group for group in groups if group), [])
    named = [registry for registry in registries if host in registry.domains]
    return named[:1] or [registry for registry in registries if not registry.domains and _may_have(registry, system)]


def _match_shared(
    host: str, namespace: str, system: SharedHost, registries: Sequence[Registry], domains: Domains
) -> Match:
    """Match a host that accounts share: an entry that names the namespace goes before one that takes the rest."""
    for group in _groups(host, namespace, system, registries):
        matching = [r for r in group if r.domains or domains.region_of(r) == system.region]
        if len({(registry.identity, registry.assume_role) for registry in matching}) > 1:
            raise ConfigurationError(
                f"two registries of the Personal Edition are for {host}/{namespace}",
                remedy=Remedy("SettingsContradiction", "Keep one of them, or give each its namespaces."),
            )
        if matching:
            return Match(matching[0])
    return Match(None)


def _groups(host: str, namespace: str, system: SharedHost, registries: Sequence[Registry]) -> list[list[Registry]]:
    """Return the entries that may have ``host/namespace``, by what they name: the namespace, the host, the region.

    There are none for the host as a whole (*namespace* is "") if one of them names namespaces.
    """

    def may_have(registry: Registry) -> bool:
        if registry.domains:
            return host in registry.domains
        return not registry.instance_id and (registry.region or system.region) == system.region

    possible = [registry for registry in registries if may_have(registry)]
    if not namespace and any(registry.namespaces for registry in possible):
        return []
    named = [registry for registry in possible if namespace in registry.namespaces]
    if namespace in PUBLIC_NAMESPACES:
        return [named]
    return [
        named,
        [registry for registry in possible if not registry.namespaces and registry.domains],
        [registry for registry in possible if not registry.namespaces and not registry.domains],
    ]


class _HostSearch:
    """The search for the instance that ACR lists *host* for."""

    def __init__(self, host: str, system: AcrHost | None, domains: Domains) -> None:
        self._system = system
        self._domains = domains
        self._names = {host, system.listed_as} if isinstance(system, EnterpriseHost) else {host}
        self._failures: list[CredentialProviderError] = []

    def match(self, registries: Sequence[Registry], retry_after: float) -> Match:
        """Return the match among *registries*: first by lists that are known, then by asking for the others."""
        until, unknown = FOREVER, []
        for registry in registries:
            try:
                if self._system is not None and self._domains.region_of(registry) != self._system.region:
                    continue
                hosts = self._domains.known(registry)
            except CredentialProviderError as failure:  # no region, or no such identity for this request
                self._failures.append(failure)
                continue
            if hosts is None:
                unknown.append(registry)
            elif self._names.intersection(hosts.names):
                return Match(registry)
            else:
                until = min(until, hosts.until)
        if not unknown or isinstance(self._system, EnterpriseHost):
            found = self._asked(unknown, until)
        else:
            found = Match(None, min(until, retry_after))
        if found.registry is None and self._failures:
            raise self._failures[0]
        return found

    def _asked(self, registries: Sequence[Registry], until: float) -> Match:
        for position, registry in enumerate(registries):
            try:
                hosts = self._domains.ask(registry, len(registries) - position)
            except CredentialProviderError as failure:
                self._failures.append(failure)
                continue
            if self._names.intersection(hosts.names):
                return Match(registry)
            until = min(until, hosts.until)
        return Match(None, until)


def _may_have(registry: Registry, system: AcrHost | None) -> bool:
    """True if *registry*, which has no domains, may have a host of this form, in whichever region."""
    # The new Personal Edition's domains are named in the settings or not matched.
    return bool(registry.instance_id) and not isinstance(system, PersonalHost)


def _refuse_quarantined(host: str, system: AcrHost | None, settings: ProviderSettings, path: str) -> None:
    """Raise the problem of a skipped entry if *host* may be its: no other identity must answer in its place."""
    if host in settings.quarantined_hosts or (isinstance(system, SharedHost) and settings.personal_quarantined):
        _raise_skipped(settings, path)


def _raise_skipped(settings: ProviderSettings, path: str) -> None:
    if settings.skipped:
        problem, remedy = settings.skipped[0]
        raise ConfigurationError(f"{path}, {problem}", remedy=remedy)
