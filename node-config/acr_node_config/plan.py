"""What a node should have, step by step: pure. The order lets a kubelet start after each of them.

program -> settings -> link -> CredentialProviderConfig -> flags; the way back is the exact reverse.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.hit import API_VERSIONS, SETTINGS
from acr_credential_provider.kubelet_flags import BIN_DIR_FLAG, CONFIG_FLAG

from . import steps
from .bundle import HIDDEN, NAME, TOKEN_NAME
from .environment_file import EnvironmentFile
from .failures import RefusedError
from .kubelet_config import Document, fresh, problems
from .kubelet_rules import FIRST_WITH_TOKENS
from .profiles import EnvironmentFlags, Placement, RancherFlags
from .state import ancestors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .bundle import Bundle
    from .facts import NodeFacts
    from .steps import FileStep, Seen

NAMES = (NAME, TOKEN_NAME)
AUDIENCE = "sts.aliyuncs.com"
ROLE_ANNOTATION = "pod-identity.alibabacloud.com/role-name"
_RANCHER_TEXT = """\
# Written by aliyun-acr-credential-provider (taken out again by its command: node uninstall)
image-credential-provider-bin-dir: {bin_dir}
image-credential-provider-config: {config}
"""


@dataclass(frozen=True, slots=True)
class Matches:
    """Which images the kubelet asks us about: with the node's identity, and with the pod's own."""

    node: tuple[str, ...] = ()
    token: tuple[str, ...] = ()
    needs_account: bool = True
    """False if pods without a ServiceAccount (static ones) are to be asked for too."""


@dataclass(frozen=True, slots=True)
class Content:
    """What to install: the program at *tree* of the node, the kubelet's patterns, the settings file if we bring it."""

    bundle: Bundle
    tree: str
    matches: Matches
    settings: bytes | None = field(default=None, repr=False)


def entries(matches: Matches, facts: NodeFacts) -> tuple[dict[str, Any], ...]:
    """Return our providers for the kubelet of *facts*.

    The one for pods' own identities has a name of its own, so that whatever is wrong with those (a missing right for
    the audience, say) never stops the pulls that the node's identity is good for.
    """
    base: dict[str, Any] = {"apiVersion": API_VERSIONS[0], "defaultCacheDuration": "0s"}
    found = []
    if matches.node:
        found.append({"name": NAME, "matchImages": list(matches.node), **base})
    if matches.token and facts.version is not None and facts.version >= FIRST_WITH_TOKENS:
        attributes = {
            "serviceAccountTokenAudience": AUDIENCE,
            "cacheType": "ServiceAccount",
            "requireServiceAccount": matches.needs_account,
            "optionalServiceAccountAnnotationKeys": [ROLE_ANNOTATION],
        }
        found.append({"name": TOKEN_NAME, "matchImages": list(matches.token), **base, "tokenAttributes": attributes})
    return tuple(found)


def wanted(facts: NodeFacts, placement: Placement, content: Content, found: Mapping[str, Seen]) -> list[FileStep]:
    """Return the states that make the plugin work on the node, in order.

    *found* is what `paths` names, as it is now. Raises `RefusedError` when the kubelet would not start with the result,
    ``ConfigurationError`` when a file of others cannot be changed faithfully.
    """
    ours = entries(content.matches, facts)
    if placement.config and not ours:
        raise RefusedError(
            "the settings have no registry that this node's kubelet could ask us about",
            remedy="Give them a registry with an identity for nodes; pods' own identities need Kubernetes 1.34.",
        )
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


def flag_values(placement: Placement) -> dict[str, str]:
    """Return what the kubelet's two flags have to be."""
    config = placement.config.rpartition("/")[0] if placement.is_directory else placement.config
    return {CONFIG_FLAG: config, BIN_DIR_FLAG: placement.bin_dir} if placement.config else {}


def content_of(facts: NodeFacts, placement: Placement, matches: Matches) -> str:
    """Return a digest of what is ours in what the kubelet reads at its start: as long as it is the same, no restart."""
    said = [entries(matches, facts), flag_values(placement)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def key_of(facts: NodeFacts, listed: list[FileStep]) -> str:
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
    if path == placement.config and not placement.is_config_ours:
        return Document.parse(content, path).without_providers(NAMES)
    return None


def to_document(placement: Placement) -> dict[str, Any]:
    """Return *placement* as JSON can hold it."""
    document = asdict(placement)
    document["flags"] = None
    if placement.flags is not None:
        document["flags"] = {"kind": type(placement.flags).__name__, **asdict(placement.flags)}
    return document


def from_document(document: Mapping[str, Any]) -> Placement:
    """Return what `to_document` wrote."""
    plain = dict(document)
    flags = plain.pop("flags")
    kinds = {"EnvironmentFlags": EnvironmentFlags, "RancherFlags": RancherFlags}
    made = None
    if flags is not None:
        made = kinds[flags["kind"]](**{name: value for name, value in flags.items() if name != "kind"})
    return Placement(**{**plain, "notes": tuple(plain["notes"])}, flags=made)


def _config_steps(
    facts: NodeFacts, placement: Placement, ours: tuple[dict[str, Any], ...], found: Mapping[str, Seen]
) -> list[FileStep]:
    path, before = placement.config, found[placement.config]
    if before.kind == steps.FILE:
        document = Document.parse(before.content, path)
        stale = [name for name in NAMES if name not in {entry["name"] for entry in ours}]
        content = Document.parse(document.with_providers(ours), path).without_providers(stale)
    else:
        content = fresh(ours, facts.version)
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


def _flag_steps(placement: Placement, found: Mapping[str, Seen]) -> list[FileStep]:
    flags = placement.flags
    if flags is None:
        return []
    values, before = flag_values(placement), found[flags.path]
    if isinstance(flags, RancherFlags):
        content = _RANCHER_TEXT.format(config=values[CONFIG_FLAG], bin_dir=values[BIN_DIR_FLAG]).encode()
    else:
        content = EnvironmentFile.parse(before.content, flags.path).with_flags(flags.variable, values)
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
