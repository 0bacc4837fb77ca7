"""The cache folder of this node, opened: responses, locks, and the path of the token store."""

from __future__ import annotations

from acr_credential_provider.fastpath.response_cache import ResponseCache

from .file_locks import FileLocks

NOWHERE = "/dev/null"
"""A cache folder in which nothing can be read or written."""


class CacheFolder:
    """The parts of the cache folder at *path*. Nothing is read or made here."""

    __slots__ = ("locks", "path", "responses", "store_path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.responses = ResponseCache(f"{path}/memo")
        self.locks = FileLocks(f"{path}/locks")
        self.store_path = f"{path}/store"
