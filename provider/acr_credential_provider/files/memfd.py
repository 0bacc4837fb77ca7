"""A secret as a file in memory without a name, for libraries that read paths only; gone with its descriptor."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from acr_credential_provider.changes.folder import opened

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
    with opened(MEMORY) as folder:  # Linux before 3.17 (CentOS 7)
        return folder.nameless_file()
