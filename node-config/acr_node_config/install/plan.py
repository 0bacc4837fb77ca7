"""The states that a node should have, in order: pure. A kubelet can start after each of them.

program -> settings -> link -> CredentialProviderConfig -> flags; the way back is the exact reverse.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.lookup import SETTINGS
from acr_credential_provider.kubelet.config_validation import problems
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG
from acr_credential_provider.model.remedy import Remedy

from acr_node_config.hostfs.safe_path import ancestors
from acr_node_config.kubelet_config.provider_entries import NAME, TOKEN_NAME, entries, left_out, put_in, take_out
from acr_node_config.model import steps
from acr_node_config.model.environment_file import EnvironmentFile
from acr_node_config.model.errors import RefusedError
from acr_node_config.model.placement import OWN_FILE, DropInFlags, EnvironmentFlags, Placement, RancherFlags, Refusal
from acr_node_config.placement.drop_in import choose_drop_in, guard
from acr_node_config.placement.drop_in import drop_in as unit_drop_in
from acr_node_config.placement.rancher import drop_in

from .bundle import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_node_config.model.facts import NodeFacts
    from acr_node_config.model.steps import FileStep, PathState

    from .journal import Record
    from .requests import InstallRequest


@dataclass(frozen=True, slots=True)
class DesiredInstallation:
    """What an installation wants of a node. *tree* is the folder of the program there."""

    placement: Placement
    tree: str
    steps: tuple[FileStep, ...]
    config_digest: str
    """Of our part of what the kubelet reads at its start: no restart is needed while it stays the same."""
    key: str
    """Digest of all that a kubelet may reject."""
    notes: tuple[str, ...] = ()
    """What an operator should know about an installation here."""


def choose_placement(request: InstallRequest, facts: NodeFacts, record: Record | None) -> Placement:
    """Return where everything goes; raise `RefusedError`.

    An installed node keeps its placement: the kubelet has our flags now, and would look like another node.
    """
    if record is None:
        placement = request.place(facts)
        if isinstance(placement, Refusal):
            raise RefusedError(placement.reason, remedy=placement.remedy)
        return placement
    if record.installed.mode != request.mode:
        raise RefusedError(
            f"it is installed with --mode {record.installed.mode}",
            remedy=Remedy(
                "InstalledOtherwise",
                "Use that mode; or uninstall it first, because the node looks like another one now.",
            ),
        )
    placement = placement_from_dict(record.installed.placement)
    if facts.unit is not None and not (placement.unit or request.mode == "files-only" or facts.is_image):
        placement = replace(placement, unit=facts.unit.name)  # it was baked, when nothing ran
    return placement


def desired_state(
    facts: NodeFacts, placement: Placement, request: InstallRequest, tree: str, states: Mapping[str, PathState]
) -> DesiredInstallation:
    """Return what the plugin needs to work on the node, with its program at *tree*.

    *states* holds the present state of each of `paths`. Raises `RefusedError` when the kubelet would not start with the
    result, ``ConfigurationError`` when a file of others cannot be changed faithfully.
    """
    providers = entries(request.covered, facts.version)
    bin_dir = placement.bin_dir
    has_token_provider = any(provider["name"] == TOKEN_NAME for provider in providers)
    wanted: list[FileStep] = [
        *(steps.MakeFolder(path) for path in [*ancestors(bin_dir), bin_dir, f"{bin_dir}/{HIDDEN}"]),
        steps.PutTree(tree, request.bundle.source, request.bundle.digest),
    ]
    if request.settings is not None:
        wanted += [
            steps.MakeFolder("/etc"),
            steps.MakeFolder(SETTINGS.rpartition("/")[0], 0o700, is_ours=True),
            steps.PutFile(SETTINGS, request.settings, 0o600),
        ]
    wanted.append(steps.PutLink(f"{bin_dir}/{NAME}", f"{HIDDEN}/{tree.rpartition('/')[2]}/{NAME}"))
    if has_token_provider:
        wanted.append(steps.PutLink(f"{bin_dir}/{TOKEN_NAME}", NAME))
    if placement.config:
        wanted += _config_steps(facts, placement, providers, states)
    wanted += _flag_steps(facts, placement, states, has_token_provider=has_token_provider)
    if not has_token_provider and not states.get(f"{bin_dir}/{TOKEN_NAME}", steps.NOTHING).is_absent:
        wanted.append(steps.RemoveFile(f"{bin_dir}/{TOKEN_NAME}"))
    missing = left_out(request.covered, facts.version)
    return DesiredInstallation(
        placement,
        tree,
        tuple(_without_repeats(wanted)),
        _config_digest(placement, providers),
        _change_digest(facts, wanted),
        (*placement.notes, *((missing,) if missing else ())),
    )


def paths(placement: Placement) -> list[str]:
    """Return the paths whose present state `desired_state` needs."""
    flags = [placement.flags.path] if placement.flags else []
    flags += [placement.flags.guard] if isinstance(placement.flags, DropInFlags) else []
    return [path for path in [placement.config, *flags, f"{placement.bin_dir}/{TOKEN_NAME}"] if path]


def flag_values(placement: Placement) -> dict[str, str]:
    """Return the values of the kubelet's two flags, nothing where others choose them."""
    return placement.flag_values if placement.config else {}


def visible_flags(placement: Placement) -> dict[str, str]:
    """Return those that a kubelet's command line shows: k3s and RKE2 hide theirs."""
    return {} if placement.profile in ("k3s", "rke2") else flag_values(placement)


def without_ours(placement: Placement, path: str, content: bytes) -> bytes | None:
    """Return the file at *path* without our part of it, None for a file that is not shared with others."""
    if placement.flags and path == placement.flags.path and isinstance(placement.flags, EnvironmentFlags):
        file = EnvironmentFile.parse(content, path)
        return file.without_flags(placement.flags.variable, (CONFIG_FLAG, BIN_DIR_FLAG))
    return take_out(content, path) if path == placement.config else None


def placement_to_dict(placement: Placement) -> dict[str, Any]:
    """Return the JSON form of *placement*."""
    document = asdict(placement)
    document["flags"] = None
    if placement.flags is not None:
        document["flags"] = {"kind": type(placement.flags).__name__, **asdict(placement.flags)}
    return document


def placement_from_dict(document: Mapping[str, Any]) -> Placement:
    """Read what `placement_to_dict` wrote."""
    fields = dict(document)
    flags = fields.pop("flags")
    target = None
    if flags is not None:
        kind = {kind.__name__: kind for kind in (EnvironmentFlags, RancherFlags, DropInFlags)}[flags["kind"]]
        target = kind(**{name: value for name, value in flags.items() if name != "kind"})
    return Placement(**{**fields, "notes": tuple(fields["notes"])}, flags=target)


def _config_digest(placement: Placement, providers: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps([providers, flag_values(placement)], sort_keys=True).encode()).hexdigest()


def _change_digest(facts: NodeFacts, wanted: list[FileStep]) -> str:
    """Return a digest of the very bytes that the kubelet reads, the program, and the kubelet's version."""
    digest = hashlib.sha256(repr(facts.version).encode())
    for step in wanted:
        if isinstance(step, steps.PutFile) and step.is_read_at_start:
            digest.update(f"\0{step.path}\0".encode() + step.content)
        elif isinstance(step, steps.PutTree):
            digest.update(f"\0{step.digest}\0".encode())
    return digest.hexdigest()


def _config_steps(
    facts: NodeFacts, placement: Placement, providers: list[dict[str, Any]], states: Mapping[str, PathState]
) -> list[FileStep]:
    path, before = placement.config, states[placement.config]
    if before.kind == steps.FOLDER:
        raise RefusedError(
            f"{path} is a folder", remedy=Remedy("NodePathUnusable", f"Name a file in it: --config {path}/{OWN_FILE}.")
        )
    content = put_in(before.content if before.kind == steps.FILE else None, path, providers, facts.version)
    files = {path: content}
    if placement.is_directory and facts.config is not None:
        files |= {file.path: file.content for file in facts.config.files if file.path != path}
    executables = {*facts.executables, *(provider["name"] for provider in providers)}
    wrong = problems(files, facts.version, is_directory=placement.is_directory, executables=executables)
    if wrong:
        raise RefusedError(f"a kubelet would not start with the result: {wrong[0]}", remedy=wrong[0].remedy)
    return _file_steps(path, content, before)


def _flag_steps(
    facts: NodeFacts, placement: Placement, states: Mapping[str, PathState], *, has_token_provider: bool
) -> list[FileStep]:
    flags = placement.flags
    if flags is None:
        return []
    before = states[flags.path]
    if isinstance(flags, DropInFlags):
        choose_drop_in(facts.unit)
        if facts.unit is None:
            return []
        script = guard(placement, facts.unit, has_token_provider=has_token_provider)
        return [
            *_file_steps(flags.guard, script, states[flags.guard]),
            *_file_steps(flags.path, unit_drop_in(flags, facts.unit), before),
        ]
    if isinstance(flags, RancherFlags):
        content = drop_in(placement)
    else:
        file = EnvironmentFile.parse(before.content, flags.path)
        content = file.with_flags(flags.variable, placement.flag_values)
    return _file_steps(flags.path, content, before)


def _file_steps(path: str, content: bytes, before: PathState) -> list[FileStep]:
    mode = before.mode & ~0o022 if before.kind == steps.FILE else 0o644
    return [
        *(steps.MakeFolder(folder) for folder in ancestors(path)),
        steps.PutFile(path, content, mode, is_read_at_start=True),
    ]


def _without_repeats(wanted: list[FileStep]) -> list[FileStep]:
    """Return *wanted* with each folder once, where it is needed first."""
    known: dict[str, FileStep] = {}
    for step in wanted:
        if step.path not in known or not isinstance(step, steps.MakeFolder):
            known[step.path] = step
    return list(known.values())
