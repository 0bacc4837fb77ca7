"""Everything around the controller's core, put together: the webhook, metrics, health, Events, the log.

A replica that is asked to end first says that it is not ready, and goes on answering until
the API server's side has heard of it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import health
from .events import Events
from .refusals import ClusterError
from .serving import Limits, Loop, Server
from .webhook import PATH, Admission
from .webhook_keeper import EVERY, Keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .health import Check
    from .kube import KubeApi
    from .living import Living, PullSecret
    from .owner import Owner
    from .reporting import ObjectRef
    from .serving_certificate import Lives
    from .telling import Telling
    from .webhook_configuration import Where

LINGER = 5.0
"""Seconds between saying that we go and going: how long it takes until nobody is sent here any more."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where we listen. Port 0 is any."""

    address: str = "0.0.0.0"  # noqa: S104 - a pod's own
    webhook: int = 8443
    health: int = 8080


class Operations:
    """What one replica does beside its core."""

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        api: KubeApi,
        living: Living,
        telling: Telling,
        *,
        where: Where,
        about: ObjectRef,
        may_write: Callable[[], bool],
        doors: Doors | None = None,
        alive: Mapping[str, Check] | None = None,
        lives: Lives | None = None,
        every: float = EVERY,
        owner: Owner | None = None,
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        """Put it together; *alive* are the core's signs of life."""
        self._api = api
        self._telling = telling
        self._is_leaving = threading.Event()
        self._doors = doors or Doors()
        telling.events = self._events = Events(api, telling)
        self.keeper = Keeper(
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
        self._admission = Admission(living, self._ensure, telling)
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

    def stop(self, linger: float = LINGER) -> None:
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
            self._api.create(f"/api/v1/namespaces/{namespace}/secrets", secret.manifest(namespace), timeout=seconds)
        except ClusterError as error:
            if error.status == 409:  # it is there; whether it is right the controller knows
                return
            self._telling.wrote("Secret", "create", "failed")
            raise
        self._telling.wrote("Secret", "create", "ok")
