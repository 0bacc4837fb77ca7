"""The cache's folders: only folders of this program are used or changed, and only if no other user can write them.

A cache folder is known by an empty file in it (`MARK`), which is made first. Another folder that is
named by mistake (``--cache /etc``) stays as it is.
"""

from __future__ import annotations

import os
import stat

from acr_credential_provider.model.errors import CacheUnsafeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("memo", "locks", "store")
MARK = ".aliyun-acr-credential-provider"
"""The file that makes a folder ours. It is empty, so that a full disk cannot leave half of it."""
SUFFIXES = (".memo", ".failed", ".settings", ".root")
"""The ends of cache entries' names. Earlier builds wrote ".root"; a folder that they made is still ours."""
LOCKS = ("sweep", "gate")
"""The names of locks that belong to no question. Earlier builds had "gate"."""
_HEX = frozenset("0123456789abcdef")


def ensure(cache: str) -> None:
    """Make *cache* and the folders in it, for this user alone.

    Raises `CacheUnsafeError` when *cache* is there and not ours, or one of the folders is another
    user's, or no folder, or can be written by others; ``OSError`` when the disk is full or read-only.
    """
    if not is_there(cache):
        _make(cache)
        if not is_there(cache):  # removed meanwhile
            raise FileNotFoundError(cache)
    _mark(cache)
    problem: OSError | None = None
    for folder in (cache, *(f"{cache}/{name}" for name in NAMES)):
        try:
            _make(folder)
            if _is_open_to_readers(folder):
                os.chmod(folder, 0o700)
        except OSError as error:  # the other folders are checked all the same, because they are going to be used
            problem = problem or error
    if problem is not None:
        raise problem


def is_there(cache: str) -> bool:
    """True if *cache* exists and is ours, False if it does not exist; nothing is changed.

    Raises `CacheUnsafeError` when it is anything else.
    """
    try:
        status = os.lstat(cache)
    except (FileNotFoundError, NotADirectoryError):
        return False
    if _has_mark(cache):
        _is_open_to_readers(cache)
        return True
    # One that others can read is never taken: no version of ours left one so, and we would have to change its mode.
    is_private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
    # The mark is looked for again, because another process may have made the folder since the first look.
    if (is_private and _holds_nothing_but_ours(cache)) or _has_mark(cache):
        return True
    raise CacheUnsafeError(
        f"the cache folder {cache} was not made by this program",
        remedy="Name another with --cache, one that does not exist yet; or, if it is empty, remove it (rmdir). "
        f"Nothing in {cache} was used or changed.",
    )


def _has_mark(cache: str) -> bool:
    try:
        status = os.lstat(f"{cache}/{MARK}")
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _mark(cache: str) -> None:
    """Put the mark into *cache*, unless this or another process has done so."""
    if not _has_mark(cache):
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(f"{cache}/{MARK}", flags, 0o600))


def _holds_nothing_but_ours(cache: str) -> bool:
    """True if everything in *cache*, a folder for this user alone, has a place and a name that only we give.

    This is how a folder without a mark becomes ours: one of an earlier build, which made no marks; one whose maker
    was killed before it could mark it; or an empty one that its owner made for us with mode 0700 (a mount,
    ``install -d -m 0700``). No other program loses anything, because none has names of 64 hexadecimal digits in a
    folder called ``memo``. With a single other entry, at any depth, the folder stays as it is.
    """
    try:
        for entry in _entries(cache):
            if entry.name not in NAMES or not entry.is_dir(follow_symlinks=False):
                return False
            _is_open_to_readers(entry.path)
            for inner in _entries(entry.path):
                if not _is_our_name(entry.name, inner.name) or not inner.is_file(follow_symlinks=False):
                    return False
    except CacheUnsafeError:
        return False
    except OSError as error:  # a broken disk: a folder that cannot be read is not ours
        raise CacheUnsafeError(
            f"the cache folder {cache} cannot be looked through: {os.strerror(error.errno or 0)}",
            remedy="Look at that disk (dmesg), or name another folder with --cache. Nothing was changed.",
        ) from None
    return True


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from entries


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
        return is_slot or (rest == "lock" and (is_digest or stem in LOCKS))
    suffix, dot, draft = rest.partition(".")
    is_draft = len(draft) == 16 and _HEX.issuperset(draft)
    return is_digest and f".{suffix}" in SUFFIXES and (is_draft or not dot)


def _make(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_above(folder)
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:  # another process was faster
            return


def _make_above(folder: str) -> None:
    """Make missing folders above *folder*; root's are for all to enter, because /var/cache may be among them."""
    above = os.path.dirname(folder.rstrip("/"))
    if os.path.isdir(above):
        return
    _make_above(above)
    try:
        os.mkdir(above, 0o700)
    except FileExistsError:
        return
    if os.geteuid() == 0:
        os.chmod(above, 0o755)  # noqa: S103 - like every folder of the system that others have folders in


def _is_open_to_readers(folder: str) -> bool:
    """True if others can read *folder*; raises `CacheUnsafeError` when they can write it, or it is not this user's."""
    status = os.lstat(folder)
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022:
        return bool(status.st_mode & 0o077)
    raise CacheUnsafeError(
        f"the cache folder {folder} is not a folder that only this user can write",
        remedy=f"Find out who made it, then remove it; or name another with --cache. Nothing in {folder} was used.",
    )
