"""Chooses the environment file and its variable through which the kubelet gets our flags.

The files are those that systemd names, not a convention's: the last one that sets the variable holds, and only one that
belongs to the node's operator is edited.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.model.remedy import Remedy

from acr_node_config.model.environment_file import EnvironmentFile, split
from acr_node_config.model.facts import ABSENT, ACK_ARGUMENTS, ACK_VARIABLE, EXTRA_ARGUMENTS
from acr_node_config.model.placement import FALLBACK, EnvironmentFlags, PlacementRefusedError
from acr_node_config.model.running_config import RunningConfig

from .drop_in import FILES_ONLY, is_offered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_node_config.model.facts import EnvironmentSource, HostFile, KubeletUnit, NodeFacts

DEBIAN, RED_HAT = "/etc/default/kubelet", "/etc/sysconfig/kubelet"
KUBEADM_FLAGS = "/var/lib/kubelet/kubeadm-flags.env"
"""kubeadm writes this anew when a node joins and when it is upgraded."""
NAMED = {
    "kubeadm-deb": EnvironmentFlags(DEBIAN, EXTRA_ARGUMENTS),
    "kubeadm-rpm": EnvironmentFlags(RED_HAT, EXTRA_ARGUMENTS),
    "ack": EnvironmentFlags(ACK_ARGUMENTS, ACK_VARIABLE),
}
"""Where the flags go by the name of a profile."""

_NOT_AN_OPERATORS = ("/run/", "/usr/", "/lib/", "/proc/", "/tmp/", KUBEADM_FLAGS)  # noqa: S108 - none of ours
_ELSEWHERE = FILES_ONLY
_VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LIKELY = ("EXTRA", "CUSTOM", "KUBELET_ARGS", "KUBELET_FLAGS", "KUBELET_OPTS", "ARGS", "FLAGS", "OPTS", "OPTIONS")
"""What a variable for more flags is called, the likeliest first."""


def choose_flag_target(
    facts: NodeFacts, profile: str, flags: Mapping[str, str], named: EnvironmentFlags | None = None
) -> tuple[str, EnvironmentFlags]:
    """Return the profile's name and where *flags* go.

    *profile* is one of `NAMED` to have that one, whatever the unit says; "" to go by the unit. *named* is the file and
    variable that the operator names. Raises `PlacementRefusedError`, and `ConfigurationError` for a file that cannot be
    parsed.
    """
    name = profile or ("ack" if _is_ack(facts) else "")
    if named is not None:
        target = named
        name = next((profile for profile, known in NAMED.items() if known == target), "generic")
    elif name in NAMED:
        target = NAMED[name]
    else:
        target = _of_unit(facts, facts.unit)
        name = next((profile for profile, known in NAMED.items() if known == target), "generic")
    if facts.unit is not None:
        _check_effect(facts, facts.unit, target, is_certain=name != "ack")
    file = _file_at(facts, target.path)
    _check_running(facts, target.variable, file)
    EnvironmentFile.parse(file.content if file else b"", target.path).with_flags(target.variable, flags)
    return name, EnvironmentFlags(file.path if file else target.path, target.variable)


def _is_ack(facts: NodeFacts) -> bool:
    sources = facts.unit.environment_files if facts.unit else ()
    return facts.ack_arguments is not None or any(source.path == ACK_ARGUMENTS for source in sources)


def _of_unit(facts: NodeFacts, unit: KubeletUnit | None) -> EnvironmentFlags:
    if unit is None:
        raise PlacementRefusedError(
            "nothing says where the kubelet's flags come from",
            Remedy("KubeletFlagsNotChangeable", "Name the profile, or " + _ELSEWHERE),
        )
    used = () if unit.is_literal else unit.command
    variable = next((name for name in (EXTRA_ARGUMENTS, ACK_VARIABLE) if f"${name}" in used), "")
    if not variable:
        raise PlacementRefusedError(
            f"{unit.name} takes flags from no variable that is known to be left to the operator",
            Remedy("KubeletFlagsNotChangeable", _other_ways(facts, unit)),
        )
    holder = _holder(unit, variable)
    if holder is not None:
        return EnvironmentFlags(holder.path, variable)
    # A file that does not name the kubelet may be for anything: os-release, a proxy's variables.
    paths = [source.path for source in unit.environment_files]
    editable = [path for path in paths if _is_an_operators(path) and "kubelet" in path]
    usual = [path for path in (DEBIAN, RED_HAT) if path in editable]
    if not editable:
        raise PlacementRefusedError(
            f"{unit.name} reads no environment file that is left to the operator",
            Remedy("KubeletFlagsNotChangeable", _other_ways(facts, unit)),
        )
    return EnvironmentFlags((usual or editable[-1:])[0], variable)


def _other_ways(facts: NodeFacts, unit: KubeletUnit) -> str:
    """Return the remedy for *unit*: the option that names its best variable, or a drop-in, or the two flags by hand."""
    ways = [f"--flags-in {target.path}:{target.variable}"] if (target := _candidate(unit)) else []
    ways += ["--mode drop-in, which writes the unit's command into a drop-in of ours"] if is_offered(facts) else []
    if not ways:
        return _ELSEWHERE
    by_hand = f"--mode files-only, and give the kubelet the two flags by hand; or {FALLBACK}."
    return "Use " + "; or ".join([*ways, by_hand])


def _candidate(unit: KubeletUnit) -> EnvironmentFlags | None:
    """Return the file and variable of *unit* that look most like the kubelet's flags, None if none does."""
    found = []
    for word in () if unit.is_literal else unit.command:
        holder = _holder(unit, word[1:]) if _VARIABLE.fullmatch(word) else None
        if holder is not None and _is_an_operators(holder.path):
            found.append(EnvironmentFlags(holder.path, word[1:]))
    likely = [target for rule in _LIKELY for target in found if rule in target.variable]
    return next(iter(likely), None)


def _check_effect(facts: NodeFacts, unit: KubeletUnit, target: EnvironmentFlags, *, is_certain: bool) -> None:
    """Raise if flags in *target* would not reach the kubelet, or would replace what it has.

    ACK may read its file itself (not *is_certain*); whether that worked shows after the restart.
    """
    is_read = any(source.path == target.path for source in unit.environment_files)
    is_used = f"${target.variable}" in unit.command and not unit.is_literal
    if not (is_read and is_used):
        if not is_certain:
            return
        what = f"read {target.path}" if not is_read else f"use ${target.variable} as words of their own"
        raise PlacementRefusedError(
            f"{unit.name} does not {what}", Remedy("KubeletFlagsNotChangeable", _other_ways(facts, unit))
        )
    holder = _holder(unit, target.variable)
    _check_sources(unit, target, holder, is_image=facts.is_image)
    if holder is not None and holder.path != target.path:
        raise PlacementRefusedError(
            f"{holder.path} sets {target.variable} after {target.path}, and so overrides it",
            Remedy("KubeletFlagsNotChangeable", f"Move what it sets to {target.path}, or take it out."),
        )
    if holder is not None and not _is_an_operators(holder.path):
        raise PlacementRefusedError(
            f"{holder.path}, which sets {target.variable}, is not the operator's to edit",
            Remedy("KubeletFlagsNotChangeable", _other_ways(facts, unit)),
        )
    if holder is None and unit.environment.get(target.variable):
        raise PlacementRefusedError(
            f"{unit.name} sets {target.variable} itself (Environment=), and a file would take that away",
            Remedy(
                "KubeletFlagsNotChangeable", f"Move its value to {target.path}; or leave it: {_other_ways(facts, unit)}"
            ),
        )


def _check_sources(
    unit: KubeletUnit, target: EnvironmentFlags, holder: EnvironmentSource | None, *, is_image: bool
) -> None:
    """Raise if it cannot be told what sets the variable, or if something unsets it again.

    A file that is absent in an image may be written at its first boot, optional or not.
    """
    variable = target.variable
    if any(entry.partition("=")[0] == variable for entry in unit.unset):
        raise PlacementRefusedError(
            f"{unit.name} takes {variable} away (UnsetEnvironment=)",
            Remedy("KubeletFlagsNotChangeable", f"Take it out. {_ELSEWHERE}"),
        )
    start = unit.environment_files.index(holder) if holder is not None else 0
    for source in unit.environment_files[start:]:
        is_to_come = is_image and source.problem == ABSENT
        if source.problem and source.path != target.path and not is_to_come:
            raise PlacementRefusedError(
                f"{source.path}, which may set {variable} for {unit.name}, {source.problem}",
                Remedy(
                    "KubeletFlagsNotChangeable",
                    f"Correct its EnvironmentFile=, so that it can be told what the kubelet has there. {_ELSEWHERE}",
                ),
            )
    if holder is not None or unit.environment.get(variable):
        return
    if variable in unit.passed:
        raise PlacementRefusedError(
            f"{unit.name} takes {variable} from systemd itself (PassEnvironment=), and a file would override that",
            Remedy(
                "KubeletFlagsNotChangeable", f"Move its value to {target.path}, and take it out of PassEnvironment=."
            ),
        )
    if flags := _flags_of(unit.inherited.get(variable, "")):
        raise PlacementRefusedError(
            f"systemd itself sets {variable} (systemctl set-environment), and a file would override that: "
            f"{', '.join(flags)}",
            Remedy(
                "KubeletFlagsNotChangeable",
                f"Move its value to {target.path}, then run systemctl unset-environment {variable}.",
            ),
        )


def _check_running(facts: NodeFacts, variable: str, file: HostFile | None) -> None:
    """Raise if the kubelet runs with flags in *variable* that no file here sets: they would be lost."""
    running = facts.kubelet.environment.get(variable, "") if facts.kubelet else ""
    known = EnvironmentFile.parse(file.content).value(variable) if file else None
    if known is None and facts.unit:
        known = replace(facts.unit, inherited={}).value(variable)  # a file would override what systemd itself sets
    if lost := _flags_of(running, known or ""):
        raise PlacementRefusedError(
            f"the kubelet runs with flags in {variable} that no file of its unit gives it: {', '.join(lost)}",
            Remedy(
                "KubeletFlagsNotChangeable",
                "If they were taken out on purpose, restart the kubelet first. If not, move them to the unit's "
                "environment file: what sets them now (a script, systemctl set-environment) would be overridden.",
            ),
        )


def _flags_of(value: str, known: str = "") -> tuple[str, ...]:
    """Return the flags in *value* that *known* does not have too."""
    now, others = (RunningConfig.of(["", *(split(text) or [])], None) for text in (value, known))
    return now.lost(others)


def _holder(unit: KubeletUnit, variable: str) -> EnvironmentSource | None:
    """Return the source whose value of *variable* holds; raise `ConfigurationError` for one that cannot be read."""
    setters = [
        source
        for source in unit.environment_files
        if source.file and EnvironmentFile.parse(source.file.content, source.path).value(variable) is not None
    ]
    return setters[-1] if setters else None


def _is_an_operators(path: str) -> bool:
    return not path.startswith(_NOT_AN_OPERATORS) and not set(path) & set("*?[%")


def _file_at(facts: NodeFacts, path: str) -> HostFile | None:
    sources = facts.unit.environment_files if facts.unit else ()
    files = [source.file for source in sources if source.path == path]
    if path == ACK_ARGUMENTS:
        files.append(facts.ack_arguments)
    return next(filter(None, files), None)
