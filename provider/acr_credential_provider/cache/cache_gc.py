"""Removes what nobody needs any more, so that a node's cache folder does not grow for ever.

Hosts and ServiceAccounts come and go. Their memos die but stay, and so do the locks of
their questions and the drafts of writers that were killed. A pull that had to do heavy
work anyway looks at some of them once its answer is out; each look is short.
"""

from __future__ import annotations

import os
import time

from .cache_dirs import MEMOS
from .file_locks import FileLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .cache_folder import CacheFolder

EVERY = 3600.0
"""Seconds between two looks."""
AT_MOST = 500
"""Files that are looked at in one go: some 5 ms."""
KEPT = 3 * 86400.0
"""Seconds since a pull last asked. No token lives longer than 25 hours, so those have long been dead."""
DRAFT_KEPT = 3600.0
"""Seconds; writing one takes less than a millisecond."""


def collect_garbage(cache: CacheFolder) -> None:
    """Look through the memos and locks below *cache*, if that was not done lately. Never raises."""
    now = time.time()
    try:
        with cache.locks.try_acquire("sweep") as free:
            if free and _is_time(f"{cache.path}/locks/sweep.lock", now):
                _sweep_memos(f"{cache.path}/memo", now)
                _sweep_locks(f"{cache.path}/locks", now)
    except OSError:  # no folder, read-only
        return


def _is_time(mark: str, now: float) -> bool:
    """Say whether *mark*'s last change is long past, and change it; a new one has all its time before it."""
    seen = os.stat(mark)
    if seen.st_mtime <= now < seen.st_mtime + EVERY:
        return False
    os.utime(mark)
    return True


def _sweep_memos(folder: str, now: float) -> None:
    for entry, age in _some(folder, now):
        if age > (KEPT if entry.name.endswith(MEMOS) else DRAFT_KEPT):
            _remove(entry.path)


def _sweep_locks(folder: str, now: float) -> None:
    for entry, age in _some(folder, now):
        if age > KEPT and entry.name.endswith(".lock"):
            with FileLock(entry.path, 0.0) as free:  # who holds it may remove it
                if free:
                    _remove(entry.path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # gone, or no file
        return


def _some(folder: str, now: float) -> Iterator[tuple[os.DirEntry[str], float]]:
    """Yield files in *folder* with their age (seconds), from another place on each time when there are many."""
    with os.scandir(folder) as entries:
        files = sorted(entries, key=lambda entry: entry.name)
    start = int.from_bytes(os.urandom(4), "big") % len(files) if len(files) > AT_MOST else 0
    for entry in (files[start:] + files[:start])[:AT_MOST]:
        try:
            yield entry, now - entry.stat(follow_symlinks=False).st_mtime
        except OSError:  # replaced meanwhile
            continue
