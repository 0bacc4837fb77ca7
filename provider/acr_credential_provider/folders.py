"""The cache's folders: made for root alone, and not used when others could write there."""

from __future__ import annotations

import os
import stat

from .errors import CacheUnsafeError

NAMES = ("memo", "locks", "store")


def prepare(cache: str) -> None:
    """Make *cache* and the folders in it, for this user alone.

    Raises `CacheUnsafeError` when one of them is another user's, or no folder, or can be
    written by others; ``OSError`` when the disk is full or read-only.
    """
    trouble: OSError | None = None
    for folder in (cache, *(f"{cache}/{name}" for name in NAMES)):
        try:
            _make(folder)
            _check(folder)
        except OSError as error:  # the others are looked at all the same: what is there is going to be used
            trouble = trouble or error
    if trouble is not None:
        raise trouble


def _make(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        os.makedirs(folder, 0o700)


def _check(folder: str) -> None:
    seen = os.lstat(folder)
    if stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and not seen.st_mode & 0o022:
        if seen.st_mode & 0o077:
            os.chmod(folder, 0o700)
        return
    raise CacheUnsafeError(
        f"the cache folder {folder} is not a folder that only this user can write",
        remedy=f"Find out who made it, then remove it; or name another with --cache. Nothing in {folder} was used.",
    )
