"""The command line: puts the parts together, for the kubelet and for operators.

The composition root: stdin, stdout, the clock, the deadline and the exit code are here
and nowhere below.
"""

from __future__ import annotations

import gc
import os
import time

from acr_credential_provider.cache.cache_dirs import ensure, is_there
from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.cache.file_locks import FileLocks, SingleFlight
from acr_credential_provider.fastpath.lookup import cache_key
from acr_credential_provider.fastpath.response_cache import (
    CacheEntry,
    ResponseCache,
    file_fingerprint,
    monotonic_now_for,
)
from acr_credential_provider.fastpath.syslog import Log
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import (
    CacheUnsafeError,
    ConfigurationError,
    CredentialProviderError,
    DeadlineExceededError,
)
from acr_credential_provider.model.image_reference import scope_of
from acr_credential_provider.model.protocol import CredentialProviderRequest

from .serve import serve
from .watchdog import OutputClosedError, Progress, ResponseWriter, Watchdog, note, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from acr_credential_provider.tokens.endpoints import Tools

CLOUD = 7.0
"""Seconds for the cloud: less than the patience of those who wait, so that they hear the true cause."""
RENEWAL = 3.0
"""Seconds that a pull waits for a better answer than the living one that it has."""
LAST_WORDS = 0.5
"""Seconds kept back at the end of a deadline."""
LOOKING_AT = "looking at"
NOWHERE = "/dev/null"
"""A cache folder in which nothing can be read or written."""


def get_credentials(  # noqa: PLR0913 - what the two protocols differ in is handed in
    raw: bytes,
    options: dict[str, str],
    *,
    started: float,
    seconds: float,
    reply: ResponseWriter | None = None,
    tell: Callable[[CredentialProviderError], None] = report,
) -> int:
    """Answer the request in *raw* where no fresh memo does; return the exit code.

    *started* is when the process began (monotonic clock) and *seconds* its deadline from then.
    The answer goes to *reply*, by default stdout as it is; the error instead of one to *tell*.
    """
    os.umask(0o077)
    gc.disable()  # the process ends before there is anything to collect
    deadline = Deadline(started + seconds - time.monotonic())
    reply, stage, log = reply or ResponseWriter(), Progress(), Log(started=started)

    def fail(error: CredentialProviderError) -> None:
        tell(error)
        log.failed(error)

    def time_is_up() -> int:
        if reply.is_out(LAST_WORDS / 2):
            return reply.code
        fail(_NOT_WRITTEN if reply.is_begun else _too_late(stage, seconds))
        return 1

    try:
        with Watchdog(deadline.remaining() - LAST_WORDS, time_is_up):
            request = CredentialProviderRequest.decode(raw)
            _answer(request, options, deadline=deadline, reply=reply, stage=stage, log=log)
    except CredentialProviderError as error:
        fail(error)
    except OutputClosedError:
        fail(_NOT_WRITTEN)
    except BaseException as error:  # noqa: BLE001 - its text may hold anything, so only its type is told
        fail(_unforeseen(error))
    return reply.code if reply.is_out() else 1


def _answer(  # noqa: PLR0913 - where the parts are put together
    request: CredentialProviderRequest,
    options: dict[str, str],
    *,
    deadline: Deadline,
    reply: ResponseWriter,
    stage: Progress,
    log: Log,
) -> None:
    settings, where = options["--settings"], scope_of(request.image)
    log.host = where
    stage.say(f"{LOOKING_AT} {settings} and the cache folder {options['--cache']}")
    digest = cache_key(settings, where, request.subject)
    cache, trouble = _usable(options["--cache"])
    memos, locks = ResponseCache(f"{cache}/memo"), FileLocks(f"{cache}/locks")
    notes = CachedAnswer(memos, digest=digest, host=where, stamps=(file_fingerprint(settings),), log=log)
    patience = deadline.within(deadline.remaining() / 2)
    to_the_end = deadline.within(deadline.remaining() - 2 * LAST_WORDS)

    def say(memo: CacheEntry) -> None:
        now = monotonic_now_for(memo)
        reply(memo.response(request.api_version, now=now))
        log.answered(host=where, kind=memo.kind, cache=log.cache if now < memo.refresh_at else "due", tag=memo.log)

    def say_stage(words: str) -> None:
        stage.say(words)
        log.stage(words)

    def tools(for_cloud: Deadline, for_others: Deadline) -> Tools:
        from acr_credential_provider.tokens.endpoints import Tools  # noqa: PLC0415 - everything third-party, after all waiting

        return Tools(
            settings, f"{cache}/store", memos, locks, for_cloud, for_others, say_stage, say_log_tag=log.set_tag
        )

    def acquire() -> AbstractContextManager[CacheEntry]:
        from acr_credential_provider.tokens.acquire import acquire_response  # noqa: PLC0415

        log.cache = "miss"
        return acquire_response(request, digest=digest, tools=tools(deadline.within(CLOUD), patience))

    def renew(living: CacheEntry) -> AbstractContextManager[CacheEntry]:
        from acr_credential_provider.tokens.acquire import refresh_response  # noqa: PLC0415

        def settle_for_the_living() -> int:
            if not reply.is_begun:
                say(living)
                notes.put_failure(_too_late(stage, RENEWAL))
            return 0 if reply.is_out(LAST_WORDS) else 1

        log.cache = "renewed"
        brief = tools(deadline.within(RENEWAL - LAST_WORDS), Deadline(0.0))
        return refresh_response(request, digest=digest, tools=brief, watchdog=Watchdog(RENEWAL, settle_for_the_living))

    queue = SingleFlight(locks, digest, patience=patience, to_the_end=to_the_end, say_stage=say_stage)
    serve(cached=notes, single_flight=queue, acquire=acquire, refresh=renew, respond=say)
    if trouble is not None:
        log.noted(trouble)
    if log.cache != "shared":  # who only waited for another's answer leaves the tidying to that one
        from acr_credential_provider.cache.cache_gc import collect_garbage  # noqa: PLC0415

        collect_garbage(cache, locks)


def _usable(cache: str) -> tuple[str, CacheUnsafeError | None]:
    """Return *cache* with its folders made, or `NOWHERE` and why *cache* is not to be used."""
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


def _too_late(stage: Progress, seconds: float) -> DeadlineExceededError:
    remedy = "Check that this node reaches that service: name resolution, routes, proxy, security groups."
    if stage.now.startswith((LOOKING_AT, "reading ")):
        remedy = "Look whether the disk or mount that this is on still answers (ls, mount, dmesg)."
    return DeadlineExceededError(f"no answer within {seconds:.0f} s; it was {stage.now}", remedy=remedy)


def _unforeseen(error: BaseException) -> CredentialProviderError:
    if type(error).__name__ == "SSLError":  # raised where a library is imported that makes a TLS context at once
        from acr_credential_provider.cloud.transport_errors import NO_OPENSSL, REPAIR_OPENSSL  # noqa: PLC0415 - loads ssl, as what raised it did

        return ConfigurationError(NO_OPENSSL, remedy=REPAIR_OPENSSL)
    why = f" ({os.strerror(error.errno)})" if isinstance(error, OSError) and error.errno else ""
    return CredentialProviderError(
        f"unforeseen {type(error).__name__}{why}",
        remedy="Look at this process's limits (open files, tasks, memory); if they are wide, "
        "report it with this version and the command that shows it.",
    )


_NOT_WRITTEN = CredentialProviderError(
    "the answer could not be written to stdout", remedy="Keep stdout open and read it, as the kubelet does."
)
