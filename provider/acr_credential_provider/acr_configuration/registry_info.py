"""Reads the list in acr-registry-info: its entries, however they are folded, indented or quoted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from acr_credential_provider.model.remedy import Remedy

from .keys import ENTRY_REPAIRER, REGISTRIES, REPAIRER
from .located_yaml import LocatedNode, UnreadableError, parse, parse_pieces
from .node_access import NamedNode
from .yaml_repair import Change, reindented

if TYPE_CHECKING:
    from .conversion import Conversion


def entries(info: NamedNode, result: Conversion) -> list[NamedNode]:
    """Return each entry of acr-registry-info with its name; raise `UnreadableError`."""
    name, node = info.name, info.readable()
    if isinstance(node.value, str):
        try:
            node = _unfolded(name, node.value, node.inner or node.line, result)
        except UnreadableError as error:
            raise error.within(name) from None
    elif name == REGISTRIES and node.line > 1:
        result.note(node, f"{name} is a list of its own here; in a ConfigMap of the API server it must be text (|)")
    if isinstance(node.value, dict):
        result.change(node, f"{name} has no dash: read as one entry")
        node = LocatedNode(node.line, [node])
    if node.value == "":
        result.change(node, f"{name} is empty: read as the Personal Edition of this node's own region")
        return [NamedNode(name, LocatedNode(node.line, {"instanceId": node}))]
    if isinstance(node.value, list):
        return [NamedNode(f"{name}[{index}]", entry) for index, entry in enumerate(node.value)]
    problem = NamedNode(name, node).invalid(
        "is not a list", Remedy("SettingsInvalid", "Start each instance with - instanceId: ...")
    )
    result.problems += problem.problems
    return []


def _unfolded(name: str, text: str, first_line: int, result: Conversion) -> LocatedNode:
    """Return the list in the *text* of acr-registry-info; raise `UnreadableError`."""
    if text.lstrip()[:1] in ("{", "["):
        return parse(text, first_line=first_line)
    text, changes = REPAIRER.repair(text, first_line=first_line)
    result.changes += changes
    text = _with_first_dash(text, first_line, result)
    failure: UnreadableError | None = None
    try:
        node = parse(text, first_line=first_line)
    except UnreadableError as error:
        failure = error
    else:
        is_list = isinstance(node.value, list) and all(isinstance(item.value, dict) for item in node.value)
        if is_list or node.value == "":
            return node
    flat = reindented(text, ENTRY_REPAIRER)
    if flat is not None:
        node = parse_pieces(flat, first_line=first_line)
        result.change(node, f"{name}: dashes and indentation were read as a list of instances")
    elif failure is not None:
        return parse_pieces(text, first_line=first_line)
    return node


def _with_first_dash(text: str, first_line: int, result: Conversion) -> str:
    """Return *text* with a ``#- instanceId`` put in force if the keys after it would belong to no entry."""
    lines = text.split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
    parts = None if first is None else ENTRY_REPAIRER.parts(lines[first])
    if first is None or parts is None or parts[0] or parts[1].lower() == "instanceid":
        return text
    for above in range(first - 1, -1, -1):
        if match := re.fullmatch(r"(\s*)#\s*(-\s*instanceId\s*:.*)", lines[above], re.IGNORECASE):
            lines[above] = match[1] + match[2]
            result.changes.append(Change(first_line + above, "#- before instanceId was read as a dash"))
            return REPAIRER.repair("\n".join(lines))[0]
    return text
