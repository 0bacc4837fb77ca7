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

from acr_credential_provider.token import LONGEST_LIFE

from .docker_config import LARGEST, docker_config, in_bytes
from .names import ENDS_KEY, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

NO_ENDS = b"{}"
"""None of the logins ends."""
UNTOLD = b"null"
"""When they end would not fit."""


@dataclass(frozen=True, slots=True)
class EntryLogins:
    """What one entry of the settings gives now: its instance and *region*, and *logins* (place, user, password).

    There may be none, while no token of it lives; then the region may be unknown (""). *ends_at* is when they are dead
    (seconds since the epoch; 0: never). *is_known* is whether anything was ever heard of its logins, be it their death;
    if not, *may_fill* are the places that they may have been for, None where only ACR knows.
    """

    instance_id: str
    region: str
    logins: tuple[tuple[str, str, str], ...] = field(repr=False)
    ends_at: float = 0.0
    is_known: bool = True
    may_fill: tuple[str, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Content:
    """The docker configuration *content*, its SHA-256 (hexadecimal), and *ends*: JSON, times by place.

    *missing* are places for which a login may live that is not in it, *is_any_missing* is whether there may be others
    of ACR's tokens. While it `is_complete` nothing else belongs into the Secret.
    """

    content: bytes = field(repr=False)
    digest: str
    ends: bytes = NO_ENDS
    missing: frozenset[str] = frozenset()
    is_any_missing: bool = False

    @property
    def is_complete(self) -> bool:
        """Say whether nothing is missing."""
        return not (self.missing or self.is_any_missing)

    @classmethod
    def of(cls, content: bytes, *, ends: Mapping[str, float] | None = None) -> Content:
        """Return *content* with its digest; ends that would not fit into the Secret beside it are left out."""
        written = json.dumps(ends or {}, separators=(",", ":"), sort_keys=True).encode("ascii")
        if len(content) + len(written) > LARGEST:
            written = UNTOLD
        return cls(content, hashlib.sha256(content).hexdigest(), written)

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
            is_any_missing=None in unknown,
        )

    def beside(self, present: Iterable[Mapping[str, str]], *, now: float) -> tuple[Content, float]:
        """Return it with the living logins of *present* Secrets' data for what is missing, and when the next one ends.

        Who comes first has a place. What has no end where ends are told is a password, not a token of ACR's; where they
        are not, anything may live for as long as tokens do. What is no docker configuration, or would not fit, is not
        kept.
        """
        auths: dict[str, Any] = json.loads(self.content)["auths"]
        ends: dict[str, float] = json.loads(self.ends) or {}
        kept: dict[str, float | None] = {}
        for data in present:
            told = _ends(data)
            for place, auth in _auths(data):
                end = told.get(place) if told is not None else round(now + LONGEST_LIFE)
                may_be_ours = place in self.missing or (self.is_any_missing and end is not None)
                if place not in auths and may_be_ours and (end is None or end > now):
                    auths[place] = {"auth": auth}
                    kept[place] = end
                    if end is not None:
                        ends[place] = end
        content = in_bytes(auths)
        if not kept or len(content) > LARGEST:
            return self, float("inf")
        merged = replace(Content.of(content, ends=ends), missing=self.missing, is_any_missing=self.is_any_missing)
        return merged, min((end for end in kept.values() if end is not None), default=float("inf"))


def _decoded(value: str | None) -> dict[str, Any] | None:
    """Return the JSON object in a Secret's *value*, None for anything else; whoever may write there wrote it."""
    try:
        found = json.loads(b64decode(value or "", validate=True))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _ends(data: Mapping[str, str]) -> dict[str, float] | None:
    """Return when the tokens in a Secret's *data* end, None where nobody wrote it down."""
    told = _decoded(data.get(ENDS_KEY))
    return told and {place: end for place, end in told.items() if isinstance(end, int | float) and end > 0}


def _auths(data: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield place and login of what is in a Secret's *data*."""
    auths = (_decoded(data.get(SECRET_KEY)) or {}).get("auths")
    for place, auth in auths.items() if isinstance(auths, dict) else ():
        if isinstance(auth, dict) and isinstance(auth.get("auth"), str):
            yield place, auth["auth"]
