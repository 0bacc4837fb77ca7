"""What a pull of an image would meet, as a value, and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

TOKEN_OF_AN_ENTRY, NOTHING, ASK_FIRST, FAILURE = "token", "not covered", "ask first", "failure"


@dataclass(frozen=True, slots=True)
class MatchedEntry:
    """The entry of the settings that a host belongs to, and how its tokens are come by.

    *roles* says which role a pod's ServiceAccount would assume, a rule each; *chain* are the
    ARNs of the roles that are assumed after that, in order.
    """

    index: int
    instance: str
    region: str
    region_from: str  # "settings", or "this node's", known from an earlier pull
    identity: str
    files: tuple[str, ...]
    endpoints: tuple[str, ...]
    roles: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheState:
    """Something that this node remembers; *state* says what it is good for, *seconds* is until it isn't."""

    what: str
    state: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a pull of *image* would meet.

    *answer* is ``token``, ``not covered``, ``ask first`` (the settings alone cannot tell) or
    ``failure``. *would_ask* are the calls that a pull would make now, none when the cache has it.
    *unknown* is what only a pull for a real pod could tell.
    """

    image: str
    host: str
    answer: str
    why: str
    entry: MatchedEntry | None = None
    kept: tuple[CacheState, ...] = ()
    would_ask: tuple[str, ...] = ()
    remedy: str = ""
    nearest: str = ""
    unknown: tuple[str, ...] = ()


def to_dict(found: Explanation) -> dict[str, Any]:
    """Return *found* as the JSON that ``--output json`` prints: camelCase, no empty members."""
    plain = asdict(found)
    return {_camel(name): _plain(value) for name, value in plain.items() if value not in ("", None, ())}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_camel(name): _plain(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return round(value) if isinstance(value, float) else value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(each.title() for each in rest)


def text(found: Explanation) -> str:
    """Return *found* as lines for a terminal."""
    lines = [f"image     {found.image}", f"answer    {found.answer}", f"why       {found.why}"]
    entry = found.entry
    if entry is not None:
        files = f" ({', '.join(entry.files)})" if entry.files else ""
        lines += [
            f"entry     registries[{entry.index}]: {entry.instance}",
            f"identity  {entry.identity}{files}",
            *(f"role      {rule}" for rule in entry.roles),
            *(f"then role {arn}" for arn in entry.chain),
        ]
        if entry.endpoints:  # a login asks nobody
            lines += [
                f"region    {entry.region} (from {entry.region_from})",
                f"endpoints {', then '.join(entry.endpoints)}",
            ]
    if found.nearest:
        lines.append(f"nearest   {found.nearest}")
    for kept in found.kept:
        left = "" if kept.seconds is None else f" ({kept.seconds:.0f} s)"
        lines.append(f"kept      {kept.what}: {kept.state}{left}")
    lines += [f"would ask {call}" for call in found.would_ask] or ["would ask nobody"]
    lines += [f"unknown   {each}" for each in found.unknown]
    if found.remedy:
        lines.append(f"remedy    {found.remedy}")
    return "\n".join(lines)
