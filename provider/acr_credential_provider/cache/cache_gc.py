"""Garbage collection, so that a node's cache folder does not grow for ever.

Hosts and ServiceAccounts come and go; their entries expire but stay, and so do their locks and the
drafts of killed writers. A pull that called the cloud looks at some of these files after its answer.
"""

from __future__ import annotations

import os
import time

from .cache_dirs import SUFFIXES
from .file_locks import FileLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .cache_folder import CacheFolder

EVERY = 3600.0
"""Seconds between two runs."""
AT_MOST = 500
"""Files that are looked at in one run: some 5 ms."""
KEPT = 3 * 86400.0
"""Seconds since the last use. No token lives longer than 25 hours."""
DRAFT_KEPT = 3600.0
"""Seconds; writing one takes less than a millisecond."""


def collect_garbage(cache: CacheFolder) -> None:
    """Remove old entries and locks of *cache*, if that was not done in the last hour. Never raises."""
    now = time.time()
    try:
        with cache.locks.try_acquire("sweep") as free:
            if free and _is_time(f"{cache.path}/locks/sweep.lock", now):
                _sweep_entries(f"{cache.path}/memo", now)
                _sweep_locks(f"{cache.path}/locks", now)
    except OSError:  # no folder, read-only
        return


def _is_time(mark: str, now: float) -> bool:
    """True if the last change of *mark* is an hour ago, which is then now; a new one counts as just changed."""
    changed_at = os.stat(mark).st_mtime
    if changed_at <= now < changed_at + EVERY:
        return False
    os.utime(mark)
    return True


def _sweep_entries(folder: str, now: float) -> None:
    for entry, age in _some(folder, now):
        if age > (KEPT if entry.name.endswith(SUFFIXES) else DRAFT_KEPT):
            _remove(entry.path)


def _sweep_locks(folder: str, now: float) -> None:
    for entry, age in _some(folder, now):
        if age > KEPT and entry.name.endswith(".lock"):
            with FileLock(entry.path, 0.0) as free:  # only its holder may remove it
                if free:
                    _remove(entry.path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # gone, or no file
        return


def _some(folder: str, now: float) -> Iterator[tuple[os.DirEntry[str], float]]:
    """Yield files in *folder* with their age (seconds); of many, some, from a random start."""
    with os.scandir(folder) as entries:
        files = sorted(entries, key=lambda entry: entry.name)
    start = int.from_bytes(os.urandom(4), "big") % len(files) if len(files) > AT_MOST else 0
    for entry in (files[start:] + files[:start])[:AT_MOST]:
        try:
            yield entry, now - entry.stat(follow_symlinks=False).st_mtime
        except OSError:  # replaced meanwhile
            continue
