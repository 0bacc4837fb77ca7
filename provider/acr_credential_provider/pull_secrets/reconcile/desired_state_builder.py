"""Decides what should be in the cluster, from the configuration, the tokens, and who else is at work there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.model.content import Content
from acr_credential_provider.pull_secrets.model.desired_state import DesiredState
from acr_credential_provider.pull_secrets.model.names import HELPER, HELPER_SECRETS
from acr_credential_provider.pull_secrets.model.registry_names import display_name
from acr_credential_provider.pull_secrets.model.reporter import ObjectRef

from .conflicting_writers import helper_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from acr_credential_provider.pull_secrets.config.manager import ConfigManager
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache
    from acr_credential_provider.pull_secrets.model.reporter import Reporter
    from acr_credential_provider.pull_secrets.tokens.token_cache import TokenCache
    from acr_credential_provider.settings import ProviderSettings
    from acr_credential_provider.sources.basic_auth import BasicAuth


class DesiredStateBuilder:
    """Makes `snapshot`, None until there is one. With *take_over* a helper's entries are replaced once it is gone."""

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        api: KubeClient,
        *,
        take_over: bool,
        watched: ClusterCache,
        tokens: TokenCache,
        configured: ConfigManager,
        read_login: Callable[[str, str], BasicAuth],
        reporter: Reporter,
    ) -> None:
        self.snapshot: DesiredState | None = None
        self._was_looked_for = False
        self._api = api
        self._take_over = take_over
        self._watched = watched
        self._tokens = tokens
        self._configured = configured
        self._read_login = read_login
        self._reporter = reporter

    @property
    def is_waiting(self) -> bool:
        """Say whether a helper has to go before all can be done."""
        snapshot = self.snapshot
        return snapshot is not None and (snapshot.is_blocked or (self._take_over and not snapshot.replaced))

    def build(self, settings: ProviderSettings, names: Iterable[str]) -> bool:
        """Make the snapshot anew and say whether it changed; *names* are of all Secrets that may be ours."""
        wanted = self._configured.in_force.judged.spec
        failures: list[tuple[str, CredentialProviderError]] = []
        entries = self._tokens.entries(
            settings, read=self._read_login, on_failure=lambda each, error: failures.append((display_name(each), error))
        )
        for name, error in failures:
            self._configured.say("LoginUnreadable", error, name)
        before = self.snapshot
        try:
            everything = Content.of_entries(entries)
        except ConfigurationError as error:
            self._configured.say("PullSecretTooLarge", error)
            if before is None:
                return False
            everything = before.everything
        also = HELPER_SECRETS if self._take_over else ()
        self._watched.watch_secrets({wanted.secret_name, *names, *also})
        snapshot = DesiredState(
            wanted=wanted,
            everything=everything,
            entries=tuple(entries),
            retired=frozenset(names) - {wanted.secret_name},
            replaced=before.replaced if before is not None else frozenset(),
            is_blocked=before is not None and before.is_blocked,
        )
        self.snapshot = snapshot if before is not None else self._beside_the_helper(snapshot)
        return self.snapshot != before

    def look_for_the_helper(self) -> None:
        """Make the snapshot as it must be beside a helper, if there is one now."""
        if self.snapshot is not None:
            self.snapshot = self._beside_the_helper(self.snapshot)

    def _beside_the_helper(self, snapshot: DesiredState) -> DesiredState:
        try:
            runs = helper_runs(self._api)
        except ClusterError as error:
            self._configured.say("HelperUnknown", error)
            if self._was_looked_for:
                return snapshot
            # Who may not ask goes on, and is told; an answer that did not come is soon asked for again.
            return replace(snapshot, is_blocked=error.status != 403)
        self._was_looked_for = True
        if self._take_over:
            self._tokens.helper_runs(runs)
        if runs:
            what = "ours is added beside its entries" if self._take_over else "nothing is written"
            self._reporter.event(
                ObjectRef("Deployment", "kube-system", HELPER, api_version="apps/v1"),
                "HelperRunning",
                f"{HELPER} is at work in this cluster: {what} until it is gone. Uninstall it (ACK console: add-ons), "
                "or scale it to 0; start ours with --take-over to replace its entries without a gap.",
            )
        replaced = frozenset(HELPER_SECRETS) if self._take_over and not runs else frozenset[str]()
        return replace(snapshot, replaced=replaced, is_blocked=runs and not self._take_over)
