"""What a replica knows together with the others: taken from the Secret that all watch, written there by who leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.model.names import TOKENS_NAME
from acr_credential_provider.pull_secrets.model.registry_names import entry_of

from .state_secret import ReplicaState, StateSecret

if TYPE_CHECKING:
    from acr_credential_provider.pull_secrets.config.manager import ConfigManager
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache
    from acr_credential_provider.pull_secrets.kube.release_owner import Owner
    from acr_credential_provider.settings import ProviderSettings

    from .token_cache import TokenCache


class StateReplication:
    """Keeps *tokens*, the configuration and the names of Secrets the same in all replicas."""

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        api: KubeClient,
        namespace: str,
        *,
        watched: ClusterCache,
        tokens: TokenCache,
        configured: ConfigManager,
        owner: Owner,
    ) -> None:
        self.names: tuple[str, ...] = ()
        """Names of all Secrets that namespaces may have from us, the present one and those that it had before."""
        self._namespace = namespace
        self._watched = watched
        self._tokens = tokens
        self._configured = configured
        self._secret = StateSecret(api, namespace, owner)
        self._pulled = (-1, False, "")
        """Term, whether this replica led, and version at the last `pull`."""

    def pull(self, term: int, *, leads: bool) -> None:
        """Take in what another replica shared, or the last leader left; raise `ClusterError`.

        It is read anew in each *term*: the watch may not have told yet what the last leader wrote.
        """
        secret = self._watched.shared.get(self._namespace, TOKENS_NAME)
        version = secret.resource_version if secret is not None else "none"
        if self._pulled == (term, leads, version):
            return
        is_own = leads and self._pulled[:2] == (term, True)
        state = self._secret.read() if leads else ReplicaState.decode(secret.data if secret is not None else None)
        if not is_own:
            self._tokens.merge(state.tokens)
            self.names = tuple(dict.fromkeys((*self.names, *state.names)))
            self._configured.restore(state.configuration)
        self._pulled = (term, leads, version)

    def push(self, settings: ProviderSettings) -> None:
        """Let the other replicas, and the next leader, have what this one knows; raise `ClusterError`."""
        self._tokens.forget(entry_of(each) for each in settings.registries)
        name = self._configured.in_force.judged.spec.secret_name
        self.names = tuple(dict.fromkeys((*self.names, name)))
        shared = ReplicaState(self._tokens.encode(), self._configured.in_force.text, self.names)
        try:
            self._secret.write(shared)
        except ClusterError as error:
            # What is in force here must not wait for a copy; but a name that nobody wrote down would be left behind.
            if name not in self._secret.names():
                raise
            self._configured.say("TokensNotShared", error)

    def forget_names(self, current: str) -> None:
        """Forget the names, but for the *current* one, that no Secret of ours has any more."""
        if not self._watched.is_synced():
            return
        for name in self.names:
            informer = self._watched.secrets_named(name)
            if name != current and informer is not None and not any(each.is_ours for each in informer.all()):
                self.names = tuple(each for each in self.names if each != name)
