"""The controller's view of the cluster: one informer for each kind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

from acr_credential_provider.pull_secrets.model.decoding import Kind, T, namespaces, secrets, service_accounts
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
    """A ConfigMap or Secret with its whole *data*, and the keys alone of what is not text (*hidden*)."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    data: dict[str, str]
    hidden: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


def _data(wire: Any) -> Data:
    meta = wire.metadata
    return Data(
        meta.namespace, meta.name, meta.uid, meta.resource_version, wire.data or {}, tuple(wire.binary_data or ())
    )


class ClusterListener:
    """Reacts to changes in the cluster. This one does nothing."""

    def on_namespace(self, namespace: Namespace) -> None:
        """React to a namespace that came, changed or went."""

    def on_account(self, account: ServiceAccount) -> None:
        """React to a ServiceAccount that came, changed or went."""

    def on_secret(self, secret: Secret) -> None:
        """React to a pull secret that came, changed or went."""

    def on_input(self) -> None:
        """React to a change of the configuration or the state Secret, and to every list that is complete."""


class ClusterCache:
    """The informers. *config_map* is a namespace and a name, None if the settings are a file."""

    def __init__(
        self,
        api: KubeClient,
        listener: ClusterListener,
        *,
        own_namespace: str,
        config_map: tuple[str, str] | None,
        times: Times = Times(),  # noqa: B008 - a value
    ) -> None:
        self._api = api
        self._times = times
        self._listener = listener
        self._lock = threading.Lock()
        self.namespaces = self._informer(namespaces(), listener.on_namespace)
        self.accounts = self._informer(service_accounts(), listener.on_account)
        self.state_secret = self._one(SECRETS, own_namespace, TOKENS_NAME)
        self.config_map = self._one(CONFIG_MAPS, *config_map) if config_map else None
        self._secrets: dict[str, Informer[Secret]] = {}
        self._needed: set[str] = set()

    def _informer(self, kind: Kind[T], on_change: Callable[[T], None]) -> Informer[T]:
        return Informer(self._api, kind, on_change=on_change, on_listed=self._listener.on_input, times=self._times)

    def _one(self, resource: Resource, namespace: str, name: str) -> Informer[Data]:
        selector = {"fieldSelector": f"metadata.name={name}"}
        kind = Kind(resource.plural, resource.path(namespace), _data, selector)
        return self._informer(kind, lambda _: self._listener.on_input())

    def start(self) -> None:
        """Begin to watch all but the Secrets of namespaces, whose names the settings have."""
        for informer in (self.namespaces, self.accounts, self.state_secret, self.config_map):
            if informer is not None:
                informer.start()

    def load(self, names: Iterable[str]) -> None:
        """List everything once, the Secrets with these *names* included; raise `ClusterError`."""
        self.namespaces.load()
        self.accounts.load()
        self.load_secrets(names)

    def load_secrets(self, names: Iterable[str]) -> None:
        """List the Secrets with these *names*; raise `ClusterError`."""
        for name in names:
            self._secrets[name] = self._secret_informer(name)
            self._secrets[name].load()

    def stop(self) -> None:
        """End all of them."""
        for informer in (self.namespaces, self.accounts, self.state_secret, self.config_map, *self._secret_informers()):
            if informer is not None:
                informer.stop()

    def watch_secrets(self, names: Iterable[str], *, retired: Iterable[str] = ()) -> None:
        """Watch the Secrets with these *names*, and no others any more.

        Those of *retired* names too, unless that is refused: the ClusterRole may have the present name alone.
        """
        needed = set(names)
        wanted = needed | set(retired)
        with self._lock:
            self._needed = needed
            for name in wanted - set(self._secrets):
                self._secrets[name] = self._secret_informer(name)
                self._secrets[name].start()
            for name in set(self._secrets) - wanted:
                self._secrets.pop(name).stop()

    def _secret_informer(self, name: str) -> Informer[Secret]:
        return self._informer(secrets(name), self._listener.on_secret)

    def secrets_named(self, name: str) -> Informer[Secret] | None:
        """Return the informer of the Secrets called *name*, if they are watched."""
        with self._lock:
            return self._secrets.get(name)

    def secrets_in_namespace(self, namespace: str) -> dict[str, Secret]:
        """Return the watched Secrets of *namespace* by name."""
        with self._lock:
            informers = dict(self._secrets)
        secrets = {name: informer.get(namespace, name) for name, informer in informers.items()}
        return {name: secret for name, secret in secrets.items() if secret is not None}

    def update_secret(self, secret: Secret) -> None:
        """Take in a Secret that a call of ours returned, before the watch tells of it."""
        informer = self.secrets_named(secret.name)
        if informer is not None:
            informer.update(secret)

    def forget_secret(self, namespace: str, name: str, uid: str) -> None:
        """Drop a Secret that a call of ours deleted, before the watch tells of it: nothing may refer to it any more."""
        informer = self.secrets_named(name)
        kept = informer.get(namespace, name) if informer is not None else None
        if informer is not None and kept is not None and kept.uid == uid:
            informer.forget(kept)

    def is_synced(self) -> bool:
        """True if all that is watched was listed, or is of a retired name and refused."""
        with self._lock:
            left = {name for name, informer in self._secrets.items() if not informer.synced.is_set()}
            waits = any(name in self._needed or not self._secrets[name].is_refused for name in left)
        return not waits and self.namespaces.synced.is_set() and self.accounts.synced.is_set()

    def listed_secrets(self) -> frozenset[str]:
        """Return the names of which all Secrets are known: of another one nothing can be said to be ours."""
        with self._lock:
            return frozenset(name for name, informer in self._secrets.items() if informer.synced.is_set())

    def has_inputs(self) -> bool:
        """True if the configuration and the state Secret were listed."""
        return self.state_secret.synced.is_set() and (self.config_map is None or self.config_map.synced.is_set())

    def _secret_informers(self) -> list[Informer[Secret]]:
        with self._lock:
            return list(self._secrets.values())

    def observed(self, namespace: str) -> Observed:
        """Return the observed state of *namespace*."""
        known = self.namespaces.get(namespace, namespace)
        uid = known.uid if known is not None else ""
        return Observed(namespace, self.secrets_in_namespace(namespace), self.accounts.by_namespace(namespace), uid)
