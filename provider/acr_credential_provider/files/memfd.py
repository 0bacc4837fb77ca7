"""A secret as a file in memory without a name, for libraries that read paths only; gone with its descriptor."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = "/dev/shm"  # noqa: S108 - the file there loses its name before it gets content


@contextmanager
def memfd(content: bytes) -> Iterator[str]:
    """Yield a path at which only this user's processes can read *content*; raise `OSError`."""
    descriptor = _nameless()
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _nameless() -> int:
    try:
        return os.memfd_create("secret", os.MFD_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
    # Linux before 3.17 (CentOS 7): a file in memory that loses its name before it gets its content.
    path = f"{MEMORY}/.{os.urandom(16).hex()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return descriptor
