"""The controller: one thread decides, a few workers write, one thread elects.

To decide is a round: the configuration, the tokens, the desired state. A round never waits for the cloud for longer
than a few seconds; what comes later starts the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.pull_secrets.config.manager import ConfigManager
from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache, ClusterListener
from acr_credential_provider.pull_secrets.kube.leader_election import LeaderElector
from acr_credential_provider.pull_secrets.kube.release_owner import ReleaseOwner
from acr_credential_provider.pull_secrets.kube.workqueue import Priority
from acr_credential_provider.pull_secrets.model.dockerconfigjson import has_logins
from acr_credential_provider.pull_secrets.model.objects import NOTHING, Namespace
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret
from acr_credential_provider.pull_secrets.model.selection import selects_account_named
from acr_credential_provider.pull_secrets.serving.health import Heartbeat
from acr_credential_provider.pull_secrets.tokens.replication import StateReplication
from acr_credential_provider.pull_secrets.tokens.state_secret import StateSecret
from acr_credential_provider.pull_secrets.tokens.token_cache import TokenCache
from acr_credential_provider.pull_secrets.tokens.token_renewer import TokenRenewer

from .conflicting_writers import HelperWatch
from .desired_state_builder import DesiredStateBuilder
from .workers import Workers
from .write_gate import WriteGate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from acr_credential_provider.pull_secrets.config.options import Options
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.model.objects import Secret, ServiceAccount
    from acr_credential_provider.pull_secrets.model.owner_reference import Reference
    from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef
    from acr_credential_provider.pull_secrets.serving.health import Check
    from acr_credential_provider.pull_secrets.tokens.token_renewer import LoginSource
    from acr_credential_provider.settings.pull_secrets import PullSecrets

LOG = logging.getLogger(__name__)
MISSED = 1.0
"""Seconds between two looks for the ClusterRole while it is away."""
STALLED = 300.0
"""Seconds without a round after which this replica is to be restarted."""


class Controller(ClusterListener):
    """One replica. It is the `webhook.reconciler.Replica` that its webhook asks, whether it leads or not."""

    def __init__(
        self,
        api: KubeClient,
        options: Options,
        *,
        identity: str,
        source: LoginSource,
        clock: Callable[[], float] = time.time,
    ) -> None:
        config_map = None if options.settings_file else options.config_map
        self._options = options
        self._telemetry = api.telemetry
        self._clock = clock
        self._stop = threading.Event()
        self._wake = wake = threading.Event()
        self._pulse = Heartbeat(STALLED)
        self.owner = ReleaseOwner(api, options.owner, on_missed=wake.set)
        self.leader = LeaderElector(api, options.namespace, identity, options.lease)
        self._cluster = ClusterCache(
            api, self, own_namespace=options.namespace, config_map=config_map, times=options.watch
        )
        self._gate = WriteGate(self.leader, self.owner, self._cluster, options.namespace)
        self._config = ConfigManager(api, options, self._cluster)
        self._tokens = TokenCache(clock=clock)
        self._replication = StateReplication(
            StateSecret(api, options.namespace, self.owner), self._cluster, self._tokens, self._config
        )
        self._renewer = TokenRenewer(self._tokens, source, self._config, wake=wake)
        helper = HelperWatch(api, self._tokens, self._config, take_over=options.take_over)
        self._builder = DesiredStateBuilder(self._cluster, self._tokens, self._config, helper, source.read_login)
        self._workers = Workers(api, self._cluster, self._builder, self._gate, options)
        self._owner_seen: Reference | None = None
        self._resynced_at = float("-inf")
        self._has_synced_once = False

    # For the command line.
    def start(self) -> None:
        """Begin; returns at once."""
        self.leader.on_change = self._on_leadership
        self._cluster.start()
        self._workers.start()
        self.leader.start()
        threading.Thread(target=self._run, name="rounds", daemon=True).start()

    def stop(self) -> None:
        """End soon: nothing new is begun, the Lease is given back."""
        self._stop.set()
        self._wake.set()
        self._workers.stop()
        self.leader.stop()
        self._cluster.stop()

    # For the webhook.
    def about(self) -> ObjectRef:
        """Return the object by which operators configure this replica."""
        return self._config.about()

    def pull_secret_for(
        self,
        namespace: str,
        service_account: str,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> PullSecret | None:
        """Return the Secret for *service_account*; see `PullSecretProvider`."""
        state = self._builder.state
        if state is None or state.is_blocked or self.is_leaving():
            return None
        # One that was made a moment ago is known by its name at least.
        known = self._cluster.namespaces.get(namespace, namespace) or Namespace(namespace)
        content = state.content_for(known)
        if content is None or known.terminating or not has_logins(content.content):
            return None
        if selects_account_named(state.spec, service_account, labels or NOTHING, annotations or NOTHING):
            return PullSecret(state.spec.secret_name, content.content, self.owner.cached_reference())
        return None

    def knows(self, namespace: str) -> bool:
        """True if the watch has told of *namespace*; see `PullSecretProvider`."""
        return self._cluster.namespaces.get(namespace, namespace) is not None

    def has_secret(self, namespace: str, name: str) -> bool:
        """True if the watch shows it; see `PullSecretProvider`."""
        informer = self._cluster.secrets_named(name)
        return informer is not None and informer.get(namespace, name) is not None

    def spec(self) -> PullSecrets | None:
        """Return the active settings' section; see `PullSecretProvider`."""
        if self._config.active.settings is None or self.is_leaving():
            return None
        return self._config.active.parsed.spec

    def is_ready(self) -> bool:
        """True if this replica knows what it must; see `PullSecretProvider`."""
        return self._cluster.has_inputs() and self._cluster.is_synced() and self._has_synced_once

    def leads(self) -> bool:
        """True if this replica holds the Lease."""
        return self.leader.may_write()

    def is_leaving(self) -> bool:
        """True if this release is being deleted."""
        return self._gate.is_leaving()

    def health_checks(self) -> Mapping[str, Check]:
        """Return the checks that tell whether this replica's own loop turns."""
        return {"rounds": self._pulse.check}

    # For the watches.
    def on_namespace(self, namespace: Namespace) -> None:
        """Look at it soon."""
        self._workers.enqueue(namespace.name, Priority.NAMESPACE)

    def on_account(self, account: ServiceAccount) -> None:
        """Look at its namespace soon."""
        self._workers.enqueue_account(account.namespace)

    def on_secret(self, secret: Secret) -> None:
        """Look at its namespace; if it is gone, at its owner too, because it may have been collected."""
        informer = self._cluster.secrets_named(secret.name)
        if secret.is_ours and informer is not None and informer.get(*secret.key) is None:
            self.owner.mark_stale()
        self._workers.enqueue(secret.namespace, Priority.SECRET)

    def on_input(self) -> None:
        """Begin the next round."""
        self._wake.set()

    def _on_leadership(self, leads: bool) -> None:
        self._gate.begin_term()
        if not leads:
            self._workers.forget()
        self._wake.set()

    # Rounds.
    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self._pulse.beat()
            try:
                self.reconcile_once()
            except CredentialProviderError as error:  # the API server, most of all; the next round is soon
                self._config.report("SyncFailed", error)
            except Exception:  # the next round may have it easier; without rounds all tokens would expire
                LOG.exception("a round failed")
            self._wake.wait(self._pause())

    def _pause(self) -> float:
        settings = self._config.active.settings
        until = self._tokens.next_due(settings) - self._clock() if settings is not None else self._options.tick
        return min(max(until, 0.2), MISSED if self.owner.may_return else self._options.tick)

    def reconcile_once(self) -> None:
        """Decide once; raise `CredentialProviderError`."""
        if not self._cluster.has_inputs() or not self._cluster.namespaces.synced.is_set():
            self._stop.wait(0.1)
            self._wake.set()
            return
        term = self._gate.term
        self.owner.refresh()
        leads = self._gate.leads()
        self._replication.pull(term, leads=leads)
        self._config.reload()
        settings = self._config.active.settings
        if settings is None:
            self._has_synced_once = True
            return
        self._tokens.set_expected(settings, self._config.active.parsed.keys)
        if leads:
            self._renewer.renew(settings)
            self._replication.push(settings)
        self._telemetry.tokens(self._tokens.states(settings))
        owner = None if self.is_leaving() else self.owner.cached_reference()
        if self._builder.build(settings, self._replication.names) or owner != self._owner_seen:
            self._workers.enqueue_all()
        self._owner_seen = owner
        self._resync(term if leads else -1)
        self._has_synced_once = True

    def _resync(self, term: int) -> None:
        """Look at everything again from time to time, and at the helper more often while there is one.

        *term* is the one in which this round led from its beginning, -1 for none: leadership may change during it.
        """
        state = self._builder.state
        if state is None:
            return
        now = time.monotonic()
        pause = self._options.tick if self._builder.is_waiting else self._options.resync
        if now >= self._resynced_at + pause or (term != -1 and not self._gate.is_open_in(term)):
            self._resynced_at = now
            self._builder.look_for_helper()
            self._replication.forget_names(state.spec.secret_name)
            if term != -1:
                self._gate.open(term)
            self._workers.enqueue_all()
        self._telemetry.managed(**self._workers.managed(state.spec.secret_name))
