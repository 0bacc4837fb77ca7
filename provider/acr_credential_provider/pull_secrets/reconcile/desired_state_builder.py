"""Builds the desired state from the configuration, the tokens, and who else writes pull secrets in the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.model.content import Content
from acr_credential_provider.pull_secrets.model.desired_state import DesiredState
from acr_credential_provider.pull_secrets.model.names import HELPER_SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from acr_credential_provider.model.errors import CredentialProviderError
    from acr_credential_provider.pull_secrets.config.manager import ConfigManager
    from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache
    from acr_credential_provider.pull_secrets.tokens.token_cache import TokenCache
    from acr_credential_provider.settings import ProviderSettings, Registry
    from acr_credential_provider.sources.basic_auth import BasicAuth

    from .conflicting_writers import HelperWatch


class DesiredStateBuilder:
    """Keeps `state`, None until there is one. *read_login* reads the two files of a ``basicAuth`` entry."""

    def __init__(
        self,
        cluster: ClusterCache,
        tokens: TokenCache,
        config: ConfigManager,
        helper: HelperWatch,
        read_login: Callable[[str, str], BasicAuth],
    ) -> None:
        self.state: DesiredState | None = None
        self._cluster = cluster
        self._tokens = tokens
        self._config = config
        self._helper = helper
        self._read_login = read_login

    @property
    def is_waiting(self) -> bool:
        """True if a helper has to go before all can be done."""
        state = self.state
        return state is not None and (state.is_blocked or (self._helper.take_over and not state.replaced))

    def build(self, settings: ProviderSettings, names: Iterable[str]) -> bool:
        """Build the state anew; True if it changed. *names* are those of all Secrets that may be ours."""
        spec = self._config.active.parsed.spec

        def on_failure(registry: Registry, error: CredentialProviderError) -> None:
            self._config.report("LoginUnreadable", error, display_name(registry))

        entries = self._tokens.entries(settings, read=self._read_login, on_failure=on_failure)
        before = self.state
        try:
            content = Content.of_entries(entries)
        except ConfigurationError as error:
            self._config.report("PullSecretTooLarge", error)
            if before is None:
                return False
            content = before.content
        needed = {spec.secret_name, *(HELPER_SECRETS if self._helper.take_over else ())}
        self._cluster.watch_secrets(needed, retired=names)
        state = DesiredState(
            spec=spec,
            content=content,
            entries=tuple(entries),
            retired=frozenset(names) - {spec.secret_name},
            replaced=before.replaced if before is not None else frozenset(),
            is_blocked=before is not None and before.is_blocked,
        )
        self.state = state if before is not None else self._helper.fit(state)
        return self.state != before

    def look_for_helper(self) -> None:
        """Fit the state to a helper that runs now, or is gone now."""
        if self.state is not None:
            self.state = self._helper.fit(self.state)
