"""The cache's folders: only folders of this program are used or changed, and only if no other user can write them.

A cache folder is known by an empty file in it (`MARK`), which is made first. Another folder that is
named by mistake (``--cache /etc``) stays as it is.
"""

from __future__ import annotations

import errno
import os

from acr_credential_provider.changes.folder import Folder, made, opened
from acr_credential_provider.changes.way import OthersCanChangeError
from acr_credential_provider.files import cache_mark
from acr_credential_provider.files.cache_mark import MARK, NAMES
from acr_credential_provider.model.errors import CacheUnsafeError
from acr_credential_provider.model.remedy import Remedy


def ensure(cache: str) -> None:
    """Make *cache* and the folders in it, for this user alone.

    Raises `CacheUnsafeError` when *cache* is there and not ours, or one of the folders is another
    user's, or no folder, or can be written by others; ``OSError`` when the disk is full or read-only.
    """
    with _ours(cache) or _new(cache) as folder:
        if not cache_mark.is_in(folder):
            _mark(folder)
        problem: OSError | None = None
        for name in ("", *NAMES):
            try:
                _close_to_readers(folder, cache, name)
            except OSError as error:  # the other folders are checked all the same, because they are going to be used
                problem = problem or error
    if problem is not None:
        raise problem


def is_there(cache: str) -> bool:
    """True if *cache* exists and is ours, False if it does not exist; nothing is changed.

    Raises `CacheUnsafeError` when it is anything else.
    """
    folder = _ours(cache)
    if folder is not None:
        folder.close()
    return folder is not None


def part(cache: str, name: str) -> Folder:
    """Open the folder *name* of *cache*, which is there and ours.

    Raises ``OSError`` where one of them is absent, and `CacheUnsafeError` as `is_there`.
    """
    folder = _ours(cache)
    if folder is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), cache)
    with folder:
        return folder.folder(name)


def _ours(cache: str) -> Folder | None:
    """Open *cache*; None if it does not exist, `CacheUnsafeError` if it is not ours."""
    above, _, name = cache.rstrip("/").rpartition("/")
    try:
        with _above(above or "/", cache) as parent:
            try:
                folder = parent.folder(name)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise _refusal(cache, error) from None
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        _judge(cache, folder)
    except BaseException:
        folder.close()
        raise
    return folder


def _new(cache: str) -> Folder:
    """Make *cache* and open it. Root's folders above are for all to enter, because /var/cache may be among them."""
    above, _, name = cache.rstrip("/").rpartition("/")
    with _above(above or "/", cache, is_made=True) as parent:
        parent.make_folder(name, 0o700).close()
    folder = _ours(cache)
    if folder is None:  # removed meanwhile
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), cache)
    return folder


def _above(path: str, cache: str, *, is_made: bool = False) -> Folder:
    """Open the folder at *path*, in which *cache* is."""
    try:
        return made(path, mode=0o700 if os.geteuid() else 0o755) if is_made else opened(path)
    except OthersCanChangeError as error:
        unsafe = error.filename
    raise CacheUnsafeError(
        f"{unsafe} can be changed by others than root, and the cache folder {cache} is below it",
        remedy=Remedy(
            "CacheUnsafe",
            "Name a folder with --cache that is below folders which root alone can change, such as /var/cache. "
            f"Leave {unsafe} as it is. Nothing in {cache} was used.",
        ),
    )


def _judge(cache: str, folder: Folder) -> None:
    """Raise `CacheUnsafeError` unless the open *folder* is ours."""
    if cache_mark.is_in(folder):
        _is_open_to_readers(cache, folder)
        return
    try:
        is_ours = cache_mark.holds_nothing_but_ours(folder)
    except OSError as error:  # a broken disk: a folder that cannot be read is not ours
        from acr_credential_provider.model.resource_limits import explained  # noqa: PLC0415 - for this case alone

        reason, remedy = explained(
            error,
            remedy=Remedy(
                "CacheUnusable", "Look at that disk (dmesg), or name another folder with --cache. Nothing was changed."
            ),
        )
        raise CacheUnsafeError(f"the cache folder {cache} cannot be looked through: {reason}", remedy=remedy) from None
    # The mark is looked for again, because another process may have made the folder since the first look.
    if not is_ours and not cache_mark.is_in(folder):
        raise _not_made_by_us(cache)


def _not_made_by_us(cache: str) -> CacheUnsafeError:
    return CacheUnsafeError(
        f"the cache folder {cache} was not made by this program",
        remedy=Remedy(
            "CacheUnsafe",
            "Name another with --cache, one that does not exist yet; or, if it is empty, remove it (rmdir). "
            f"Nothing in {cache} was used or changed.",
        ),
    )


def _refusal(cache: str, error: OSError, name: str = "") -> Exception:
    """Return what to raise where *name* in *cache*, or *cache* itself, cannot be opened as a folder of ours."""
    if isinstance(error, OthersCanChangeError) or (name and error.errno in (errno.ENOTDIR, errno.ELOOP)):
        return _not_ours_alone(f"{cache}/{name}".rstrip("/"))
    return _not_made_by_us(cache) if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EINVAL) else error


def _not_ours_alone(folder: str) -> CacheUnsafeError:
    return CacheUnsafeError(
        f"the cache folder {folder} is not a folder that only this user can write",
        remedy=Remedy(
            "CacheUnsafe", f"Find out who changed it, and name another with --cache. Nothing in {folder} was used."
        ),
    )


def _mark(folder: Folder) -> None:
    """Put the mark into *folder*, unless another process has just done so."""
    os.close(folder.lock_file(MARK))


def _close_to_readers(cache: Folder, path: str, name: str) -> None:
    """Have the folder *name* of *cache*, made if it is not there, or *cache* itself, be for this user alone."""
    if not name:
        if _is_open_to_readers(path, cache):
            cache.chmod(0o700)
        return
    try:
        folder = cache.make_folder(name, 0o700)
    except OSError as error:
        raise _refusal(path, error, name) from None
    with folder:
        if _is_open_to_readers(f"{path}/{name}", folder):
            folder.chmod(0o700)


def _is_open_to_readers(path: str, folder: Folder) -> bool:
    """True if others can read *folder*; raises `CacheUnsafeError` when they can write it, or it is not this user's."""
    status = folder.status()
    if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
        return bool(status.st_mode & 0o077)
    raise _not_ours_alone(path)
