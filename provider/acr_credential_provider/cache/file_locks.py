"""File locks between processes on this node. Every wait has an end.

All are ``flock``s, so the kernel frees them when their holder dies, however it dies, and
hands each on first come, first served. A lock's file is removed by its holder only, and a
process that then gets the lock of a removed file starts over, so that never two are let in.
"""

from __future__ import annotations

import fcntl
import os
import time
from _thread import LockType, allocate_lock, start_new_thread

from acr_credential_provider.changes.folder import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from acr_credential_provider.model.deadline import Deadline
    from acr_credential_provider.model.progress import Progress

POLL = 0.02  # seconds between looks at the slots


def _open(path: str) -> int:
    above, _, name = path.rpartition("/")
    with opened(above) as folder:
        return folder.lock_file(name)


def _lock(file: int, how: int) -> bool:
    """Lock *file*; return False if another process has it.

    Some file systems have no locks (ENOSYS), or none left (ENOLCK): there no process waits.
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
    """One lock: ``with FileLock(path, seconds) as held``, where *held* is False if *seconds* were not enough."""

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
    """One of *slots* places for heavy work: ``with ... as admitted``, False if none became free until *until*.

    Without *until* only a slot that is free right now will do.
    """

    def __init__(self, folder: str, *, slots: int, until: Deadline | None = None) -> None:
        self._paths = [f"{folder}/slot-{number}" for number in range(slots)]
        self._until = until
        self._slot: FileLock | None = None

    def __enter__(self) -> bool:
        while True:
            for path in self._paths:
                slot = FileLock(path, 0.0)
                if slot.__enter__():
                    self._slot = slot
                    return True
            if self._until is None or not self._until.remaining():
                return False
            time.sleep(POLL)

    def __exit__(self, *_: object) -> None:
        if self._slot is not None:
            self._slot.__exit__()


class FileLocks:
    """The folder of lock files. Where it can't be used, no process waits for another."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def acquire(self, name: str, *, timeout: Deadline) -> FileLock:
        """Hold the lock *name*, waiting for it until *timeout*."""
        return FileLock(f"{self._folder}/{name}.lock", timeout.remaining())

    def try_acquire(self, name: str) -> FileLock:
        """Hold the lock *name* only if it is free right now."""
        return FileLock(f"{self._folder}/{name}.lock", 0.0)

    def take_slot(self, *, slots: int, until: Deadline | None = None) -> ConcurrencyLimiter:
        """Be one of the few processes that do heavy work."""
        return ConcurrencyLimiter(self._folder, slots=slots, until=until)


class SingleFlight:
    """The locks as the process with one question uses them: its turn first, then a slot for heavy work.

    *waiting* ends the wait for the process that has the same question, *until* the wait for a slot, which
    is longer: a hundred processes that go on without one take more memory than a node has.
    """

    def __init__(self, locks: FileLocks, name: str, *, waiting: Deadline, until: Deadline, progress: Progress) -> None:
        self._locks = locks
        self._name = name
        self._waiting = waiting
        self._until = until
        self._progress = progress

    def wait(self) -> FileLock:
        """Wait for the process that has this question; False when it took too long."""
        self._progress.stage("waiting for another pull with the same question")
        return self._locks.acquire(self._name, timeout=self._waiting)

    def wait_if_free(self) -> FileLock:
        """Take the turn only if no process with this question has it."""
        return self._locks.try_acquire(self._name)

    def take_slot(self) -> ConcurrencyLimiter:
        """Wait for a slot; False at the very end."""
        self._progress.stage("waiting for other pulls on this node")
        return self._locks.take_slot(slots=_slots(), until=self._until)

    def take_slot_if_free(self) -> ConcurrencyLimiter:
        """Take a slot only if there is one right now."""
        return self._locks.take_slot(slots=_slots())


def _slots() -> int:
    """Return one more than there are CPUs, because the holder of one may be stopped or hang on a disk."""
    return len(os.sched_getaffinity(0)) + 1
