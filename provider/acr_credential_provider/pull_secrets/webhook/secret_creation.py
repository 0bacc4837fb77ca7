"""Creates the pull secret of a namespace for the webhook, once, however many reviews ask for it.

A review may be forged, so what one costs the API server is limited: a Secret that the watch shows costs nothing, an
outcome counts for a while, and of namespaces that the watch does not show each client has a few. A true review is never
delayed by those of other clients.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.model.connection_table import client_of
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.pull_secrets.kube.workqueue import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret, PullSecretProvider

    EnsureSecret = Callable[[str, PullSecret, float], None]
    """Creates the Secret in a namespace unless one of its name is there, within that many seconds; or raises."""

WORKERS = 16
"""Secrets that are created at the same time; others wait, within their budget."""
CREATED_FOR = 2.0
"""Seconds for which a Secret that was created counts as there, until the watch shows it."""
FAILED_FOR = 1.0
"""Seconds for which a failure counts for other reviews of its namespace."""
UNKNOWN_BURST = 20
"""Secrets that one client can have created in namespaces that the watch does not show; then one a second."""
_MOST_CLIENTS = 1024
_MOST_OUTCOMES = 10_000


@dataclass(frozen=True, slots=True)
class _Outcome:
    until: float
    problem: str


class SecretCreator:
    """Creates Secrets with *ensure*; `close` it. Called in one event loop."""

    def __init__(
        self, provider: PullSecretProvider, ensure: EnsureSecret, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._provider = provider
        self._ensure = ensure
        self._clock = clock
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="admission")
        self._lock = threading.Lock()
        """Held for what worker threads change."""
        self._under_way: dict[tuple[str, str], Future[str]] = {}
        self._outcomes: OrderedDict[tuple[str, str], _Outcome] = OrderedDict()
        self._limits: OrderedDict[str, RateLimiter] = OrderedDict()

    def close(self) -> None:
        """Create no more Secrets."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def create(self, namespace: str, secret: PullSecret, client: str, seconds: float) -> str:
        """Have the Secret there within *seconds*; return why that was not possible, "" if it was."""
        if self._provider.has_secret(namespace, secret.name):
            return ""
        work = self._work(namespace, secret, client, seconds)
        if isinstance(work, str):
            return work
        waiter = asyncio.wrap_future(work)
        waiter.add_done_callback(lambda done: done.cancelled() or done.exception())  # maybe nobody waits any more
        await asyncio.wait({waiter}, timeout=seconds)
        return waiter.result() if waiter.done() else f"the API server did not take it within {seconds:.1f} s"

    def _work(self, namespace: str, secret: PullSecret, client: str, seconds: float) -> Future[str] | str:
        """Return the creation that is under way, begun now if need be; or its outcome, if that is known."""
        key = (namespace, secret.name)
        with self._lock:
            work, outcome = self._under_way.get(key), self._outcomes.get(key)
        if work is not None:
            return work
        if outcome is not None and self._clock() < outcome.until:
            return outcome.problem
        if not self._provider.knows(namespace) and not self._limit_of(client).allows():
            return "its namespace is not known here yet"
        work = self._workers.submit(self._try, namespace, secret, seconds)
        with self._lock:
            self._under_way[key] = work
        work.add_done_callback(lambda done: self._finish(key, done))
        return work

    def _try(self, namespace: str, secret: PullSecret, seconds: float) -> str:
        try:
            self._ensure(namespace, secret, seconds)
        except CredentialProviderError as error:
            return error.problem
        return ""

    def _finish(self, key: tuple[str, str], work: Future[str]) -> None:
        with self._lock:
            self._under_way.pop(key, None)
            if work.cancelled() or work.exception() is not None:
                return
            problem = work.result()
            until = self._clock() + (FAILED_FOR if problem else CREATED_FOR)
            self._outcomes[key] = _Outcome(until, problem)
            self._outcomes.move_to_end(key)
            while len(self._outcomes) > _MOST_OUTCOMES:
                self._outcomes.popitem(last=False)

    def _limit_of(self, address: str) -> RateLimiter:
        client = client_of(address)
        limit = self._limits.get(client)
        if limit is None:
            limit = self._limits[client] = RateLimiter(1.0, UNKNOWN_BURST, monotonic=self._clock)
        self._limits.move_to_end(client)
        while len(self._limits) > _MOST_CLIENTS:
            self._limits.popitem(last=False)
        return limit
