"""Everything around the controller's core, put together: the webhook, metrics, health, Events, the log.

A replica that is asked to end first says that it is not ready, and goes on answering until
the API server's side has heard of it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.event_recorder import EventRecorder
from acr_credential_provider.pull_secrets.model.resources import SECRETS
from acr_credential_provider.pull_secrets.serving import health
from acr_credential_provider.pull_secrets.serving.http_server import Limits, Loop, Server
from acr_credential_provider.pull_secrets.webhook.admission import PATH, AdmissionHandler
from acr_credential_provider.pull_secrets.webhook.reconciler import EVERY, WebhookReconciler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.release_owner import Owner
    from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret, PullSecretProvider
    from acr_credential_provider.pull_secrets.model.reporter import ObjectRef
    from acr_credential_provider.pull_secrets.serving.default_reporter import DefaultReporter
    from acr_credential_provider.pull_secrets.serving.health import Check
    from acr_credential_provider.pull_secrets.webhook.registration import ServiceReference
    from acr_credential_provider.pull_secrets.webhook.serving_certificates import Lifetimes

SHUTDOWN_DELAY = 5.0
"""Seconds between saying that we go and going: how long it takes until nobody is sent here any more."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where we listen. Port 0 is any."""

    address: str = "0.0.0.0"  # noqa: S104 - a pod's own
    webhook: int = 8443
    health: int = 8080


class Runtime:
    """What one replica does beside its core."""

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        api: KubeClient,
        living: PullSecretProvider,
        telling: DefaultReporter,
        *,
        where: ServiceReference,
        about: ObjectRef,
        may_write: Callable[[], bool],
        doors: ListenAddress | None = None,
        alive: Mapping[str, Check] | None = None,
        lives: Lifetimes | None = None,
        every: float = EVERY,
        owner: Owner | None = None,
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        """Put it together; *alive* are the core's signs of life."""
        self._api = api
        self._telling = telling
        self._is_leaving = threading.Event()
        self._doors = doors or ListenAddress()
        telling.events = self._events = EventRecorder(api, telling)
        self.keeper = WebhookReconciler(
            api,
            living,
            where,
            about=about,
            may_write=may_write,
            audience=telling,
            lives=lives,
            every=every,
            owner=owner,
            is_leaving=is_leaving,
        )
        self._admission = AdmissionHandler(living, self._ensure, telling)
        self._loop = Loop()
        ready: dict[str, Check] = {
            "staying": lambda: "about to end" if self._is_leaving.is_set() else "",
            "informed": lambda: "" if living.is_ready() else "not yet",
            "certificate": self.keeper.check,
        }
        pages = {
            "/metrics": telling.answer,
            "/healthz": health.handler({"serving": lambda: "", **(alive or {})}),
            "/readyz": health.handler(ready),
        }
        address = self._doors.address
        self._pages = Server(
            pages, address=address, port=self._doors.health, limits=Limits(connections=32, body=0, bodies=0)
        )
        self._webhook = Server(
            {PATH: self._admission.answer}, address=address, port=self._doors.webhook, tls=self.keeper.context
        )

    def start(self) -> tuple[int, int]:
        """Begin; return the ports of the webhook and of health."""
        ports = self._loop.run(self._webhook.start()), self._loop.run(self._pages.start())
        self.keeper.start()
        return ports

    def stop(self, linger: float = SHUTDOWN_DELAY) -> None:
        """Say that we go, answer for *linger* seconds more, and end."""
        self._is_leaving.set()
        self.keeper.stop()
        time.sleep(linger)
        self._loop.run(self._webhook.stop())
        self._loop.run(self._pages.stop())
        self._admission.close()
        self._events.close()
        self._loop.close()

    def _ensure(self, namespace: str, secret: PullSecret, seconds: float) -> None:
        try:
            self._api.create(SECRETS.path(namespace), secret.manifest(namespace), timeout=seconds)
        except ClusterError as error:
            if error.status == 409:  # it is there; whether it is right the controller knows
                return
            self._telling.wrote("Secret", "create", "failed")
            raise
        self._telling.wrote("Secret", "create", "ok")
