"""What a node should have, step by step: pure. The order lets a kubelet start after each of them.

program -> settings -> link -> CredentialProviderConfig -> flags; the way back is the exact reverse.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.lookup import SETTINGS
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG

from acr_node_config.kubelet_config.document import problems
from acr_node_config.kubelet_config.provider_entries import NAME, TOKEN_NAME, entries, left_out, put_in, take_out
from acr_node_config.model import steps
from acr_node_config.model.environment_file import EnvironmentFile
from acr_node_config.model.errors import RefusedError
from acr_node_config.model.placement import EnvironmentFlags, Placement, RancherFlags
from acr_node_config.placement.rancher import drop_in

from .bundle import HIDDEN
from .journal import ancestors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_node_config.model.facts import NodeFacts
    from acr_node_config.model.steps import FileStep, PathState

    from .bundle import Bundle


@dataclass(frozen=True, slots=True)
class Content:
    """What to install: the program at *tree* of the node, and the settings file if we bring it."""

    bundle: Bundle
    tree: str
    covered: Mapping[str, Any]
    """What the program says that the settings cover: ``settings match-images``."""
    settings: bytes | None = field(default=None, repr=False)


def wanted(facts: NodeFacts, placement: Placement, content: Content, found: Mapping[str, PathState]) -> list[FileStep]:
    """Return the states that make the plugin work on the node, in order.

    *found* is what `paths` names, as it is now. Raises `RefusedError` when the kubelet would not start with the result,
    ``ConfigurationError`` when a file of others cannot be changed faithfully.
    """
    ours = entries(content.covered, facts.version)
    bin_dir = placement.bin_dir
    has_token_provider = any(entry["name"] == TOKEN_NAME for entry in ours)
    listed: list[FileStep] = [
        *(steps.MakeFolder(path) for path in [*ancestors(bin_dir), bin_dir, f"{bin_dir}/{HIDDEN}"]),
        steps.PutTree(content.tree, content.bundle.source, content.bundle.digest),
    ]
    if content.settings is not None:
        folder = SETTINGS.rpartition("/")[0]
        listed += [
            steps.MakeFolder("/etc"),
            steps.MakeFolder(folder, 0o700, is_ours=True),
            steps.PutFile(SETTINGS, content.settings, 0o600),
        ]
    target = f"{HIDDEN}/{content.tree.rpartition('/')[2]}/{NAME}"
    listed.append(steps.PutLink(f"{bin_dir}/{NAME}", target))
    if has_token_provider:
        listed.append(steps.PutLink(f"{bin_dir}/{TOKEN_NAME}", NAME))
    if placement.config:
        listed += _config_steps(facts, placement, ours, found)
    listed += _flag_steps(placement, found)
    if not has_token_provider and not found.get(f"{bin_dir}/{TOKEN_NAME}", steps.NOTHING).is_absent:
        listed.append(steps.RemoveLink(f"{bin_dir}/{TOKEN_NAME}"))
    return _without_repeats(listed)


def paths(placement: Placement) -> list[str]:
    """Return the paths that `wanted` has to know the content of."""
    flags = [placement.flags.path] if placement.flags else []
    return [path for path in [placement.config, *flags, f"{placement.bin_dir}/{TOKEN_NAME}"] if path]


def notes(facts: NodeFacts, placement: Placement, covered: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what an operator should know about an installation here."""
    missing = left_out(covered, facts.version)
    return (*placement.notes, *((missing,) if missing else ()))


def flag_values(placement: Placement) -> dict[str, str]:
    """Return what the kubelet's two flags have to be, nothing where they are not ours to say."""
    return placement.flag_values if placement.config else {}


def config_digest(facts: NodeFacts, placement: Placement, covered: Mapping[str, Any]) -> str:
    """Return a digest of what is ours in what the kubelet reads at its start: as long as it is the same, no restart."""
    said = [entries(covered, facts.version), flag_values(placement)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def change_digest(facts: NodeFacts, listed: list[FileStep]) -> str:
    """Return a digest of all that a kubelet may reject: the very bytes it reads, the program, the kubelet's version."""
    digest = hashlib.sha256(repr(facts.version).encode())
    for step in listed:
        if isinstance(step, steps.PutFile) and step.is_read_at_start:
            digest.update(f"\0{step.path}\0".encode() + step.content)
        elif isinstance(step, steps.PutTree):
            digest.update(f"\0{step.digest}\0".encode())
    return digest.hexdigest()


def without_ours(placement: Placement, path: str, content: bytes) -> bytes | None:
    """Return the file at *path* without what is ours in it, None when it is not one that others share."""
    if placement.flags and path == placement.flags.path and isinstance(placement.flags, EnvironmentFlags):
        file = EnvironmentFile.parse(content, path)
        return file.without_flags(placement.flags.variable, (CONFIG_FLAG, BIN_DIR_FLAG))
    return take_out(content, path) if path == placement.config else None


def placement_to_dict(placement: Placement) -> dict[str, Any]:
    """Return *placement* as JSON can hold it."""
    document = asdict(placement)
    document["flags"] = None
    if placement.flags is not None:
        document["flags"] = {"kind": type(placement.flags).__name__, **asdict(placement.flags)}
    return document


def placement_from_dict(document: Mapping[str, Any]) -> Placement:
    """Return what `placement_to_dict` wrote."""
    plain = dict(document)
    flags = plain.pop("flags")
    kinds = {"EnvironmentFlags": EnvironmentFlags, "RancherFlags": RancherFlags}
    made = None
    if flags is not None:
        made = kinds[flags["kind"]](**{name: value for name, value in flags.items() if name != "kind"})
    return Placement(**{**plain, "notes": tuple(plain["notes"])}, flags=made)


def _config_steps(
    facts: NodeFacts, placement: Placement, ours: list[dict[str, Any]], found: Mapping[str, PathState]
) -> list[FileStep]:
    path, before = placement.config, found[placement.config]
    content = put_in(before.content if before.kind == steps.FILE else None, path, ours, facts.version)
    files = {path: content}
    if placement.is_directory and facts.config is not None:
        files |= {file.path: file.content for file in facts.config.files if file.path != path}
    executables = {*facts.executables, *(entry["name"] for entry in ours)}
    wrong = problems(files, facts.version, is_directory=placement.is_directory, executables=executables)
    if wrong:
        raise RefusedError(f"this node's kubelet would not start with the result: {wrong[0]}", remedy=wrong[0].remedy)
    mode = before.mode & ~0o022 if before.kind == steps.FILE else 0o644
    return [
        *(steps.MakeFolder(each) for each in ancestors(path)),
        steps.PutFile(path, content, mode, is_read_at_start=True),
    ]


def _flag_steps(placement: Placement, found: Mapping[str, PathState]) -> list[FileStep]:
    flags = placement.flags
    if flags is None:
        return []
    before = found[flags.path]
    if isinstance(flags, RancherFlags):
        content = drop_in(placement)
    else:
        file = EnvironmentFile.parse(before.content, flags.path)
        content = file.with_flags(flags.variable, placement.flag_values)
    mode = before.mode & ~0o022 if before.kind == steps.FILE else 0o644
    return [
        *(steps.MakeFolder(each) for each in ancestors(flags.path)),
        steps.PutFile(flags.path, content, mode, is_read_at_start=True),
    ]


def _without_repeats(listed: list[FileStep]) -> list[FileStep]:
    """Return *listed* with each folder once, where it is needed first; what is asked of ours is asked at once."""
    known: dict[str, FileStep] = {}
    for step in listed:
        if step.path not in known or not isinstance(step, steps.MakeFolder):
            known[step.path] = step
    return list(known.values())
