"""Signatures, the verifier's side: recompute them from what came over the wire.

ACS3-HMAC-SHA256: nothing the client says about its own signing is believed but the list of signed
headers, and that list must hold what the protocol wants signed. RPC 1.0: HMAC-SHA1 over all
parameters, by which Alibaba Cloud's credentials libraries ask STS.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from .wire import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .state import AccessKey, CloudState
    from .wire import Request

ALGORITHM = "ACS3-HMAC-SHA256"
LARGEST_SKEW = 15 * 60.0
"""Seconds between x-acs-date and the cloud's clock."""

ALWAYS_SIGNED = frozenset(
    {"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"}
)
AUTHORIZATION = re.compile(
    ALGORITHM + r" Credential=(?P<key>[^,\s]+),\s*SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>\S+)"
)


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Encode *pairs* (decoded) as RFC 3986 wants, sorted.

    >>> canonical_query([("b", "x y*~"), ("a", "")])
    'a=&b=x%20y%2A~'
    """
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(pairs))


def canonical_request(request: Request, signed: Sequence[str]) -> str:
    """Return what the client must have signed, given the header names it says it signed."""
    headers = "".join(
        f"{name}:{','.join(sorted(value.strip() for value in request.values(name)))}\n" for name in signed
    )
    body = hashlib.sha256(request.body).hexdigest()
    return "\n".join(
        (request.method, request.path or "/", canonical_query(request.query), headers, ";".join(signed), body)
    )


def acs3_signature(canonical: str, secret: str) -> str:
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    return hmac.new(secret.encode(), f"{ALGORITHM}\n{hashed}".encode(), hashlib.sha256).hexdigest()


def verify_acs3(request: Request, state: CloudState) -> AccessKey:
    """Return the key that signed *request*, or raise `PlacementRefusedError` with what ACR would answer."""
    authorization = AUTHORIZATION.fullmatch(request.header("authorization"))
    if authorization is None:
        raise RefusedError(400, "MissingAccessKeyId", "AccessKeyId is mandatory for this action.")
    key = state.find_key(authorization["key"])
    if key is None:
        raise RefusedError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    signed = authorization["headers"].split(";")
    _check_signed_headers(request, signed)
    _check_date(request.header("x-acs-date"), state.clock.now())
    _check_security_token(request.header("x-acs-security-token"), key, state.clock.now())
    canonical = canonical_request(request, signed)
    body_is_signed = request.header("x-acs-content-sha256") == hashlib.sha256(request.body).hexdigest()
    signature = acs3_signature(canonical, key.secret)
    if not (body_is_signed and hmac.compare_digest(signature, authorization["signature"])):
        # The real gateway quotes the canonical request too, and with it the security token.
        raise RefusedError(
            400,
            "SignatureDoesNotMatch",
            f"Specified signature does not match our calculation. server canonical request is:{canonical}",
        )
    # Last, so that nobody without the secret can use up another's nonce.
    _use_nonce(request.header("x-acs-signature-nonce"), key, state)
    return key


def rpc_string_to_sign(method: str, parameters: Mapping[str, str]) -> str:
    """Return what an RPC client must have signed: all *parameters*, of the query and of the form, but its signature.

    >>> rpc_string_to_sign("POST", {"Action": "a b", "Signature": "s"})
    'POST&%2F&Action%3Da%2520b'
    """
    signed = canonical_query((name, value) for name, value in parameters.items() if name != "Signature")
    return f"{method}&%2F&{quote(signed, safe='~')}"


def rpc_signature(string_to_sign: str, secret: str) -> str:
    return base64.b64encode(hmac.digest(f"{secret}&".encode(), string_to_sign.encode(), "sha1")).decode()


def verify_rpc(request: Request, state: CloudState) -> AccessKey:
    """Return the key that signed *request* by RPC 1.0, or raise `RefusedError` as the cloud would answer."""
    parameters = request.parameters
    if (parameters.get("SignatureMethod"), parameters.get("SignatureVersion")) != ("HMAC-SHA1", "1.0"):
        raise RefusedError(400, "InvalidParameter", "The sandbox knows HMAC-SHA1, version 1.0.")
    key = state.find_key(parameters.get("AccessKeyId", ""))
    if key is None:
        raise RefusedError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    _check_date(parameters.get("Timestamp", ""), state.clock.now())
    _check_security_token(parameters.get("SecurityToken", ""), key, state.clock.now())
    string_to_sign = rpc_string_to_sign(request.method, parameters)
    if not hmac.compare_digest(rpc_signature(string_to_sign, key.secret), parameters.get("Signature", "")):
        # The JavaScript library compares the rest of this very text with what it signed.
        raise RefusedError(
            400,
            "SignatureDoesNotMatch",
            f"Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}",
        )
    _use_nonce(parameters.get("SignatureNonce", ""), key, state)
    return key


def _use_nonce(nonce: str, key: AccessKey, state: CloudState) -> None:
    if not state.use_nonce(key.id, nonce, keep=2 * LARGEST_SKEW):
        raise RefusedError(400, "SignatureNonceUsed", "Specified signature nonce was used already.")


def _check_signed_headers(request: Request, signed: Sequence[str]) -> None:
    wanted = ALWAYS_SIGNED | {name.lower() for name, _ in request.headers if name.lower().startswith("x-acs-")}
    unsigned = sorted(wanted - set(signed))
    absent = sorted(name for name in signed if not request.values(name))
    if unsigned or absent or list(signed) != sorted(set(signed)):
        raise RefusedError(
            400,
            "IncompleteSignature",
            f"SignedHeaders is not right: not signed {unsigned}, signed but absent {absent}.",
        )


def _check_date(text: str, now: float) -> None:
    try:
        sent_at = calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise RefusedError(400, "InvalidTimeStamp.Format", "Specified time stamp is not well formatted.") from None
    if abs(now - sent_at) > LARGEST_SKEW:
        raise RefusedError(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")


def _check_security_token(token: str, key: AccessKey, now: float) -> None:
    if token != key.security_token:
        raise RefusedError(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
    if key.expires_at is not None and key.expires_at <= now:
        raise RefusedError(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
