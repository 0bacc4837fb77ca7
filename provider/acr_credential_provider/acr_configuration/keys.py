"""The documented keys, and the spellings in which people write them."""

from __future__ import annotations

import re

from .yaml_repair import Repairer

REGISTRIES = "acr-registry-info"
RRSA = "rrsa"
"""The one key beside the registries that says who asks."""

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
    each.lower(): each
    for each in (
        "instanceId",
        "regionId",
        "domains",
        "assumeRoleARN",
        "expireDuration",
        "rrsaRoleARN",
        "rrsaOIDCProviderRoleARN",
        "customAccessKey",
        "customAccessKeySecret",
    )
}
_OTHER_KEYS = ("enable", "failure-policy", "timeout-seconds", "data", "kind", "apiVersion", "metadata")
MANIFEST_KEYS = frozenset(  # of a ConfigMap, or of its metadata where the indentation went wrong
    [
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
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "labels",
        "annotations",
        "managedFields",
        "generation",
    ]
)
_SPELLINGS = frozenset(
    {*ENTRY_KEYS, *DATA_KEYS, *DATA_KEYS.values(), *_OTHER_KEYS, "acr_registry_info", "AcrInstanceInfo"}
)
REPAIRER = Repairer(_SPELLINGS, opaque=frozenset({"customAccessKeySecret"}))
ENTRY_REPAIRER = Repairer(frozenset(ENTRY_KEYS), opaque=frozenset({"customAccessKeySecret"}))

_NATIVE = re.compile(
    r"\bProviderSettings\b|aliyun-acr-credential-provider/v|^\s*[\"']?registries[\"']?\s*:", re.MULTILINE
)
_OURS = re.compile(
    r"\bConfigMap\b|acr-(?:registry-info|configuration|api-version)|AcrInstanceInfo|watch-?namespace|expiring-?threshold"
    r"|instance-?id|webhook-?configuration|service-?account",
    re.IGNORECASE,
)


def key_of(spelled: str) -> str | None:
    """Return the key of the ConfigMap that *spelled* is, as documented; None for none."""
    return DATA_KEYS.get(re.sub(r"[-_\s]", "", spelled).lower())


def is_one(text: str) -> bool:
    """Say whether *text* is meant as an acr-configuration, however broken, and not as our own settings."""
    return _NATIVE.search(text) is None and _OURS.search(text) is not None


def is_key(name: str) -> bool:
    """Return True if *name* is a key of an acr-configuration's data, in any of its spellings."""
    return re.sub(r"[-_]", "", name).lower() in DATA_KEYS
