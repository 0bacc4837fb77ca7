"""Runs one replica's servers around its controller: the webhook, metrics and health.

A replica that is asked to end first says that it is not ready, and goes on answering until
the API server's side has heard of it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.event_recorder import EventRecorder
from acr_credential_provider.pull_secrets.model.resources import SECRETS
from acr_credential_provider.pull_secrets.serving import health
from acr_credential_provider.pull_secrets.serving.event_loop import Loop
from acr_credential_provider.pull_secrets.serving.http_server import Limits, Server
from acr_credential_provider.pull_secrets.webhook.admission import PATH, AdmissionHandler
from acr_credential_provider.pull_secrets.webhook.reconciler import WebhookReconciler, WebhookTimes

if TYPE_CHECKING:
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret
    from acr_credential_provider.pull_secrets.serving.default_telemetry import DefaultTelemetry
    from acr_credential_provider.pull_secrets.serving.health import Check
    from acr_credential_provider.pull_secrets.webhook.reconciler import Replica
    from acr_credential_provider.pull_secrets.webhook.registration import ServiceReference

ADDRESS, WEBHOOK_PORT, HEALTH_PORT = "0.0.0.0", 8443, 8080  # noqa: S104 - a pod's own address
PAGES = Limits(connections=64, per_client=32, body=0, bodies=0)
"""For metrics and health."""
SHUTDOWN_DELAY = 5.0
"""Seconds for which a replica that ends still answers, because the API server's side hears of it later."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a replica listens (port 0: any), and the *service* by which the API server reaches its webhook."""

    service: ServiceReference
    address: str = ADDRESS
    webhook_port: int = WEBHOOK_PORT
    health_port: int = HEALTH_PORT
    times: WebhookTimes = field(default_factory=WebhookTimes)


class ReplicaServers:
    """The servers of one *replica*."""

    def __init__(self, api: KubeClient, replica: Replica, telemetry: DefaultTelemetry, serving: Serving) -> None:
        self._api = api
        self._is_ending = threading.Event()
        self._events = telemetry.events = EventRecorder(api, telemetry)
        self.webhook = WebhookReconciler(api, replica, serving.service, telemetry, serving.times)
        self._admission = AdmissionHandler(replica, self._ensure, telemetry)
        self._loop = Loop()
        ready: dict[str, Check] = {
            "staying": lambda: "about to end" if self._is_ending.is_set() else "",
            "informed": lambda: "" if replica.is_ready() else "not yet",
            "certificate": self.webhook.check,
        }
        pages = {
            "/metrics": telemetry.answer,
            "/healthz": health.handler({"serving": lambda: "", **replica.health_checks()}),
            "/readyz": health.handler(ready),
        }
        self._pages = Server(
            pages, address=(serving.address, serving.health_port), limits=PAGES, count=telemetry.client_fault
        )
        self._hooks = Server(
            {PATH: self._admission.answer},
            address=(serving.address, serving.webhook_port),
            tls=self.webhook.context,
            count=telemetry.client_fault,
        )

    def start(self) -> tuple[int, int]:
        """Begin; return the ports of the webhook and of health."""
        ports = self._loop.run(self._hooks.start()), self._loop.run(self._pages.start())
        self.webhook.start()
        return ports

    def stop(self, linger: float = SHUTDOWN_DELAY) -> None:
        """Say that this replica ends, answer for *linger* seconds more, and end."""
        self._is_ending.set()
        self.webhook.stop()
        time.sleep(linger)
        self._loop.run(self._hooks.stop())
        self._loop.run(self._pages.stop())
        self._admission.close()
        self._events.close()
        self._loop.close()

    def _ensure(self, namespace: str, secret: PullSecret, seconds: float) -> None:
        ensure_secret(self._api, namespace, secret, seconds)


def ensure_secret(api: KubeClient, namespace: str, secret: PullSecret, seconds: float) -> None:
    """Create *secret* in *namespace* within *seconds* unless one of its name is there; raise `ClusterError`.

    A full quota and a policy are judged before the API server looks whether the Secret is there, so a refusal does not
    mean that it is not. Whether what is there is right the controller knows.
    """
    began = time.monotonic()
    try:
        api.create(SECRETS.path(namespace), secret.manifest(namespace), timeout=seconds)
    except ClusterError as error:
        if error.status == 409:
            return
        left = began + seconds - time.monotonic()
        if not error.cause.passes and left > 0 and api.get(SECRETS.path(namespace, secret.name), timeout=left):
            return
        api.telemetry.wrote("Secret", "create", str(error.cause))
        raise
    api.telemetry.wrote("Secret", "create", "ok")
