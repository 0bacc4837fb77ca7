"""What stands at a place of the file, as the kind of thing that belongs there, or what is wrong with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from acr_credential_provider.model.config_problem import ConfigProblem

from .keys import REPAIRER
from .yaml_repair import LocatedNode, UnreadableError, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conversion import Conversion

Found = tuple[str, LocatedNode]
"""A key's full name in the file, and what stands there."""
PLACEHOLDER = re.compile(
    r"[<>*]|(?:^|[-_./:])(x{3,}|y{3,}|z{3,})(?:$|[-_./:])|^cri-instanceid$|^instance\.(?:default|custom)\."
    r"|user\w*rolearn$|^acs:ram::[a-z]",
    re.IGNORECASE,
)


class EntryError(Exception):
    """An entry cannot become a registry, for the reasons in `problems`."""

    def __init__(self, *problems: ConfigProblem) -> None:
        super().__init__()
        self.problems = problems


def entry_error(found: Found, problem: str, remedy: str) -> EntryError:
    """Return the error that *found* is."""
    return EntryError(ConfigProblem(found[1].line, found[0], problem, remedy))


def placeholder(name: str, spot: LocatedNode) -> ConfigProblem:
    """Return the problem that a value of a sample is."""
    remedy = "Write your own value there, or remove the key or the whole entry."
    return ConfigProblem(spot.line, name, "still holds the placeholder of a sample", remedy)


def refuse_broken(name: str, spot: LocatedNode) -> None:
    """Raise `UnreadableError` where nothing could be read at *spot*."""
    if spot.broken is not None:
        raise UnreadableError(spot.broken).within(name)


def text_of(name: str, spot: LocatedNode) -> str:
    """Return the text at *spot*, or raise `EntryError` or `UnreadableError`."""
    refuse_broken(name, spot)
    if not isinstance(spot.value, str):
        raise EntryError(ConfigProblem(spot.line, name, "is not text", "Write one value on the line of the key."))
    return spot.value.strip()


def mapping_of(name: str, spot: LocatedNode, result: Conversion) -> dict[str, LocatedNode]:
    """Return the members at *spot*, which may be YAML in a text, or raise `EntryError` or `UnreadableError`."""
    refuse_broken(name, spot)
    inner = spot
    if isinstance(spot.value, str):
        outcome: UnreadableError | None = None
        try:
            text, changes = REPAIRER.repair(spot.value, first_line=spot.inner or spot.line)
            inner = parse(text, first_line=spot.inner or spot.line)
        except UnreadableError as error:
            outcome = error.within(name)
        if outcome is not None:
            raise outcome
        result.changes += changes
    value = inner.value
    if value == "":
        return {}
    if not isinstance(value, dict):
        raise EntryError(ConfigProblem(spot.line, name, "is not a mapping", "Write key: value lines below it."))
    return value


def named(found: dict[str, LocatedNode], keys: dict[str, str], prefix: str, result: Conversion) -> dict[str, Found]:
    """Return the members by documented key, each with its full name in the file."""
    known: dict[str, Found] = {}
    for spelled, spot in found.items():
        key = keys.get(re.sub(r"[-_\s]", "", spelled).lower())
        if key is None:
            shown = spelled if re.fullmatch(r"[\w.-]{1,40}", spelled, re.ASCII) else "a key"
            if not spelled.isascii():
                why = "is translated or holds characters that are not ASCII", "Write the key as documented."
            else:
                why = (
                    "is not a key of acr-configuration",
                    f"Correct its spelling or remove it: {', '.join(keys.values())}.",
                )
            result.problems.append(ConfigProblem(spot.line, prefix + shown, *why))
        elif key in known:
            result.problems.append(ConfigProblem(spot.line, prefix + spelled, f"repeats {known[key][0]}", "Keep one."))
        else:
            if spelled != key and prefix:
                result.change(spot, f"{prefix}{spelled} was read as {key}")
            known[key] = prefix + key, spot
    return known


def words_in(spot: LocatedNode) -> Iterator[str]:
    """Yield every text in *spot*, whichever shape it has."""
    if isinstance(spot.value, dict):
        for key, inner in spot.value.items():
            yield str(key)
            yield from words_in(inner)
    elif isinstance(spot.value, list):
        for inner in spot.value:
            yield from words_in(inner)
    else:
        yield str(spot.value)
