"""Recognises a limit of this process or machine behind an exception: open files, processes, memory, disk.

Without this, such a failure looks like one of what was tried: a network without a route, a file that is not there.
"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from .remedy import Remedy


class Limit(NamedTuple):
    """What is used up, as a problem, and what to do about it."""

    problem: str
    remedy: Remedy


_FILES = Remedy(
    "OpenFilesExhausted", "Raise the limit of open files (LimitNOFILE= of the service that starts it, ulimit -n)."
)
_TASKS = Remedy(
    "ProcessesExhausted",
    "Raise the limit of processes (TasksMax= of the service that starts it, ulimit -u, pids.max of the Pod).",
)
_MEMORY = Remedy(
    "MemoryExhausted", "Free memory on this machine, or raise the memory limit of the service or Pod that starts it."
)
_DISK = Remedy("DiskFull", "Free space there (df -h), or inodes (df -i).")
LIMITS = {
    errno.EMFILE: Limit("this process may open no more files", _FILES),
    errno.ENFILE: Limit(
        "this machine can open no more files",
        Remedy("OpenFilesExhausted", "Raise fs.file-max, or end what holds so many files."),
    ),
    errno.EAGAIN: Limit("no more processes or threads may be started", _TASKS),
    errno.ENOMEM: Limit("there is no memory left", _MEMORY),
    errno.ENOBUFS: Limit("there is no memory left for connections", _MEMORY),
    errno.ENOSPC: Limit("the disk is full", _DISK),
    errno.EDQUOT: Limit(
        "the disk quota is used up", Remedy("DiskFull", "Free space there, or raise the quota (quota, repquota).")
    ),
    errno.EROFS: Limit(
        "the file system is read-only",
        Remedy("DiskReadOnly", "Name a place that can be written, or see why it is (dmesg)."),
    ),
    errno.EIO: Limit("the disk does not work", Remedy("DiskBroken", "Look at the disk (dmesg).")),
    errno.ENOLCK: Limit(
        "no more files can be locked", Remedy("DiskBroken", "Look at the file system there (NFS needs lockd).")
    ),
    errno.ETXTBSY: Limit(
        "the program is being written at this moment",
        Remedy("ProgramBeingWritten", "Try it again when its installation is over."),
    ),
    errno.EADDRNOTAVAIL: Limit(
        "no local address or port is free for it",
        Remedy(
            "PortsExhausted", "Look at the connections of this machine (ss -s), and at net.ipv4.ip_local_port_range."
        ),
    ),
}
"""By errno: what is no fault of the file, program or host that was tried."""


def limit_behind(error: BaseException) -> Limit | None:
    """Return the limit that *error* comes from, None for any other error.

    >>> limit_behind(OSError(errno.EMFILE, "")).problem, limit_behind(FileNotFoundError(errno.ENOENT, ""))
    ('this process may open no more files', None)
    """
    if isinstance(error, OSError):
        return LIMITS.get(_number(error))
    if isinstance(error, MemoryError):
        return LIMITS[errno.ENOMEM]
    # CPython has no errno for a thread that cannot be started, but always these words.
    is_thread = isinstance(error, RuntimeError) and str(error).startswith("can't start new thread")
    return LIMITS[errno.EAGAIN] if is_thread else None


def explained(error: OSError, *, remedy: Remedy) -> Limit:
    """Return what *error* says in the system's words, with *remedy*; a limit's own problem and remedy if it is one.

    >>> explained(PermissionError(errno.EACCES, ""), remedy=Remedy("NotPrivileged", "Run it as root."))
    Limit(problem='Permission denied', remedy='Run it as root.')
    """
    limit = limit_behind(error)
    if limit is not None:
        return limit
    number = _number(error)
    return Limit(os.strerror(number) if number else type(error).__name__, remedy)


def _number(error: OSError) -> int:
    """Return the system's number of *error*, 0 if it has none: errors of TLS and of DNS have numbers of their own."""
    is_foreign = type(error).__module__ == "ssl" or (error.errno or 0) not in errno.errorcode
    return 0 if is_foreign else error.errno or 0
