"""The ConfigMap's keys, whatever stands around them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from acr_credential_provider.model.config_problem import ConfigProblem

from .keys import MANIFEST_KEYS, REGISTRIES, REPAIRER
from .node_access import refuse_broken
from .yaml_repair import Change, LocatedNode, UnreadableError, parse

if TYPE_CHECKING:
    from .conversion import Conversion


def data_of(text: str, result: Conversion) -> dict[str, LocatedNode]:
    """Return the keys of the ConfigMap, whatever stands around them; raise `UnreadableError`."""
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    if text.lstrip()[:1] not in ("{", "["):
        text, changes = REPAIRER.repair(text)
        result.changes += changes
        text = _without_metadata(text)
    root = parse(text, by_key=True)
    if isinstance(root.value, list):
        return {REGISTRIES: root}
    if not isinstance(root.value, dict):
        what = "the file is empty" if root.value == "" else "the file is not a ConfigMap"
        raise UnreadableError(
            ConfigProblem(root.line, "", what, "Write the manifest of acr-configuration, or its data.")
        )
    members = root.value
    kind = members.get("kind")
    if kind is not None and kind.value != "ConfigMap":
        raise UnreadableError(
            ConfigProblem(kind.line, "kind", "is not ConfigMap", "Give the manifest of acr-configuration alone.")
        )
    if kind is None and "data" not in members:
        return members
    data = members.get("data")
    if data is not None:
        refuse_broken("data", data)
    inner = data.value if data is not None else ""
    beside = {key: spot for key, spot in members.items() if key not in MANIFEST_KEYS}
    if isinstance(inner, dict):
        return {**inner, **beside, **{key: _twice(spot) for key, spot in beside.items() if key in inner}}
    if inner == "" and beside:
        result.changes.append(Change(data.line if data else 1, "keys at the indentation of data: were read as its own"))
        return beside
    if inner == "":
        return {}
    raise UnreadableError(
        ConfigProblem(data.line if data else 1, "data", "is not a mapping", "Indent its keys below data:.")
    )


def _twice(spot: LocatedNode) -> LocatedNode:
    problem = ConfigProblem(spot.line, "", "stands below data and beside it", "Keep one of the two.")
    return LocatedNode(spot.line, "", broken=problem)


def _without_metadata(text: str) -> str:
    """Return *text* with the metadata blank: nothing of it matters here, and its indentation is often broken."""
    lines = text.split("\n")
    base = next((len(line) - len(line.lstrip()) for line in lines if line.strip() and line.lstrip()[0] != "#"), 0)
    inside = False
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if inside and line.strip() and indent <= base:
            inside = False
        if inside:
            lines[number] = ""
        inside = inside or (indent == base and re.fullmatch(r"metadata:\s*(?:#.*)?", line.strip()) is not None)
    return "\n".join(lines)
