"""YAML as people paste it: repaired where only one reading is left, refused with a hint where not.

Web pages turn spaces into non-breaking ones and quotes into typographic ones, their samples
hold ``//`` comments and colons without a space. All values are kept as text with their
lines, since what they mean depends on the key and not on what they look like.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.yaml_depth import TooDeepError, refuse_depth

_DEEPEST = 8
_ODD_SPACES = "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
_QUOTES = "\u201c\u201d\u201e\uff02\u2018\u2019\uff07"
_CLOSED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was read otherwise than it is written; *line* is the first one concerned."""

    line: int
    what: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"line {self.line}: {self.what}"


@dataclass(frozen=True, slots=True)
class LocatedNode:
    """A value and the line it starts on. *inner* is the line of the first line of a block of text.

    *broken* is why there is no value although the text around it can be read.
    """

    line: int
    value: str | list[LocatedNode] | dict[str, LocatedNode] = field(repr=False)
    inner: int = 0
    broken: ConfigProblem | None = None


class UnreadableError(Exception):
    """The text cannot be read, for the reason in `problem`."""

    def __init__(self, problem: ConfigProblem) -> None:
        super().__init__(str(problem))
        self.problem = problem

    def within(self, name: str) -> UnreadableError:
        """Return the same of the text at the key *name*."""
        inner = self.problem.field
        return UnreadableError(replace(self.problem, field=f"{name}: {inner}" if inner else name))


class Repairer:
    """Repairs lines of the form ``key: value`` with a key of *keys*; the number of lines stays.

    Values of *opaque* keys (secrets) are not judged by what they could be: they may hold anything.
    """

    def __init__(self, keys: frozenset[str], *, opaque: frozenset[str] = frozenset()) -> None:
        name = "|".join(sorted(map(re.escape, keys), key=len, reverse=True))
        self._line = re.compile(
            rf"(?P<indent>\s*)(?P<dash>-\s*)?(?P<quote>[\"']?)(?P<key>{name})(?P=quote)\s*(?P<colon>[:\uff1a])(?P<rest>.*)",
            re.IGNORECASE,
        )
        self._opaque = {key.lower() for key in opaque}

    def repair(self, text: str, *, first_line: int = 1) -> tuple[str, list[Change]]:
        """Return *text* repaired, and what was repaired; raise `UnreadableError` where it can't be told.

        >>> repairer = Repairer(frozenset({"instanceId"}))
        >>> repairer.repair('- instanceId:"cri-1" // mine')[0]
        '- instanceId: "cri-1"'
        """
        seen: dict[str, list[int]] = {}
        lines = []
        for number, line in enumerate(text.split("\n"), first_line):
            repaired, told = self._repaired(line.removesuffix("\r"), number)
            lines.append(repaired)
            for what in told:
                seen.setdefault(what, []).append(number)
        changes = [
            Change(numbers[0], what + (f" ({len(numbers)} lines)" if len(numbers) > 1 else ""))
            for what, numbers in seen.items()
        ]
        return "\n".join(lines), sorted(changes, key=lambda change: change.line)

    def parts(self, line: str) -> tuple[bool, str, str] | None:
        """Return whether *line* has a dash, its key and what comes after the colon; None for any other line."""
        found = self._line.fullmatch(line)
        return (found["dash"] is not None, found["key"], found["rest"]) if found else None

    def _repaired(self, line: str, number: int) -> tuple[str, list[str]]:
        told = []
        if any(space in line for space in _ODD_SPACES):
            line = line.translate(dict.fromkeys(map(ord, _ODD_SPACES), " "))
            told.append("non-breaking spaces were read as spaces")
        if any(sign in line for sign in _INVISIBLE):
            line = line.translate(dict.fromkeys(map(ord, _INVISIBLE)))
            told.append("invisible characters were left out")
        if line.lstrip().startswith("//"):
            return "", [*told, "a // comment was left out: YAML's sign is #"]
        found = self._line.fullmatch(line)
        if not found:
            return line, told
        head = found["indent"] + ("- " if found["dash"] else "") + found["key"] + ":"
        rest = found["rest"]
        if found["dash"] == "-":
            told.append("a space was added after the dash")
        if found["colon"] != ":":
            told.append("a full-width colon was read as a colon")
        elif rest[:1].strip():
            told.append("a space was added after the colon")
        value, more = self._value(rest.strip(), found["key"], number)
        if not told and not more:
            return line, told
        return f"{head} {value}".rstrip(), told + more

    def _value(self, value: str, key: str, number: int) -> tuple[str, list[str]]:
        told = []
        if typographic := re.fullmatch(rf"[{_QUOTES}]([^{_QUOTES}\"\\]*)[{_QUOTES}]((?:\s*(?:#|//).*)?)", value):
            value = f'"{typographic[1]}"{typographic[2]}'
            told.append("typographic quotes were read as quotes")
        if several := re.fullmatch(rf"((?:{_CLOSED})(?:\s*[,\uff0c]\s*(?:{_CLOSED}))+)(\s.*)?", value):
            words = [word[1:-1] for word in re.findall(_CLOSED, several[1])]
            value = '"' + ",".join(words) + '"' + (several[2] or "")
            told.append("several quoted words were read as one, with commas between them")
        if commented := re.fullmatch(rf"({_CLOSED})\s*,?\s*//.*", value):
            return commented[1], [*told, "a // comment was left out: YAML's sign is #"]
        if ended := re.fullmatch(rf"({_CLOSED})\s*,\s*", value):
            return ended[1], [*told, "a comma at the end was left out"]
        if value == "*" or re.fullmatch(r"\*\s+#.*", value):
            return '"*"', [*told, "the asterisk was read as if it were in quotes"]
        if value[:1] not in ("", '"', "'", "#") and (bare := re.match(r"(.*?)\s+//", value)):
            if key.lower() in self._opaque:
                raise UnreadableError(
                    ConfigProblem(
                        number, key, "may or may not end before //", "Put the value in quotes, and # before comments."
                    )
                )
            return bare[1], [*told, "a // comment was left out: YAML's sign is #"]
        return value, told


def reindented(text: str, repairer: Repairer) -> str | None:
    r"""Return *text* indented as the list of flat mappings that it must mean, or None when that can't be told.

    A dash starts an entry, and each key belongs to the entry above it, whatever its
    indentation. The number of lines stays.

    >>> repairer = Repairer(frozenset({"instanceId", "regionId"}))
    >>> reindented("- instanceId: a\n    regionId: b\n- instanceId: c", repairer)
    '- instanceId: a\n  regionId: b\n- instanceId: c'
    """
    lines: list[str] = []
    seen: set[str] | None = None
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            lines.append("")
            continue
        parts = repairer.parts(line)
        if parts is None:
            return None
        dash, key, rest = parts
        if dash or seen is None:
            seen = set()
        elif key.lower() in seen:
            return None
        lines.append(("- " if not seen else "  ") + f"{key}:{rest}")
        seen.add(key.lower())
    return "\n".join(lines)


def parse(text: str, *, first_line: int = 1, by_key: bool = False) -> LocatedNode:
    """Return what *text* holds, every scalar as text; raise `UnreadableError`.

    With *by_key*, *text* is a ConfigMap or its data: a key that holds what is refused here is *broken* by itself.
    """
    try:
        refuse_depth(text)  # first: what parsing deep flows takes grows with the square of their depth
        aliases = [each for each in yaml.parse(text, Loader=yaml.CSafeLoader) if _is_alias(each)]
        # Without its aliases: expanding them could take for ever.
        node = yaml.compose(_masked(text, aliases) if aliases else text, Loader=yaml.CSafeLoader)
        if by_key and isinstance(node, yaml.MappingNode):
            return _by_key(node, first_line, [each.start_mark for each in aliases])
        _refuse_alias([each.start_mark for each in aliases], first_line)
    except TooDeepError as error:
        outcome = UnreadableError(_too_deep(error.line + first_line))
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark.line if error.problem_mark else 0
        outcome = UnreadableError(_why(text.split("\n"), at, first_line))
    except (yaml.YAMLError, RecursionError, ValueError):
        outcome = UnreadableError(ConfigProblem(first_line, "", "is not YAML", "Save the file as plain UTF-8 text."))
    else:
        return _spot(node, first_line, _DEEPEST) if node else LocatedNode(first_line, "")
    raise outcome


def _masked(text: str, aliases: list[Any]) -> str:
    """Return *text* with something else, of the same length, in place of *aliases* and anchors."""
    pieces, done = [], 0
    for each in aliases:
        start, end, sign = each.start_mark.index, each.end_mark.index, "x"
        if not isinstance(each, yaml.AliasEvent):
            start = text.index("&", start)  # a tag may come first
            end, sign = start + len(each.anchor) + 1, " "
        pieces += [text[done:start], sign * (end - start)]
        done = end
    return "".join([*pieces, text[done:]])


def _by_key(node: yaml.MappingNode, first_line: int, aliases: list[Any], depth: int = _DEEPEST) -> LocatedNode:
    """Return the mapping *node*, each of its keys by itself, and each of those below ``data``; see `parse`."""
    starts = [key.start_mark.index for key, _ in node.value]
    places = [mark.index for mark in aliases]
    members: dict[str, LocatedNode] = {}
    for (key, value), start, end in zip(node.value, starts, [*starts[1:], node.end_mark.index], strict=True):
        line = key.start_mark.line + first_line
        if not isinstance(key, yaml.ScalarNode):
            raise UnreadableError(_no_word(line))
        inside = aliases[bisect_left(places, start) : bisect_left(places, end)]
        try:
            if key.value == "data" and depth == _DEEPEST and isinstance(value, yaml.MappingNode):
                spot = _by_key(value, first_line, inside, depth - 1)
            else:
                _refuse_alias(inside, first_line)
                spot = _spot(value, first_line, depth - 1)
        except UnreadableError as error:
            spot = LocatedNode(line, "", broken=error.problem)
        broken = _repeated(line) if key.value in members else spot.broken
        members[key.value] = replace(spot, line=line, broken=broken)
    return LocatedNode(node.start_mark.line + first_line, members)


def _refuse_alias(marks: list[Any], first_line: int) -> None:
    if marks:
        problem = "is an alias of YAML, because of its asterisk or ampersand"
        raise UnreadableError(ConfigProblem(marks[0].line + first_line, "a value", problem, 'Put it in quotes: "*".'))


def _no_word(line: int) -> ConfigProblem:
    return ConfigProblem(line, "", "has a key that is not a word", "Write key: value.")


def _repeated(line: int) -> ConfigProblem:
    return ConfigProblem(line, "", "repeats a key of the same mapping", "Keep one of the two.")


def _too_deep(line: int) -> ConfigProblem:
    return ConfigProblem(line, "", "is nested too deep", "Copy the documented sample again.")


def _is_alias(event: yaml.Event) -> bool:
    return isinstance(event, yaml.AliasEvent) or bool(getattr(event, "anchor", None))


def _spot(node: yaml.Node, first_line: int, depth: int) -> LocatedNode:
    line = node.start_mark.line + first_line
    if not depth:
        raise UnreadableError(_too_deep(line))
    if isinstance(node, yaml.SequenceNode):
        return LocatedNode(line, [_spot(item, first_line, depth - 1) for item in node.value])
    if isinstance(node, yaml.MappingNode):
        members: dict[str, LocatedNode] = {}
        for key, value in node.value:
            here = key.start_mark.line + first_line
            if not isinstance(key, yaml.ScalarNode):
                raise UnreadableError(_no_word(here))
            if key.value in members:
                raise UnreadableError(_repeated(here))
            spot = _spot(value, first_line, depth - 1)
            members[key.value] = LocatedNode(here, spot.value, spot.inner)
        return LocatedNode(line, members)
    style = getattr(node, "style", None)
    is_null = node.tag == "tag:yaml.org,2002:null"
    return LocatedNode(line, "" if is_null else node.value, line + 1 if style == "|" else 0)


def _why(lines: list[str], at: int, first_line: int) -> ConfigProblem:
    """Return the likeliest reason, on or above the line *at*, why the parser stopped there."""
    above = [number for number in range(min(at, len(lines) - 1), -1, -1) if lines[number].strip()][:2]
    for number in above:
        line = lines[number]
        if re.match(r" *\t", line):
            problem = "is indented with a tab", "Indent with spaces only."
        elif re.match(r"\s*(- *)?[\w.-]+:[^\s/]", line):
            problem = "has no space after the colon", "Write key: value."
        elif re.match(r"\s*(- *)?[\w.-]+\s*:\s+[@`%&*!|>]", line) and not re.search(r":\s+[|>][+-]?\d?\s*$", line):
            problem = "has a value that starts with a sign of YAML's own", "Put the value in quotes."
        elif re.search(r"[\uff1a\u201c\u201d\uff02]", line):
            problem = "has a full-width colon or typographic quotes", 'Write key: "value" in plain ASCII.'
        else:
            continue
        return ConfigProblem(number + first_line, "", *problem)
    line_number = (above[0] if above else 0) + first_line
    return ConfigProblem(line_number, "", "is not YAML", "Check indentation, quotes, and the space after each colon.")
