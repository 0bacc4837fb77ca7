"""The metrics at /metrics; docs/metrics.md explains each.

A registry of our own keeps out what libraries register. No label holds the name of a namespace or ServiceAccount: ten
thousand of them must not become ten thousand series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, exposition

from acr_credential_provider.model.connection_table import ClientFault
from acr_credential_provider.pull_secrets.model.telemetry import Telemetry
from acr_credential_provider.version import VERSION

from .http_server import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acr_credential_provider.pull_secrets.model.telemetry import TokenState

    from .http_server import Request

PREFIX = "acr_pull_secrets"
CONFIGURATIONS = ("loaded", "partial", "last_good", "absent")
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics(Telemetry):
    """All figures, and what counts them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"{PREFIX}_{name}", text, labels, registry=registry, buckets=_BUCKETS)

        Info(f"{PREFIX}_build", "Which version this is.", registry=registry).info({"version": VERSION})
        self._issued = gauge("token_issued_timestamp_seconds", "When the entry's token was got.", "entry")
        self._expiry = gauge("token_expiry_timestamp_seconds", "When it expires; 0: there is none.", "entry")
        self._entries: frozenset[str] = frozenset()
        self._renewals = counter("token_renewals", "Tokens fetched from ACR.", "entry")
        self._failures = counter("token_renewal_failures", "Tokens that could not be fetched.", "entry", "reason")
        self._configuration = gauge("configuration", "1 for the state of the configuration.", "state")
        self._problems = gauge("configuration_problems", "Problems of the configuration.")
        self._edits = counter(
            "configuration_edits",
            "Edits of the configuration, and how much of what worked they take away.",
            "outcome",
            "loss",
        )
        for outcome in ("taken", "refused"):
            for loss in ("none", "some", "all"):
                self._edits.labels(outcome, loss)
        self._writes = counter("writes", "Objects written, by outcome.", "kind", "verb", "outcome")
        self._calls = histogram("api_call_duration_seconds", "Calls of the API server.", "verb", "resource", "code")
        self._watch_restarts = counter(
            "watch_restarts", "Watches that ended and began anew, by reason.", "resource", "reason"
        )
        self._managed = gauge("managed_objects", "Objects that carry what is ours.", "kind")
        self._queue = gauge("workqueue_depth", "Namespaces that wait for work.")
        self._leader = gauge("leader_election_master_status", "1 in the replica that writes.")
        self._events = counter("events", "Events, by what became of them.", "outcome")
        self._admissions = counter("admissions", "Admission reviews of ServiceAccounts.", "outcome")
        self._admission = histogram("admission_duration_seconds", "How long the webhook took to answer.")
        self._client_faults = counter("client_faults", "What clients of its servers did wrong.", "reason")
        for fault in ClientFault:
            self._client_faults.labels(fault)
        self._configured = gauge("webhook_configured", "1 while the API server is configured to ask the webhook.")
        self._policy = gauge("admission_policy_in_force", "1 while the API server adds the entry by our policy.")
        self._certificate_expiry = gauge(
            "serving_certificate_expiry_timestamp_seconds", "When it expires.", "certificate"
        )

    async def answer(self, _request: Request) -> Answer:
        """Answer a scrape, in the text format that every scraper reads."""
        return Answer(200, exposition.generate_latest(self.registry), exposition.CONTENT_TYPE_LATEST)

    def configuration(self, outcome: str, *, problems: int) -> None:
        """Set the state of the configuration: ``loaded``, ``partial``, ``last_good`` or ``absent``."""
        for state in CONFIGURATIONS:
            self._configuration.labels(state).set(state == outcome)
        self._problems.set(problems)

    def edited(self, outcome: str, loss: str) -> None:
        """Count an edit of the configuration: ``taken`` or ``refused``, and how much it takes away (`Loss.extent`)."""
        self._edits.labels(outcome, loss).inc()

    def tokens(self, states: Sequence[TokenState]) -> None:
        """Set the times of each entry's token; entries that are not among *states* any more go."""
        for state in states:
            self._renewals.labels(state.entry)  # a counter that is not there yet cannot be alerted on
            self._expiry.labels(state.entry).set(state.expires_at)
            if state.expires_at:
                self._issued.labels(state.entry).set(state.issued_at)
        entries = frozenset(state.entry for state in states)
        for entry in self._entries - entries:
            self._expiry.remove(entry)
            self._issued.remove(entry)
        self._entries = entries

    def renewed(self, entry: str) -> None:
        """Count a token that was fetched."""
        self._renewals.labels(entry).inc()

    def renewal_failed(self, entry: str, reason: str) -> None:
        """Count a token that was not; *reason* is the name of the error's class."""
        self._failures.labels(entry, reason).inc()

    def wrote(self, kind: str, verb: str, outcome: str) -> None:
        """Count a write: *kind* Secret or ServiceAccount, *outcome* ``ok`` or a `kube.refusals.Cause`."""
        self._writes.labels(kind, verb, outcome).inc()

    def called(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Count a call of the API server; *code* is the HTTP status, or ``none`` if there was no answer."""
        self._calls.labels(verb, resource, code).observe(seconds)

    def watch_ended(self, resource: str, reason: str) -> None:
        """Count the end of a watch: ``timeout`` (regular), ``gone`` (410), ``idle_timeout`` or ``failed``."""
        self._watch_restarts.labels(resource, reason).inc()

    def managed(self, *, secrets: int, service_accounts: int) -> None:
        """Set how many objects have our content or entry."""
        self._managed.labels("Secret").set(secrets)
        self._managed.labels("ServiceAccount").set(service_accounts)

    def queue(self, depth: int) -> None:
        """Set how many namespaces wait for work."""
        self._queue.set(depth)

    def leading(self, is_leader: bool) -> None:
        """Set whether this replica is the one that writes."""
        self._leader.set(is_leader)

    def event_sent(self, outcome: str) -> None:
        """Count an Event: ``sent``, ``repeated`` (within five minutes), ``dropped`` (too many) or ``failed``."""
        self._events.labels(outcome).inc()

    def admitted(self, outcome: str, seconds: float) -> None:
        """Count an admission: ``patched``, ``unchanged``, ``skipped``, ``secret_pending`` or ``refused``."""
        self._admissions.labels(outcome).inc()
        self._admission.observe(seconds)

    def client_fault(self, fault: ClientFault) -> None:
        """Count what a client of our servers did wrong."""
        self._client_faults.labels(fault).inc()

    def webhook(self, is_configured: bool) -> None:
        """Set whether the API server is configured to ask the webhook."""
        self._configured.set(is_configured)

    def admission_policy(self, is_in_force: bool) -> None:
        """Set whether the API server's own policy adds the entry to new ServiceAccounts."""
        self._policy.set(is_in_force)

    def certificate(self, *, leaf: float, authority: float) -> None:
        """Set when the serving certificate and its authority expire, in seconds since the epoch."""
        self._certificate_expiry.labels("serving").set(leaf)
        self._certificate_expiry.labels("authority").set(authority)
