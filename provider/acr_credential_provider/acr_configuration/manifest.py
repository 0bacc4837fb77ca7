"""Finds the keys of the ConfigMap in a manifest, or in a part of one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.model.config_problem import ConfigProblem

from .keys import MANIFEST_KEYS, REGISTRIES, REPAIRER
from .located_yaml import LocatedNode, parse
from .node_access import NamedNode
from .yaml_repair import Change

if TYPE_CHECKING:
    from .conversion import Conversion


def data_of(text: str, result: Conversion) -> dict[str, LocatedNode]:
    """Return the keys of the ConfigMap in *text*; raise `UnreadableError`. *result* gets the repairs."""
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    if text.lstrip()[:1] not in ("{", "["):
        text, changes = REPAIRER.repair(text)
        result.changes += changes
        text = _without_metadata(text)
    root = parse(text, by_key=True)
    members = root.value
    if isinstance(members, list):
        return {REGISTRIES: root}
    if not isinstance(members, dict):
        problem = "the file is empty" if members == "" else "the file is not a ConfigMap"
        raise NamedNode("", root).invalid(problem, "Write the manifest of acr-configuration, or its data.")
    kind = members.get("kind")
    if kind is not None and kind.value != "ConfigMap":
        raise NamedNode("kind", kind).invalid("is not ConfigMap", "Give the manifest of acr-configuration alone.")
    if kind is None and "data" not in members:
        return members
    data = NamedNode("data", members.get("data", LocatedNode(1, "")))
    inside = data.readable().value
    outside = {key: node for key, node in members.items() if key not in MANIFEST_KEYS}
    if isinstance(inside, dict):
        return {**inside, **{key: _stands_twice(node) if key in inside else node for key, node in outside.items()}}
    if inside == "":
        if outside:
            result.changes.append(Change(data.node.line, "keys at the indentation of data: were read as its own"))
        return outside
    raise data.invalid("is not a mapping", "Indent its keys below data:.")


def _stands_twice(node: LocatedNode) -> LocatedNode:
    problem = ConfigProblem(node.line, "", "stands below data and beside it", "Keep one of the two.")
    return replace(node, value="", broken=problem)


def _without_metadata(text: str) -> str:
    """Return *text* with blank lines for its metadata, which is not used and often has a broken indentation."""
    lines = text.split("\n")
    base = next((len(line) - len(line.lstrip()) for line in lines if line.strip() and line.lstrip()[0] != "#"), 0)
    is_inside = False
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if is_inside and line.strip() and indent <= base:
            is_inside = False
        if is_inside:
            lines[number] = ""
        is_inside = is_inside or (indent == base and re.fullmatch(r"metadata:\s*(?:#.*)?", line.strip()) is not None)
    return "\n".join(lines)
