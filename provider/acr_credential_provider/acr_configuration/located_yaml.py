"""YAML as texts with lines: what a value means depends on its key, never on what the value looks like."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import yaml

from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.yaml_pieces import readable_pieces
from acr_credential_provider.model.yaml_syntax import problem_of, refuse_depth

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.model.yaml_pieces import BrokenPiece

_MAX_DEPTH = 8


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


def parse(text: str, *, first_line: int = 1, pick: Callable[[yaml.Node], yaml.Node] = lambda root: root) -> LocatedNode:
    """Return the value in *text*, every scalar as text, or raise `UnreadableError`. Lines count from *first_line*.

    A member or an item that cannot be read is *broken*; those beside it are not. *pick* returns the part of the text
    that is wanted.
    """
    try:
        refuse_depth(text)  # first, because parsing time grows with the square of the depth
        aliases = [event for event in yaml.parse(text, Loader=yaml.CSafeLoader) if _is_alias_or_anchor(event)]
        # Without its aliases: expanding them could take for ever.
        root = yaml.compose(_without(aliases, text) if aliases else text, Loader=yaml.CSafeLoader)
        root = pick(root) if root else root
        marks = [event.start_mark.index for event in aliases if event.start_mark]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = problem_of(error, text, first_line)
    else:
        if root is None:
            return LocatedNode(first_line, "")
        node = _Locator(first_line, marks).located(root, 0, len(text))
        if node.broken is None:
            return node
        problem = node.broken
    # Raised here, so that no error of the parser, which quotes the text, is its context.
    raise UnreadableError(problem)


def parse_pieces(
    text: str, *, first_line: int = 1, is_container: Callable[[str], bool] = lambda _key: False
) -> LocatedNode:
    """Do the same for a *text* with pieces that cannot be parsed (`yaml_pieces`): those are broken nodes.

    The value of a broken node is the text of its piece.
    """
    pieces = readable_pieces(text, first_line=first_line, is_container=is_container)
    if isinstance(pieces, ConfigProblem):
        raise UnreadableError(pieces)
    root = _with_broken(parse(pieces.text, first_line=first_line), pieces.broken)
    lines = {line: piece for line, piece in pieces.broken.items() if not piece.key}
    if isinstance(root.value, dict):
        strays = {f"? {line}": LocatedNode(line, piece.text, broken=piece.problem) for line, piece in lines.items()}
        root = replace(root, value={**root.value, **strays})
    return root


def _with_broken(node: LocatedNode, pieces: dict[int, BrokenPiece]) -> LocatedNode:
    if node.line in pieces and isinstance(node.value, str):
        piece = pieces[node.line]
        return replace(node, value=piece.text, broken=piece.problem)
    if isinstance(node.value, dict):
        return replace(node, value={key: _with_broken(inner, pieces) for key, inner in node.value.items()})
    if isinstance(node.value, list):
        return replace(node, value=[_with_broken(inner, pieces) for inner in node.value])
    return node


class _Locator:
    """Makes nodes of the parser's; *aliases* are the positions of aliases and anchors, in order."""

    def __init__(self, first_line: int, aliases: list[int]) -> None:
        self._first_line = first_line
        self._aliases = aliases

    def located(self, node: yaml.Node, start: int, end: int, depth: int = _MAX_DEPTH) -> LocatedNode:
        """Return the value *node*, which has the text from *start* to *end* for itself."""
        line = self._line(node)
        if not depth:
            return _broken(line, "is nested too deep", Remedy("SettingsSyntax", "Copy the documented sample again."))
        if isinstance(node, yaml.SequenceNode):
            starts = [node.start_mark.index, *(item.end_mark.index for item in node.value)]
            items = zip(node.value, starts, starts[1:], strict=False)
            return LocatedNode(line, [self.located(item, start, end, depth - 1) for item, start, end in items])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if bisect_left(self._aliases, start) != bisect_left(self._aliases, end):
            problem = "is an alias of YAML, because of its asterisk or ampersand"
            return _broken(line, problem, Remedy("SettingsSyntax", 'Put it in quotes: "*".'))
        is_null = node.tag == "tag:yaml.org,2002:null"
        return LocatedNode(line, "" if is_null else node.value, line + 1 if getattr(node, "style", None) == "|" else 0)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> LocatedNode:
        starts = [*(key.start_mark.index for key, _ in node.value), node.end_mark.index]
        members: dict[str, LocatedNode] = {}
        for (key, value), (start, end) in zip(node.value, pairwise(starts), strict=True):
            line = self._line(key)
            if not isinstance(key, yaml.ScalarNode):
                members["?"] = _broken(
                    line, "has a key that is not a word", Remedy("SettingsSyntax", "Write key: value.")
                )
                continue
            member = self.located(value, start, end, depth - 1)
            if key.value in members:
                member = _broken(
                    line, "repeats a key of the same mapping", Remedy("SettingsSyntax", "Keep one of the two.")
                )
            members[key.value] = replace(member, line=line)
        return LocatedNode(self._line(node), members)

    def _line(self, node: yaml.Node) -> int:
        line: int = node.start_mark.line + self._first_line
        return line


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


def _broken(line: int, problem: str, remedy: Remedy) -> LocatedNode:
    return LocatedNode(line, "", broken=ConfigProblem(line, "", problem, remedy))


def _is_alias_or_anchor(event: yaml.Event) -> bool:
    return isinstance(event, yaml.AliasEvent) or bool(getattr(event, "anchor", None))
