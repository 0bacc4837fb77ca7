"""Strict YAML, read entry by entry, and the line of a field."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.yaml_pieces import readable_pieces
from acr_credential_provider.model.yaml_syntax import problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from acr_credential_provider.model.yaml_pieces import BrokenPiece

REGISTRIES = "registries"
MOST_VALUES = 200_000
"""Keys and values of settings with all aliases written out. A file of the largest size has half of this without any."""
START = Remedy("SettingsSyntax", "Start with apiVersion: aliyun-acr-credential-provider/v1.")


@dataclass(frozen=True, slots=True)
class Member:
    """A key of the settings, or an entry of the registries: its *value*, or the *problem* with reading it."""

    line: int
    value: Any = field(default=None, repr=False)
    problem: ConfigProblem | None = None
    text: str = field(default="", repr=False)
    """The text of one that cannot be read."""


@dataclass(frozen=True, slots=True)
class Document:
    """Settings by their keys. *entries* are the items of the registries; None if they are no list (then a member)."""

    root: yaml.Node
    members: dict[str, Member]
    entries: list[Member] | None


def parse(text: str) -> Document | ConfigProblem:
    """Return the mapping in *text*, or the problem with it as a whole."""
    pieces = readable_pieces(text, is_container=REGISTRIES.__eq__)
    if isinstance(pieces, ConfigProblem):
        return pieces
    loader = yaml.CSafeLoader(pieces.text)
    try:
        root = loader.get_single_node()
        if isinstance(root, yaml.MappingNode):
            return _Reader(loader, pieces.text, pieces.broken).document(root)
    finally:
        loader.dispose()
    return ConfigProblem(1, "", "the file is empty" if _is_null(root) else "the file is not a mapping", START)


def _is_null(root: yaml.Node | None) -> bool:
    return root is None or root.tag == "tag:yaml.org,2002:null"


class _Reader:
    """Makes members of nodes; *broken* are the pieces of *text* that are not YAML."""

    def __init__(self, loader: yaml.CSafeLoader, text: str, broken: dict[int, BrokenPiece]) -> None:
        self._loader = loader
        self._text = text
        self._broken = broken
        self._sizes: dict[int, float] = {}
        self._values = 0.0

    def document(self, root: yaml.MappingNode) -> Document:
        members: dict[str, Member] = {}
        entries: list[Member] | None = None
        for key, node in root.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            line = key.start_mark.line + 1
            if name in members or (name == REGISTRIES and entries is not None):
                members[name] = Member(line, problem=_repeated(line))
            elif name == REGISTRIES and isinstance(node, yaml.SequenceNode):
                entries = [self._member(item, item.start_mark.line + 1) for item in node.value]
            else:
                members[name] = self._member(node, line)
        for line, piece in self._broken.items():
            if not piece.key and not piece.text.lstrip().startswith("-"):  # a line that belongs to nothing
                members[f"? {line}"] = Member(line, problem=piece.problem)
        return Document(root, members, entries)

    def _member(self, node: yaml.Node, line: int) -> Member:
        if (piece := self._broken.get(line)) is not None:
            return Member(line, problem=piece.problem, text=piece.text)
        text = self._text[node.start_mark.index : node.end_mark.index] if node.start_mark and node.end_mark else ""
        repeated = next(_repeated_keys(node), None)
        if repeated is not None:
            return Member(line, problem=_repeated(repeated), text=text)
        try:
            self._values += _size(node, self._sizes)
            if self._values > MOST_VALUES:
                told = "has aliases that stand for more values than settings may have"
                return Member(
                    line,
                    problem=ConfigProblem(line, "", told, Remedy("SettingsTooLarge", "Write the values out.")),
                    text=text,
                )
            return Member(line, self._loader.construct_document(node))
        except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
            problem = problem_of(error, "") if not isinstance(error, yaml.MarkedYAMLError) else None
        return Member(
            line,
            problem=problem
            or ConfigProblem(
                line,
                "",
                "has a value of a type that settings do not have",
                Remedy("SettingsSyntax", "Put the value in quotes, and remove tags of YAML (!)."),
            ),
            text=text,
        )


def line_of(node: yaml.Node | None, steps: list[Any]) -> int:
    """Return the line of the field that *steps* lead to, or of the nearest one that exists."""
    line = node.start_mark.line + 1 if node else 1
    for step in steps:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            here = next(((key, value) for key, value in node.value if key.value == step), None)
            if here is None:
                break
            line, node = here[0].start_mark.line + 1, here[1]
    return line


def _repeated(line: int) -> ConfigProblem:
    return ConfigProblem(
        line, "", "repeats a key of the same mapping", Remedy("SettingsSyntax", "Keep one of the two.")
    )


def _size(node: yaml.Node, sizes: dict[int, float]) -> float:
    """Return the number of values in *node* with all aliases written out; *sizes* are those known by `id`."""
    if id(node) not in sizes:
        sizes[id(node)] = math.inf  # what an alias to a node within that node stands for
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            children = [each for pair in node.value for each in pair]
        sizes[id(node)] = 1 + sum(_size(child, sizes) for child in children)
    return sizes[id(node)]


def _repeated_keys(node: yaml.Node) -> Iterator[int]:
    """Yield the line of each key in *node* that stands twice in its mapping, where YAML takes the last one."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in keys:
                    yield key.start_mark.line + 1
                keys.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
                waiting.append(value)
