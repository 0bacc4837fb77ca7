"""The documented keys, and the spellings in which people write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .yaml_repair import Repairer

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_KEY = 40
REGISTRIES = "acr-registry-info"
RRSA = "rrsa"
"""The one key outside the registry list that decides the identity."""
NESTED_KEYS = frozenset({REGISTRIES, RRSA, "webhook-configuration"})
"""Keys whose value is YAML in a text."""

DATA_KEYS = {  # spellings without "-", "_" and capitals -> the key as documented
    "serviceaccount": "service-account",
    "watchnamespace": "watch-namespace",
    "expiringthreshold": "expiring-threshold",
    "notifyemail": "notify-email",
    "acrapiversion": "acr-api-version",
    "acrregistryinfo": REGISTRIES,
    "acrinstanceinfo": REGISTRIES,
    "rrsa": RRSA,
    "enablerrsa": RRSA,
    "webhookconfiguration": "webhook-configuration",
    "acrregistry": "acr-registry",
    "tokenmode": "tokenMode",
}
ENTRY_KEYS = {
    key.lower(): key
    for key in (
        *("instanceId", "regionId", "domains", "assumeRoleARN", "expireDuration", "rrsaRoleARN"),
        *("rrsaOIDCProviderRoleARN", "customAccessKey", "customAccessKeySecret"),
    )
}
_OTHER_KEYS = ("enable", "failure-policy", "timeout-seconds", "data", "kind", "apiVersion", "metadata")
MANIFEST_KEYS = frozenset(  # of a ConfigMap, or of its metadata where the indentation went wrong
    (
        *(
            "apiVersion",
            "kind",
            "metadata",
            "data",
            "immutable",
            "binaryData",
            "status",
            "name",
            "namespace",
            "selfLink",
        ),
        *("uid", "resourceVersion", "creationTimestamp", "labels", "annotations", "managedFields", "generation"),
    )
)
_SPELLINGS = frozenset(
    {*ENTRY_KEYS, *DATA_KEYS, *DATA_KEYS.values(), *_OTHER_KEYS, "acr_registry_info", "AcrInstanceInfo"}
)
REPAIRER = Repairer(_SPELLINGS, opaque=frozenset({"customAccessKeySecret"}))
ENTRY_REPAIRER = Repairer(frozenset(ENTRY_KEYS), opaque=frozenset({"customAccessKeySecret"}))

_NATIVE = re.compile(
    r"\bProviderSettings\b|aliyun-acr-credential-provider/v|^\s*[\"']?registries[\"']?\s*:", re.MULTILINE
)
_ACR_CONFIGURATION = re.compile(
    r"\bConfigMap\b|acr-(?:registry-info|configuration|api-version|credential-helper)|AcrInstanceInfo|watch-?namespace|expiring-?threshold"
    r"|instance-?id|webhook-?configuration|service-?account",
    re.IGNORECASE,
)


def documented_key(spelled: str, keys: Mapping[str, str] = DATA_KEYS) -> str | None:
    """Return the key that *spelled* means, as documented, or None if it is not one of *keys*.

    Signs that a message cannot show are part of no key.
    """
    return keys.get(re.sub("[-_ ]", "", spelled).lower()) if len(spelled) <= _LONGEST_KEY else None


def is_one(text: str) -> bool:
    """True if *text* is meant as an acr-configuration, however broken, and not as our own settings."""
    return _NATIVE.search(text) is None and _ACR_CONFIGURATION.search(text) is not None


def is_native(text: str) -> bool:
    """True if *text* is meant as our own settings."""
    return _NATIVE.search(text) is not None


def is_key(name: str) -> bool:
    """True if *name* is a key of an acr-configuration's data, in any of its spellings."""
    return documented_key(name) is not None
