"""What an edit of the configuration takes away, and from whom: which logins, namespaces and ServiceAccounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.pull_secrets.model.namespace_requests import entries_for
from acr_credential_provider.pull_secrets.model.selection import selects_account
from acr_credential_provider.settings.edits import is_all_lost, lost_logins, some
from acr_credential_provider.settings.pull_secrets import PullSecrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from acr_credential_provider.pull_secrets.model.objects import Namespace, ServiceAccount
    from acr_credential_provider.settings import ProviderSettings, Registry


@dataclass(frozen=True, slots=True)
class InCluster:
    """Whom an edit concerns: all *namespaces*, and all *accounts*."""

    namespaces: Sequence[Namespace]
    accounts: Sequence[ServiceAccount]


@dataclass(frozen=True, slots=True)
class Loss:
    """What an edit takes away.

    *logins* that the settings have no more, by name, with the namespaces that have them. *namespaces* lose some or all
    of the others, *accounts* (``NAMESPACE/NAME``) the entry in their ``imagePullSecrets``. With *is_all* nothing is
    left of what there was. *unserved* says whom the settings mean none of any more: ``namespaces``,
    ``ServiceAccounts``, "" for neither.
    """

    logins: Mapping[str, tuple[str, ...]]
    namespaces: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    is_all: bool = False
    unserved: str = ""

    @property
    def extent(self) -> str:
        """How much it is: ``none``, ``some`` or ``all``."""
        return "all" if self.is_all else "some" if self.logins or self.namespaces or self.accounts else "none"

    def __str__(self) -> str:
        """Return it in words, "" for nothing."""
        return " and ".join(self._words())

    def _words(self) -> Iterator[str]:
        if self.logins:
            places = sorted({namespace for namespaces in self.logins.values() for namespace in namespaces})
            where = f" in {len(places)} namespaces ({some(places)})" if places else ""
            yield f"the logins of {some(tuple(self.logins))}{where}"
        if self.namespaces:
            yield f"the logins in {len(self.namespaces)} namespaces ({some(self.namespaces)})"
        if self.accounts:
            yield f"the entries of {len(self.accounts)} ServiceAccounts ({some(self.accounts)})"

    def lines(self) -> Iterator[str]:
        """Yield a line for each part of it."""
        for name, namespaces in self.logins.items():
            yield from (f"in {namespace}: the login of {name}" for namespace in namespaces)
            if not namespaces:
                yield f"the login of {name}, which no namespace has"
        yield from (f"in {namespace}: logins that the settings keep for others" for namespace in self.namespaces)
        yield from (f"in {space}: the entry of ServiceAccount {name}" for space, name in self._accounts())

    def _accounts(self) -> Iterator[Sequence[str]]:
        return (account.split("/", 1) for account in self.accounts)

    def to_dict(self) -> dict[str, Any]:
        """Return its JSON form."""
        logins = [{"name": name, "namespaces": list(namespaces)} for name, namespaces in self.logins.items()]
        more = {"namespaces": list(self.namespaces), "serviceAccounts": list(self.accounts)}
        return {"extent": self.extent, "logins": logins, **more}


NO_LOSS = Loss({})


def loss_of(before: ProviderSettings, after: ProviderSettings, cluster: InCluster | None) -> Loss:
    """Return what is taken away where *after* takes the place of *before*; *cluster* is None while it is unknown."""
    lost = lost_logins(before.registries, after.registries)
    is_all = is_all_lost(before.registries, after.registries)
    if cluster is None:
        return Loss(dict.fromkeys(lost, ()), is_all=is_all)
    had, has = _served(before, cluster.namespaces), _served(after, cluster.namespaces)
    logins: dict[str, list[str]] = {name: [] for name in lost}
    deprived = []
    for namespace, registries in had.items():
        gone = lost_logins(registries, has.get(namespace, ()))
        for name in gone:
            if name in logins:
                logins[name].append(namespace)
        if any(name not in logins for name in gone):
            deprived.append(namespace)
    is_all = is_all or (bool(had) and all(is_all_lost(had[name], has.get(name, ())) for name in had))
    had_entry, has_entry = _accounts(before, had, cluster.accounts), _accounts(after, has, cluster.accounts)
    accounts = had_entry - has_entry
    unserved = "namespaces" if had and not has else "ServiceAccounts" if had_entry and not has_entry else ""
    return Loss(
        {name: tuple(sorted(namespaces)) for name, namespaces in logins.items()},
        tuple(sorted(deprived)),
        tuple(sorted(f"{namespace}/{name}" for namespace, name in accounts if namespace in has)),
        is_all=is_all or bool(unserved) or (bool(had_entry) and accounts == had_entry),
        unserved=unserved,
    )


def _served(settings: ProviderSettings, namespaces: Iterable[Namespace]) -> dict[str, tuple[Registry, ...]]:
    """Return the entries of each namespace that has any."""
    spec = settings.pull_secrets or PullSecrets()
    served = ((each, entries_for(each, spec, settings.registries)) for each in namespaces if not each.terminating)
    return {namespace.name: registries for namespace, registries in served if registries}


def _accounts(
    settings: ProviderSettings, served: Mapping[str, object], accounts: Iterable[ServiceAccount]
) -> set[tuple[str, str]]:
    """Return the ServiceAccounts that are to have the entry, of those in the namespaces that are *served*."""
    spec = settings.pull_secrets or PullSecrets()
    return {account.key for account in accounts if account.namespace in served and selects_account(spec, account)}
