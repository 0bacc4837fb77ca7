"""The registry login that ACR grants, and how long this node may use it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import RegistryRefusedError

LONGEST_LIFE = 25 * 3600.0
"""Seconds. ACR grants 24 hours at most; what claims more is not a time in milliseconds."""


@dataclass(frozen=True, slots=True)
class AuthorizationGrant:
    """What ACR answered: a login and its life in seconds *by the cloud's own clock*.

    The life is the difference of two times that the cloud told us, so a wrong clock on
    the node neither revives nor kills a token.
    """

    username: str
    password: str = field(repr=False)
    life: float


@dataclass(frozen=True, slots=True)
class AuthorizationToken:
    """A login and the two local times (seconds since the epoch) that rule its use.

    From *due_at* on it should be renewed; from *dead_at* on it is never handed out.
    """

    username: str
    password: str = field(repr=False)
    due_at: float
    dead_at: float

    @classmethod
    def from_grant(
        cls, grant: AuthorizationGrant, *, now: float, refresh_before: float, jitter: float
    ) -> AuthorizationToken:
        """Place *grant* on the local clock.

        *refresh_before* (seconds) is capped at half the life; *jitter* (0..1) spreads the
        renewals of many nodes over the tenth of the life before that.

        >>> grant = AuthorizationGrant("cr_temp_user", "secret", life=3600.0)
        >>> AuthorizationToken.from_grant(grant, now=1000.0, refresh_before=900.0, jitter=0.0)
        AuthorizationToken(username='cr_temp_user', due_at=3700.0, dead_at=4540.0)
        """
        if not 0 < grant.life <= LONGEST_LIFE:
            what = "already expired" if grant.life <= 0 else "valid for longer than ACR ever grants"
            raise RegistryRefusedError(
                f"ACR sent a token that is {what} ({grant.life:.0f} s by its own clock)",
                remedy="Try again; if it stays, report it to Alibaba Cloud support with the time of the call.",
            )
        early = min(refresh_before, grant.life / 2) + jitter * grant.life / 10
        usable = grant.life - min(60.0, grant.life / 10)
        return cls(
            username=grant.username,
            password=grant.password,
            due_at=now + min(grant.life - early, usable),
            dead_at=now + usable,
        )

    def is_alive(self, now: float) -> bool:
        """Say whether the token may still be handed out."""
        return now < self.dead_at

    def is_due(self, now: float) -> bool:
        """Say whether the token should be renewed."""
        return now >= self.due_at
