"""Keeps in the cluster what gives new ServiceAccounts their entry: the admission policy's parameters, or the webhook.

Every replica runs one. Any of them may take a step with the webhook's certificates (the Secret's resourceVersion lets
one win). The MutatingWebhookConfiguration and the policy's parameters only the leader writes. Of the two, what is to go
goes after what is to come.
"""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from acr_credential_provider.files.memfd import memfd
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.model.owner_reference import is_owned
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecretProvider
from acr_credential_provider.pull_secrets.model.resources import SECRETS, WEBHOOKS

from . import registration, serving_certificates
from .admission_policy import NAME, AdmissionPolicy, parameters
from .serving_certificates import Certificates, Lifetimes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.release_owner import ReleaseOwner
    from acr_credential_provider.pull_secrets.model.owner_reference import Reference
    from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef, Telemetry
    from acr_credential_provider.settings.pull_secrets import Admission, PullSecrets

    from .registration import ServiceReference

LOG = logging.getLogger(__name__)
EVERY = 15.0
"""Seconds after which Secret and configuration are looked at again; jittered."""
_TICK = 0.5
_TRIES = 3


@dataclass(frozen=True, slots=True)
class WebhookTimes:
    """How long certificates are valid, and the seconds between two looks, jittered."""

    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    every: float = EVERY


class Replica(PullSecretProvider, Protocol):
    """The replica whose webhook this is."""

    owner: ReleaseOwner

    def about(self) -> ObjectRef:
        """Return the object by which operators configure the webhook."""

    def leads(self) -> bool:
        """True if this replica is the one that configures the API server."""

    def is_leaving(self) -> bool:
        """True if the release is being deleted: then any replica may take the configuration back."""

    def health_checks(self) -> Mapping[str, Callable[[], str]]:
        """Return checks of the replica's own loops, each "" while all is well."""


class WebhookReconciler:
    """One replica's part."""

    def __init__(
        self,
        api: KubeClient,
        replica: Replica,
        service: ServiceReference,
        telemetry: Telemetry,
        times: WebhookTimes = WebhookTimes(),
    ) -> None:
        self._api = api
        self._replica = replica
        self._service = service
        self._telemetry = telemetry
        self._policy = AdmissionPolicy(api, service.namespace)
        self._uses_webhook = True
        self._lifetimes = times.lifetimes
        self._every = times.every
        self._owner_seen: Reference | None = None
        self._context: ssl.SSLContext | None = None
        self._served: Certificates | None = None
        self._confirmed_at = float("-inf")
        self._warned: list[str] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # For the server and health.
    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context for new connections, None before there is a certificate."""
        return self._context

    def check(self) -> str:
        """Return why the webhook should not be asked here, "" if it may be (or is not configured)."""
        settings = self._replica.spec()
        if settings is None or settings.admission.mode in ("none", "policy") or not self._uses_webhook:
            return ""
        if self._context is None:
            return "no certificate yet"
        unseen = time.monotonic() - self._confirmed_at
        # Another replica may have changed the authority meanwhile, and soon it will no longer be trusted.
        return f"not confirmed for {unseen:.0f} s" if unseen > self._lifetimes.overlap / 2 else ""

    # The loop.
    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="webhook keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what is in the cluster stays, for the other replicas."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self) -> None:
        done: tuple[object, ...] | None = None
        due = 0.0
        while not self._stop.wait(_TICK):
            state = (
                self._spec(),
                self._replica.leads(),
                self._replica.owner.cached_reference(),
                self._replica.is_leaving(),
            )
            if state == done and time.monotonic() < due:
                continue
            try:
                self.reconcile_once()
                done = state
            except CredentialProviderError as error:
                LOG.warning("the webhook could not be kept", exc_info=error)
                self._report(error)
                done = state
            except Exception:  # whatever it was, the next round is soon
                LOG.exception("the webhook could not be kept")
                done = state
            due = time.monotonic() + self._every * random.uniform(0.8, 1.2)  # noqa: S311 - keeps replicas apart

    def _spec(self) -> PullSecrets | None:
        return self._replica.spec() if self._replica.is_ready() else None

    def reconcile_once(self) -> None:
        """Look once, and do what is to be done; raise `ClusterError`."""
        for attempt in range(_TRIES):
            try:
                self._look()
            except ClusterError as error:
                # Another replica was quicker: look again, at what it wrote.
                if not error.is_conflict or attempt == _TRIES - 1:
                    raise
            else:
                return

    def _look(self) -> None:
        configuration = self._api.get(WEBHOOKS.path(name=registration.NAME))
        if configuration is None:
            self._replica.owner.mark_stale()  # it may have been collected, for its owner is gone
        self._replica.owner.checked_reference()
        settings = self._replica.spec()
        mode = settings.admission.mode if settings is not None else "none"
        has_policy = mode in ("auto", "policy") and self._policy.is_installed()
        is_by_policy = mode == "policy" or (mode == "auto" and has_policy)
        self._uses_webhook = mode != "none" and not is_by_policy
        # Before the settings are known nothing is taken away, unless the release goes.
        is_known = self._replica.is_ready() or self._replica.is_leaving()
        if settings is not None and is_by_policy:
            self._apply_policy(settings, has_policy=has_policy)
        if settings is not None and self._uses_webhook:
            certificates = self._certificates(configuration)
            self._serve(certificates)
            is_configured = self._register(settings, configuration, certificates)
            self._warn(settings.admission)
        else:
            is_configured = configuration is not None and not (is_known and self._withdraw(configuration))
        may_withdraw = is_known and (self._replica.leads() or self._replica.is_leaving())
        if may_withdraw and not is_by_policy and self._policy.withdraw():
            LOG.info("the admission policy's parameter was removed")
        self._telemetry.webhook(is_configured)
        self._telemetry.admission_policy(is_by_policy and has_policy)

    def _apply_policy(self, settings: PullSecrets, *, has_policy: bool) -> None:
        if not has_policy:
            self._telemetry.event(
                self._replica.about(),
                "AdmissionPolicyMissing",
                f"there is no MutatingAdmissionPolicy {NAME} of this release: new ServiceAccounts wait for the "
                "controller. Install it (Kubernetes 1.36 and newer; chart: pullSecrets.admissionPolicy.enabled), or "
                "set admission.mode to auto or webhook.",
            )
        elif self._replica.leads() and self._policy.write(parameters(settings), self._replica.owner.cached_reference()):
            LOG.info("the admission policy got its parameter")

    # The certificates.
    def _certificates(self, configuration: Mapping[str, Any] | None) -> Certificates:
        """Return the certificates to serve, after the step that is due."""
        collection = SECRETS.path(self._service.namespace)
        path = SECRETS.path(self._service.namespace, serving_certificates.SECRET)
        secret = self._api.get(path)
        now = self._api.now()
        version = str(secret["metadata"]["resourceVersion"]) if secret else ""
        present = Certificates.read(secret.get("data") or {}) if secret else None
        owner = self._replica.owner.cached_reference()
        if secret is None and owner != self._owner_seen and self._served is not None:
            # Collected with its owner, not deleted by anybody: other replicas still serve what it held.
            wanted = self._served
        elif present is None:
            wanted = serving_certificates.first(self._service.host, now=now, lives=self._lifetimes)
        else:
            is_trusted = present.next is not None and registration.trusts(configuration, present.next.certificate)
            wanted = serving_certificates.step(
                present, self._service.host, now=now, lives=self._lifetimes, is_next_trusted=is_trusted
            )
        if wanted is not present or (secret is not None and not is_owned(secret["metadata"], owner)):
            manifest = serving_certificates.manifest(self._service.namespace, wanted, version, owner)
            if version:
                self._api.replace(path, manifest)
            else:
                self._api.create(collection, manifest)
            LOG.info("the webhook's certificates changed", extra={"step": _step(present, wanted)})
        self._confirmed_at = time.monotonic()
        self._owner_seen = owner
        return wanted

    def _serve(self, certificates: Certificates) -> None:
        if self._served is None or certificates.serving != self._served.serving:
            self._context = context_of(certificates.serving)
        self._served = certificates
        self._telemetry.certificate(leaf=certificates.serving.expiry, authority=certificates.authority.expiry)

    # The configuration of the API server.
    def _register(self, settings: PullSecrets, present: dict[str, Any] | None, certificates: Certificates) -> bool:
        owner = self._replica.owner.cached_reference()
        wanted = registration.manifest(settings, self._service, certificates.trusted, owner=owner)
        if present is not None and not registration.is_ours(present):
            self._telemetry.event(
                self._replica.about(),
                "WebhookForeign",
                f"there is a MutatingWebhookConfiguration {registration.NAME} that is not ours: it was left "
                "as it is, and new ServiceAccounts wait for the controller. Delete it, if nobody needs it.",
            )
            return False
        if present is None or registration.differs(present, wanted):
            if not self._replica.leads():
                return present is not None
            if present is None:
                self._api.create(WEBHOOKS.path(), wanted)
            else:
                # The object as it was seen, so that what others wrote into its metadata stays.
                meta = present["metadata"]
                meta["labels"] = {**(meta.get("labels") or {}), **registration.OURS}
                meta |= {key: value for key, value in wanted["metadata"].items() if key == "ownerReferences"}
                body = {**wanted, "metadata": meta}
                self._api.replace(WEBHOOKS.path(name=registration.NAME), body)
            policy = settings.admission.failure_policy
            LOG.info("the API server was configured to ask the webhook", extra={"policy": policy})
        return True

    def _withdraw(self, configuration: Mapping[str, Any]) -> bool:
        """Take the configuration away; True if that was done."""
        may_withdraw = self._replica.leads()
        if self._replica.is_leaving():  # no replica may lead any more, and another release may have taken over
            may_withdraw = registration.leads_to(configuration, self._service)
        if not registration.is_ours(configuration) or not may_withdraw:
            return False
        path = WEBHOOKS.path(name=registration.NAME)
        self._api.delete(path, uid=str(configuration["metadata"].get("uid", "")))
        LOG.info("the API server was configured not to ask the webhook any more")
        return True

    def _report(self, error: CredentialProviderError) -> None:
        """Report a missing right, because that does not pass by itself."""
        if isinstance(error, ClusterError) and error.status == 403:
            self._telemetry.event(self._replica.about(), "WebhookRefused", f"{error.coded}. {error.remedy}")

    def _warn(self, admission: Admission) -> None:
        warnings = registration.warnings_about(admission)
        if warnings != self._warned and self._replica.leads():
            for warning in warnings:
                self._telemetry.event(self._replica.about(), "WebhookSettings", warning)
            self._warned = warnings


def context_of(pair: serving_certificates.KeyPair) -> ssl.SSLContext:
    """Return the TLS context that serves *pair*; the key is never in a file that has a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # each costs us more than the client
    context.set_alpn_protocols(["http/1.1"])
    with memfd(pair.certificate + pair.key) as path:
        context.load_cert_chain(path)
    return context


def _step(before: Certificates | None, after: Certificates) -> str:
    if before is None:
        return "first"
    if after.authority != before.authority:
        return "switch"
    if after.next != before.next:
        return "announce"
    return "retire" if after.previous != before.previous else "renew"
