"""A drop-in of the kubelet's unit that resets its command and adds our flags, for units without a place for them. Pure.

The command is written out as the unit's files have it, so the drop-in is written anew when they change: the agent sees
that as drift.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from acr_credential_provider.model.remedy import Remedy

from acr_node_config.model.command_line import UNKNOWN
from acr_node_config.model.placement import FALLBACK, OWN_DROP_IN, DropInFlags, PlacementRefusedError

from . import start_guard

if TYPE_CHECKING:
    from acr_node_config.model.facts import KubeletUnit, NodeFacts
    from acr_node_config.model.placement import Placement

FILES_ONLY = Remedy(
    "KubeletFlagsNotChangeable",
    f"Use --mode files-only and give the kubelet the two flags where its others come from; or {FALLBACK}.",
)
_UNITS = "/etc/systemd/system"
_PLAIN = re.compile(r"[A-Za-z0-9_@:,./=+${}-]+", re.ASCII)
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_SHELLS = ("sh", "bash", "dash", "ash", "env")
_CONTAINERS = ("podman", "docker", "nerdctl", "ctr", "rkt")


def choose_drop_in(unit: KubeletUnit | None) -> DropInFlags:
    """Return where the drop-in of *unit* goes; raise `PlacementRefusedError` if its command can't be written out."""
    if unit is None:
        raise PlacementRefusedError("no unit starts the kubelet, so that a drop-in would change nothing", FILES_ONLY)
    if not unit.bare_command:
        raise PlacementRefusedError(f"the files of {unit.name} do not tell the one command that it starts", FILES_ONLY)
    if set(unit.prefixes) & set("@|"):
        raise PlacementRefusedError(f"the command of {unit.name} has a prefix that would get lost", FILES_ONLY)
    if not takes_flags(unit):
        raise PlacementRefusedError(
            f"{unit.name} starts no kubelet itself, but {os.path.basename(unit.bare_command[0])}", FILES_ONLY
        )
    return DropInFlags(f"{_UNITS}/{unit.name}.d/{OWN_DROP_IN}")


def takes_flags(unit: KubeletUnit) -> bool:
    """True if words at the end of its command may reach the kubelet: not if a shell is given a text to run."""
    names = [os.path.basename(word) for word in unit.bare_command]
    return bool(names) and names[0] not in _CONTAINERS and not (names[0] in _SHELLS and "-c" in names)


def is_offered(facts: NodeFacts) -> bool:
    """True if a drop-in is known to work: the kubelet is a word of the command, and the folder can be written."""
    unit = facts.unit
    if unit is None or not takes_flags(unit) or set(unit.prefixes) & set("@|"):
        return False
    folder = facts.folder(_UNITS)
    if folder.problem or not folder.is_writable:
        return False
    return any(os.path.basename(word) in ("kubelet", "hyperkube") for word in unit.bare_command)


def drop_in(flags: DropInFlags, unit: KubeletUnit) -> bytes:
    """Return the drop-in at *flags*."""
    is_literal = ":" in unit.prefixes  # then no variable is replaced, ours included
    words = [_quoted(word.replace("$", "$$") if is_literal else word) for word in unit.bare_command]
    command = unit.prefixes.replace(":", "") + " ".join([*words, f"${start_guard.VARIABLE}"])
    text = (
        "# Written by aliyun-acr-credential-provider: node uninstall takes it away again, and node install writes it\n"
        f"# anew when the command of {unit.name} has changed.\n"
        f"{start_guard.settings(flags.guard)}ExecStart=\nExecStart={command}\n"
    )
    return text.encode("utf-8", "surrogateescape")


def guard(placement: Placement, unit: KubeletUnit, *, has_token_provider: bool) -> bytes:
    """Return the script at `DropInFlags.guard`."""
    config, bin_dir = placement.flag_values.values()
    return start_guard.script(config, bin_dir, unit=unit.name, has_token_provider=has_token_provider).encode()


def _quoted(word: str) -> str:
    r"""Return *word* as a unit's file has it.

    >>> _quoted("--a=${B}"), _quoted('b "c\n%'), _quoted("--host=\0H")
    ('--a=${B}', '"b \\"c\\n%%"', '"--host=%H"')
    """
    if _PLAIN.fullmatch(word):
        return word
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace(UNKNOWN, "%")
    return '"' + _CONTROL.sub(_escaped, text) + '"'


def _escaped(match: re.Match[str]) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(match[0], f"\\x{ord(match[0]):02x}")
