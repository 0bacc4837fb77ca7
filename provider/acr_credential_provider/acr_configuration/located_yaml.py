"""YAML as texts with lines: what a value means depends on its key, never on what the value looks like."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import yaml

from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.yaml_depth import TooDeepError, refuse_depth

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_DEPTH = 8
_LIKELY_CAUSES = (  # of a line at which the parser stops: pattern, problem, remedy
    (re.compile(r" *\t"), "is indented with a tab", "Indent with spaces only."),
    (re.compile(r"\s*(- *)?[\w.-]+:[^\s/]"), "has no space after the colon", "Write key: value."),
    (
        re.compile(r"(?!.*:\s+[|>][+-]?\d?\s*$)\s*(- *)?[\w.-]+\s*:\s+[@`%&*!|>]"),
        "has a value that starts with a sign of YAML's own",
        "Put the value in quotes.",
    ),
    (
        re.compile(r".*[\uff1a\u201c\u201d\uff02]"),
        "has a full-width colon or typographic quotes",
        'Write key: "value" in plain ASCII.',
    ),
)


@dataclass(frozen=True, slots=True)
class LocatedNode:
    """A value and the line on which it starts.

    *inner* is the first line inside a block of text, 0 for any other value. *broken* is the problem of a value that
    cannot be read although the text around it can.
    """

    line: int
    value: str | list[LocatedNode] | dict[str, LocatedNode] = field(repr=False)
    inner: int = 0
    broken: ConfigProblem | None = None


class UnreadableError(Exception):
    """A text, a key or an entry cannot be used, because of its `problems`."""

    def __init__(self, *problems: ConfigProblem) -> None:
        super().__init__(*map(str, problems))
        self.problems = problems

    def within(self, name: str) -> UnreadableError:
        """Return the same error, as one of the text at the key *name*."""
        outer = [
            replace(problem, field=f"{name}: {problem.field}" if problem.field else name) for problem in self.problems
        ]
        return UnreadableError(*outer)


def parse(
    text: str, *, first_line: int = 1, by_key: bool = False, pick: Callable[[yaml.Node], yaml.Node] = lambda root: root
) -> LocatedNode:
    """Return the value in *text*, every scalar as text, or raise `UnreadableError`. Lines count from *first_line*.

    With *by_key*, *text* is a ConfigMap or its data: a key whose value cannot be read is *broken*, the others are not.
    *pick* returns the part of the text that is wanted.
    """
    try:
        refuse_depth(text)  # first, because parsing time grows with the square of the depth
        aliases = [event for event in yaml.parse(text, Loader=yaml.CSafeLoader) if _is_alias_or_anchor(event)]
        # Without its aliases: expanding them could take for ever.
        root = yaml.compose(_without(aliases, text) if aliases else text, Loader=yaml.CSafeLoader)
        marks = [event.start_mark for event in aliases]
        root = pick(root) if root else root
        if by_key and isinstance(root, yaml.MappingNode):
            return _located_by_key(root, first_line, marks)
        _refuse_aliases(marks, first_line)
    except TooDeepError as error:
        problem = _too_deep(error.line + first_line)
    except yaml.MarkedYAMLError as error:
        stop = error.problem_mark.line if error.problem_mark else 0
        problem = _likely_problem(text.split("\n"), stop, first_line)
    except (yaml.YAMLError, RecursionError, ValueError):
        problem = ConfigProblem(first_line, "", "is not YAML", "Save the file as plain UTF-8 text.")
    else:
        return _located(root, first_line, _MAX_DEPTH) if root else LocatedNode(first_line, "")
    # Raised here, so that no error of the parser, which quotes the text, is its context.
    raise UnreadableError(problem)


def _without(aliases: list[Any], text: str) -> str:
    """Return *text* with something else, of the same length, in place of *aliases* and anchors."""
    pieces, done = [], 0
    for event in aliases:
        start, end, sign = event.start_mark.index, event.end_mark.index, "x"
        if not isinstance(event, yaml.AliasEvent):
            start = text.index("&", start)  # a tag may come first
            end, sign = start + len(event.anchor) + 1, " "
        pieces += [text[done:start], sign * (end - start)]
        done = end
    return "".join([*pieces, text[done:]])


def _located_by_key(
    root: yaml.MappingNode, first_line: int, alias_marks: list[Any], depth: int = _MAX_DEPTH
) -> LocatedNode:
    """Return the mapping *root*, with each of its keys, and of those below ``data``, read by itself; see `parse`."""
    starts = [key.start_mark.index for key, _ in root.value]
    alias_starts = [mark.index for mark in alias_marks]
    members: dict[str, LocatedNode] = {}
    for (key, value), start, end in zip(root.value, starts, [*starts[1:], root.end_mark.index], strict=True):
        line = key.start_mark.line + first_line
        if not isinstance(key, yaml.ScalarNode):
            raise UnreadableError(_not_a_word(line))
        inside = alias_marks[bisect_left(alias_starts, start) : bisect_left(alias_starts, end)]
        try:
            if key.value == "metadata" and depth == _MAX_DEPTH:
                node = LocatedNode(line, "")  # not used, and may be of any depth
            elif key.value == "data" and depth == _MAX_DEPTH and isinstance(value, yaml.MappingNode):
                node = _located_by_key(value, first_line, inside, depth - 1)
            else:
                _refuse_aliases(inside, first_line)
                node = _located(value, first_line, depth - 1)
        except UnreadableError as error:
            node = LocatedNode(line, "", broken=error.problems[0])
        broken = _repeated(line) if key.value in members else node.broken
        members[key.value] = replace(node, line=line, broken=broken)
    return LocatedNode(root.start_mark.line + first_line, members)


def _located(node: yaml.Node, first_line: int, depth: int) -> LocatedNode:
    line = node.start_mark.line + first_line
    if not depth:
        raise UnreadableError(_too_deep(line))
    if isinstance(node, yaml.SequenceNode):
        return LocatedNode(line, [_located(item, first_line, depth - 1) for item in node.value])
    if isinstance(node, yaml.MappingNode):
        members: dict[str, LocatedNode] = {}
        for key, value in node.value:
            key_line = key.start_mark.line + first_line
            if not isinstance(key, yaml.ScalarNode):
                raise UnreadableError(_not_a_word(key_line))
            if key.value in members:
                raise UnreadableError(_repeated(key_line))
            members[key.value] = replace(_located(value, first_line, depth - 1), line=key_line)
        return LocatedNode(line, members)
    style = getattr(node, "style", None)
    is_null = node.tag == "tag:yaml.org,2002:null"
    return LocatedNode(line, "" if is_null else node.value, line + 1 if style == "|" else 0)


def _refuse_aliases(marks: list[Any], first_line: int) -> None:
    if marks:
        problem = "is an alias of YAML, because of its asterisk or ampersand"
        raise UnreadableError(ConfigProblem(marks[0].line + first_line, "a value", problem, 'Put it in quotes: "*".'))


def _is_alias_or_anchor(event: yaml.Event) -> bool:
    return isinstance(event, yaml.AliasEvent) or bool(getattr(event, "anchor", None))


def _not_a_word(line: int) -> ConfigProblem:
    return ConfigProblem(line, "", "has a key that is not a word", "Write key: value.")


def _repeated(line: int) -> ConfigProblem:
    return ConfigProblem(line, "", "repeats a key of the same mapping", "Keep one of the two.")


def _too_deep(line: int) -> ConfigProblem:
    return ConfigProblem(line, "", "is nested too deep", "Copy the documented sample again.")


def _likely_problem(lines: list[str], stop: int, first_line: int) -> ConfigProblem:
    """Return the likeliest reason why the parser stopped at the line *stop* (from 0): that line, or the one above."""
    above = [number for number in range(min(stop, len(lines) - 1), -1, -1) if lines[number].strip()][:2]
    for number in above:
        for pattern, problem, remedy in _LIKELY_CAUSES:
            if pattern.match(lines[number]):
                return ConfigProblem(number + first_line, "", problem, remedy)
    line = (above[0] if above else 0) + first_line
    return ConfigProblem(line, "", "is not YAML", "Check indentation, quotes, and the space after each colon.")
