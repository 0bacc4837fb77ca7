"""The way to ACR's API: proxy, names, endpoints, and the clock that signatures go by."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from acr_credential_provider.cloud.dial import addresses, dial
from acr_credential_provider.cloud.responses import server_time
from acr_credential_provider.cloud.transport import HttpRequest
from acr_credential_provider.cloud.transport_errors import (
    CHECK_CLOCK,
    CHECK_MIDDLEBOX,
    TransportError,
    explain,
)
from acr_credential_provider.console.checks import CheckSkippedError
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import CloudUnreachableError, ConfigurationError
from acr_credential_provider.model.remedy import NONE, Remedy
from acr_credential_provider.model.resource_limits import limit_behind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from acr_credential_provider.cloud.proxy import Proxy
    from acr_credential_provider.cloud.transport import HttpResponse

    from .context import DoctorContext

SECONDS = 3.0
"""For a proxy or a name."""
MOST_SKEW = 14 * 60.0
"""Seconds. ACR refuses signatures that are off by 15 minutes."""


def check_proxy(context: DoctorContext) -> str:
    """Connect to the proxies that lead to ACR."""
    proxies = {host: proxy for host, proxy in _routes(context).items() if proxy}
    if not proxies:
        raise CheckSkippedError("none leads to ACR" if context.endpoints().proxy.https_proxy else "none is set")
    for proxy in proxies.values():
        try:
            dial(proxy.host, proxy.port, Deadline(SECONDS)).close()
        except OSError as error:
            limit = limit_behind(error)
            remedy = Remedy(
                "ProxyRefused",
                "Correct the proxy in the settings, or HTTPS_PROXY in the kubelet's environment, or start it.",
            )
            raise CloudUnreachableError(
                _problem(error, "connect to the proxy", f"{proxy.host}:{proxy.port}"),
                remedy=limit.remedy if limit else remedy,
            ) from None
    return ", ".join(f"{host} by way of {proxy.host}:{proxy.port}" for host, proxy in proxies.items())


def check_dns(context: DoctorContext) -> str:
    """Look up the names of ACR's endpoints; one that has an address is enough."""
    names = [host.rpartition(":")[0] for host, proxy in _routes(context).items() if not proxy]
    if not names:
        raise CheckSkippedError("the proxy looks the names up")
    failures: dict[str, str] = {}
    remedy = NONE
    for name in names:
        try:
            addresses(name, 443, Deadline(SECONDS))
        except OSError as error:
            explained = explain(error, doing="the look-up of", peer=name, bundle="", seconds=SECONDS)
            failures[name], remedy = explained.problem, remedy or explained.remedy
    if len(failures) == len(names):
        raise CloudUnreachableError("; ".join(failures.values()), remedy=remedy)
    return "; ".join([*(name for name in names if name not in failures), *failures.values()])


def check_acr_endpoint(context: DoctorContext) -> str:
    """Reach ACR's endpoints; one that answers is enough."""
    context.responses, detail = probe(context, context.route.endpoints)
    return detail


def check_clock(context: DoctorContext) -> str:
    """Compare this node's clock with ACR's."""
    _ = context.route
    offset = clock_offset(context.responses, "ACR's")
    if not offset:
        raise CheckSkippedError("the answer had no Date")
    return offset


def probe(context: DoctorContext, endpoints: Iterable[str]) -> tuple[list[HttpResponse], str]:
    """Return the responses of those *endpoints* that answer, and a line on all; raise if none does."""
    responses: list[HttpResponse] = []
    details: list[str] = []
    remedy = NONE
    for url in endpoints:
        try:
            response = context.endpoints().transport(5.0).send(HttpRequest("GET", f"{url}/"))
        except TransportError as error:
            details.append(error.problem)
            remedy = error.remedy
            continue
        if "html" in response.headers.get("content-type", "").lower():
            details.append(f"{url} answers with a web page")
            remedy = CHECK_MIDDLEBOX
            continue
        responses.append(response)
        details.append(f"{url} answers")
    if not responses:
        raise CloudUnreachableError("; ".join(details), remedy=remedy)
    return responses, "; ".join(details)


def clock_offset(responses: Iterable[HttpResponse], service: str) -> str:
    """Return this node's clock compared with the first date in *responses*, "" without one.

    Raises `ConfigurationError` when it is off by more than signatures bear.
    """
    date = next((date for date in map(server_time, responses) if date is not None), None)
    if date is None:
        return ""
    seconds = time.time() - date
    offset = f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} {service}"
    if abs(seconds) > MOST_SKEW:
        raise ConfigurationError(
            f"this node's clock is {offset}, and signatures are good for 15 minutes only", remedy=CHECK_CLOCK
        )
    return f"this node's is {offset}" if abs(seconds) > 2 else "right"


def _problem(error: OSError, doing: str, host: str) -> str:
    return explain(error, doing=doing, peer=host, bundle="", seconds=SECONDS).problem


def _routes(context: DoctorContext) -> dict[str, Proxy | None]:
    """Return ``HOST:PORT`` of each endpoint of ACR, in order of trial, with the proxy that leads there."""
    urls = [urlsplit(url) for url in context.route.endpoints]
    proxies = context.endpoints().proxy
    hosts = [(url.hostname or "", url.port or 443) for url in urls]
    return {f"{host}:{port}": proxies.proxy_for(host, port) for host, port in hosts}
