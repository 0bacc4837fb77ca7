"""What a namespace's Secret holds: the docker configuration, and when the logins in it end. Pure.

The ends are there for a controller that lost its memory. It must neither take out a login that lives nor leave one that
is dead, and of an entry that it cannot ask for now, all that is known stands in the Secrets themselves.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.authorization_token import LONGEST_LIFE

from .dockerconfigjson import LARGEST, docker_config, in_bytes
from .names import ENDS_KEY, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

NO_ENDS = b"{}"
"""None of the logins ends."""
ALL = "*"
"""The place under which the end of all stands that are not named, where the ends of each would not fit."""
NEVER, DEAD = float("inf"), 0.0
CLOCKS_DIFFER = 3600.0
"""Seconds by which the clock of who wrote down an end may be ahead of ours."""


def digest_of(content: bytes, ends: bytes) -> str:
    """Return the SHA-256 (hexadecimal) of what a Secret of ours holds: both, for neither is right without the other."""
    return hashlib.sha256(b"%d " % len(content) + content + ends).hexdigest()


@dataclass(frozen=True, slots=True)
class EntryLogins:
    """What one entry of the settings gives now: its instance and *region*, and *logins* (place, user, password).

    There may be none, while no token of it lives; then the region may be unknown (""). *ends_at* is when they are dead
    (seconds since the epoch; 0: never). *is_known* is whether anything was ever heard of its logins, be it their death;
    if not, *may_fill* are the places that they may have been for, None where only ACR knows, and *is_endless* is
    whether they are passwords of one's own, which never end.
    """

    instance_id: str
    region: str
    logins: tuple[tuple[str, str, str], ...] = field(repr=False)
    ends_at: float = 0.0
    is_known: bool = True
    may_fill: tuple[str, ...] | None = ()
    is_endless: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """The docker configuration *content*, and *ends*: JSON, times by place. *digest* is of both.

    *missing* are places for which a login may live that is not in it, *endless* those of them where it may be a
    password; *is_any_missing* is whether there may be others of ACR's tokens. While it `is_complete` nothing else
    belongs into the Secret.
    """

    content: bytes = field(repr=False)
    digest: str
    ends: bytes = NO_ENDS
    missing: frozenset[str] = frozenset()
    endless: frozenset[str] = frozenset()
    is_any_missing: bool = False

    @property
    def is_complete(self) -> bool:
        """Say whether nothing is missing."""
        return not (self.missing or self.is_any_missing)

    @classmethod
    def of(
        cls, content: bytes, *, ends: Mapping[str, float] | None = None, deaths: Mapping[str, float] | None = None
    ) -> Content:
        """Return *content* with the *ends* of its logins, and *deaths* of those that are elsewhere.

        Where all that would not fit beside it, there is one end, of what is in it: the earliest, for that is nobody's
        longer life, even if it is written down again after others were renewed.
        """
        ends = ends or {}
        written = _in_bytes({**(deaths or {}), **ends})
        if len(content) + len(written) > LARGEST:
            written = _in_bytes({ALL: min(ends.values())} if ends else {})
        return cls(content, digest_of(content, written), written)

    @classmethod
    def of_entries(cls, entries: Iterable[EntryLogins]) -> Content:
        """Return what *entries* give; of two for one place the first. Raises `ConfigurationError` if it is too much."""
        given = list(entries)
        ends: dict[str, float] = {}
        seen: set[str] = set()
        for each in given:
            for place, _, _ in each.logins:
                if place not in seen and each.ends_at:
                    ends[place] = round(each.ends_at)
                seen.add(place)
        config = docker_config(login for each in given for login in each.logins)
        unknown = [each.may_fill for each in given if not each.is_known]
        return replace(
            cls.of(config, ends=ends),
            missing=frozenset(place for places in unknown for place in places or ()),
            endless=frozenset(
                place for each in given if each.is_endless and not each.is_known for place in each.may_fill or ()
            ),
            is_any_missing=None in unknown,
        )

    def beside(
        self, present: Iterable[Mapping[str, str]], *, now: float, others: frozenset[str] = frozenset()
    ) -> tuple[Content, float]:
        """Return it with the living logins of *present* Secrets' data for what is missing, and when the next one ends.

        Who comes first has a place, and a death that it tells holds: it stays written as long as a later Secret has a
        login there. What has no end where ends are told is a password, not a token of ACR's; where they are not,
        anything may live for as long as tokens do. *others* are places that entries fill of which something is known:
        no silent one's, unless it says so. What is no docker configuration, or would not fit, is not kept.
        """
        auths: dict[str, Any] = json.loads(self.content)["auths"]
        ends: dict[str, float] = json.loads(self.ends)
        kept: list[float] = []
        dead: dict[str, float] = {}
        deaths: dict[str, float] = {}
        for data in present:
            told = _ends(data, now=now)
            for place, auth in _auths(data):
                end = told.get(place, told.get(ALL, NEVER))
                if place in auths or not self._may_lack(place, end, others):
                    continue
                if end <= now:
                    dead.setdefault(place, end)
                elif place in dead:
                    deaths[place] = dead[place]
                else:
                    auths[place] = {"auth": auth}
                    kept.append(end)
                    if end < NEVER:
                        ends[place] = end
            dead = {**{place: end for place, end in told.items() if end <= now}, **dead}
        content = in_bytes(auths)
        if len(content) > LARGEST:
            return self, NEVER
        merged = Content.of(content, ends=ends, deaths=deaths)
        return replace(self, content=content, digest=merged.digest, ends=merged.ends), min(kept, default=NEVER)

    def _may_lack(self, place: str, end: float, others: frozenset[str]) -> bool:
        """Say whether a login for *place* that ends then can be one of a silent entry's."""
        if place in self.endless:
            return True
        return end < NEVER and (place in self.missing or (self.is_any_missing and place not in others))


def _in_bytes(ends: Mapping[str, float]) -> bytes:
    return json.dumps(ends, separators=(",", ":"), sort_keys=True, allow_nan=False).encode("ascii")


def _decoded(value: str | None) -> dict[str, Any] | None:
    """Return the JSON object in a Secret's *value*, None for anything else; whoever may write there wrote it."""
    try:
        found = json.loads(b64decode(value or "", validate=True))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _ends(data: Mapping[str, str], *, now: float) -> dict[str, float]:
    """Return when the logins in a Secret's *data* end, by place; `ALL` has it for all others, which else never end.

    Where nobody wrote it down they live as long as tokens do, and what no token can have as its end is one's that is
    dead.
    """
    told = _decoded(data.get(ENDS_KEY))
    if told is None:
        return {ALL: round(now + LONGEST_LIFE)}
    return {
        place: end if isinstance(end, int | float) and 0 < end <= now + LONGEST_LIFE + CLOCKS_DIFFER else DEAD
        for place, end in told.items()
    }


def _auths(data: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield place and login of what is in a Secret's *data*."""
    auths = (_decoded(data.get(SECRET_KEY)) or {}).get("auths")
    for place, auth in auths.items() if isinstance(auths, dict) else ():
        if isinstance(auth, dict) and isinstance(auth.get("auth"), str):
            yield place, auth["auth"]
