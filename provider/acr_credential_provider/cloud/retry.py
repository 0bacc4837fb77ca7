"""Tries a call again, or at the next endpoint, while that makes sense and fits in the deadline."""

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
"""Seconds. A try with less could only time out, and hide the true cause behind that."""


def call_with_retry(
    endpoints: Sequence[str],
    attempt: Callable[[str], _T],
    *,
    time_left: Callable[[], float],
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[float, float], float] = random.uniform,
) -> _T:
    """Return what *attempt* makes of the first endpoint that answers.

    An endpoint that cannot be reached gives way to the next one at once. Everything else
    that may pass is tried again at the same one, three times at most, with full jitter.
    A refusal is final. *attempt* is called anew for each try, so that it signs anew.

    Raises `ThrottledError` at once when the wait that the cloud asks for does not fit, and
    `CloudUnreachableError` with the cause at each endpoint.
    """
    causes: dict[str, CloudUnreachableError] = {}
    tries = dict.fromkeys(endpoints, 0)
    at = 0
    while True:
        endpoint = endpoints[at]
        tries[endpoint] += 1
        outcome = _one(attempt, endpoint)
        if not isinstance(outcome, TransportError | ThrottledError):
            return outcome
        causes[endpoint] = outcome
        wait = jitter(0.0, min(_CAP, _BASE * 2 ** tries[endpoint]))
        if isinstance(outcome, ThrottledError):
            wait += outcome.retry_after
            goes_on = True
        elif outcome.elsewhere and at + 1 < len(endpoints):
            at, wait, goes_on = at + 1, 0.0, True
        else:
            goes_on = outcome.again
            at = 0 if outcome.elsewhere else at
        # One more than the tries for each endpoint that may have been passed over.
        goes_on = goes_on and tries[endpoints[at]] < _TRIES and sum(tries.values()) < _TRIES + len(endpoints) - 1
        if not goes_on or wait + _SHORTEST_TRY > time_left():
            break
        if wait:
            sleep(wait)
    if isinstance(outcome, ThrottledError):
        raise outcome
    raise CloudUnreachableError("; ".join(cause.problem for cause in causes.values()), remedy=outcome.remedy)


def _one(attempt: Callable[[str], _T], endpoint: str) -> _T | TransportError | ThrottledError:
    try:
        return attempt(endpoint)
    except (TransportError, ThrottledError) as error:
        return error
