"""Retries a call, at the same endpoint or the next one, within the deadline."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

from acr_credential_provider.model.errors import CloudUnreachableError, ThrottledError

from .transport_errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")

_TRIES = 3
_BASE, _CAP = 0.2, 2.0  # seconds
_SHORTEST_TRY = 0.25
"""Seconds. A try with less could only time out, which would hide the true cause."""


def call_with_retry(
    endpoints: Sequence[str],
    attempt: Callable[[str], _T],
    *,
    time_left: Callable[[], float],
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[float, float], float] = random.uniform,
) -> _T:
    """Return the result of *attempt* (called with an endpoint) for the first of *endpoints* that answers.

    If an endpoint cannot be reached, the next one is tried at once. Other failures that may pass are retried at the
    same endpoint, three times at most, with full jitter. A refusal is final. Each try signs anew.

    Raises `ThrottledError` at once if the wait that the cloud asks for does not fit into *time_left*, and
    `CloudUnreachableError` with the cause at each endpoint and the time of all tries.
    """
    began = time_left()
    causes: dict[str, CloudUnreachableError] = {}
    tries = dict.fromkeys(endpoints, 0)
    at = 0
    while True:
        endpoint = endpoints[at]
        tries[endpoint] += 1
        outcome = _outcome(attempt, endpoint)
        if not isinstance(outcome, TransportError | ThrottledError):
            return outcome
        causes[endpoint] = outcome
        wait = jitter(0.0, min(_CAP, _BASE * 2 ** tries[endpoint]))
        may_retry = True
        if isinstance(outcome, ThrottledError):
            wait += outcome.retry_after
        elif outcome.try_next_endpoint and at + 1 < len(endpoints):
            at, wait = at + 1, 0.0
        else:
            may_retry = outcome.retryable
            at = 0 if outcome.try_next_endpoint else at
        # One more than the tries for each endpoint that may have been passed over.
        may_retry = may_retry and tries[endpoints[at]] < _TRIES and sum(tries.values()) < _TRIES + len(endpoints) - 1
        if not may_retry or wait + _SHORTEST_TRY > time_left():
            break
        if wait:
            sleep(wait)
    if isinstance(outcome, ThrottledError):
        raise outcome
    problem = "; ".join(cause.problem for cause in causes.values())
    count = sum(tries.values())
    whole = f" ({count} tries in {began - time_left():.1f} s)" if count > len(causes) else ""
    raise CloudUnreachableError(problem + whole, remedy=outcome.remedy)


def _outcome(attempt: Callable[[str], _T], endpoint: str) -> _T | TransportError | ThrottledError:
    try:
        return attempt(endpoint)
    except (TransportError, ThrottledError) as error:
        return error
