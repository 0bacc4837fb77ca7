"""The list in acr-registry-info: its entries, however they are folded, indented or quoted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from acr_credential_provider.model.config_problem import ConfigProblem

from .keys import ENTRY_REPAIRER, REGISTRIES, REPAIRER
from .node_access import refuse_broken
from .yaml_repair import Change, LocatedNode, UnreadableError, parse, reindented

if TYPE_CHECKING:
    from .conversion import Conversion
    from .node_access import Found


def entries(name: str, info: LocatedNode, result: Conversion) -> list[Found]:
    """Return each entry of acr-registry-info with its name; raise `UnreadableError`."""
    refuse_broken(name, info)
    if isinstance(info.value, str):
        outcome: UnreadableError | None = None
        try:
            info = _unfolded(name, info, result)
        except UnreadableError as error:
            outcome = error.within(name)
        if outcome is not None:
            raise outcome
    elif name == REGISTRIES and info.line > 1:
        result.note(info, f"{name} is a list of its own here; in a ConfigMap of the API server it must be text (|)")
    if isinstance(info.value, dict):
        result.change(info, f"{name} has no dash: read as one entry")
        info = LocatedNode(info.line, [info])
    if info.value == "":
        result.change(info, f"{name} is empty: read as the Personal Edition of this node's own region")
        return [(name, LocatedNode(info.line, {"instanceId": info}))]
    if isinstance(info.value, list):
        return [(f"{name}[{index}]", entry) for index, entry in enumerate(info.value)]
    result.problems.append(
        ConfigProblem(info.line, name, "is not a list", "Start each instance with - instanceId: ...")
    )
    return []


def _unfolded(name: str, info: LocatedNode, result: Conversion) -> LocatedNode:
    """Return what the text of acr-registry-info holds; raise `UnreadableError`."""
    text = str(info.value)
    first_line = info.inner or info.line
    if text.lstrip()[:1] in ("{", "["):
        return parse(text, first_line=first_line)
    text, changes = REPAIRER.repair(text, first_line=first_line)
    result.changes += changes
    text = _with_its_first_dash(text, first_line, result)
    try:
        found = parse(text, first_line=first_line)
        is_flat = isinstance(found.value, str) or (
            isinstance(found.value, list) and all(isinstance(each.value, dict) for each in found.value)
        )
        if is_flat and (found.value == "" or not isinstance(found.value, str)):
            return found
    except UnreadableError as error:
        unreadable: UnreadableError | None = error
    else:
        unreadable = None
    flat = reindented(text, ENTRY_REPAIRER)
    if flat is None:
        if unreadable is not None:
            raise unreadable
        return found
    repaired = parse(flat, first_line=first_line)
    what = "dashes and indentation were read as a list of instances"
    result.change(repaired, f"{name}: {what}")
    return repaired


def _with_its_first_dash(text: str, first_line: int, result: Conversion) -> str:
    """Return *text* with ``#-instanceId`` in force where the lines after it would else belong to nothing."""
    lines = text.split("\n")
    live = [number for number, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    parts = ENTRY_REPAIRER.parts(lines[live[0]]) if live else None
    if parts is None or parts[0] or parts[1].lower() == "instanceid":
        return text
    for above in range(live[0] - 1, -1, -1):
        if found := re.fullmatch(r"(\s*)#\s*(-\s*instanceId\s*:.*)", lines[above], re.IGNORECASE):
            lines[above] = found[1] + found[2]
            result.changes.append(Change(first_line + above, "#- before instanceId was read as a dash"))
            return REPAIRER.repair("\n".join(lines))[0]
    return text
