"""The registry login that ACR grants, and the times that rule its use on this node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import RegistryRefusedError
from .remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_LIFE = 25 * 3600.0
"""Seconds. ACR grants 24 hours at most; an expiry beyond that is not a time in milliseconds."""
MARGIN = 60.0
"""Seconds before its end (a tenth of a short life) from which a token is not given out: a pull must still log in."""


@dataclass(frozen=True, slots=True)
class AuthorizationGrant:
    """ACR's answer: a login and its life in seconds *by the cloud's own clock*.

    The life is the difference of two times of the cloud, so a wrong clock on the node neither prolongs nor shortens it.
    """

    username: str
    password: str = field(repr=False)
    life: float


@dataclass(frozen=True, slots=True)
class AuthorizationToken:
    """A login and two local times (seconds since the epoch).

    From *refresh_at* on it should be renewed; from *expires_at* on it is never given out.
    """

    username: str
    password: str = field(repr=False)
    refresh_at: float
    expires_at: float

    @classmethod
    def from_grant(
        cls, grant: AuthorizationGrant, *, now: float, refresh_before: float, jitter: float
    ) -> AuthorizationToken:
        """Return the token of a *grant* that was received *now*.

        *refresh_before* (seconds) is capped at half the life; *jitter* (0..1) spreads the refreshes of many nodes over
        the tenth of the life before that.

        >>> grant = AuthorizationGrant("cr_temp_user", "secret", life=3600.0)
        >>> AuthorizationToken.from_grant(grant, now=1000.0, refresh_before=900.0, jitter=0.0)
        AuthorizationToken(username='cr_temp_user', refresh_at=3700.0, expires_at=4540.0)
        """
        if not 0 < grant.life <= LONGEST_LIFE:
            reason = "already expired" if grant.life <= 0 else "valid for longer than ACR ever grants"
            raise RegistryRefusedError(
                f"ACR sent a token that is {reason} ({grant.life:.0f} s by its own clock)",
                remedy=Remedy(
                    "CloudAnswerUnexpected",
                    "Try again; if it stays, report it to Alibaba Cloud support with the time of the call.",
                ),
            )
        early = min(refresh_before, grant.life / 2) + jitter * grant.life / 10
        usable = grant.life - min(MARGIN, grant.life / 10)
        return cls(
            username=grant.username,
            password=grant.password,
            refresh_at=now + min(grant.life - early, usable),
            expires_at=now + usable,
        )

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> AuthorizationToken | None:
        """Return the token in *stored*, made by `to_dict`; None if another version wrote it."""
        try:
            return cls(stored["username"], stored["password"], stored["due_at"], stored["dead_at"])
        except KeyError:
            return None

    def to_dict(self) -> dict[str, Any]:
        """Return the token as stored; an installed version owns the keys."""
        return {
            "username": self.username,
            "password": self.password,
            "due_at": self.refresh_at,
            "dead_at": self.expires_at,
        }

    def is_valid(self, now: float) -> bool:
        """True if the token may still be given out."""
        return now < self.expires_at

    def needs_refresh(self, now: float) -> bool:
        """True if the token should be renewed."""
        return now >= self.refresh_at
