"""Reads an acr-configuration: from its text to native settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from acr_credential_provider.version import NAME

from .conversion import Conversion, Target
from .global_keys import GlobalKeys
from .keys import DATA_KEYS, REGISTRIES, RRSA, documented_key
from .located_yaml import LocatedNode, UnreadableError
from .manifest import data_of
from .node_access import NamedNode, known_keys, texts_in
from .registries import Registries
from .registry_info import entries

if TYPE_CHECKING:
    from .conversion import Place, Role


_SWITCH = re.compile(r"(?<![A-Za-z])(?:enable[-_]?)?rrsa(?![A-Za-z])", re.IGNORECASE)


def convert(text: str, *, place: Place = "node", keys_directory: str = "", role: Role = "nodeRole") -> Conversion:
    """Read *text* for the plugin of a node or for the controller (*place*).

    Access keys in the text become files below *keys_directory* (an absolute path); without one, entries with keys
    are problems. Entries that name no identity get the identity kind *role*: the ConfigMap does not say which one a
    controller has (tokenMode does).
    """
    result = Conversion()
    try:
        _fill(result, data_of(text, result), Target(place, keys_directory.rstrip("/"), role))
    except UnreadableError as error:
        result.document = None
        result.problems += error.problems
    return result


def _fill(result: Conversion, data: dict[str, LocatedNode], target: Target) -> None:
    known = known_keys(data, DATA_KEYS, "", result)
    global_keys = GlobalKeys(result, target.place)
    global_keys.read(known)
    switches = [key for key in data if documented_key(key) == RRSA]
    broken = [node for key, node in data.items() if node.broken is not None and key not in switches]
    is_stray = bool(switches) and any(key.lower() == "enable" for key in data)  # perhaps the one of rrsa
    if (
        len(switches) > 1
        or is_stray
        or (result.is_in_pieces and any(_SWITCH.search(" ".join(texts_in(node))) for node in broken))
    ):
        global_keys.rrsa = (
            "unreadable"  # the second one, or the one in a piece that cannot be read, may be the right one
        )
    registries = Registries(result, target, global_keys)
    info = known.get(REGISTRIES, NamedNode(REGISTRIES, LocatedNode(1, "")))
    # One of the keys that are not known may be the list: the Personal Edition is no guess to make then.
    listed = entries(info, result) if REGISTRIES in known or not result.problems else []
    result.document = {
        "apiVersion": f"{NAME}/v1",
        "kind": "ProviderSettings",
        "registries": [registry for entry in listed for registry in registries.of_entry(entry)],
    }
    if target.place == "controller":
        # The documented defaults; system namespaces are not excluded, because the helper does not exclude them.
        defaults = {"serviceAccounts": ["default"], "namespaces": ["default"], "excludedNamespaces": []}
        result.document["pullSecrets"] = defaults | global_keys.pull_secrets
    if any(registry["identity"]["kind"] == "nodeRole" for registry in result.document["registries"]):
        result.note(
            info.node, "entries without a key of their own start from the RAM role of the node (tokenMode workerRole)"
        )
