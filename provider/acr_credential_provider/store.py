"""What the slow path keeps between runs: tokens, endpoint lists, the node's region.

A diskcache store off the hit path. diskcache pickles what it does not know, and whoever
can write its file could then run code as root (CVE-2025-69872), so everything here is
text and a pickle is refused in both directions. A store that is broken, full, locked or
read-only is an empty store, never an error.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from typing import Any, Self

import diskcache
from diskcache.core import MODE_RAW, MODE_TEXT

from .memo import believable, uptime

PROBE = 0.25
"""Seconds to wait for another process's lock; diskcache itself would wait for up to 60."""


class _TextDisk(diskcache.Disk):  # type: ignore[misc]
    """Stores text under text, and nothing else."""

    def put(self, key: object) -> tuple[Any, bool]:
        if not isinstance(key, str):
            raise TypeError("keys are text")
        return key, True

    def get(self, key: object, raw: bool) -> Any:
        if not raw:
            raise ValueError("a pickled key is not ours")
        return key

    def store(
        self,
        value: object,
        read: bool,
        key: object = None,  # noqa: ARG002 - the base class's signature
    ) -> tuple[int, int, str | None, Any]:
        if not isinstance(value, str) or read:
            raise TypeError("values are text")
        return 0, MODE_RAW, None, value

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        if mode not in (MODE_RAW, MODE_TEXT) or filename or read or not isinstance(value, str):
            raise ValueError("a pickled or foreign value is not ours")
        return value


class Store:
    """Values by name, each with a time after which it is not given out any more."""

    def __init__(self, folder: str) -> None:
        self._cache = _open(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._cache is not None:
            self._cache.close()

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the living value under *name*, or None."""
        if self._cache is None:
            return None
        try:
            record = json.loads(self._cache.get(name, "null"))
            now = believable(
                clock=time.time(), uptime=uptime(), written=record["written"], written_uptime=record["uptime"]
            )
            value: dict[str, Any] | None = record["value"] if now < record["until"] else None
        except (sqlite3.Error, OSError, ValueError, TypeError, KeyError):
            return None
        return value

    def put(self, name: str, value: dict[str, Any], *, until: float) -> None:
        """Keep *value* under *name* until the local time *until* (seconds since the epoch)."""
        if self._cache is None:
            return
        now = time.time()
        record = json.dumps({"written": now, "uptime": uptime(), "until": until, "value": value})
        try:
            self._cache.set(name, record, expire=max(until - now, 0.0))
        except (sqlite3.Error, OSError):
            return

    def clear(self) -> None:
        """Forget everything."""
        if self._cache is not None:
            self._cache.clear()


def _open(folder: str) -> diskcache.Cache | None:
    try:
        seen = os.lstat(folder)
        if seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
            return None
        _probe(f"{folder}/cache.db")
        return diskcache.Cache(
            folder,
            timeout=PROBE,
            disk=_TextDisk,
            eviction_policy="none",
            sqlite_journal_mode="delete",  # no -shm and -wal files to go stale beside it
            sqlite_mmap_size=0,
        )
    except sqlite3.OperationalError:  # locked, read-only or full: another time
        return None
    except sqlite3.DatabaseError:  # not a database any more: the next run starts a new one
        for name in ("cache.db", "cache.db-journal"):
            _remove(f"{folder}/{name}")
        return None
    except (OSError, ValueError, TypeError, diskcache.Timeout):
        return None


def _probe(path: str) -> None:
    """Raise ``sqlite3.OperationalError`` when another process holds the lock of the file at *path*."""
    connection = sqlite3.connect(path, timeout=PROBE, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
