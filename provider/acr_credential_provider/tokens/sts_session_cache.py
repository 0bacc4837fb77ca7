"""Sessions of RAM roles, kept on this node's disk between pulls as tokens are.

Their names are principals and roles, never the ID of an access key, which differs each time. A session
is reused in the first half of its life only: a token from ACR ends with the session that asked for it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from acr_credential_provider.fastpath.cpython import hexdigest
from acr_credential_provider.model.cloud_credential import CloudCredential

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.model.deadline import Deadline

    from .local_state import LocalState

REUSED = 0.5
"""The part of a session's life in which it is reused."""


class StsSessionCache:
    """The sessions that one request uses or adds; new ones are stored when the context is left.

    Locks are taken in the order in which sessions need each other, and held until the new ones
    are stored, so that processes that wait for them (until *waiting*) find them.
    """

    def __init__(self, state: LocalState, *, waiting: Deadline) -> None:
        self._state = state
        self._waiting = waiting
        self._locks = ExitStack()
        self._in_use: dict[str, CloudCredential] = {}
        self._new: dict[str, tuple[CloudCredential, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._locks:
            for name, (session, fetched_at) in self._new.items():
                self._store(name, session, fetched_at)
            self._new.clear()

    def get_or_fetch(self, key: str, fetch: Callable[[], CloudCredential]) -> CloudCredential:
        """Return the session under *key*, or the result of *fetch*; raise what *fetch* raises.

        Failures are cached, because the same identity may be behind many registries.
        """
        name = hexdigest(f"session\n{key}\n{self._state.machine}")
        if name not in self._in_use:
            with ExitStack() as lock:
                lock.enter_context(self._state.locks.acquire(name, timeout=self._waiting))
                session = self._stored(name)
                if session is None:
                    fetched_at = time.time()
                    session = self._state.failures.run(name, fetch)
                    self._new[name] = session, fetched_at
                    self._locks.push(lock.pop_all())  # until it is stored
            self._in_use[name] = session
        return self._in_use[name]

    def invalidate(self) -> None:
        """Forget the sessions in use: one was refused, and the next pull should ask for new ones."""
        for name in self._in_use:
            self._state.store.put(f"session/{name}", {}, until=0.0)
        self._in_use.clear()
        self._new.clear()

    def _stored(self, name: str) -> CloudCredential | None:
        stored = self._state.store.get(f"session/{name}", times=("ends",))
        if not stored:
            return None
        try:
            return CloudCredential(stored["id"], stored["secret"], stored["token"], stored["ends"] - time.time())
        except (KeyError, TypeError):  # another version's
            return None

    def _store(self, name: str, session: CloudCredential, fetched_at: float) -> None:
        if session.expires_in is None:
            return
        value = {
            "id": session.access_key_id,
            "secret": session.access_key_secret,
            "token": session.security_token,
            "ends": fetched_at + session.expires_in,
        }
        self._state.store.put(f"session/{name}", value, until=fetched_at + REUSED * session.expires_in)
