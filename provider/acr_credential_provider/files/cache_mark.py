"""What tells a cache folder of this program from other folders: its mark, or else that nothing else is in it."""

from __future__ import annotations

import errno
import os
import stat

from acr_credential_provider.fastpath.lookup import TRACE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from acr_credential_provider.changes.folder import Folder

NAMES = ("memo", "locks", "store")
MARK = ".aliyun-acr-credential-provider"
"""The file that makes a folder ours. It is empty, so that a full disk cannot leave half of it."""
SUFFIXES = (".memo", ".failed", ".settings", ".root")
"""The ends of cache entries' names. Earlier builds wrote ".root"; a folder that they made is still ours."""
LOCKS = ("sweep", "gate")
"""The names of locks that belong to no question. Earlier builds had "gate"."""
_HEX = frozenset("0123456789abcdef")


def is_in(folder: Folder) -> bool:
    """True if the mark is in *folder*, and this user's."""
    try:
        status = folder.status(MARK)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def holds_nothing_but_ours(folder: Folder) -> bool:
    """True if *folder* is for this user alone, and everything in it has a place and a name that only we give.

    This is how a folder without a mark becomes ours: one of an earlier build, which made no marks; one whose maker
    was killed before it could mark it; or an empty one that its owner made for us with mode 0700 (a mount,
    ``install -d -m 0700``). One that others can read is never taken: no version of ours left one so. No other
    program loses anything, because none has names of 64 hexadecimal digits in a folder called ``memo``. With a single
    other entry, at any depth, the folder stays as it is. Raises ``OSError`` where it cannot be read.
    """
    if not _is_ours_with(folder, 0o077):
        return False
    for name in folder.names():
        if name not in NAMES:
            return False
        try:
            with folder.folder(name) as inner:
                if not _is_ours_with(inner, 0o022):
                    return False
                if not all(_is_our_name(name, each) and _is_file(inner, each) for each in inner.names()):
                    return False
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EPERM):  # no folder, or one that others can change
                return False
            raise
    return True


def _is_ours_with(folder: Folder, forbidden: int) -> bool:
    status = folder.status()
    return status.st_uid == os.geteuid() and not status.st_mode & forbidden


def _is_file(folder: Folder, name: str) -> bool:
    try:
        return stat.S_ISREG(folder.status(name).st_mode)
    except FileNotFoundError:  # removed meanwhile
        return True


def _is_our_name(folder: str, name: str) -> bool:
    """True if this program gives *name* to a file in its folder *folder*.

    >>> _is_our_name("memo", 64 * "a" + ".memo"), _is_our_name("memo", "shopping.memo"), _is_our_name("store", "a.db")
    (True, False, False)
    """
    if folder == "store":
        return name in ("cache.db", "cache.db-journal", "cache.db-wal", "cache.db-shm")
    stem, _, rest = name.partition(".")
    is_digest = len(stem) == 64 and _HEX.issuperset(stem)
    if folder == "locks":
        is_slot = stem.startswith("slot-") and stem[5:].isdigit() and not rest
        return is_slot or f"locks/{name}" == TRACE or (rest == "lock" and (is_digest or stem in LOCKS))
    suffix, dot, draft = rest.partition(".")
    is_draft = len(draft) == 16 and _HEX.issuperset(draft)
    return is_digest and f".{suffix}" in SUFFIXES and (is_draft or not dot)
