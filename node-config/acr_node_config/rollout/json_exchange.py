"""A folder that one container writes and another only reads: small JSON documents, each replaced whole.

Either side may be unprivileged, so both treat the folder as untrusted: a draft is always a new file, no symlink is
followed, and only plain files of bounded size are read.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from typing import Any

from acr_credential_provider.files.atomic_write import draft_prefix, write_atomically

LARGEST = 256 << 10


def put(folder: str, name: str, document: dict[str, Any]) -> None:
    """Put *document* in the folder, readable by all users; raise ``OSError`` if the disk refuses."""
    write_atomically(f"{folder}/{name}", json.dumps(document).encode() + b"\n", mode=0o644)


def sweep(folder: str, name: str) -> None:
    """Remove the drafts that a killed writer of *name* left. Never raises."""
    with suppress(OSError):
        for entry in os.listdir(folder):
            if entry.startswith(draft_prefix(name)):
                os.unlink(f"{folder}/{entry}")


def get(folder: str, name: str) -> dict[str, Any] | None:
    """Return the document *name*, None if there is none that can be read as one."""
    try:
        descriptor = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            return None
        document = json.loads(os.read(descriptor, LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    finally:
        os.close(descriptor)
    return document if isinstance(document, dict) else None


def drop(folder: str, name: str) -> None:
    """Remove the document *name*, if there is one. Never raises."""
    with suppress(OSError):
        os.unlink(f"{folder}/{name}")
