"""Keeps what the webhook needs in the cluster: its certificate, and that the API server is told to ask it.

Every replica runs one. Any of them may take a step with the certificates (the Secret's
resourceVersion lets one win); what the API server is told only the leader writes.
"""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from acr_credential_provider.files.memfd import memfd
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.release_owner import Owner
from acr_credential_provider.pull_secrets.model.owner_reference import is_owned
from acr_credential_provider.pull_secrets.model.resources import SECRETS, WEBHOOKS

from . import registration, serving_certificates
from .serving_certificates import Certificates, Lifetimes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.model.owner_reference import Reference
    from acr_credential_provider.pull_secrets.model.pull_secret import PullSecretProvider
    from acr_credential_provider.pull_secrets.model.reporter import ObjectRef
    from acr_credential_provider.settings import PullSecrets, Webhook

    from .registration import ServiceReference

LOG = logging.getLogger(__name__)
EVERY = 15.0
"""Seconds after which Secret and configuration are looked at again; jittered."""
_TICK = 0.5
_TRIES = 3


class WebhookObserver(Protocol):
    """Who is told."""

    def event(self, about: ObjectRef, reason: str, message: str, *, is_warning: bool = True) -> None:
        """Say something about an object."""

    def webhook(self, is_configured: bool) -> None:
        """Tell whether the API server is told to ask us."""

    def certificate(self, *, leaf: float, authority: float) -> None:
        """Tell when the serving certificate and its authority expire, in seconds since the epoch."""


class WebhookReconciler:
    """One replica's part. *about* is the object that operators configure the webhook with.

    *may_write* says whether this replica is the one that tells the API server. While *is_leaving* says that the release
    is being deleted, any replica may tell it to ask no more.
    """

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        api: KubeClient,
        living: PullSecretProvider,
        where: ServiceReference,
        *,
        about: ObjectRef,
        may_write: Callable[[], bool],
        audience: WebhookObserver,
        lives: Lifetimes | None = None,
        every: float = EVERY,
        owner: Owner | None = None,
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        self._api = api
        self._owner = owner or Owner(api, "")
        self._is_leaving = is_leaving
        self._seen_owner: Reference | None = None
        self._living = living
        self._where = where
        self._about = about
        self._may_write = may_write
        self._audience = audience
        self._lives = lives or Lifetimes()
        self._every = every
        self._context: ssl.SSLContext | None = None
        self._served: Certificates | None = None
        self._seen_at = float("-inf")
        self._warned: list[str] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # What the server and health ask.
    def context(self) -> ssl.SSLContext | None:
        """Return what connections are to be served with from now on, None before there is a certificate."""
        return self._context

    def check(self) -> str:
        """Say why the webhook should not be asked here, "" if it may be (or nobody is told to)."""
        settings = self._living.wanted()
        if settings is None or not settings.webhook.enabled:
            return ""
        if self._context is None:
            return "no certificate yet"
        unseen = time.monotonic() - self._seen_at
        # Another replica may have changed the authority meanwhile, and soon it will no longer be trusted.
        return f"not confirmed for {unseen:.0f} s" if unseen > self._lives.overlap / 2 else ""

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
            asked = (self._wanted(), self._may_write(), self._owner.reference(), self._is_leaving())
            if asked == done and time.monotonic() < due:
                continue
            try:
                self.reconcile_once()
                done = asked
            except CredentialProviderError as error:
                LOG.warning("the webhook could not be kept", exc_info=error)
                self._say(error)
                done = asked
            except Exception:  # whatever it was, the next round is soon
                LOG.exception("the webhook could not be kept")
                done = asked
            due = time.monotonic() + self._every * random.uniform(0.8, 1.2)  # noqa: S311 - keeps replicas apart

    def _wanted(self) -> PullSecrets | None:
        return self._living.wanted() if self._living.is_ready() else None

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
        found = self._api.get(WEBHOOKS.path(name=registration.NAME))
        if found is None:
            self._owner.doubt()  # it may have been collected, for its owner is gone
        self._owner.current()
        settings = self._living.wanted()
        if settings is not None and settings.webhook.enabled:
            certificates = self._certificates(found)
            self._serve(certificates)
            is_told = self._tell(settings, found, certificates)
            self._warn(settings.webhook)
        else:
            # Before the configuration is known nothing is taken away, unless all is.
            is_known = self._living.is_ready() or self._is_leaving()
            is_told = found is not None and not (is_known and self._withdraw(found))
        self._audience.webhook(is_told)

    # The certificates.
    def _certificates(self, configuration: Mapping[str, Any] | None) -> Certificates:
        """Return what is to be served, after the step that is due."""
        collection = SECRETS.path(self._where.namespace)
        path = SECRETS.path(self._where.namespace, serving_certificates.SECRET)
        secret = self._api.get(path)
        now = self._api.now()
        version = str(secret["metadata"]["resourceVersion"]) if secret else ""
        found = Certificates.read(secret.get("data") or {}) if secret else None
        owner = self._owner.reference()
        if secret is None and owner != self._seen_owner and self._served is not None:
            # Collected with its owner, not deleted by anybody: other replicas still serve what it held.
            wanted = self._served
        elif found is None:
            wanted = serving_certificates.first(self._where.host, now=now, lives=self._lives)
        else:
            is_trusted = found.next is not None and registration.trusts(configuration, found.next.certificate)
            wanted = serving_certificates.step(
                found, self._where.host, now=now, lives=self._lives, is_next_trusted=is_trusted
            )
        if wanted is not found or (secret is not None and not is_owned(secret["metadata"], owner)):
            manifest = serving_certificates.manifest(self._where.namespace, wanted, version, owner)
            if version:
                self._api.replace(path, manifest)
            else:
                self._api.create(collection, manifest)
            LOG.info("the webhook's certificates changed", extra={"step": _step(found, wanted)})
        self._seen_at = time.monotonic()
        self._seen_owner = owner
        return wanted

    def _serve(self, certificates: Certificates) -> None:
        if self._served is None or certificates.serving != self._served.serving:
            self._context = context_of(certificates.serving)
        self._served = certificates
        self._audience.certificate(leaf=certificates.serving.expiry, authority=certificates.authority.expiry)

    # What the API server is told.
    def _tell(self, settings: PullSecrets, found: dict[str, Any] | None, certificates: Certificates) -> bool:
        wanted = registration.manifest(
            settings.webhook,
            self._where,
            certificates.trusted,
            excluded=settings.excluded_namespaces,
            owner=self._owner.reference(),
        )
        if found is not None and not registration.is_ours(found):
            self._audience.event(
                self._about,
                "WebhookForeign",
                f"there is a MutatingWebhookConfiguration {registration.NAME} that is not ours: it was left "
                "as it is, and new ServiceAccounts wait for the controller. Delete it, if nobody needs it.",
            )
            return False
        if found is None or registration.differs(found, wanted):
            if not self._may_write():
                return found is not None
            if found is None:
                self._api.create(WEBHOOKS.path(), wanted)
            else:
                # The object as it was seen, so that what others wrote into its metadata stays.
                meta = found["metadata"]
                meta["labels"] = {**(meta.get("labels") or {}), **registration.OURS}
                meta |= {key: each for key, each in wanted["metadata"].items() if key == "ownerReferences"}
                body = {**wanted, "metadata": meta}
                self._api.replace(WEBHOOKS.path(name=registration.NAME), body)
            LOG.info("the API server was told to ask the webhook", extra={"policy": settings.webhook.failure_policy})
        return True

    def _withdraw(self, found: Mapping[str, Any]) -> bool:
        """Tell the API server to ask no more; say whether that is so."""
        may_withdraw = self._may_write()
        if self._is_leaving():  # nobody may lead any more, and another release may have taken over
            may_withdraw = registration.leads_to(found, self._where)
        if not registration.is_ours(found) or not may_withdraw:
            return False
        path = WEBHOOKS.path(name=registration.NAME)
        self._api.delete(path, uid=str(found["metadata"].get("uid", "")))
        LOG.info("the API server was told to ask the webhook no more")
        return True

    def _say(self, error: CredentialProviderError) -> None:
        """Tell operators of a right that is missing: that does not pass."""
        if isinstance(error, ClusterError) and error.status == 403:
            self._audience.event(self._about, "WebhookRefused", f"{error.problem}. {error.remedy}")

    def _warn(self, webhook: Webhook) -> None:
        warnings = registration.warnings_about(webhook)
        if warnings != self._warned and self._may_write():
            for warning in warnings:
                self._audience.event(self._about, "WebhookSettings", warning)
            self._warned = warnings


def context_of(pair: serving_certificates.KeyPair) -> ssl.SSLContext:
    """Return what serves with *pair*; the key is never in a file that has a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
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
