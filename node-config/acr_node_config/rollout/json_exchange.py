"""A folder that one container writes and another only reads: small JSON documents, each whole or the one before.

The writer may be root and the reader not, or the other way round, so neither trusts the folder further than that: a
draft is always a new file, no symlink is followed, and what is read is bounded and a plain file.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from typing import Any

LARGEST = 256 << 10


def put(folder: str, name: str, document: dict[str, Any]) -> None:
    """Put *document* in place of the one before it; raise ``OSError`` when the disk won't have it.

    It isn't synced: after a power cut there is no reader that would miss it.
    """
    content = json.dumps(document).encode() + b"\n"
    draft = f"{folder}/.{name}.{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    # Readable by all: the reader is another user, and nothing in it is secret.
    file = os.open(draft, flags, 0o644)
    try:
        with open(file, "wb") as opened:
            os.fchmod(file, 0o644)
            opened.write(content)
        os.replace(draft, f"{folder}/{name}")
    except OSError:
        os.unlink(draft)
        raise


def sweep(folder: str, name: str) -> None:
    """Remove the drafts that a killed writer of *name* left. Never raises."""
    with suppress(OSError):
        for each in os.listdir(folder):
            if each.startswith(f".{name}."):
                os.unlink(f"{folder}/{each}")


def get(folder: str, name: str) -> dict[str, Any] | None:
    """Return the document *name*, None when there is none that can be read as one."""
    try:
        file = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        seen = os.fstat(file)
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > LARGEST:
            return None
        document = json.loads(os.read(file, LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    finally:
        os.close(file)
    return document if isinstance(document, dict) else None


def drop(folder: str, name: str) -> None:
    """Remove the document *name*, if there is one. Never raises."""
    with suppress(OSError):
        os.unlink(f"{folder}/{name}")
