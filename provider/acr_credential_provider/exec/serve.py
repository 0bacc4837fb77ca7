"""The order of the steps of a pull that found no fresh cache entry.

Nothing here reads a clock, a disk or the network itself; all of that is passed in.
"""

from __future__ import annotations

from acr_credential_provider.model.errors import CredentialProviderError, NodeBusyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Protocol

    from acr_credential_provider.fastpath.response_cache import CacheEntry

    class CachedAnswer(Protocol):
        """The cached answer to one question (`cached_answer.CachedAnswer`)."""

        def valid(self) -> CacheEntry | None:
            """Return the answer that may still be given."""

        def is_due(self, entry: CacheEntry) -> bool:
            """True if *entry* should be refreshed."""

        def failure(self) -> CredentialProviderError | None:
            """Return the failure of the last seconds."""

        def put(self, entry: CacheEntry) -> None:
            """Cache *entry*."""

        def put_failure(self, error: CredentialProviderError) -> None:
            """Cache *error* for some seconds."""

    class SingleFlight(Protocol):
        """The locks of one question (`file_locks.SingleFlight`)."""

        def wait(self) -> AbstractContextManager[bool]:
            """Wait for the process that has this question; False when it took too long."""

        def wait_if_free(self) -> AbstractContextManager[bool]:
            """Take the turn only if no process with this question has it."""

        def take_slot(self) -> AbstractContextManager[bool]:
            """Wait for one of the slots for heavy work; False when the wait was too long."""

        def take_slot_if_free(self) -> AbstractContextManager[bool]:
            """Take a slot only if there is one right now."""

    Acquire = Callable[[], AbstractContextManager[CacheEntry]]
    Refresh = Callable[[CacheEntry], AbstractContextManager[CacheEntry]]
    Respond = Callable[[CacheEntry], None]


def serve(
    *, cached: CachedAnswer, single_flight: SingleFlight, acquire: Acquire, refresh: Refresh, respond: Respond
) -> None:
    """Answer the kubelet, at the least cost to the node and the cloud.

    *acquire* gets an answer from the cloud; *refresh* does so briefly, because the valid answer is at hand.
    Raises `CredentialProviderError` when there is no answer to give.
    """
    entry = cached.valid()
    if entry is not None:
        if not _refresh_if_due(entry, cached, single_flight, refresh, respond):
            respond(entry)
        return
    with single_flight.wait():  # too long a wait goes on without the turn: the slots below bound how many do
        entry = _result_of_other_process(cached)
        if entry is None:
            with single_flight.take_slot() as admitted:
                entry = _result_of_other_process(cached)
                if entry is None:
                    if not admitted:
                        raise NodeBusyError
                    _answer(acquire, cached, respond)
                    return
    respond(entry)  # after the lock: the next process need not wait for this


def _refresh_if_due(
    entry: CacheEntry, cached: CachedAnswer, single_flight: SingleFlight, refresh: Refresh, respond: Respond
) -> bool:
    """Refresh *entry* if it is due and no other process does; True if the fresh answer was given."""
    if not cached.is_due(entry) or cached.failure() is not None:
        return False
    with single_flight.wait_if_free() as free, single_flight.take_slot_if_free() as admitted:
        if free and admitted:
            try:
                _answer(lambda: refresh(entry), cached, respond)
            except CredentialProviderError:  # never at the cost of this pull: the entry is good enough for it
                return False
            return True
    return False


def _result_of_other_process(cached: CachedAnswer) -> CacheEntry | None:
    """Return the answer, or raise the failure, that another process got while this one waited."""
    entry = cached.valid()
    if entry is None:
        failure = cached.failure()
        if failure is not None:
            raise failure
    return entry


def _answer(acquire: Acquire, cached: CachedAnswer, respond: Respond) -> None:
    """Get an answer, respond, and only then write to disk, because a full disk must not cost a pull."""
    try:
        with acquire() as entry:
            respond(entry)
            cached.put(entry)
    except CredentialProviderError as error:
        cached.put_failure(error)
        raise
