"""What a namespace's Secret holds: the docker configuration, and when the logins in it end. Pure.

The ends are there for a controller that lost its memory. It must neither take out a login that lives nor leave one that
is dead, and of an entry that it cannot ask for now, all that is known stands in the Secrets themselves.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .docker_config import LARGEST, docker_config, in_bytes
from .names import ENDS_KEY, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NO_ENDS = b"{}"


@dataclass(frozen=True, slots=True)
class EntryLogins:
    """What one entry of the settings gives now: its instance and *region*, and *logins* (place, user, password).

    There may be none, while no token of it lives; then the region may be unknown (""). *ends_at* is when they are dead
    (seconds since the epoch; 0: never). *is_known* is whether anything was ever heard of its logins, be it their death.
    """

    instance_id: str
    region: str
    logins: tuple[tuple[str, str, str], ...] = field(repr=False)
    ends_at: float = 0.0
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Content:
    """The docker configuration *content*, its SHA-256 (hexadecimal), and *ends*: JSON, times by place.

    While it *is_complete* nothing else belongs into the Secret.
    """

    content: bytes = field(repr=False)
    digest: str
    ends: bytes = NO_ENDS
    is_complete: bool = True

    @classmethod
    def of(cls, content: bytes, *, ends: Mapping[str, float] | None = None, is_complete: bool = True) -> Content:
        """Return *content* with its digest; ends that would not fit into the Secret beside it are left out."""
        written = json.dumps(ends or {}, separators=(",", ":"), sort_keys=True).encode("ascii")
        if len(content) + len(written) > LARGEST:
            written = NO_ENDS
        return cls(content, hashlib.sha256(content).hexdigest(), written, is_complete)

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
        return cls.of(config, ends=ends, is_complete=all(each.is_known for each in given))

    def beside(self, present: Iterable[Mapping[str, str]], *, now: float) -> tuple[Content, float]:
        """Return it with the living logins that *present* Secrets' data have for other places, and when the next ends.

        Who comes first has a place. A login whose end nobody wrote down counts as living. What is no docker
        configuration, or would not fit, is not kept.
        """
        config: dict[str, Any] = json.loads(self.content)
        ends: dict[str, float] = json.loads(self.ends)
        kept: list[str] = []
        for data in present:
            told = _decoded(data.get(ENDS_KEY))
            auths = _decoded(data.get(SECRET_KEY)).get("auths")
            for place, auth in auths.items() if isinstance(auths, dict) else ():
                end = told.get(place, 0.0)
                is_dead = isinstance(end, int | float) and 0 < end <= now
                if place in config["auths"] or is_dead or not _is_login(auth):
                    continue
                config["auths"][place] = {"auth": auth["auth"]}
                kept.append(place)
                if isinstance(end, int | float) and end > 0:
                    ends[place] = end
        content = in_bytes(config["auths"])
        if not kept or len(content) > LARGEST:
            return self, float("inf")
        merged = Content.of(content, ends=ends, is_complete=self.is_complete)
        return merged, min((ends[place] for place in kept if place in ends), default=float("inf"))


def _decoded(value: str | None) -> dict[str, Any]:
    """Return the JSON object in a Secret's *value*; whoever may write there wrote it."""
    try:
        found = json.loads(b64decode(value or "", validate=True))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_login(auth: object) -> bool:
    return isinstance(auth, dict) and isinstance(auth.get("auth"), str)
