"""The whole program in one function: what a pull that found no fresh memo goes through.

Nothing here reads a clock, a disk or the network itself; all that is handed in.
"""

from __future__ import annotations

from .errors import CredentialProviderError, NodeBusyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Protocol

    from .memo import Memo

    class Notes(Protocol):
        """What this node remembers about one question (`notes.Notes`)."""

        def living(self) -> Memo | None:
            """Return the answer that may still be given."""

        def is_due(self, memo: Memo) -> bool:
            """Say whether *memo* should be renewed."""

        def failure(self) -> CredentialProviderError | None:
            """Return the failure that was seen a moment ago."""

        def keep(self, memo: Memo) -> None:
            """Remember *memo*."""

        def keep_failure(self, error: CredentialProviderError) -> None:
            """Remember *error* for a moment."""

    class Queue(Protocol):
        """Who may go first (`locks.Locks`, with this question's patience)."""

        def turn(self) -> AbstractContextManager[bool]:
            """Wait for the others with this question; False when patience ran out."""

        def turn_if_free(self) -> AbstractContextManager[bool]:
            """Go ahead of the others with this question only if none is ahead; False otherwise."""

        def admission(self) -> AbstractContextManager[bool]:
            """Wait to be one of the few that work; False when the queue was too long."""

        def admission_if_free(self) -> AbstractContextManager[bool]:
            """Be one of them only if there is a place right now."""

    Acquire = Callable[[], AbstractContextManager[Memo]]
    Renew = Callable[[Memo], AbstractContextManager[Memo]]


def answer(*, notes: Notes, queue: Queue, acquire: Acquire, renew: Renew, reply: Callable[[Memo], None]) -> None:
    """Answer the kubelet, at the least cost to the node and the cloud.

    *acquire* asks the cloud; *renew* does so too but is brief, since its argument is at hand.
    Raises `CredentialProviderError` when there is no answer to give.
    """
    memo = notes.living()
    if memo is not None:
        _renew_if_due(memo, notes=notes, queue=queue, renew=renew, reply=reply)
        return
    with queue.turn():
        memo = _met_by_others(notes)
        if memo is None:
            with queue.admission() as admitted:
                memo = _met_by_others(notes)
                if memo is None:
                    if not admitted:
                        raise NodeBusyError
                    try:
                        _ask(acquire, notes, reply)
                    except CredentialProviderError as error:
                        notes.keep_failure(error)
                        raise
                    return
    reply(memo)  # the next in the queue need not wait for that


def _renew_if_due(memo: Memo, *, notes: Notes, queue: Queue, renew: Renew, reply: Callable[[Memo], None]) -> None:
    """Renew *memo* before it dies, but never at the cost of this pull: it is good enough for it."""
    if notes.is_due(memo) and notes.failure() is None:
        with queue.turn_if_free() as free, queue.admission_if_free() as admitted:
            if free and admitted:
                try:
                    _ask(lambda: renew(memo), notes, reply)
                except CredentialProviderError as error:
                    notes.keep_failure(error)
                else:
                    return
    reply(memo)


def _met_by_others(notes: Notes) -> Memo | None:
    """Return the answer, or raise the failure, that another process met while we waited."""
    memo = notes.living()
    if memo is None:
        failure = notes.failure()
        if failure is not None:
            raise failure
    return memo


def _ask(acquire: Acquire, notes: Notes, reply: Callable[[Memo], None]) -> None:
    """Ask the cloud, answer, and only then write to disk: a full disk must not cost a pull."""
    with acquire() as memo:
        reply(memo)
        notes.keep(memo)
