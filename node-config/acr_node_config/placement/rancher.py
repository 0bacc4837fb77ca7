"""k3s and RKE2, whose kubelet is a part of them: flags come from their configuration, or are not needed.

A value is read as they read it: from config.yaml, then from the files of config.yaml.d in order, where a key that ends
with + adds to what was there, then from the command line. The last one holds; ``kubelet-arg`` overrides their own keys.

Both use /var/lib/rancher/credentialprovider by themselves once a folder bin and a config.yaml are
there. RKE2 pulls its own parts with these providers, and does not start with a bad configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from acr_credential_provider.kubelet.go_yaml import write
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG, RANCHER
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.yaml_syntax import TooDeepError, refuse_depth

from acr_node_config.kubelet_config.document import Document
from acr_node_config.kubelet_config.provider_entries import NAMES
from acr_node_config.model.facts import Rancher
from acr_node_config.model.paths import tidy
from acr_node_config.model.placement import FALLBACK, OWN_FILE, Placement, PlacementRefusedError, RancherFlags

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from acr_node_config.model.facts import HostFile, NodeFacts
    from acr_node_config.model.placement import Wanted

_PAIR = (CONFIG_FLAG, BIN_DIR_FLAG)
BIN_DIR, CONFIG = f"{RANCHER}/bin", f"{RANCHER}/config.yaml"


def place_rancher(facts: NodeFacts, wanted: Wanted) -> Placement:
    """Return where everything goes on a node of k3s or RKE2; raise `PlacementRefusedError` or `ConfigurationError`."""
    rancher = facts.rancher or (Rancher(wanted.profile, "") if facts.is_image else None)
    if rancher is None:
        raise PlacementRefusedError(
            f"{wanted.profile} is not on this node",
            Remedy(
                "ArgumentInvalid",
                f"Leave --profile away; or before the first start of {wanted.profile}, use node bake.",
            ),
        )
    own = f"{rancher.drop_ins}/{OWN_FILE}"
    config, bin_dir = given(rancher, besides=own)
    own_places = (wanted.config or CONFIG, wanted.bin_dir or BIN_DIR)
    if not config and all(facts.given) and facts.given not in (own_places, (CONFIG, BIN_DIR)):
        config, bin_dir = facts.given  # from its command line
    is_elsewhere = not config and own_places != (CONFIG, BIN_DIR)
    is_server = bool(rancher.unit) and "-agent" not in rancher.unit
    notes = ["a restart of a server restarts its API server too"] if is_server else []
    path = config or own_places[0]
    file = _file(facts, path)
    placement = Placement(
        profile=rancher.name,
        bin_dir=bin_dir or own_places[1],
        config=file.path if file else path,
        is_config_ours=file is None or set(Document.parse(file.content, path).names) <= set(NAMES),
        is_directory=False,
        flags=RancherFlags(own) if is_elsewhere else None,
        unit="" if facts.is_image else rancher.unit,
        notes=tuple(notes),
        config_flag=path,
    )
    if config and facts.config is not None and facts.config.is_directory:
        raise PlacementRefusedError(
            f"{config} is a folder, and {rancher.name} is asked for a file",
            Remedy("KubeletConfigInvalid", f"Name a file as {CONFIG_FLAG}."),
        )
    return placement


def given(rancher: Rancher, *, besides: str = "") -> tuple[str, str]:
    """Return the CredentialProviderConfig and the bin dir that its operator sets, "" for its defaults.

    The file at *besides* is ignored. Raises `PlacementRefusedError` for values that it cannot use.
    """
    if rancher.config_file and not rancher.config_file.startswith("/"):
        raise PlacementRefusedError(
            f"{rancher.name} takes its configuration from no absolute path ({rancher.name.upper()}_CONFIG_FILE or "
            "--config), where it can't be read",
            Remedy("KubeletConfigInvalid", f"Name a file there; or {FALLBACK}."),
        )
    values = _values(rancher, besides)
    by_kubelet = _kubelet_arguments(rancher, values.get("kubelet-arg", []))
    pair = by_kubelet or {name: values[name][-1] for name in _PAIR if values.get(name)}
    source = f"kubelet-arg of {rancher.name}" if by_kubelet else rancher.folder
    if len(pair) == 1:
        raise PlacementRefusedError(
            f"{source} sets one of {CONFIG_FLAG} and {BIN_DIR_FLAG} alone",
            Remedy("KubeletConfigInvalid", "Set both or none of them; then run this again."),
        )
    if not all(pair.values()):
        raise PlacementRefusedError(
            f"{source} sets {CONFIG_FLAG} or {BIN_DIR_FLAG} to nothing, which turns credential providers off",
            Remedy("KubeletConfigInvalid", "Give it a path, or take both out; then run this again."),
        )
    for path in pair.values():
        if not path.startswith("/") or ".." in path.split("/"):
            raise PlacementRefusedError(
                f"{source} sets {CONFIG_FLAG} or {BIN_DIR_FLAG} to what is no absolute, plain path",
                Remedy("KubeletConfigInvalid", 'Name an absolute path without "..".'),
            )
    return tidy(pair.get(CONFIG_FLAG, "")), tidy(pair.get(BIN_DIR_FLAG, ""))


def config_file(words: Sequence[str]) -> str:
    """Return the value of ``--config`` among *words*, "" without it. Of several, the first one holds.

    >>> config_file(["--v=2", "-c", "/x.yaml", "--config=/y.yaml"])
    '/x.yaml'
    """
    return next((value for name, value in _flags(words) if name in ("config", "c")), "")


def _kubelet_arguments(rancher: Rancher, texts: Sequence[str]) -> dict[str, str]:
    """Return those of the kubelet's two flags that *texts* (NAME=VALUE) set.

    A name that ends with + is added to others, one that ends with - comes before them.
    """
    values: dict[str, str] = {}
    for text in texts:
        name, _, value = text.removeprefix("--").partition("=")
        flag = name.rstrip("+-").replace("_", "-")
        if flag not in _PAIR and any(f",{name}=" in text.replace("_", "-") for name in _PAIR):
            raise PlacementRefusedError(
                f"kubelet-arg of {rancher.name} gives several flags in one text, which its releases read in two ways",
                Remedy("KubeletConfigInvalid", "Give each flag in an entry of its own."),
            )
        if flag in _PAIR and not (name.endswith("-") and flag in values):
            values[flag] = value
    return values


def _values(rancher: Rancher, besides: str) -> dict[str, list[str]]:
    """Return the values of its files and its command line, by key."""
    found: dict[str, list[str | None]] = {}
    for file in rancher.files:
        for key, texts in _pairs(rancher, file) if file.path != besides else ():
            name = key.removesuffix("+")
            is_added = key.endswith("+") and name in found  # then null is nothing, on both sides
            found[name] = [text for text in (*found[name], *texts) if text is not None] if is_added else texts
    values = {name: [text or "" for text in texts] for name, texts in found.items()}
    for name, value in _flags(rancher.arguments):
        values[name] = [*values.get(name, []), value]
    return values


def _pairs(rancher: Rancher, file: HostFile) -> Iterator[tuple[str, list[str | None]]]:
    """Yield each key of *file* with its texts, one if it is no list, None for null; a key may be there twice."""
    line = 1
    try:
        text = file.content.decode()
        refuse_depth(text)
        root = next(yaml.compose_all(text, Loader=yaml.CSafeLoader), None)
    except (yaml.YAMLError, RecursionError, ValueError, TooDeepError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else line
    else:
        for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
            items = value.value if isinstance(value, yaml.SequenceNode) else [value]
            yield str(key.value), [_text(item) for item in items]
        return
    raise ConfigurationError(
        f"{file.path}, line {line}: is not YAML",
        remedy=Remedy("KubeletConfigInvalid", f"Correct it: {rancher.name} does not read it."),
    )


def _text(node: yaml.Node) -> str | None:
    if isinstance(node, yaml.ScalarNode) and not node.style and node.value in ("", "~", "null", "Null", "NULL"):
        return None
    return str(node.value).strip() if isinstance(node, yaml.ScalarNode) else ""


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the flags among *words* that are read here, each with its value."""
    for at, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name in (*_PAIR, "kubelet-arg", "config", "c"):
            yield name, value if equals else "".join(words[at + 1 : at + 2])


def drop_in(placement: Placement) -> bytes:
    """Return the drop-in at `RancherFlags.path`."""
    return write(placement.flag_values).encode()


def _file(facts: NodeFacts, path: str) -> HostFile | None:
    """Return the present file at *path*."""
    is_there = facts.config is not None and facts.config.path == path and facts.config.files
    return facts.config.files[0] if is_there and facts.config is not None else None
