"""Who may go first: locks between processes of this node, each wait with an end.

All are ``flock``s on files that are never removed (removing one while another process
opens it would let two in), so the kernel frees them when their holder dies, however it
dies, and hands them on first come, first served.
"""

from __future__ import annotations

import fcntl
import os
import time
from _thread import LockType, allocate_lock, start_new_thread
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from .deadline import Deadline

POLL = 0.01  # seconds between looks at the slots by the one process at the head of the queue


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for_lock(file: int, seconds: float) -> bool:
    """Wait at most *seconds* for the lock on *file*.

    A waiting flock can't be given a time limit, and trying again and again would not be
    first come, first served. So a thread waits; if it wins too late it gives the lock back.
    """
    won = allocate_lock()
    won.acquire()
    state = allocate_lock()  # taken by whichever comes first: the lock, or the end of patience

    def wait() -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            return
        if state.acquire(blocking=False):
            won.release()
        else:
            os.close(file)

    start_new_thread(wait, ())
    return _acquired(won, seconds) or not state.acquire(blocking=False)


def _acquired(lock: LockType, seconds: float) -> bool:
    return lock.acquire(timeout=max(seconds, 0.0))


class Locks:
    """The folder of lock files. Where it can't be used, nobody waits for anybody."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, name: str, *, patience: Deadline) -> Iterator[bool]:
        """Hold the lock *name*; yield False when *patience* ran out and we go on alone."""
        with self._hold(name, seconds=patience.remaining()) as held:
            yield held

    @contextmanager
    def try_to_hold(self, name: str) -> Iterator[bool]:
        """Hold the lock *name* if it is free right now; yield whether it was."""
        with self._hold(name, seconds=0.0) as held:
            yield held

    @contextmanager
    def admission(self, *, slots: int, at_the_gate: Deadline, for_a_slot: Deadline) -> Iterator[bool]:
        """Be one of the few processes that do heavy work; yield False if the queue was too long.

        The first in the queue holds the gate and looks for one of *slots* free slots. When
        its patience ends (their holders may be stopped) it goes on all the same but keeps
        the gate: never more than *slots* + 1 processes work, whatever happens.
        """
        with self._hold("gate", seconds=at_the_gate.remaining()) as first:
            slot = self._free_slot(slots, for_a_slot) if first else None
            if slot is None:
                yield first
                return
        try:  # the gate is the next one's
            yield True
        finally:
            os.close(slot)

    def _free_slot(self, slots: int, patience: Deadline) -> int | None:
        while True:
            for number in range(slots):
                try:
                    file = _open(f"{self._folder}/slot-{number}")
                except OSError:
                    return None
                if _try_lock(file):
                    return file
                os.close(file)
            if not patience.remaining():
                return None
            time.sleep(POLL)

    @contextmanager
    def _hold(self, name: str, *, seconds: float) -> Iterator[bool]:
        try:
            file = _open(f"{self._folder}/{name}.lock")
        except OSError:  # no folder, read-only, full: answering alone beats not answering
            yield True
            return
        if _try_lock(file) or (seconds > 0 and _wait_for_lock(file, seconds)):
            try:
                yield True
            finally:
                os.close(file)
        else:
            if seconds <= 0:
                os.close(file)  # else the waiting thread will
            yield False


class Queue:
    """The locks as one question sees them: its turn first, then admission to heavy work.

    *patience* is for both waits for another process's work, *to_the_end* for the queue of
    those that wait to work, who would only be worse off alone.
    """

    def __init__(
        self, locks: Locks, name: str, *, patience: Deadline, to_the_end: Deadline, say_stage: Callable[[str], None]
    ) -> None:
        self._locks = locks
        self._name = name
        self._patience = patience
        self._to_the_end = to_the_end
        self._say_stage = say_stage

    def turn(self) -> AbstractContextManager[bool]:
        """Wait for the others with this question; False when patience ran out."""
        self._say_stage("waiting for another pull with the same question")
        return self._locks.hold(self._name, patience=self._patience)

    def turn_if_free(self) -> AbstractContextManager[bool]:
        """Take the turn only if nobody with this question has it."""
        return self._locks.try_to_hold(self._name)

    def admission(self) -> AbstractContextManager[bool]:
        """Wait to be one of as many working processes as there are CPUs; False at the very end."""
        self._say_stage("waiting for other pulls on this node")
        slots = len(os.sched_getaffinity(0))
        return self._locks.admission(slots=slots, at_the_gate=self._to_the_end, for_a_slot=self._patience)
