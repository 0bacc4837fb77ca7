"""Who may go first: locks between processes of this node, each wait with an end.

All are ``flock``s, so the kernel frees them when their holder dies, however it dies, and
hands them on first come, first served. A lock's file is removed by its holder only, and
who then gets the lock of a removed file starts over, so that never two are let in.
"""

from __future__ import annotations

import fcntl
import os
import time
from _thread import LockType, allocate_lock, start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.model.deadline import Deadline

POLL = 0.01  # seconds between looks at the slots by the one process at the head of the queue


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _lock(file: int, how: int) -> bool:
    """Lock *file*; return False if another has it.

    Some file systems have no locks (ENOSYS), or none left (ENOLCK): there nobody waits.
    """
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    except OSError:
        return True
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
        _lock(file, fcntl.LOCK_EX)
        if state.acquire(blocking=False):
            won.release()
        else:
            os.close(file)

    start_new_thread(wait, ())
    return _acquired(won, seconds) or not state.acquire(blocking=False)


def _acquired(lock: LockType, seconds: float) -> bool:
    return lock.acquire(timeout=max(seconds, 0.0))


class FileLock:
    """One lock: ``with Lock(path, seconds) as held``, where *held* is False if *seconds* were not enough."""

    def __init__(self, path: str, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._file: int | None = None

    def __enter__(self) -> bool:
        until = time.monotonic() + self._seconds
        while True:
            try:
                file = _open(self._path)
            except OSError:  # no folder, read-only, full: answering alone beats not answering
                return True
            seconds = until - time.monotonic()
            if not _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                if seconds <= 0:
                    os.close(file)
                    return False
                if not _wait_for_lock(file, seconds):
                    return False  # the thread that waited closes it
            if os.fstat(file).st_nlink:
                self._file = file
                return True
            os.close(file)  # swept away while we waited

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class ConcurrencyLimiter:
    """A place among the few processes that do heavy work; entering gives False if the queue was too long.

    The first in the queue holds the gate and looks for one of *slots* free slots. When its
    patience ends (their holders may be stopped) it goes on all the same but keeps the gate:
    never more than *slots* + 1 processes work, whatever happens. With no deadlines at all,
    only a slot that is free right now will do.
    """

    def __init__(
        self, folder: str, *, slots: int, at_the_gate: Deadline | None = None, for_a_slot: Deadline | None = None
    ) -> None:
        self._folder = folder
        self._slots = slots
        self._at_the_gate = at_the_gate
        self._for_a_slot = for_a_slot
        self._place: FileLock | None = None

    def __enter__(self) -> bool:
        gate = FileLock(f"{self._folder}/gate.lock", self._at_the_gate.remaining() if self._at_the_gate else 0.0)
        if not gate.__enter__():
            return False
        self._place = self._free_slot()
        if self._place is None and self._for_a_slot:
            self._place = gate
        else:
            gate.__exit__()  # it is the next one's
        return self._place is not None

    def __exit__(self, *_: object) -> None:
        if self._place is not None:
            self._place.__exit__()

    def _free_slot(self) -> FileLock | None:
        while True:
            for number in range(self._slots):
                slot = FileLock(f"{self._folder}/slot-{number}", 0.0)
                if slot.__enter__():
                    return slot
            if not self._for_a_slot or not self._for_a_slot.remaining():
                return None
            time.sleep(POLL)


class FileLocks:
    """The folder of lock files. Where it can't be used, nobody waits for anybody."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def acquire(self, name: str, *, timeout: Deadline) -> FileLock:
        """Hold the lock *name*, waiting for it until *patience* runs out."""
        return FileLock(f"{self._folder}/{name}.lock", timeout.remaining())

    def try_acquire(self, name: str) -> FileLock:
        """Hold the lock *name* only if it is free right now."""
        return FileLock(f"{self._folder}/{name}.lock", 0.0)

    def admission(self, *, slots: int, at_the_gate: Deadline, for_a_slot: Deadline) -> ConcurrencyLimiter:
        """Be one of the few that do heavy work."""
        return ConcurrencyLimiter(self._folder, slots=slots, at_the_gate=at_the_gate, for_a_slot=for_a_slot)

    def admission_if_free(self, *, slots: int) -> ConcurrencyLimiter:
        """Be one of them only if there is a place right now."""
        return ConcurrencyLimiter(self._folder, slots=slots)


class SingleFlight:
    """The locks as one question sees them: its turn first, then admission to heavy work.

    *patience* is for both waits for another process's work, *to_the_end* for the queue of
    those that wait to work, who would only be worse off alone.
    """

    def __init__(
        self, locks: FileLocks, name: str, *, patience: Deadline, to_the_end: Deadline, say_stage: Callable[[str], None]
    ) -> None:
        self._locks = locks
        self._name = name
        self._patience = patience
        self._to_the_end = to_the_end
        self._say_stage = say_stage

    def wait(self) -> FileLock:
        """Wait for the others with this question; False when patience ran out."""
        self._say_stage("waiting for another pull with the same question")
        return self._locks.acquire(self._name, timeout=self._patience)

    def try_wait(self) -> FileLock:
        """Take the turn only if nobody with this question has it."""
        return self._locks.try_acquire(self._name)

    def admission(self) -> ConcurrencyLimiter:
        """Wait to be one of as many working processes as there are CPUs; False at the very end."""
        self._say_stage("waiting for other pulls on this node")
        return self._locks.admission(slots=_slots(), at_the_gate=self._to_the_end, for_a_slot=self._patience)

    def admission_if_free(self) -> ConcurrencyLimiter:
        """Work only if fewer than that do right now."""
        return self._locks.admission_if_free(slots=_slots())


def _slots() -> int:
    return len(os.sched_getaffinity(0))
