"""Keeps tokens, configuration and names of Secrets the same in all replicas, through the state Secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.model.registry_names import entry_of

from .state_secret import ReplicaState

if TYPE_CHECKING:
    from acr_credential_provider.pull_secrets.config.manager import ConfigManager
    from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache
    from acr_credential_provider.settings import ProviderSettings

    from .state_secret import StateSecret
    from .token_cache import TokenCache


class StateReplication:
    """The leader pushes; every replica pulls what it watches, and a new leader what is there."""

    def __init__(self, secret: StateSecret, cluster: ClusterCache, tokens: TokenCache, config: ConfigManager) -> None:
        self.names: tuple[str, ...] = ()
        """Names of all Secrets that namespaces may have from us, the present one and those that it had before."""
        self._secret = secret
        self._cluster = cluster
        self._tokens = tokens
        self._config = config
        self._pulled = (-1, False, "")
        """Term, whether this replica led, and version at the last `pull`."""

    def pull(self, term: int, *, leads: bool) -> None:
        """Take in what another replica wrote; raise `ClusterError`.

        A leader reads it anew in each *term*, because the watch may not have the last leader's write yet. What it
        finds later in its term it wrote itself.
        """
        watched = next(iter(self._cluster.state_secret.all()), None)
        version = watched.resource_version if watched is not None else "none"
        if self._pulled == (term, leads, version):
            return
        is_own = leads and self._pulled[:2] == (term, True)
        state = self._secret.read() if leads else ReplicaState.decode(watched.data if watched is not None else None)
        if not is_own:
            self._tokens.merge(state.tokens)
            self.names = tuple(dict.fromkeys((*self.names, *state.names)))
            self._config.restore(state.configuration)
        self._pulled = (term, leads, version)

    def push(self, settings: ProviderSettings) -> None:
        """Write what this replica knows, for the others and the next leader; raise `ClusterError`."""
        self._tokens.forget(entry_of(registry) for registry in settings.registries)
        name = self._config.active.parsed.spec.secret_name
        self.names = tuple(dict.fromkeys((*self.names, name)))
        state = ReplicaState(self._tokens.encode(), self._config.active.text, self.names)
        try:
            self._secret.write(state)
        except ClusterError as error:
            # The active configuration must not wait for a copy; but a name that was not written would be left behind.
            if name not in self._secret.names():
                raise
            self._config.report("TokensNotShared", error)

    def forget_names(self, current: str) -> None:
        """Forget the names, except *current*, that no Secret of ours has any more."""
        if not self._cluster.is_synced():
            return
        for name in self.names:
            informer = self._cluster.secrets_named(name)
            if name == current or informer is None or not informer.synced.is_set():
                continue
            if not any(secret.is_ours for secret in informer.all()):
                self.names = tuple(kept for kept in self.names if kept != name)
