"""Turns an API call into an HTTP request, with the official signature or with none."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.version import NAME, VERSION

from .sdk_guard import sdk_import
from .transport import HttpRequest
from .transport_errors import NO_OPENSSL, REPAIR_OPENSSL

with sdk_import():
    from alibabacloud_tea_openapi.utils import Utils

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alibabacloud_credentials_api import ICredentials

_ALGORITHM = "ACS3-HMAC-SHA256"
_USER_AGENT = f"{NAME}/{VERSION}"


@dataclass(frozen=True, slots=True)
class _Signable:
    """The parts of a request that the official signer reads."""

    method: str
    pathname: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


def sign(endpoint: str, params: Any, query: Mapping[str, str], credential: ICredentials, *, now: float) -> HttpRequest:
    """Return the signed request at *endpoint* (a base URL) for the call *params*, official ones or an `ApiCall`.

    *now* is seconds since the epoch. Each request may be sent once, because it has a new nonce. Raises
    `ConfigurationError` if OpenSSL cannot sign.
    """
    headers = {
        "accept": "application/json",
        "host": urlsplit(endpoint).netloc,
        "user-agent": _USER_AGENT,
        "x-acs-action": params.action,
        "x-acs-content-sha256": sha256(b"").hexdigest(),
        "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        # Not the SDK's nonce: that is an MD5, which fails on hosts in FIPS mode.
        "x-acs-signature-nonce": secrets.token_hex(16),
        "x-acs-version": params.version,
    }
    key_id, secret = credential.get_access_key_id(), credential.get_access_key_secret()
    token = credential.get_security_token()
    if token:
        headers["x-acs-accesskey-id"] = key_id
        headers["x-acs-security-token"] = token
    signable = _Signable(params.method, params.pathname, query, headers)
    try:
        authorization = Utils.get_authorization(signable, _ALGORITHM, headers["x-acs-content-sha256"], key_id, secret)
    except ValueError:  # OpenSSL's HMAC has no SHA-256
        authorization = ""
    if not authorization:
        raise ConfigurationError(NO_OPENSSL, remedy=REPAIR_OPENSSL)
    # Encoded as it was signed: %20 instead of +, and "~" as it is.
    parameters = "&".join(f"{name}={quote(query[name], safe='~')}" for name in sorted(query))
    return HttpRequest(
        method=params.method,
        url=f"{endpoint.rstrip('/')}{params.pathname}" + (f"?{parameters}" if parameters else ""),
        headers={**headers, "authorization": authorization},
    )


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call in the form that `sign` reads, where the official client has none."""

    action: str
    version: str
    method: str = "POST"
    pathname: str = "/"


def anonymous(
    endpoint: str, call: ApiCall, query: Mapping[str, str], *, form: Mapping[str, str], now: float
) -> HttpRequest:
    """Return the unsigned request for *call*, with *form* in the body, because proxies and servers log URLs."""
    parameters = {
        **query,
        "Action": call.action,
        "Version": call.version,
        "Format": "JSON",
        "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "SignatureNonce": secrets.token_hex(16),
    }
    return HttpRequest(
        method=call.method,
        url=f"{endpoint.rstrip('/')}{call.pathname}?{urlencode(parameters, quote_via=quote, safe='~')}",
        headers={
            "accept": "application/json",
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": _USER_AGENT,
        },
        body=urlencode(form, quote_via=quote, safe="~").encode("ascii"),
    )
