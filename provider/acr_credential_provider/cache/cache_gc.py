"""Garbage collection, so that a node's cache folder does not grow for ever.

Hosts and ServiceAccounts come and go; their entries expire but stay, and so do their locks and the
drafts of killed writers. A pull that called the cloud looks at some of these files after its answer.
"""

from __future__ import annotations

import os
import time

from acr_credential_provider.fastpath.response_cache import NOT_COVERED
from acr_credential_provider.files.cache_mark import SUFFIXES
from acr_credential_provider.model.errors import CacheUnsafeError

from .cache_dirs import part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from acr_credential_provider.changes.folder import Folder

    from .cache_folder import CacheFolder

EVERY = 3600.0
"""Seconds between two runs."""
AT_MOST = 500
"""Files that are looked at in one run: some 5 ms."""
KEPT = 3 * 86400.0
"""Seconds since the last use. No token lives longer than 25 hours."""
MOST_UNCOVERED = 1000
"""Entries about hosts that no registry entry serves. A tenant can name any number of them; a node pulls from a few."""
COUNTED_EVERY = 50
"""Files: the entries are looked through as often as their number has grown by so many."""
DRAFT_KEPT = 3600.0
"""Seconds; writing one takes less than a millisecond."""


def collect_garbage(cache: CacheFolder) -> None:
    """Remove old entries and locks of *cache*, if that was not done in the last hour. Never raises."""
    now = time.time()
    try:
        with cache.locks.try_acquire("sweep") as free, part(cache.path, "locks") as locks:
            if free and _is_time(locks, now):
                with part(cache.path, "memo") as entries:
                    _sweep_entries(entries, now)
                _sweep_locks(locks, cache, now)
    except (OSError, CacheUnsafeError):  # no folder, read-only, not ours
        return


def bound_uncovered(cache: CacheFolder, key: str = "", most: int = MOST_UNCOVERED) -> None:
    """After an answer about an uncovered host: remove the lock of its question *key*, which nobody needs.

    If there are more than *most* such entries, those go that were not used for longest. Entries of covered hosts stay,
    however many there are. Never raises.
    """
    try:
        with part(cache.path, "locks") as locks:
            _remove_lock(locks, cache, f"{key}.lock")
        with part(cache.path, "memo") as entries:
            names = entries.names()
            if len(names) < most or len(names) % COUNTED_EVERY:
                return
            with cache.locks.try_acquire("sweep") as free:
                if free:
                    _remove_oldest_uncovered(entries, cache, names, most)
    except (OSError, CacheUnsafeError):  # no folder, read-only, not ours
        return


def _remove_oldest_uncovered(entries: Folder, cache: CacheFolder, names: list[str], most: int) -> None:
    uncovered: list[tuple[float, str]] = []
    for name in names:
        try:
            if name.endswith(".memo") and cache.responses.read(f"{cache.path}/memo/{name}").kind == NOT_COVERED:
                uncovered.append((entries.status(name).st_mtime, name))
        except (OSError, ValueError):  # gone, torn, not ours: the hourly run's
            continue
    for _, name in sorted(uncovered)[: max(len(uncovered) - most + COUNTED_EVERY, 0)]:
        _remove(entries, name)


def _is_time(locks: Folder, now: float) -> bool:
    """True if the last change of the sweep's lock is an hour ago, which is then now; a new one counts as changed."""
    changed_at = locks.status("sweep.lock").st_mtime
    if changed_at <= now < changed_at + EVERY:
        return False
    locks.touch("sweep.lock")
    return True


def _sweep_entries(entries: Folder, now: float) -> None:
    for name, age in _some(entries, now):
        if age > (KEPT if name.endswith(SUFFIXES) else DRAFT_KEPT):
            _remove(entries, name)


def _sweep_locks(locks: Folder, cache: CacheFolder, now: float) -> None:
    for name, age in _some(locks, now):
        if age > KEPT and name.endswith(".lock"):
            _remove_lock(locks, cache, name)


def _remove_lock(locks: Folder, cache: CacheFolder, name: str) -> None:
    with cache.locks.try_acquire(name.removesuffix(".lock")) as free:  # only its holder may remove it
        if free:
            _remove(locks, name)


def _remove(folder: Folder, name: str) -> None:
    try:
        folder.unlink(name)
    except OSError:  # gone, or no file
        return


def _some(folder: Folder, now: float) -> Iterator[tuple[str, float]]:
    """Yield files in *folder* with their age (seconds); of many, some, from a random start."""
    files = folder.names()
    start = int.from_bytes(os.urandom(4), "big") % len(files) if len(files) > AT_MOST else 0
    for name in (files[start:] + files[:start])[:AT_MOST]:
        try:
            yield name, now - folder.status(name).st_mtime
        except OSError:  # replaced meanwhile
            continue
