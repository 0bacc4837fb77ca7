"""Reads an acr-configuration: from its text to native settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .conversion import API_VERSION, Conversion, Target
from .global_keys import GlobalKeys
from .keys import DATA_KEYS, REGISTRIES, RRSA, key_of
from .manifest import data_of
from .node_access import named
from .registries import Registries
from .registry_info import entries
from .yaml_repair import LocatedNode, UnreadableError

if TYPE_CHECKING:
    from .conversion import Place, Role


def convert(text: str, *, place: Place = "node", keys_directory: str = "", role: Role = "nodeRole") -> Conversion:
    """Read *text*, for the node's plugin or for the controller (*place*).

    Access keys that stand in it are to be written into files below *keys_directory* (an
    absolute path); without one, entries with keys are problems. Entries that say nothing of who asks
    have the identity *role*: which one a controller has is no matter of the ConfigMap (tokenMode).
    """
    result = Conversion()
    try:
        _fill(result, data_of(text, result), Target(place, keys_directory.rstrip("/"), role))
    except UnreadableError as error:
        result.document = None
        result.problems.append(error.problem)
    return result


def _fill(result: Conversion, data: dict[str, LocatedNode], wanted: Target) -> None:
    """Fill the *result* from the keys of the ConfigMap."""
    known = named(data, DATA_KEYS, "", result)
    beside = GlobalKeys(result, wanted.place)
    beside.read(known)
    if sum(key_of(each) == RRSA for each in data) > 1:
        beside.rrsa = "unreadable"  # the second one may be what is meant
    registries = Registries(result, wanted, beside)
    name, info = known.get(REGISTRIES, (REGISTRIES, LocatedNode(1, "")))
    result.document = {
        "apiVersion": API_VERSION,
        "kind": "ProviderSettings",
        "registries": [each for entry in entries(name, info, result) for each in registries.of(*entry)],
    }
    if wanted.place == "controller":
        # What is documented as the usual value; and system namespaces are as good as any other there.
        usual = {"serviceAccounts": ["default"], "namespaces": ["default"], "excludedNamespaces": []}
        result.document["pullSecrets"] = usual | beside.pull_secrets
    if any(each["identity"]["kind"] == "nodeRole" for each in result.document["registries"]):
        result.note(
            info, "entries without a key of their own start from the RAM role of the node (tokenMode workerRole)"
        )
