"""Sessions of RAM roles, kept on this node's disk between pulls like tokens are.

They are known by who asked for what, never by an access key's ID, which is another one each
time. One is reused in the first half of its life: what ACR grants lives no longer than the
session does, so the rest of it would only make for short tokens and more calls.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.fastpath.cpython import hexdigest
from acr_credential_provider.model.cloud_credential import CloudCredential
from acr_credential_provider.model.errors import CredentialProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from acr_credential_provider.cache.file_locks import FileLocks
    from acr_credential_provider.cache.token_store import KeyValueStore
    from acr_credential_provider.fastpath.response_cache import ResponseCache
    from acr_credential_provider.model.deadline import Deadline

FIT = 0.5
"""The part of a session's life in which it is reused."""


class StsSessionCache:
    """The sessions that one request may use or add; what is new is stored when the context is left.

    *machine* and *stamps* are of the files whose change makes kept sessions, and remembered
    failures, worthless. Locks are taken in the order in which sessions need each other, and
    held until the new ones are stored, so that whoever waits finds them.
    """

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        *,
        store: KeyValueStore,
        locks: FileLocks,
        memos: ResponseCache,
        patience: Deadline,
        machine: str,
        stamps: Sequence[str],
    ) -> None:
        self._store = store
        self._locks = locks
        self._memos = memos
        self._patience = patience
        self._machine = machine
        self._stamps = tuple(stamps)
        self._held = ExitStack()
        self._in_use: dict[str, CloudCredential] = {}
        self._new: dict[str, tuple[CloudCredential, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._held:
            for name, (session, got_at) in self._new.items():
                self._put(name, session, got_at)
            self._new.clear()

    def get_or_fetch(self, key: str, fetch: Callable[[], CloudCredential]) -> CloudCredential:
        """Return the session under *key*, or what *fetch* brings; raise what *fetch* raises.

        A failure is remembered for a moment: the same identity may be behind many registries.
        """
        name = hexdigest(f"session\n{key}\n{self._machine}")
        if name not in self._in_use:
            with ExitStack() as held:
                held.enter_context(self._locks.acquire(name, timeout=self._patience))
                session = self._kept(name)
                if session is None:
                    session = self._fetched(name, fetch)
                    self._held.push(held.pop_all())  # until it is stored
            self._in_use[name] = session
        return self._in_use[name]

    def invalidate(self) -> None:
        """Forget the sessions in use: one was refused, and the next pull should ask for new ones."""
        for name in self._in_use:
            self._store.put(f"session/{name}", {}, until=0.0)
        self._in_use.clear()
        self._new.clear()

    def _fetched(self, name: str, fetch: Callable[[], CloudCredential]) -> CloudCredential:
        notes = CachedAnswer(self._memos, digest=name, host="", stamps=self._stamps)
        failure = notes.failure()
        if failure is not None:
            raise failure
        got_at = time.time()
        try:
            session = fetch()
        except CredentialProviderError as error:
            notes.put_failure(error)
            raise
        self._new[name] = session, got_at
        return session

    def _kept(self, name: str) -> CloudCredential | None:
        kept = self._store.get(f"session/{name}", times=("ends",))
        try:
            return (
                CloudCredential(kept["id"], kept["secret"], kept["token"], kept["ends"] - time.time()) if kept else None
            )
        except (KeyError, TypeError):  # another version's
            return None

    def _put(self, name: str, session: CloudCredential, got_at: float) -> None:
        if session.expires_in is None:
            return
        value = {
            "id": session.access_key_id,
            "secret": session.access_key_secret,
            "token": session.security_token,
            "ends": got_at + session.expires_in,
        }
        self._store.put(f"session/{name}", value, until=got_at + FIT * session.expires_in)
