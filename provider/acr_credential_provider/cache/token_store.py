"""The token store: tokens, sessions, host lists and the node's region, kept between runs.

A diskcache store off the fast path. diskcache pickles other values, and a writer of its file
could then run code as root (CVE-2025-69872), so everything here is text and a pickle is refused
in both directions. A store that is broken, full, locked or read-only is an empty store, never an error.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Protocol, Self

import diskcache
from diskcache.core import MODE_RAW, MODE_TEXT

from acr_credential_provider.changes.folder import opened
from acr_credential_provider.fastpath.response_cache import plausible_now, uptime

if TYPE_CHECKING:
    from collections.abc import Sequence

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


class KeyValueStore(Protocol):
    """A store of values by name: on disk between pulls, or in the memory of a long-lived process."""

    def get(self, name: str, *, times: Sequence[str] = ()) -> dict[str, Any] | None:
        """Return the valid value under *name*, or None; *times* are its fields that are local times."""

    def put(self, name: str, value: dict[str, Any], *, until: float) -> None:
        """Keep *value* under *name* until *until* (seconds since the epoch)."""


class TokenStore:
    """Values by name, each with the time until which it is valid."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._cache = _open(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._cache is not None:
            self._cache.close()

    def get(self, name: str, *, times: Sequence[str] = ()) -> dict[str, Any] | None:
        """Return the valid value under *name*, or None.

        Its fields *times* are local times; they are moved as far as the clock was set back since,
        so that the time that is left stays right.
        """
        if self._cache is None:
            return None
        try:
            record = json.loads(self._cache.get(name, "null"))
            now = plausible_now(
                clock=time.time(), uptime=uptime(), written=record["written"], written_uptime=record["uptime"]
            )
            value: dict[str, Any] | None = record["value"] if now < record["until"] else None
            if value is not None:
                value |= {field: value[field] - (now - time.time()) for field in times}
        except Exception as error:  # noqa: BLE001 - whatever is in there, it is no reason to fail a pull
            self._give_up_if_damaged(error)
            return None
        return value if isinstance(value, dict) else None

    def put(self, name: str, value: dict[str, Any], *, until: float) -> None:
        """Keep *value* under *name* until the local time *until* (seconds since the epoch)."""
        if self._cache is None:
            return
        now = time.time()
        record = json.dumps({"written": now, "uptime": uptime(), "until": until, "value": value})
        try:
            self._cache.set(name, record, expire=max(until - now, 0.0))
        except Exception as error:  # noqa: BLE001 - full, read-only, locked, damaged: the answer is out already
            self._give_up_if_damaged(error)

    def clear(self) -> None:
        """Delete everything, if need be by removing the file from under another process."""
        try:
            if self._cache is not None:
                self._cache.clear()
                return
        except Exception:  # noqa: BLE001 - what can't be cleared can be removed
            self._cache = None
        _throw_away(self._folder)

    def _give_up_if_damaged(self, error: Exception) -> None:
        if isinstance(error, sqlite3.Error) and _is_damaged(error):
            self._cache = None
            _throw_away(self._folder)


def _open(folder: str) -> diskcache.Cache | None:
    try:
        with opened(folder) as proof:  # nobody else can change the way there either, so its path stays true
            status = proof.status()
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            return None
        _probe(f"{folder}/cache.db")
        return diskcache.Cache(
            folder,
            timeout=PROBE,
            disk=_TextDisk,
            eviction_policy="none",
            sqlite_journal_mode="delete",  # no -shm and -wal files to go stale beside it
            sqlite_mmap_size=0,
            sqlite_synchronous=0,  # what a power cut may spoil is only a cache; a dozen syncs would delay each pull
        )
    except (OSError, diskcache.Timeout):
        return None
    except Exception as error:  # noqa: BLE001 - diskcache also trips over what the file says of itself
        if _is_damaged(error):  # the next run starts a new one
            _throw_away(folder)
        return None


def _is_damaged(error: Exception) -> bool:
    """True if the file is to blame: damaged, no database, or another version's."""
    if isinstance(error, sqlite3.Error):
        # Not locked, read-only or full: that passes. The first byte is the code without its details.
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
    return True


_DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_NOTADB)


def _throw_away(folder: str) -> None:
    for name in ("cache.db", "cache.db-journal"):
        try:
            with opened(folder) as proof:
                proof.unlink(name)
        except OSError:
            continue


def _probe(path: str) -> None:
    """Raise ``sqlite3.OperationalError`` when another process holds the lock of the file at *path*."""
    connection = sqlite3.connect(path, timeout=PROBE, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    finally:
        connection.close()
