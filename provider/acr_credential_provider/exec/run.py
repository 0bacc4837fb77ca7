"""One run of the plugin after a cache miss: stdin, stdout, the clock, the deadline and the exit code are here.

What is imported at the top is all that a process pays that only waits for another one; the rest comes after
its wait (`tokens.acquire`).
"""

from __future__ import annotations

import gc
import os
import time

from acr_credential_provider.cache.cache_dirs import ensure, is_there
from acr_credential_provider.cache.cache_folder import NOWHERE, CacheFolder
from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.cache.file_locks import SingleFlight
from acr_credential_provider.fastpath.lookup import leave_trace
from acr_credential_provider.fastpath.response_cache import NOT_COVERED, CacheEntry, file_fingerprint, monotonic_now_for
from acr_credential_provider.fastpath.syslog import Log
from acr_credential_provider.model.deadline import Deadline, Deadlines
from acr_credential_provider.model.errors import (
    CacheUnsafeError,
    ConfigurationError,
    CredentialProviderError,
    DeadlineExceededError,
)
from acr_credential_provider.model.progress import LoggedProgress
from acr_credential_provider.model.protocol import CredentialProviderRequest
from acr_credential_provider.model.question import Question
from acr_credential_provider.model.remedy import Remedy

from .serve import serve
from .watchdog import OutputClosedError, ResponseWriter, Watchdog, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

CLOUD = 7.0
"""Seconds for all calls to the cloud: less than other processes wait, so that they read the true cause."""
REFRESH = 3.0
"""Seconds that a pull waits for a refresh while it has a valid answer."""
LAST_WORDS = 0.5
"""Seconds at the end of a deadline that are kept back for the error message."""
LOOKING_AT = "looking at"


def get_credentials(
    raw: bytes, options: dict[str, str], *, started: float, seconds: float, writer: ResponseWriter | None = None
) -> int:
    """Answer the request in *raw*, which the fast path could not; return the exit code.

    *started* is when the process began (monotonic clock) and *seconds* its deadline from then. The response
    goes to *writer*, by default stdout, and so does an error in its place.
    """
    os.umask(0o077)
    gc.disable()  # the process ends before there is anything to collect
    deadline = Deadline(started + seconds - time.monotonic())
    writer, log = writer or ResponseWriter(), Log(started=started)
    progress = LoggedProgress(log)

    def fail(error: CredentialProviderError) -> None:
        writer.report(error)
        log.failed(error)

    def time_is_up() -> int:
        if writer.is_out(LAST_WORDS / 2):
            return writer.code
        fail(_NOT_WRITTEN if writer.is_begun else _too_late(progress, seconds))
        return 1

    try:
        with Watchdog(deadline.remaining() - LAST_WORDS, time_is_up):
            question = Question(CredentialProviderRequest.decode(raw), options["--settings"])
            log.host = question.scope
            progress.now = f"{LOOKING_AT} {question.settings_path} and the cache folder {options['--cache']}"
            path, problem = _usable(options["--cache"])
            leave_trace(path)
            PluginRun(question, CacheFolder(path), deadline, writer, progress).serve()
            if problem is not None:
                log.noted(problem)
    except CredentialProviderError as error:
        fail(error)
    except OutputClosedError:
        fail(_NOT_WRITTEN)
    except BaseException as error:  # noqa: BLE001 - its text may hold anything, so only its type is told
        fail(_unforeseen(error))
    return writer.code if writer.is_out() else 1


class PluginRun:
    """The run for one *question*, with the parts that `serve.serve` puts in order."""

    def __init__(
        self,
        question: Question,
        cache: CacheFolder,
        deadline: Deadline,
        writer: ResponseWriter,
        progress: LoggedProgress,
    ) -> None:
        self._question = question
        self._cache = cache
        self._deadline = deadline
        self._waiting = deadline.within(deadline.remaining() / 2)
        self._writer = writer
        self._progress = progress
        self._log = progress.log
        self._is_uncovered = False
        fingerprints = (file_fingerprint(question.settings_path),)
        self._cached = CachedAnswer(
            cache.responses, key=question.key, host=question.scope, fingerprints=fingerprints, log=self._log
        )

    def serve(self) -> None:
        """Answer the question; raise `CredentialProviderError` where there is no answer."""
        single_flight = SingleFlight(
            self._cache.locks,
            self._question.key,
            waiting=self._waiting,
            until=self._deadline.within(self._deadline.remaining() - 2 * LAST_WORDS),
            progress=self._progress,
        )
        serve(
            cached=self._cached,
            single_flight=single_flight,
            acquire=self.acquire,
            refresh=self.refresh,
            respond=self.respond,
        )
        if self._log.cache != "shared":  # a process that only waited leaves this to the one that called the cloud
            from acr_credential_provider.cache.cache_gc import bound_uncovered, collect_garbage  # noqa: PLC0415

            collect_garbage(self._cache)
            if self._is_uncovered:
                bound_uncovered(self._cache, self._question.key)

    def acquire(self) -> AbstractContextManager[CacheEntry]:
        """Get a new answer from the cloud."""
        from acr_credential_provider.tokens.acquire import acquire_response  # noqa: PLC0415 - all that is third-party

        self._log.cache = "miss"
        deadlines = Deadlines(self._deadline.within(CLOUD), self._waiting)
        return acquire_response(self._question, self._cache, deadlines, self._progress)

    def refresh(self, valid: CacheEntry) -> AbstractContextManager[CacheEntry]:
        """Do the same briefly, and respond with the *valid* answer if it takes too long."""
        from acr_credential_provider.tokens.acquire import refresh_response  # noqa: PLC0415 - all that is third-party

        def settle_for_valid() -> int:
            if not self._writer.is_begun:
                self.respond(valid)
                self._cached.put_failure(_too_late(self._progress, REFRESH))
            return 0 if self._writer.is_out(LAST_WORDS) else 1

        self._log.cache = "renewed"
        deadlines = Deadlines(self._deadline.within(REFRESH - LAST_WORDS), Deadline(0.0))
        watchdog = Watchdog(REFRESH, settle_for_valid)
        return refresh_response(self._question, self._cache, deadlines, self._progress, watchdog=watchdog)

    def respond(self, entry: CacheEntry) -> None:
        """Write the response of *entry*, and a line about it to the log."""
        now = monotonic_now_for(entry)
        self._is_uncovered = entry.kind == NOT_COVERED
        self._writer(entry.response(self._question.request.api_version, now=now))
        cache = self._log.cache if now < entry.refresh_at else "due"
        self._log.answered(host=entry.scope, kind=entry.kind, cache=cache, tag=entry.log)


def _usable(cache: str) -> tuple[str, CacheUnsafeError | None]:
    """Return *cache* with its folders made, or `NOWHERE` and the reason why *cache* must not be used."""
    try:
        ensure(cache)
    except CacheUnsafeError as error:
        note(error)  # and go on without: the pull must not fail
        return NOWHERE, error
    except OSError:  # full or read-only: what is ours there can still be read
        try:
            return (cache if is_there(cache) else NOWHERE), None
        except (CacheUnsafeError, OSError):
            return NOWHERE, None
    return cache, None


def _too_late(progress: LoggedProgress, seconds: float) -> DeadlineExceededError:
    remedy = Remedy(
        "DeadlineExceeded",
        "Check that this node reaches that service: name resolution, routes, proxy, security groups.",
    )
    if progress.now.startswith((LOOKING_AT, "reading ")):
        remedy = Remedy(
            "DiskBroken", "Look whether the disk or mount that this is on still answers (ls, mount, dmesg)."
        )
    return DeadlineExceededError(f"no answer within {seconds:.0f} s; it was {progress.now}", remedy=remedy)


def _unforeseen(error: BaseException) -> CredentialProviderError:
    if type(error).__name__ == "SSLError":  # raised where a library is imported that makes a TLS context at once
        from acr_credential_provider.cloud.transport_errors import NO_OPENSSL, REPAIR_OPENSSL  # noqa: PLC0415 - loads ssl, as what raised it did

        return ConfigurationError(NO_OPENSSL, remedy=REPAIR_OPENSSL)
    from acr_credential_provider.model.resource_limits import limit_behind  # noqa: PLC0415 - for this case alone

    limit = limit_behind(error)
    if limit is not None:
        return CredentialProviderError(f"no answer: {limit.problem}", remedy=limit.remedy)
    why = f" ({os.strerror(error.errno)})" if isinstance(error, OSError) and error.errno else ""
    return CredentialProviderError(
        f"unforeseen {type(error).__name__}{why}",
        remedy=Remedy(
            "UnforeseenError",
            "Look at this process's limits (open files, tasks, memory); if they are wide, "
            "report it with this version and the command that shows it.",
        ),
    )


_NOT_WRITTEN = CredentialProviderError(
    "the answer could not be written to stdout",
    remedy=Remedy("StdoutClosed", "Keep stdout open and read it, as the kubelet does."),
)
