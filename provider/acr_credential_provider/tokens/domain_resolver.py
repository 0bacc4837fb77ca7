"""The hosts that ACR lists for each instance: from the token store, else from ACR."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from acr_credential_provider.settings.registry_matching import Hosts

from .endpoints import DAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.settings import Registry

    from .endpoints import CloudAccess, EndpointResolver
    from .local_state import LocalState
    from .registry_client import RegistryClient
    from .sts_session_cache import StsSessionCache


class DomainResolver:
    """A `registry_matching.Domains`; *client_of* returns the client of a registry."""

    def __init__(
        self,
        client_of: Callable[[Registry], RegistryClient],
        *,
        endpoints: EndpointResolver,
        sessions: StsSessionCache,
        state: LocalState,
        access: CloudAccess,
    ) -> None:
        self._client_of = client_of
        self._sessions = sessions
        self._state = state
        self._access = access
        self.region_of = endpoints.region

    def known(self, registry: Registry) -> Hosts | None:
        """Return the hosts that ACR listed for *registry* within the last day, None if it was not asked."""
        return self._stored(self._client_of(registry).key("domains"))

    def ask(self, registry: Registry, remaining: int) -> Hosts:
        """Return the hosts of *registry*, from ACR if need be, with time left for *remaining* - 1 other registries."""
        client = self._client_of(registry)
        name = client.key("domains")
        with self._state.locks.acquire(name, timeout=self._access.deadlines.waiting), self._sessions:
            hosts = self._stored(name)
            if hosts is not None:
                return hosts
            self._access.progress.stage(f"asking ACR for the domains of {registry.instance_id}")
            names = client.domains(self._access.deadlines.cloud.remaining() / remaining)
            hosts = Hosts(names, time.time() + DAY * random.uniform(0.9, 1.0))  # noqa: S311 - spreads load
            stored = {"domains": list(names), "until": hosts.until}
            self._state.store.put(f"domains/{name}", stored, until=hosts.until)
            return hosts

    def _stored(self, name: str) -> Hosts | None:
        stored = self._state.store.get(f"domains/{name}", times=("until",))
        return Hosts(stored["domains"], stored["until"]) if stored else None
