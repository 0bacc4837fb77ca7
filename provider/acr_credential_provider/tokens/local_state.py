"""What this node or process has of its own for getting tokens: a store, locks, and failures of a moment ago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from acr_credential_provider.cache.cache_folder import NOWHERE
from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.cache.file_locks import FileLocks
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.sources.secret_file import FOR_OWNER_ALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from acr_credential_provider.cache.token_store import KeyValueStore
    from acr_credential_provider.fastpath.response_cache import ResponseCache

Result = TypeVar("Result")


class FailureCache:
    """Failures of calls to the cloud, cached for some seconds so that retries do not add load.

    *fingerprints* are of the files whose change ends them. Without *responses* nothing is cached, and with
    *read_only* nothing new.
    """

    def __init__(
        self, responses: ResponseCache | None, fingerprints: Sequence[str] = (), *, read_only: bool = False
    ) -> None:
        self._responses = responses
        self._fingerprints = tuple(fingerprints)
        self._read_only = read_only

    def get(self, name: str) -> CredentialProviderError | None:
        """Return the cached failure of the call *name*."""
        cached = self._answer(name)
        return None if cached is None else cached.failure()

    def run(self, name: str, call: Callable[[], Result]) -> Result:
        """Return the result of *call*; raise its cached failure instead, or a new one, which is cached then."""
        failure = self.get(name)
        if failure is not None:
            raise failure
        try:
            return call()
        except CredentialProviderError as error:
            cached = self._answer(name)
            if cached is not None and not self._read_only:
                cached.put_failure(error)
            raise

    def _answer(self, name: str) -> CachedAnswer | None:
        if self._responses is None:
            return None
        return CachedAnswer(self._responses, key=name, host="", fingerprints=self._fingerprints)


class NullStore:
    """A `KeyValueStore` that keeps nothing."""

    def get(self, name: str, *, times: Sequence[str] = ()) -> dict[str, Any] | None:  # noqa: ARG002 - there is nothing
        """Return None."""
        return None

    def put(self, name: str, value: dict[str, Any], *, until: float) -> None:
        """Drop *value*."""


@dataclass(frozen=True, slots=True)
class LocalState:
    """*store* keeps tokens, sessions and host lists; *machine* tells this node from clones of its disk.

    *forbidden* are the permission bits that a file with a secret must not have here.
    """

    store: KeyValueStore
    locks: FileLocks
    failures: FailureCache
    machine: str = ""
    forbidden: int = FOR_OWNER_ALONE

    @classmethod
    def empty(cls) -> LocalState:
        """Return a state in which nothing is kept and nobody waits."""
        return cls(NullStore(), FileLocks(NOWHERE), FailureCache(None))
