"""An OIDC issuer as a Kubernetes cluster is one, and the check of its tokens as STS does it.

The tokens are signed for real (RS256); the check recomputes the signature with nothing but
arithmetic, so it shares no code with what signs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AUDIENCE = "sts.aliyuncs.com"
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017, 9.2: DigestInfo of SHA-256


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class OidcIssuer:
    """A cluster's ServiceAccount token issuer, with a key of its own."""

    def __init__(self, url: str, *, now: Callable[[], float]) -> None:
        self.url = url
        self._now = now
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_id = uuid.uuid4().hex

    @property
    def keys(self) -> dict[str, tuple[int, int]]:
        """The public keys as (modulus, exponent) by key ID: what the issuer's JWKS says."""
        numbers = self._key.public_key().public_numbers()
        return {self.key_id: (numbers.n, numbers.e)}

    def token(
        self,
        namespace: str,
        name: str,
        *,
        audience: str | tuple[str, ...] = AUDIENCE,
        life: float = 3600.0,
        uid: str | None = None,
        **changes: Any,
    ) -> str:
        """Return a token as the kubelet gets one for a pod of *namespace*/*name*; *changes* replace claims."""
        now = int(self._now())
        claims = {
            "iss": self.url,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "aud": [audience] if isinstance(audience, str) else list(audience),
            "exp": int(now + life),
            "iat": now,
            "nbf": now,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {
                    "name": name,
                    "uid": uid or str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.url}/{namespace}/{name}")),
                },
                "pod": {"name": f"{name}-0", "uid": str(uuid.uuid4())},
            },
            **changes,
        }
        return self.sign({"alg": "RS256", "kid": self.key_id}, claims)

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """Return the token of *claims*, signed with this issuer's key whatever *header* says."""
        signed = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
        return f"{signed}.{encode(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@dataclass(frozen=True)
class OidcProvider:
    """What an account's RAM knows of an issuer: its URL, the audiences it may have, its keys."""

    arn: str
    issuer: str
    client_ids: tuple[str, ...] = (AUDIENCE,)
    keys: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)


def verified_claims(token: str, keys: Mapping[str, tuple[int, int]]) -> dict[str, Any] | None:
    """Return the claims of *token* if one of *keys* signed it, else None."""
    try:
        head, body, signature = token.split(".")
        header, claims = json.loads(decode(head)), json.loads(decode(body))
        if header["alg"] != "RS256" or not isinstance(claims, dict):
            return None
        modulus, exponent = keys[header["kid"]]
        size = (modulus.bit_length() + 7) // 8
        raw = decode(signature)
        if len(raw) != size:
            return None
        found = pow(int.from_bytes(raw), exponent, modulus).to_bytes(size)
    except (ValueError, KeyError, TypeError):
        return None
    digest = SHA256_PREFIX + hashlib.sha256(f"{head}.{body}".encode()).digest()
    wanted = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    return claims if hmac.compare_digest(found, wanted) else None
