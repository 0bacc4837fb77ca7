"""All that the controller watches, each kind in an informer of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

from acr_credential_provider.pull_secrets.model.decoding import Kind, namespaces, secrets, service_accounts
from acr_credential_provider.pull_secrets.model.names import TOKENS_NAME
from acr_credential_provider.pull_secrets.model.plan import Observed
from acr_credential_provider.pull_secrets.model.resources import CONFIG_MAPS, SECRETS

from .informer import Informer, Times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from acr_credential_provider.pull_secrets.model.objects import Namespace, Secret, ServiceAccount
    from acr_credential_provider.pull_secrets.model.resources import Resource

    from .client import KubeClient


class Data(msgspec.Struct, frozen=True, gc=False):
    """A ConfigMap or Secret of which the whole *data* matters, and of what is no text the keys alone (*hidden*)."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    data: dict[str, str]
    hidden: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.namespace, self.name


def _data(wire: Any) -> Data:
    meta = wire.metadata
    return Data(
        meta.namespace, meta.name, meta.uid, meta.resource_version, wire.data or {}, tuple(wire.binary_data or ())
    )


class ClusterCache:
    """The informers.

    *on_namespace*, *on_account* and *on_secret* are told each change, *on_news* any of the configuration or the shared
    tokens. *config_map* is a namespace and a name, or None where the settings are a file.
    """

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        api: KubeClient,
        *,
        own_namespace: str,
        config_map: tuple[str, str] | None,
        on_namespace: Callable[[Namespace], None],
        on_account: Callable[[ServiceAccount], None],
        on_secret: Callable[[Secret], None],
        on_change: Callable[[], None],
        times: Times = Times(),  # noqa: B008 - a value
    ) -> None:
        self._api = api
        self._times = times
        self._on_listed = on_change
        self._on_secret = on_secret
        self._lock = threading.Lock()
        self.namespaces = Informer(
            api, namespaces(), on_change=on_namespace, on_listed=self._on_listed, times=self._times
        )
        self.accounts = Informer(
            api, service_accounts(), on_change=on_account, on_listed=self._on_listed, times=self._times
        )
        self.shared = self._one(SECRETS, own_namespace, TOKENS_NAME, on_change)
        self.config_map = self._one(CONFIG_MAPS, *config_map, on_change) if config_map else None
        self._secrets: dict[str, Informer[Secret]] = {}

    def _one(self, resource: Resource, namespace: str, name: str, on_news: Callable[[], None]) -> Informer[Data]:
        selector = {"fieldSelector": f"metadata.name={name}"}
        kind = Kind(resource.plural, resource.path(namespace), _data, selector)
        return Informer(self._api, kind, on_change=lambda _: on_news(), on_listed=self._on_listed, times=self._times)

    def start(self) -> None:
        """Begin to watch all but the Secrets of namespaces, whose names the settings have."""
        for each in (self.namespaces, self.accounts, self.shared, self.config_map):
            if each is not None:
                each.start()

    def load(self, names: Iterable[str]) -> None:
        """List everything once, the Secrets with these *names* included; raise `ClusterError`."""
        for each in (self.namespaces, self.accounts):
            each.load()
        for name in names:
            self._secrets[name] = Informer(
                self._api, secrets(name), on_change=self._on_secret, on_listed=self._on_listed, times=self._times
            )
            self._secrets[name].load()

    def stop(self) -> None:
        """End all of them."""
        with self._lock:
            everything = [self.namespaces, self.accounts, self.shared, self.config_map, *self._secrets.values()]
        for each in everything:
            if each is not None:
                each.stop()

    def watch_secrets(self, names: Iterable[str]) -> None:
        """Watch the Secrets with these *names*, and no others any more."""
        wanted = set(names)
        with self._lock:
            for name in wanted - set(self._secrets):
                self._secrets[name] = Informer(
                    self._api, secrets(name), on_change=self._on_secret, on_listed=self._on_listed, times=self._times
                )
                self._secrets[name].start()
            for name in set(self._secrets) - wanted:
                self._secrets.pop(name).stop()

    def secrets_named(self, name: str) -> Informer[Secret] | None:
        """Return the informer of the Secrets called *name*, if they are watched."""
        with self._lock:
            return self._secrets.get(name)

    def secrets_in_namespace(self, namespace: str) -> dict[str, Secret]:
        """Return the watched Secrets of *namespace* by name."""
        with self._lock:
            informers = dict(self._secrets)
        found = {name: each.get(namespace, name) for name, each in informers.items()}
        return {name: each for name, each in found.items() if each is not None}

    def is_synced(self) -> bool:
        """Say whether all that is watched was listed."""
        return all(each.synced.is_set() for each in self._secret_informers()) and (
            self.namespaces.synced.is_set() and self.accounts.synced.is_set()
        )

    def is_informed(self) -> bool:
        """Say whether it is known what the configuration and the shared tokens are."""
        return self.shared.synced.is_set() and (self.config_map is None or self.config_map.synced.is_set())

    def last_contact(self) -> float:
        """Return when the least recently heard of watch was heard of (monotonic clock)."""
        heard = [each.last_contact for each in self._secret_informers()]
        return min(self.namespaces.last_contact, self.accounts.last_contact, *heard)

    def _secret_informers(self) -> list[Informer[Secret]]:
        with self._lock:
            return list(self._secrets.values())

    def observed(self, namespace: str) -> Observed:
        """Return what is there of *namespace*."""
        return Observed(namespace, self.secrets_in_namespace(namespace), self.accounts.by_namespace(namespace))
