"""The controller: what it watches, what it decides, who writes. One thread decides, a few write, one elects.

Deciding is a round: the configuration, the tokens, what should be in the Secrets. A round never waits for the cloud
for longer than a few seconds; what comes later starts the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.pull_secrets.config.manager import ConfigManager
from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache
from acr_credential_provider.pull_secrets.kube.leader_election import LeaderElector
from acr_credential_provider.pull_secrets.kube.release_owner import Owner
from acr_credential_provider.pull_secrets.model.dockerconfigjson import has_logins
from acr_credential_provider.pull_secrets.model.names import LEASE_NAME
from acr_credential_provider.pull_secrets.model.namespace_requests import content_for
from acr_credential_provider.pull_secrets.model.objects import NOTHING, Namespace
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret
from acr_credential_provider.pull_secrets.model.selection import selects_account_named
from acr_credential_provider.pull_secrets.serving.health import Heartbeat
from acr_credential_provider.pull_secrets.tokens.replication import StateReplication
from acr_credential_provider.pull_secrets.tokens.token_cache import TokenCache
from acr_credential_provider.pull_secrets.tokens.token_renewer import TokenRenewer

from .desired_state_builder import DesiredStateBuilder
from .workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from acr_credential_provider.pull_secrets.config.options import Options
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.informer import Times
    from acr_credential_provider.pull_secrets.model.objects import Secret, ServiceAccount
    from acr_credential_provider.pull_secrets.model.owner_reference import Reference
    from acr_credential_provider.pull_secrets.model.reporter import ObjectRef, Reporter
    from acr_credential_provider.pull_secrets.tokens.token_renewer import Fetch
    from acr_credential_provider.settings import PullSecrets
    from acr_credential_provider.sources.basic_auth import BasicAuth

LOG = logging.getLogger(__name__)
MISSED = 1.0
"""Seconds between two looks for the ClusterRole while it is away."""
STALLED = 300.0
"""Seconds without a round after which this replica is to be restarted."""


class Controller:
    """One replica. It is the `PullSecretProvider` view that its webhook asks, whether it leads or not."""

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        api: KubeClient,
        options: Options,
        *,
        identity: str,
        fetch: Fetch,
        read_login: Callable[[str, str], BasicAuth],
        reporter: Reporter,
        times: Times,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._options = options
        self._reporter = reporter
        self._clock = clock
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._tokens = TokenCache(clock=clock)
        self.owner = Owner(api, options.owner, on_missed=self._wake.set)
        self._owner_seen: Reference | None = None
        self._resynced_at = float("-inf")
        self._term = 0
        """Counts how often it was told that it leads or does so no more."""
        self._clear_term = -1
        """The term in which it made sure of what should be and of who else is at work; it writes in no other."""
        self._was_round = False
        self.pulse = Heartbeat(STALLED)
        duration, deadline, retry = options.lease
        self.leader = LeaderElector(
            api,
            namespace=options.namespace,
            name=LEASE_NAME,
            identity=identity,
            on_change=self._on_leadership,
            duration=duration,
            deadline=deadline,
            retry=retry,
        )
        self.watched = ClusterCache(
            api,
            own_namespace=options.namespace,
            config_map=None if options.settings_file else options.config_map,
            on_namespace=self._on_namespace,
            on_account=self._on_account,
            on_secret=self._on_secret,
            on_change=self._wake.set,
            times=times,
        )
        self._configured = ConfigManager(
            api,
            config_map=options.config_map,
            path=options.settings_file,
            token_mode=options.token_mode,
            keys_directory=options.keys_directory,
            seen=lambda: self.watched.config_map.get(*options.config_map) if self.watched.config_map else None,
            namespaces=self.watched.namespaces.all,
            reporter=reporter,
        )
        self._sharing = StateReplication(
            api,
            options.namespace,
            watched=self.watched,
            tokens=self._tokens,
            configured=self._configured,
            owner=self.owner,
        )
        self._composer = DesiredStateBuilder(
            api,
            take_over=options.take_over,
            watched=self.watched,
            tokens=self._tokens,
            configured=self._configured,
            read_login=read_login,
            reporter=reporter,
        )
        self._renewal = TokenRenewer(
            self._tokens, fetch, reporter=reporter, say=self._configured.say, on_change=self._wake.set
        )
        self._workers = Workers(
            api,
            self.watched,
            may_write=self._may_write,
            snapshot=lambda: self._composer.snapshot,
            reporter=reporter,
            rate=options.writes_per_second,
            count=options.workers,
            owner=self.owner,
        )

    # What the command line calls.
    def about(self) -> ObjectRef:
        """Return the object that operators tell us by what to do."""
        return self._configured.about()

    def start(self) -> None:
        """Begin; returns at once."""
        self.watched.start()
        self._workers.start()
        self.leader.start()
        threading.Thread(target=self._run, name="rounds", daemon=True).start()

    def stop(self) -> None:
        """End soon: nothing new is begun, the Lease is given back."""
        self._stop.set()
        self._wake.set()
        self._workers.stop()
        self.leader.stop()
        self.watched.stop()

    # What the webhook asks.
    def pull_secret_for(
        self,
        namespace: str,
        service_account: str,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> PullSecret | None:
        """Return the Secret for *service_account*; see `PullSecretProvider`."""
        snapshot = self._composer.snapshot
        if snapshot is None or snapshot.is_blocked or self.is_leaving():
            return None
        # One that was made a moment ago is known by its name at least.
        seen = self.watched.namespaces.get(namespace, namespace) or Namespace(namespace)
        content = content_for(seen, snapshot.wanted, snapshot.everything, snapshot.entries)
        if content is None or seen.terminating or not has_logins(content.content):
            return None
        if selects_account_named(snapshot.wanted, service_account, labels or NOTHING, annotations or NOTHING):
            return PullSecret(snapshot.wanted.secret_name, content.content, self.owner.reference())
        return None

    def knows(self, namespace: str) -> bool:
        """Say whether *namespace* was heard of; see `PullSecretProvider`."""
        return self.watched.namespaces.get(namespace, namespace) is not None

    def wanted(self) -> PullSecrets | None:
        """Return the section of the settings in force; see `PullSecretProvider`."""
        if self._configured.in_force.settings is None or self.is_leaving():
            return None
        return self._configured.in_force.judged.spec

    def is_leaving(self) -> bool:
        """Return True if this release is being deleted, by its ClusterRole or by its namespace.

        Then nothing new is written, and the API server must ask the webhook no more: nobody will answer soon.
        """
        own = self.watched.namespaces.get(self._options.namespace, self._options.namespace)
        return self.owner.is_gone or (own is not None and own.terminating)

    def is_ready(self) -> bool:
        """Say whether this replica knows what it must; see `PullSecretProvider`."""
        if not self.watched.is_informed() or not self.watched.is_synced():
            return False
        return self._was_round

    # What the watches tell.
    def _on_namespace(self, namespace: Namespace) -> None:
        self._workers.enqueue(namespace.name, urgent=True)

    def _on_account(self, account: ServiceAccount) -> None:
        self._workers.enqueue(account.namespace, urgent=True)

    def _on_secret(self, secret: Secret) -> None:
        informer = self.watched.secrets_named(secret.name)
        if secret.is_ours and informer is not None and informer.get(*secret.key) is None:
            self.owner.doubt()  # it may have been collected, for its owner is gone
        self._workers.enqueue(secret.namespace)

    def _may_write(self) -> bool:
        return self._clear_term == self._term and self.leader.may_write() and not self.is_leaving()

    def _on_leadership(self, leads: bool) -> None:
        self._term += 1
        if not leads:
            self._workers.forget()
        self._wake.set()

    # Rounds.
    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self.pulse.beat()
            try:
                self.reconcile_once()
            except CredentialProviderError as error:  # the API server, most of all; the next round is soon
                self._configured.say("SyncFailed", error)
            except Exception:  # the next round may have it easier; without rounds all tokens would die
                LOG.exception("a round failed")
            self._wake.wait(self._pause())

    def _pause(self) -> float:
        settings = self._configured.in_force.settings
        until = self._tokens.next_due(settings) - self._clock() if settings is not None else self._options.tick
        return min(max(until, 0.2), MISSED if self.owner.is_missed else self._options.tick)

    def reconcile_once(self) -> None:
        """Decide once."""
        if not self.watched.is_informed() or not self.watched.namespaces.synced.is_set():
            self._wake_soon()
            return
        term = self._term
        self.owner.look()
        leads = self.leader.may_write() and not self.is_leaving()
        self._sharing.pull(term, leads=leads)
        self._configured.reload()
        settings = self._configured.in_force.settings
        if settings is None:
            self._was_round = True
            return
        self._tokens.set_expected(settings, self._configured.in_force.judged.keys)
        if leads:
            self._renewal.renew(settings)
            self._sharing.push(settings)
        self._reporter.tokens(self._tokens.states(settings))
        owner = None if self.is_leaving() else self.owner.reference()
        if self._composer.build(settings, self._sharing.names) or owner != self._owner_seen:
            self._workers.enqueue_all()
        self._owner_seen = owner
        self._resync(term if leads else -1)
        self._was_round = True

    def _wake_soon(self) -> None:
        self._stop.wait(0.1)
        self._wake.set()

    def _resync(self, term: int) -> None:
        """Look at everything again from time to time, and at the helper more often while there is one.

        *term* is the one in which this round led from its beginning, -1 for none: leadership may come and go amid it.
        """
        now = time.monotonic()
        snapshot = self._composer.snapshot
        if snapshot is None:
            return
        pause = self._options.tick if self._composer.is_waiting else self._options.resync
        if now >= self._resynced_at + pause or term not in (-1, self._clear_term):
            self._resynced_at = now
            self._composer.look_for_the_helper()
            self._sharing.forget_names(snapshot.wanted.secret_name)
            if term != -1:
                self._clear_term = term
            self._workers.enqueue_all()
        self._reporter.managed(**self._workers.managed(snapshot.wanted.secret_name))
