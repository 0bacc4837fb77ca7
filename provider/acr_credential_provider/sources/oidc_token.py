"""A Kubernetes ServiceAccount token, checked as far as that is possible without the cluster's keys.

A token that STS would refuse anyway is refused here, with the reason and without a call. Its claims
are not trusted: they only select the role to ask for, and STS verifies the token.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from dataclasses import dataclass, field
from typing import Any

from acr_credential_provider.model.errors import ServiceAccountTokenRefusedError
from acr_credential_provider.model.remedy import Remedy

AUDIENCE = "sts.aliyuncs.com"
LARGEST = 20000  # characters; STS takes no longer ones
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_SUBJECT = re.compile(r"system:serviceaccount:([a-z0-9.-]{1,253}):([a-z0-9.-]{1,253})", re.ASCII)
_ACK_PROVIDER = re.compile(r"acs:ram::\d+:oidc-provider/ack-rrsa-(?P<cluster>[A-Za-z0-9]+)", re.ASCII)
_LATEST = 1e12
"""Seconds since the epoch: after any token's end."""
_LEEWAY = 60.0
"""Seconds that a token may be from the future: the node's clock and the API server's differ."""

_AUDIENCE_REMEDY = Remedy(
    "AudienceMismatch",
    "Ask for tokens of that audience: serviceAccountTokenAudience in the kubelet's CredentialProviderConfig, "
    "audience of the projected volume elsewhere.",
)


@dataclass(frozen=True, slots=True)
class OidcToken:
    """One token and its claims; *expires_at* and *not_before* are seconds since the epoch."""

    text: str = field(repr=False)
    issuer: str
    audiences: tuple[str, ...]
    namespace: str
    name: str
    uid: str
    expires_at: float
    not_before: float

    @property
    def subject(self) -> str:
        """The ``sub`` claim, which a role's trust policy names."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> OidcToken:
        """Parse *text*, with white space around it; raise `ServiceAccountTokenRefusedError` for anything else."""
        text = text.strip()
        token = _parsed(text) if len(text) <= LARGEST and _FORM.fullmatch(text) else None
        if token is None:
            raise ServiceAccountTokenRefusedError(
                "the ServiceAccount token is not a signed token of a Kubernetes cluster",
                remedy=Remedy(
                    "ServiceAccountTokenInvalid",
                    "Check where it comes from: tokenAttributes in the kubelet's CredentialProviderConfig, "
                    "or the file that the settings name.",
                ),
            )
        return token

    def check(self, *, audience: str, issuer: str | None, provider_arn: str, now: float) -> None:
        """Raise `ServiceAccountTokenRefusedError` unless it is for *audience*, of that *issuer*, and valid at *now*.

        Without an *issuer*, a token of an ACK cluster must be of the cluster whose ID is in *provider_arn*.
        """
        who = f"the token of ServiceAccount {self.namespace}/{self.name}"
        if audience not in self.audiences:
            raise ServiceAccountTokenRefusedError(f"{who} is not for the audience {audience}", remedy=_AUDIENCE_REMEDY)
        ack = _ACK_PROVIDER.fullmatch(provider_arn)
        same_cluster = self.issuer.rstrip("/").endswith("/" + ack["cluster"]) if ack else True
        if not (self.issuer == issuer if issuer else same_cluster):
            raise ServiceAccountTokenRefusedError(
                f"{who} was issued by another cluster than {issuer or provider_arn} stands for",
                remedy=Remedy(
                    "IssuerMismatch",
                    "Correct oidcProviderArn and issuer in the settings: they must be this cluster's "
                    "(ACK console: cluster information, security and auditing).",
                ),
            )
        if now >= self.expires_at or now < self.not_before - _LEEWAY:
            when = f"expired {now - self.expires_at:.0f} s ago" if now >= self.expires_at else "is not valid yet"
            raise ServiceAccountTokenRefusedError(
                f"{who} {when} by this node's clock",
                remedy=Remedy(
                    "ClockWrong",
                    "Correct this node's clock (chrony or ntp); if it is right, restart the kubelet, which renews "
                    "such tokens.",
                ),
            )


def _parsed(text: str) -> OidcToken | None:
    head, body, _ = text.split(".")
    try:
        header, claims = _decoded(head), _decoded(body)
        subject = _SUBJECT.fullmatch(claims["sub"])
        kubernetes = claims.get("kubernetes.io") or {}
        account = kubernetes.get("serviceaccount") or {}
        audiences = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
        is_right = (
            str(header["alg"]).startswith(("RS", "ES", "PS"))
            and subject is not None
            # The subject of the cache key must be the one that STS will see.
            and kubernetes.get("namespace", subject[1]) == subject[1]
            and account.get("name", subject[2]) == subject[2]
            and all(isinstance(audience, str) for audience in audiences)
            and isinstance(claims["iss"], str)
        )
        if not is_right or subject is None:
            return None
        return OidcToken(
            text=text,
            issuer=claims["iss"],
            audiences=tuple(audiences),
            namespace=subject[1],
            name=subject[2],
            uid=str(account.get("uid", "")),
            expires_at=_date(claims["exp"]),
            not_before=_date(claims.get("nbf", 0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


def _date(claim: Any) -> float:
    """Return a NumericDate; raise ``TypeError`` for anything else, such as Infinity, which Python reads as a number."""
    if isinstance(claim, int | float) and not isinstance(claim, bool) and abs(claim) <= _LATEST:
        return float(claim)
    raise TypeError


def _decoded(part: str) -> dict[str, Any]:
    padded = part.translate(str.maketrans("-_", "+/")) + "=" * (-len(part) % 4)
    value = json.loads(a2b_base64(padded.encode("ascii")))
    if not isinstance(value, dict):
        raise TypeError
    return value
