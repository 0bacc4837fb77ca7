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

from acr_credential_provider.changes.folder import opened_shared
from acr_credential_provider.files.atomic_write import draft_prefix

LARGEST = 256 << 10


def put(folder: str, name: str, document: dict[str, Any]) -> None:
    """Put *document* in the folder, readable by all users; raise ``OSError`` if the disk refuses."""
    content = json.dumps(document).encode() + b"\n"
    with opened_shared(folder) as shared:
        shared.put(name, content, mode=0o644, draft=draft_prefix(name))


def sweep(folder: str, name: str) -> None:
    """Remove the drafts that a killed writer of *name* left. Never raises."""
    with suppress(OSError), opened_shared(folder) as shared:
        for entry in shared.names():
            if entry.startswith(draft_prefix(name)):
                shared.unlink(entry)


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
    with suppress(OSError), opened_shared(folder) as shared:
        shared.unlink(name)
