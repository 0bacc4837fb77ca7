"""Reads a file that an operator or a cluster names: without a wait for a FIFO or a device, which have no end."""

from __future__ import annotations

import errno
import os
import stat


class NotRegularFileError(OSError):
    """A FIFO, a device, a socket or a folder is at the path."""


def read(path: str, limit: int) -> bytes:
    """Return at most *limit* bytes of the file at *path*, symlinks followed.

    Raises `NotRegularFileError` for what is no regular file, ``OSError`` for what cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotRegularFileError(errno.EINVAL, "not a regular file", path)
        return file.read(limit)
