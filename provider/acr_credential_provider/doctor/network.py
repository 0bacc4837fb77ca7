"""The way to ACR's OpenAPI: proxy, names, endpoints, and the clock that signatures go by."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from acr_credential_provider.cloud.dial import addresses, dial
from acr_credential_provider.cloud.responses import server_time
from acr_credential_provider.cloud.transport import HttpRequest
from acr_credential_provider.cloud.transport_errors import CHECK_CLOCK, CHECK_DNS, CHECK_MIDDLEBOX, TransportError
from acr_credential_provider.console.checks import SkippedError
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import CloudUnreachableError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from acr_credential_provider.cloud.transport import HttpResponse

    from .context import DoctorContext

MOST_SKEW = 14 * 60.0
"""Seconds. ACR refuses signatures that are off by 15 minutes."""


def check_proxy(case: DoctorContext) -> str:
    """Reach the proxies that lead to ACR."""
    ways = {f"{host}:{port}": case.cloud.endpoints.proxy.proxy_for(host, port) for host, port in _targets(case)}
    proxies = {f"{proxy.host}:{proxy.port}": proxy for proxy in ways.values() if proxy}
    if not proxies:
        raise SkippedError("none leads to ACR" if case.cloud.endpoints.proxy.https_proxy else "none is set")
    for name, proxy in proxies.items():
        _reach(proxy.host, proxy.port, f"the proxy {name}")
    return ", ".join(f"{each} by way of {proxy.host}:{proxy.port}" for each, proxy in ways.items() if proxy)


def look_up(case: DoctorContext) -> str:
    """Look up the names of ACR's endpoints; one that is known is enough."""
    names = [host for host, port in _targets(case) if not case.cloud.endpoints.proxy.proxy_for(host, port)]
    if not names:
        raise SkippedError("the proxy looks the names up")
    failures = {}
    for name in names:
        try:
            addresses(name, 443, Deadline(3.0))
        except TimeoutError:
            failures[name] = f"DNS did not answer for {name} within 3 s"
        except OSError:
            failures[name] = f"DNS knows no address for {name}"
    if len(failures) == len(names):
        raise CloudUnreachableError("; ".join(failures.values()), remedy=CHECK_DNS)
    return "; ".join([*(name for name in names if name not in failures), *failures.values()])


def reach_acr(case: DoctorContext) -> str:
    """Reach ACR's endpoints; one that answers is enough."""
    case.answers, told = answers_of(case, case.acr().endpoints)
    return told


def check_clock(case: DoctorContext) -> str:
    """Compare this node's clock with ACR's."""
    case.acr()
    told = judged_clock(case.answers, "ACR's")
    if not told:
        raise SkippedError("the answer had no Date")
    return told


def answers_of(case: DoctorContext, endpoints: Iterable[str]) -> tuple[list[HttpResponse], str]:
    """Return what those of *endpoints* say that answer, and a word on each; raise when none does."""
    answers: list[HttpResponse] = []
    told: list[str] = []
    failures: list[TransportError] = []
    for url in endpoints:
        try:
            response = case.new_cloud().endpoints.transport(5.0).send(HttpRequest("GET", f"{url}/"))
        except TransportError as error:
            failures.append(error)
            told.append(error.problem)
            continue
        if "html" in response.headers.get("content-type", "").lower():
            failures.append(TransportError(f"{url} answers with a web page", remedy=CHECK_MIDDLEBOX))
            told.append(failures[-1].problem)
            continue
        answers.append(response)
        told.append(f"{url} answers")
    if not answers:
        raise CloudUnreachableError("; ".join(told), remedy=failures[-1].remedy)
    return answers, "; ".join(told)


def judged_clock(answers: Iterable[HttpResponse], whose: str) -> str:
    """Say how this node's clock is beside that of the first of *answers* with a time, "" without one.

    Raises `ConfigurationError` when it is off by more than signatures bear.
    """
    date = next((date for date in map(server_time, answers) if date is not None), None)
    if date is None:
        return ""
    off = time.time() - date
    told = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} {whose}"
    if abs(off) > MOST_SKEW:
        raise ConfigurationError(
            f"this node's clock is {told}, and signatures are good for 15 minutes only", remedy=CHECK_CLOCK
        )
    return f"this node's is {told}" if abs(off) > 2 else "right"


def _targets(case: DoctorContext) -> list[tuple[str, int]]:
    """Return host and port of each endpoint of ACR, in order of trial."""
    parts = [urlsplit(each) for each in case.acr().endpoints]
    return [(each.hostname or "", each.port or 443) for each in parts]


def _reach(host: str, port: int, what: str) -> None:
    """Connect to *host*:*port*, or raise `CloudUnreachableError` about *what*."""
    try:
        dial(host, port, Deadline(3.0)).close()
    except TimeoutError:
        problem = f"{what} does not answer within 3 s"
    except OSError as error:
        number = error.errno or 0  # below 0 it is getaddrinfo's
        problem = f"{what} cannot be reached: {os.strerror(number) if number > 0 else 'its name has no address'}"
    else:
        return
    raise CloudUnreachableError(
        problem, remedy="Correct the proxy in the settings, or HTTPS_PROXY in the kubelet's environment, or start it."
    )
