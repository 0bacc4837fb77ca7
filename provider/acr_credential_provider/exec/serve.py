"""The whole program in one function: what a pull that found no fresh memo goes through.

Nothing here reads a clock, a disk or the network itself; all that is handed in.
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
        """What this node remembers about one question (`cached_answer.CachedAnswer`)."""

        def valid(self) -> CacheEntry | None:
            """Return the answer that may still be given."""

        def is_due(self, memo: CacheEntry) -> bool:
            """Say whether *memo* should be renewed."""

        def failure(self) -> CredentialProviderError | None:
            """Return the failure that was seen a moment ago."""

        def put(self, memo: CacheEntry) -> None:
            """Remember *memo*."""

        def put_failure(self, error: CredentialProviderError) -> None:
            """Remember *error* for a moment."""

    class SingleFlight(Protocol):
        """Who may go first (`file_locks.FileLocks`, with this question's patience)."""

        def wait(self) -> AbstractContextManager[bool]:
            """Wait for the others with this question; False when patience ran out."""

        def try_wait(self) -> AbstractContextManager[bool]:
            """Go ahead of the others with this question only if none is ahead; False otherwise."""

        def admission(self) -> AbstractContextManager[bool]:
            """Wait to be one of the few that work; False when the queue was too long."""

        def admission_if_free(self) -> AbstractContextManager[bool]:
            """Be one of them only if there is a place right now."""

    Acquire = Callable[[], AbstractContextManager[CacheEntry]]
    Renew = Callable[[CacheEntry], AbstractContextManager[CacheEntry]]


def serve(
    *,
    cached: CachedAnswer,
    single_flight: SingleFlight,
    acquire: Acquire,
    refresh: Renew,
    respond: Callable[[CacheEntry], None],
) -> None:
    """Answer the kubelet, at the least cost to the node and the cloud.

    *acquire* asks the cloud; *renew* does so too but is brief, since its argument is at hand.
    Raises `CredentialProviderError` when there is no answer to give.
    """
    memo = cached.valid()
    if memo is not None:
        _renew_if_due(memo, notes=cached, queue=single_flight, renew=refresh, reply=respond)
        return
    with single_flight.wait():
        memo = _result_of_other_process(cached)
        if memo is None:
            with single_flight.admission() as admitted:
                memo = _result_of_other_process(cached)
                if memo is None:
                    if not admitted:
                        raise NodeBusyError
                    try:
                        _ask(acquire, cached, respond)
                    except CredentialProviderError as error:
                        cached.put_failure(error)
                        raise
                    return
    respond(memo)  # the next in the queue need not wait for that


def _renew_if_due(
    memo: CacheEntry, *, notes: CachedAnswer, queue: SingleFlight, renew: Renew, reply: Callable[[CacheEntry], None]
) -> None:
    """Renew *memo* before it dies, but never at the cost of this pull: it is good enough for it."""
    if notes.is_due(memo) and notes.failure() is None:
        with queue.try_wait() as free, queue.admission_if_free() as admitted:
            if free and admitted:
                try:
                    _ask(lambda: renew(memo), notes, reply)
                except CredentialProviderError as error:
                    notes.put_failure(error)
                else:
                    return
    reply(memo)


def _result_of_other_process(notes: CachedAnswer) -> CacheEntry | None:
    """Return the answer, or raise the failure, that another process met while we waited."""
    memo = notes.valid()
    if memo is None:
        failure = notes.failure()
        if failure is not None:
            raise failure
    return memo


def _ask(acquire: Acquire, notes: CachedAnswer, reply: Callable[[CacheEntry], None]) -> None:
    """Ask the cloud, answer, and only then write to disk: a full disk must not cost a pull."""
    with acquire() as memo:
        reply(memo)
        notes.put(memo)
