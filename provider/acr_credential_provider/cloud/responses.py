"""Reads an OpenAPI response: its values, or the error that an operator can act on.

Of the cloud's text, only the HTTP status, a code and a request id of safe form go into an error, because the message
of a refusal can quote the request, secrets included.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import mktime_tz, parsedate_tz
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.authorization_token import LONGEST_LIFE, AuthorizationGrant
from acr_credential_provider.model.cloud_credential import CloudCredential
from acr_credential_provider.model.errors import CredentialProviderError, RegistryRefusedError, ThrottledError
from acr_credential_provider.model.remedy import NONE, Remedy

from .transport_errors import CHECK_MIDDLEBOX, CHECK_NETWORK, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .transport import HttpResponse

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WORD = re.compile(r"[A-Za-z]{1,40}(?::[A-Za-z*]{1,60})?")
_NUMBER = re.compile(r"\d{1,7}")
_HEADER_TEXT = re.compile(r"[!-~]{1,16384}")  # printable ASCII without spaces
_END_OF_TIME = 10**15  # milliseconds: the year 33658
REPORT = Remedy(
    "CloudAnswerUnexpected", "Try again; if it stays, report it to Alibaba Cloud support with the time of the call."
)


@dataclass(frozen=True, slots=True)
class RefusalRules:
    """The error of a service's refusals. *codes* names the service whose error codes an operator may look up.

    *remedy* returns what the service's caller knows better than `model.error_codes`, "" for nothing. *region* is the
    one whose instances the service knows, "" for a service without instances or for all regions.
    """

    refusal: type[CredentialProviderError]
    codes: str
    remedy: Callable[[str], Remedy] = lambda _: NONE
    region: str = ""


def acr_in(region: str) -> RefusalRules:
    """Return ACR in *region*, which does not know the instances of others."""
    return RefusalRules(RegistryRefusedError, "Container Registry's API", region=region)


ACR = acr_in("")


def parse(response: HttpResponse, *, call: str, now: float, service: RefusalRules = ACR) -> Mapping[str, Any]:
    """Return the members of the response's object, or raise its error.

    *call* names the call in errors, *now* is the node's clock (seconds since the epoch). Raises `ThrottledError`, the
    *service*'s refusal, or `TransportError` if the response is not one of that service.
    """
    body = _decode(response.body)
    status = f"HTTP {response.status}"
    code, request_id = _safe(body, "Code", "code"), _safe(body, "RequestId", "requestId", "requestid")
    if response.status < 400 and body is not None and body.get("IsSuccess") is not False:
        return body
    from acr_credential_provider.model import error_codes  # noqa: PLC0415 - a table that only a failure needs

    details = f"{code or 'unknown code'}, {status}" + (f", request id {request_id}" if request_id else "")
    meaning = error_codes.explain(code, response.status, service.codes)
    if _is_throttling(response) or meaning.kind == "throttling":
        remedy = error_codes.explain("Throttling", 429, service.codes).advice
        raise ThrottledError(f"{call} was throttled ({details})", remedy=remedy, retry_after=_retry_after(response))
    if response.status >= 500 or (meaning.kind == "server" and body is not None):
        raise TransportError(f"{call} failed on the server's side ({details})", remedy=_LATER_OR_REGION, retryable=True)
    if body is None:
        raise _not_json(response, call)
    if meaning.code == "SignatureNonceUsed":  # the next try has another nonce
        raise TransportError(f"{call} was refused ({details}): {meaning.cause}", remedy=meaning.advice, retryable=True)
    cause = _skew(response, now) if meaning.kind == "time" else ""
    cause = cause or (f": {meaning.cause}" if meaning.cause else "")
    denied, denied_remedy = _denied(body) if meaning.kind == "permission" else ("", NONE)
    region = f" in {service.region}" if service.region and code.lower().startswith("instance_") else ""
    advice = denied_remedy or service.remedy(code) or meaning.advice
    raise service.refusal(f"{call} was refused ({details}){region}{cause}{denied}", remedy=advice)


_LATER_OR_REGION = Remedy(
    "CloudUnavailable", "Try again; if it stays, look at the status page of Alibaba Cloud for this region."
)
_DENIED_AT = {  # where a policy that denies stands, by the type that RAM names
    "ControlPolicy": "Resource Management > Resource Directory > Control Policy",
    "SessionPolicy": "assumeRole.policy in the settings",
    "AssumeRolePolicy": "RAM > Identities > Roles > the role > Trust Policy",
}


def _denied(body: Mapping[str, Any]) -> tuple[str, Remedy]:
    """Return what RAM says about a refusal in ``AccessDeniedDetail``, and the remedy if a policy denies explicitly."""
    detail = body.get("AccessDeniedDetail")
    if not isinstance(detail, dict):
        return "", NONE
    action, kind, policy = (
        value if isinstance(value := detail.get(name), str) and _WORD.fullmatch(value) else ""
        for name in ("AuthAction", "NoPermissionType", "PolicyType")
    )
    if not (action and kind):
        return "", NONE
    said = f" ({action}: {kind}{f' by {policy}' if policy else ''})"
    if kind != "ExplicitDeny":
        return said, NONE
    where = _DENIED_AT.get(policy, "RAM > Permissions > Policies")
    text = f"A policy denies {action} explicitly, which no grant outweighs: take the Deny out ({where})."
    return said, Remedy("CloudPermissionMissing", text)


def parse_grant(
    username: object, password: object, expiry: object, *, date: float | None, source: str
) -> AuthorizationGrant:
    """Return the login that ACR sent for *source* (an instance), or raise `RegistryRefusedError` if it is not usable.

    *expiry* should be milliseconds since the epoch; *date* is the response's own time in seconds.
    """
    if not (_is_header_text(username) and _is_header_text(password)):
        raise RegistryRefusedError(f"ACR sent no usable token for {source}", remedy=REPORT)
    is_time = type(expiry) is int and 0 < expiry < _END_OF_TIME
    if date is None or not is_time or not 0 < expiry / 1000 - date <= LONGEST_LIFE:  # type: ignore[operator]
        # A time in seconds lands here too: read as milliseconds it is in the year 1970.
        raise RegistryRefusedError(
            f"ACR sent a token for {source} whose expiry is impossible by ACR's own clock", remedy=REPORT
        )
    return AuthorizationGrant(str(username), str(password), life=expiry / 1000 - date)  # type: ignore[operator]


def parse_session(values: Any, *, now: float, longest: float) -> CloudCredential | None:
    """Return the session in the object *values*, None if it is incomplete, or not valid *now* for *longest* at most.

    STS and the metadata service send it in the same form; *now* is their clock.
    """
    try:
        expiry = datetime.fromisoformat(values["Expiration"])
        expires_in = expiry.timestamp() - now
        parts = [values[name] for name in ("AccessKeyId", "AccessKeySecret", "SecurityToken")]
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    if not (all(map(_is_header_text, parts)) and expiry.tzinfo and 0 < expires_in <= longest):
        return None
    return CloudCredential(*parts, expires_in)


def _is_header_text(value: object) -> bool:
    return isinstance(value, str) and _HEADER_TEXT.fullmatch(value) is not None


def server_time(response: HttpResponse) -> float | None:
    """Return the response's Date in seconds since the epoch, ``None`` if it has no valid one.

    >>> from acr_credential_provider.cloud.transport import HttpResponse
    >>> server_time(HttpResponse(200, {"date": "Fri, 02 Jan 2026 03:04:05 GMT"}, b""))
    1767323045.0
    """
    try:
        parsed = parsedate_tz(response.headers.get("date", ""))
        return float(mktime_tz(parsed)) if parsed else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _skew(response: HttpResponse, now: float) -> str:
    date = server_time(response)
    if date is None:
        return ""
    off = now - date
    return f": this node's clock is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"


def _decode(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _safe(body: Mapping[str, Any] | None, *names: str) -> str:
    """Return the first text among these members, "" unless it has the form of a code or an id."""
    for name in names:
        value = (body or {}).get(name)
        if isinstance(value, str):
            return value if _SAFE.fullmatch(value) else ""
    return ""


def _is_throttling(response: HttpResponse) -> bool:
    return (
        response.status == 429
        or "x-acs-retry-after" in response.headers
        or (response.status == 503 and "retry-after" in response.headers)
    )


def _retry_after(response: HttpResponse) -> float:
    """Return the seconds that the cloud asks to wait, 0 if unspecified.

    >>> from acr_credential_provider.cloud.transport import HttpResponse
    >>> _retry_after(HttpResponse(429, {"x-acs-retry-after": "1500", "retry-after": "9"}, b""))
    1.5
    """
    milliseconds = response.headers.get("x-acs-retry-after", "")
    if _NUMBER.fullmatch(milliseconds):
        return int(milliseconds) / 1000
    seconds = response.headers.get("retry-after", "")  # a date is allowed too, but Alibaba Cloud sends none
    return float(seconds) if _NUMBER.fullmatch(seconds) else 0.0


def _not_json(response: HttpResponse, call: str) -> TransportError:
    is_html = "html" in response.headers.get("content-type", "").lower() or response.body.lstrip()[:1] == b"<"
    if is_html:
        return TransportError(f"{call} was answered with a web page (HTTP {response.status})", remedy=CHECK_MIDDLEBOX)
    return TransportError(
        f"{call} was answered with something that is not a JSON object (HTTP {response.status})", remedy=CHECK_NETWORK
    )
