"""Finds the keys of the ConfigMap in a manifest, or in a part of one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import yaml

from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.yaml_syntax import is_well_formed

from .block_repair import repair_blocks
from .keys import MANIFEST_KEYS, REGISTRIES, REPAIRER, documented_key
from .located_yaml import LocatedNode, UnreadableError, parse, parse_pieces
from .node_access import NamedNode
from .pasted_text import NAME, config_map_in, only_one
from .yaml_repair import Change

if TYPE_CHECKING:
    from .conversion import Conversion


def data_of(text: str, result: Conversion) -> dict[str, LocatedNode]:
    """Return the keys of the ConfigMap in *text*; raise `UnreadableError`. *result* gets the repairs."""
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    if text.lstrip()[:1] not in ("{", "["):
        text, changes = REPAIRER.repair(config_map_in(text, result))
        result.changes += changes
        text = _without_metadata(text)
        _refuse_template(text)
        text, changes = repair_blocks(text)
        result.changes += changes
    result.is_in_pieces = not is_well_formed(text)
    if result.is_in_pieces:
        root = parse_pieces(text, is_container=lambda key: key == "data" or documented_key(key) == REGISTRIES)
    else:
        root = parse(text, pick=lambda node: _item(node, result))
    root = _out_of_quotes(root, result)
    members = root.value
    _refuse_api_objects(root)
    if isinstance(members, list):
        return {REGISTRIES: root}
    if not isinstance(members, dict):
        problem = "the file is empty" if members == "" else "the file is not a ConfigMap"
        raise NamedNode("", root).invalid(
            problem, Remedy("ConfigMapExpected", "Write the manifest of acr-configuration, or its data.")
        )
    kind = members.get("kind")
    if kind is not None and kind.value != "ConfigMap":
        raise NamedNode("kind", kind).invalid(
            "is not ConfigMap", Remedy("ConfigMapExpected", "Give the manifest of acr-configuration alone.")
        )
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
    raise data.invalid("is not a mapping", Remedy("SettingsSyntax", "Indent its keys below data:."))


def _out_of_quotes(root: LocatedNode, result: Conversion) -> LocatedNode:
    """Return the JSON in *root*, if that is one text, as an API's answer or Terraform quotes it; else *root* itself."""
    if not isinstance(root.value, str) or root.value.lstrip()[:1] not in ("{", "["):
        return root
    result.changes.append(Change(root.line, "the text in quotes was read as the JSON that it holds"))
    return parse(root.value, first_line=root.line)


def _item(root: yaml.Node, result: Conversion) -> yaml.Node:
    """Return the ConfigMap among the items of *root*, if that is a List of kubectl's, else *root* itself."""
    items = _member(root, "items")
    kind = _member(root, "kind")
    if not isinstance(items, yaml.SequenceNode) or kind is None or not str(kind.value).endswith("List"):
        return root
    named = [(item, _member(_member(item, "metadata"), "name")) for item in items.value]
    found: list[yaml.Node] = [item for item, name in named if name is not None and name.value == NAME]
    return found[only_one([item.start_mark.line + 1 for item in found], f"{len(items.value)} items", result)]


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)


def _refuse_api_objects(root: LocatedNode) -> None:
    """Raise `UnreadableError` for a JSON patch, and for an add-on of ACK's API, whose config is what is wanted."""
    members = root.value if isinstance(root.value, dict) else {}
    below = next((node.value for key, node in members.items() if key.lower() == "addons"), root.value)
    for item in below if isinstance(below, list) else [root]:
        keys = {key.lower(): (key, node) for key, node in item.value.items()} if isinstance(item.value, dict) else {}
        if {"op", "path"} <= keys.keys():
            remedy = f"Give the ConfigMap that it makes: kubectl get configmap {NAME} -n kube-system -o yaml."
            raise UnreadableError(
                ConfigProblem(root.line, "", "is a JSON patch, not the ConfigMap", Remedy("ConfigMapExpected", remedy))
            )
        named = keys.keys() & {"name", "component_name", "componentname"}
        if "config" in keys and (named or len(keys) == 1):
            if isinstance(below, list) and "acr" not in str(keys.get("name", keys["config"])[1].value):
                continue  # another add-on of the same cluster
            name, node = keys["config"]
            remedy = 'Give its config alone, without the quotes around it: it starts with {"AcrInstanceInfo": ...'
            raise NamedNode(name, node).invalid(
                "belongs to an add-on of ACK's API, which is not the settings", Remedy("ConfigMapExpected", remedy)
            )


def _refuse_template(text: str) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r"[^\"'#]*\{\{", line):
            remedy = "Render it first (helm template, or the tool that it is for), and give the result."
            raise UnreadableError(
                ConfigProblem(
                    number, "", "holds a template that was not rendered", Remedy("SettingsPlaceholder", remedy)
                )
            )


def _stands_twice(node: LocatedNode) -> LocatedNode:
    problem = ConfigProblem(
        node.line, "", "stands below data and beside it", Remedy("SettingsContradiction", "Keep one of the two.")
    )
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
