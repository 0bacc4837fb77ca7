"""Logs in to a registry as a container runtime does: challenge, token service, one manifest.

Protocol: distribution's token authentication. Only the doctor does this; for pulls the container runtime does.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from acr_credential_provider.model.errors import RegistryRefusedError
from acr_credential_provider.model.remedy import Remedy

from .transport import HttpRequest
from .transport_errors import CHECK_MIDDLEBOX

if TYPE_CHECKING:
    from .transport import HttpResponse, Transport

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_RIGHTS = "Give the RAM role or user cr:PullRepository on that repository."


def log_in(
    transport: Transport, host: str, login: tuple[str, str], *, repository: str = "", reference: str = "latest"
) -> str:
    """Log in to *host* with *login* (user name, password), request *repository* if there is one, and return the result.

    Raises `RegistryRefusedError` if the registry or its token service refuses, `TransportError` if one of them cannot
    be reached.
    """
    challenge = _challenge(transport, host)
    realm, service = challenge.get("realm", ""), challenge.get("service", "")
    target = urlsplit(realm)
    if target.scheme != "https" or not _is_expected(target.netloc, host):
        raise RegistryRefusedError(
            f"{host} sends logins to a host that is neither its own nor Alibaba Cloud's", remedy=CHECK_MIDDLEBOX
        )
    query = f"service={quote(service, safe='')}"
    if repository:
        query += f"&scope={quote(f'repository:{repository}:pull', safe='')}"
    basic = b64encode(":".join(login).encode()).decode("ascii")
    url = f"{realm}{'&' if target.query else '?'}{query}"
    granted = transport.send(HttpRequest("GET", url, {"authorization": f"Basic {basic}"}))
    bearer = _bearer(granted)
    if not bearer:
        raise RegistryRefusedError(
            f"the token service {target.netloc} did not accept the login for {host} (HTTP {granted.status})",
            remedy=Remedy(
                "LoginRefused",
                "Check that the host belongs to the instance of its entry: a login is valid for one instance only.",
            ),
        )
    if not repository:
        return f"{target.netloc} accepted the login"
    _check_manifest(transport, host, repository, reference, bearer)
    return f"{target.netloc} accepted the login, and {host} has {repository}:{reference}"


def _challenge(transport: Transport, host: str) -> dict[str, str]:
    response = transport.send(HttpRequest("GET", f"https://{host}/v2/"))
    header = response.headers.get("www-authenticate", "")
    if response.status == 401 and header.lower().startswith("bearer "):
        return dict(_PARAMETER.findall(header))
    raise RegistryRefusedError(
        f"{host} does not answer like a registry with token authentication (HTTP {response.status})",
        remedy=Remedy(
            "HostIsNoRegistry",
            f"Check that {host} is a host of the instance, and that no other server answers in its place.",
        ),
    )


def _is_expected(netloc: str, host: str) -> bool:
    name = netloc.rpartition("@")[2]
    return "@" not in netloc and (name == host or name.partition(":")[0].endswith(".aliyuncs.com"))


def _bearer(response: HttpResponse) -> str:
    try:
        document = json.loads(response.body)
        token = document.get("token") or document.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        return ""
    is_good = response.status == 200 and isinstance(token, str) and re.fullmatch(r"[!-~]{1,60000}", token)
    return token if is_good else ""


def _check_manifest(transport: Transport, host: str, repository: str, reference: str, bearer: str) -> None:
    headers = {"authorization": f"Bearer {bearer}", "accept": _MANIFESTS}
    url = f"https://{host}/v2/{quote(repository)}/manifests/{quote(reference, safe=':')}"
    status = transport.send(HttpRequest("HEAD", url, headers)).status
    if status in (401, 403):
        raise RegistryRefusedError(
            f"{host} does not let this login pull {repository} (HTTP {status})",
            remedy=Remedy(
                "PullDenied",
                f"{_RIGHTS} If there is no such repository, correct the image's name; if it is another account's, "
                "use a role of that account (assumeRole).",
            ),
        )
    if status == 404:
        raise RegistryRefusedError(
            f"{host} has no {repository}:{reference} (HTTP 404)",
            remedy=Remedy("ImageUnknown", "Correct the image's name or tag, or push it."),
        )
    if status != 200:
        raise RegistryRefusedError(
            f"{host} gave no manifest of {repository}:{reference} (HTTP {status})",
            remedy=Remedy("RegistryUnavailable", "Try again later."),
        )
