"""ACS3-HMAC-SHA256, the verifier's side: recompute the signature from what came over the wire.

Nothing the client says about its own signing is believed but the list of signed headers,
and that list must hold what the protocol wants signed.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from .wire import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    _check_security_token(request, key, state.clock.now())
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
    if not state.use_nonce(key.id, request.header("x-acs-signature-nonce"), keep=2 * LARGEST_SKEW):
        raise RefusedError(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
    return key


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


def _check_security_token(request: Request, key: AccessKey, now: float) -> None:
    if request.header("x-acs-security-token") != key.security_token:
        raise RefusedError(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
    if key.expires_at is not None and key.expires_at <= now:
        raise RefusedError(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
