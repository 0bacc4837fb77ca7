"""Which registry of the settings an image belongs to: decided here, from values alone.

What has to be asked for (a node's region, an instance's hosts) is handed in as functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.response_cache import FOREVER
from acr_credential_provider.model.acr_hosts import (
    SYSTEM_NAMESPACES,
    EnterpriseHost,
    PersonalHost,
    SharedHost,
    recognise,
)
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from acr_credential_provider.model.acr_hosts import AcrHost

    from . import ProviderSettings, Registry

    RegionOf = Callable[[Registry], str]
    KnownHosts = Callable[[Registry], "Hosts | None"]
    AskedHosts = Callable[[Registry, int], "Hosts"]


@dataclass(frozen=True, slots=True)
class Match:
    """The registry whose token is for a host, or None and how long (local time) that may be believed."""

    registry: Registry | None
    until: float = FOREVER


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts that ACR lists for an instance, and until when (local time) that is believed."""

    names: Sequence[str]
    until: float


def is_better_without_login(where: str) -> bool:
    """True if any login for the cache scope *where* could only spoil the pull of a public image."""
    host, _, namespace = where.partition("/")
    return isinstance(recognise(host), SharedHost) and (not namespace or namespace in SYSTEM_NAMESPACES)


def match(  # noqa: PLR0913 - what is asked, and the four ways to know more
    where: str,
    settings: ProviderSettings,
    *,
    path: str,
    region_of: RegionOf,
    known: KnownHosts,
    ask: AskedHosts,
    retry_after: float,
) -> Match:
    """Return which registry has the images at *where* (`lookup.cache_scope`).

    A registry with ``domains`` has those and no others. Of one without, the Personal Edition
    has the shared hosts of its region; for the Enterprise Edition ACR is asked (*ask*, told
    how many may have to be asked still), but only about hosts that look like it: a custom
    domain is known from the settings or from a list that an earlier pull brought (*known*).
    One registry's failure does not hide another's match. *path* is where the settings are,
    for the words of an error.
    """
    if is_better_without_login(where):
        return Match(None)
    host, _, namespace = where.partition("/")
    system = recognise(host)
    _refuse_doubt(host, system, settings, path)
    if isinstance(system, SharedHost):
        coverage = _shared(host, namespace, system, settings.registries, region_of)
    else:
        named = next((each for each in settings.registries if host in each.domains), None)
        if named is not None:
            return Match(named)
        failures: list[CredentialProviderError] = []
        others = _in_its_region(candidates(where, settings.registries), system, region_of, failures)
        coverage = _listed(host, system, others, known=known, ask=ask, unsure_until=retry_after, failures=failures)
        if coverage.registry is None and failures:
            raise failures[0]
    if coverage.registry is None:
        _raise_first(settings, path)  # an entry that could not be read may have had it
    return coverage


def candidates(where: str, registries: Sequence[Registry]) -> list[Registry]:
    """Return the registries that *where* may belong to, as far as the settings alone tell."""
    if is_better_without_login(where):
        return []
    host, _, namespace = where.partition("/")
    system = recognise(host)
    if isinstance(system, SharedHost):
        groups = _groups(host, namespace, system, registries)
        return next((group for group in groups if group), [])
    named = [each for each in registries if host in each.domains]
    return named[:1] or [each for each in registries if not each.domains and _may_be(each, system)]


def _shared(
    host: str, namespace: str, system: SharedHost, registries: Sequence[Registry], region_of: RegionOf
) -> Match:
    """Cover a host that accounts share: who names the namespace goes before who takes the rest."""
    for group in _groups(host, namespace, system, registries):
        mine = [each for each in group if each.domains or region_of(each) == system.region]
        if len(mine) > 1:
            raise ConfigurationError(
                f"two registries of the Personal Edition are for {host}/{namespace}",
                remedy="Keep one of them, or give each its namespaces.",
            )
        if mine:
            return Match(mine[0])
    return Match(None)


def _groups(host: str, namespace: str, system: SharedHost, registries: Sequence[Registry]) -> list[list[Registry]]:
    """Return who may have ``host/namespace``, by how well they name it: the namespace, the host, the region."""

    def may_have(registry: Registry) -> bool:
        if registry.domains:
            return host in registry.domains
        return not registry.instance_id and (registry.region or system.region) == system.region

    possible = [each for each in registries if may_have(each)]
    return [
        [each for each in possible if namespace in each.namespaces],
        [each for each in possible if not each.namespaces and each.domains],
        [each for each in possible if not each.namespaces and not each.domains],
    ]


def _in_its_region(
    registries: list[Registry], system: AcrHost | None, region_of: RegionOf, failures: list[CredentialProviderError]
) -> list[Registry]:
    found = []
    for registry in registries:
        try:
            if system is None or region_of(registry) == system.region:
                found.append(registry)
        except CredentialProviderError as failure:
            failures.append(failure)
    return found


def _listed(  # noqa: PLR0913 - see cover
    host: str,
    system: AcrHost | None,
    registries: list[Registry],
    *,
    known: KnownHosts,
    ask: AskedHosts,
    unsure_until: float,
    failures: list[CredentialProviderError],
) -> Match:
    """Cover a host by what ACR lists: first by the lists that are here, then by asking for the others."""
    names = {host, system.listed_as} if isinstance(system, EnterpriseHost) else {host}
    until, unknown = FOREVER, []
    for registry in registries:
        try:
            hosts = known(registry)
        except CredentialProviderError as failure:  # this request's identity can't even be named there
            failures.append(failure)
            continue
        if hosts is None:
            unknown.append(registry)
        elif names.intersection(hosts.names):
            return Match(registry)
        else:
            until = min(until, hosts.until)
    if unknown and not isinstance(system, EnterpriseHost):
        return Match(None, min(until, unsure_until))
    for position, registry in enumerate(unknown):
        try:
            hosts = ask(registry, len(unknown) - position)
        except CredentialProviderError as failure:
            failures.append(failure)
            continue
        if names.intersection(hosts.names):
            return Match(registry)
        until = min(until, hosts.until)
    return Match(None, until)


def _may_be(registry: Registry, system: AcrHost | None) -> bool:
    """Say whether *registry*, which has no domains, may be behind a host of this form, in whichever region."""
    # The new Personal Edition's domains are named in the settings or not covered.
    return bool(registry.instance_id) and not isinstance(system, PersonalHost)


def _refuse_doubt(host: str, system: AcrHost | None, settings: ProviderSettings, path: str) -> None:
    """Raise what is wrong with an entry that had to be left out, if *host* may have been its.

    Else another entry, and so another identity, would answer in its place.
    """
    is_doubtful = host in getattr(settings, "quarantined_hosts", ())
    if is_doubtful or (isinstance(system, SharedHost) and getattr(settings, "personal_quarantined", False)):
        _raise_first(settings, path)


def _raise_first(settings: ProviderSettings, path: str) -> None:
    skipped = getattr(settings, "skipped", ())
    if skipped:
        problem, remedy = skipped[0]
        raise ConfigurationError(f"{path}, {problem}", remedy=remedy)
