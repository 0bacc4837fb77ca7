"""k3s and RKE2, whose kubelet is a part of them: flags come from their configuration, or are not needed.

Both use /var/lib/rancher/credentialprovider by themselves once a folder bin and a config.yaml are
there. RKE2 pulls its own parts with these providers, and does not start with a bad configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.errors import ConfigurationError
from acr_credential_provider.kubelet_flags import BIN_DIR_FLAG, CONFIG_FLAG, RANCHER

from .config_text import UnreadableError, read, write
from .kubelet_config import Document
from .placement import OWN_FILE, Placement, RancherFlags, RefusedError
from .provider_entries import NAMES

if TYPE_CHECKING:
    from .facts import HostFile, NodeFacts, Rancher
    from .placement import Wanted

BIN_DIR, CONFIG = f"{RANCHER}/bin", f"{RANCHER}/config.yaml"


def place_rancher(facts: NodeFacts, wanted: Wanted) -> Placement:
    """Return where everything goes on a node of k3s or RKE2; raise `RefusedError` or `ConfigurationError`."""
    rancher = facts.rancher
    if rancher is None:
        raise RefusedError(f"{wanted.profile} is not on this node", "Leave --profile away.")
    own = f"{rancher.folder}/config.yaml.d/{OWN_FILE}"
    config, bin_dir = (configured(rancher, flag, besides=own) for flag in (CONFIG_FLAG, BIN_DIR_FLAG))
    if bool(config) != bool(bin_dir):
        raise RefusedError(
            f"{rancher.folder} sets one of {CONFIG_FLAG} and {BIN_DIR_FLAG} alone",
            "Set both or none of them; then run this again.",
        )
    own_places = (wanted.config or CONFIG, wanted.bin_dir or BIN_DIR)
    if not config and all(facts.given) and facts.given not in (own_places, (CONFIG, BIN_DIR)):
        config, bin_dir = facts.given  # from its command line
    is_elsewhere = not config and own_places != (CONFIG, BIN_DIR)
    notes = ["a restart of a server restarts its API server too"] if "-agent" not in rancher.unit else []
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
        raise RefusedError(
            f"{config} is a folder, and {rancher.name} is asked for a file", f"Name a file as {CONFIG_FLAG}."
        )
    return placement


def configured(rancher: Rancher, key: str, *, besides: str = "") -> str:
    """Return what its configuration gives *key*, "" when nothing; the last file holds, the one at *besides* aside."""
    found = ""
    for file in rancher.files:
        if file.path == besides:
            continue
        try:
            document = read(file.content).value
        except UnreadableError as error:
            raise ConfigurationError(
                f"{file.path}, line {error.line}: {error.what}", remedy=f"Correct it: {rancher.name} does not read it."
            ) from None
        value = document.get(key) if isinstance(document, dict) else None
        found = value if isinstance(value, str) else found
    return found


def drop_in(placement: Placement) -> bytes:
    """Return the drop-in at `RancherFlags.path`."""
    return write(placement.flag_values).encode()


def _file(facts: NodeFacts, path: str) -> HostFile | None:
    """Return the file that is at *path* now."""
    is_there = facts.config is not None and facts.config.path == path and facts.config.files
    return facts.config.files[0] if is_there and facts.config is not None else None
