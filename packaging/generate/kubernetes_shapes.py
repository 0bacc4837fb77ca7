"""JSON Schemas of the parts of Kubernetes objects that the chart's values may contain: what an API server accepts.

They are narrower than Kubernetes' own: a field that an operator hardly needs here is left out, and so is refused.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

LABEL = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
SUBDOMAIN = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
IPV4 = r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV6 = r"[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7}"
PERCENT = r"^([1-9]|[1-9][0-9]|100)%$"
MAX_INT = 2147483647
SERVICES = "services"
NAME_OF_LABEL = {"type": "string", "pattern": f"^({SUBDOMAIN}/)?{LABEL}$", "maxLength": 253}
NAME_OF_OBJECT = {"type": "string", "pattern": f"^{SUBDOMAIN}$", "maxLength": 253}
NAME_OR_NONE = {"type": "string", "pattern": f"^({SUBDOMAIN})?$", "maxLength": 253}
NAME_OF_VOLUME = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}
KEY_OF_DATA = {"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$"}
VALUE_OF_LABEL = {"type": "string", "pattern": f"^({LABEL})?$"}
MODE = {"type": "integer", "minimum": 0, "maximum": 0o777}
OURS = [f"app.kubernetes.io/{each}" for each in ("name", "instance", "version", "component", "part-of", "managed-by")]
"""Labels that the chart sets itself."""


def fixed(required: list[str] | None = None, /, **properties: Schema) -> Schema:
    """Return the schema of an object with these *properties* and no others."""
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**schema, "required": required} if required else schema


def array(items: Schema, **limits: int | bool) -> Schema:
    """Return the schema of a list of *items*."""
    return {"type": "array", "items": items, **limits}


def mapping(names: Schema, values: Schema) -> Schema:
    """Return the schema of an object with any properties whose *names* and *values* are like this."""
    return {"type": "object", "propertyNames": names, "additionalProperties": values}


def choice(*words: str) -> Schema:
    """Return the schema of one of these *words*."""
    return {"type": "string", "enum": list(words)}


def number(minimum: int, maximum: int) -> Schema:
    """Return the schema of an integer within these limits."""
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


def either(*names: str) -> list[Schema]:
    """Return what makes a schema take exactly one of the properties called *names*."""
    return [{"required": [name]} for name in names]


def requirement(name: Schema, operators: dict[str, Schema]) -> Schema:
    """Return the schema of an item of matchExpressions; by operator, the schema of its values (False: no values)."""
    kinds = []
    for operator, values in operators.items():
        one = {"key": name, "operator": {"const": operator}, **({"values": values} if values else {})}
        kinds.append(fixed(["key", "operator", *(["values"] if values else [])], **one))
    return {"oneOf": kinds}


SOME_VALUES = array(VALUE_OF_LABEL, minItems=1)
ONE_NUMBER = array({"type": "string", "pattern": "^(0|-?[1-9][0-9]{0,9})$"}, minItems=1, maxItems=1)
SETS = {"In": SOME_VALUES, "NotIn": SOME_VALUES, "Exists": {}, "DoesNotExist": {}}
ONE_NODE = array(NAME_OF_OBJECT, minItems=1, maxItems=1)
LABELS = mapping({"allOf": [NAME_OF_LABEL, {"not": {"enum": [*OURS, "helm.sh/chart"]}}]}, VALUE_OF_LABEL)
ANNOTATIONS = mapping(NAME_OF_LABEL, {"type": "string"})
NODE_SELECTOR = {
    **mapping(NAME_OF_LABEL, VALUE_OF_LABEL),
    "properties": {"kubernetes.io/os": {"const": "linux"}},
}
SELECTOR = fixed(
    matchLabels=mapping(NAME_OF_LABEL, VALUE_OF_LABEL), matchExpressions=array(requirement(NAME_OF_LABEL, SETS))
)
NODE_TERM = {
    **fixed(
        matchExpressions=array(requirement(NAME_OF_LABEL, {**SETS, "Gt": ONE_NUMBER, "Lt": ONE_NUMBER}), minItems=1),
        matchFields=array(requirement({"const": "metadata.name"}, {"In": ONE_NODE, "NotIn": ONE_NODE}), minItems=1),
    ),
    "minProperties": 1,  # an empty term selects no node; with another requirement added it would select nearly all
}
POD_TERM = fixed(
    ["topologyKey", "labelSelector"],
    topologyKey=NAME_OF_LABEL,
    labelSelector=SELECTOR,
    namespaceSelector=SELECTOR,
    namespaces=array(NAME_OF_VOLUME),
)


def preferred(name: str, term: Schema) -> Schema:
    """Return the schema of a list of terms with weights; *name* is the term's property."""
    return array(fixed(["weight", name], **{"weight": number(1, 100), name: term}))


POD_AFFINITY = fixed(
    requiredDuringSchedulingIgnoredDuringExecution=array(POD_TERM),
    preferredDuringSchedulingIgnoredDuringExecution=preferred("podAffinityTerm", POD_TERM),
)
AFFINITY = fixed(
    nodeAffinity=fixed(
        requiredDuringSchedulingIgnoredDuringExecution=fixed(
            ["nodeSelectorTerms"], nodeSelectorTerms=array(NODE_TERM, minItems=1)
        ),
        preferredDuringSchedulingIgnoredDuringExecution=preferred("preference", NODE_TERM),
    ),
    podAffinity=POD_AFFINITY,
    podAntiAffinity=POD_AFFINITY,
)
_EFFECT = choice("NoSchedule", "PreferNoSchedule", "NoExecute")
_FOR_A_TIME = {"effect": {"const": "NoExecute"}, "tolerationSeconds": number(0, MAX_INT)}
_ANY = {"operator": {"const": "Exists"}}
_ONE = {"key": NAME_OF_LABEL, "operator": {"const": "Equal"}, "value": VALUE_OF_LABEL}
TOLERATION = {
    "anyOf": [
        fixed(["operator"], **_ANY, key=NAME_OF_LABEL, effect=_EFFECT),
        fixed(["operator", "effect"], **_ANY, key=NAME_OF_LABEL, **_FOR_A_TIME),
        fixed(["key"], **_ONE, effect=_EFFECT),
        fixed(["key", "effect"], **_ONE, **_FOR_A_TIME),
    ]
}
SPREAD = {
    **fixed(
        ["maxSkew", "topologyKey", "whenUnsatisfiable"],
        maxSkew=number(1, MAX_INT),
        topologyKey=NAME_OF_LABEL,
        whenUnsatisfiable=choice("DoNotSchedule", "ScheduleAnyway"),
        minDomains=number(1, MAX_INT),
        labelSelector=SELECTOR,
        nodeAffinityPolicy=choice("Honor", "Ignore"),
        nodeTaintsPolicy=choice("Honor", "Ignore"),
    ),
    "if": {"required": ["minDomains"]},
    "then": {"properties": {"whenUnsatisfiable": {"const": "DoNotSchedule"}}},
}
QUANTITY = {
    "anyOf": [
        {
            "type": "string",
            "pattern": r"^([1-9][0-9]{0,8}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9])([kMGT]|[KMGT]i)?$|^[1-9][0-9]{0,8}m$",
        },
        number(1, 999999999999),
    ]
}
AMOUNTS = fixed(**{"cpu": QUANTITY, "memory": QUANTITY, "ephemeral-storage": QUANTITY})
RESOURCES = fixed(requests=AMOUNTS, limits=AMOUNTS)
_KEY = fixed(["name", "key"], name=NAME_OF_OBJECT, key=KEY_OF_DATA, optional={"type": "boolean"})
_FIELD = choice(
    *("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"),
    *("status.hostIP", "status.podIP"),
)
ENV = {
    **fixed(
        ["name"],
        name={
            "type": "string",
            "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,126}$",
            "not": {"enum": ["NODE_NAME", "OWN_IMAGE", "POD_NAMESPACE"]},
        },
        value={"type": "string"},
        valueFrom={
            **fixed(secretKeyRef=_KEY, configMapKeyRef=_KEY, fieldRef=fixed(["fieldPath"], fieldPath=_FIELD)),
            "oneOf": either("secretKeyRef", "configMapKeyRef", "fieldRef"),
        },
    ),
    "oneOf": either("value", "valueFrom"),
}
_PATH_BELOW = {"type": "string", "pattern": r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"}
_ITEMS = array(fixed(["key", "path"], key=KEY_OF_DATA, path=_PATH_BELOW, mode=MODE))
_SOURCES = fixed(
    serviceAccountToken=fixed(
        ["path"], path=_PATH_BELOW, audience={"type": "string"}, expirationSeconds=number(600, MAX_INT)
    ),
    configMap=fixed(["name"], name=NAME_OF_OBJECT, optional={"type": "boolean"}, items=_ITEMS),
    secret=fixed(["name"], name=NAME_OF_OBJECT, optional={"type": "boolean"}, items=_ITEMS),
)
_VOLUMES = {
    "configMap": fixed(["name"], name=NAME_OF_OBJECT, optional={"type": "boolean"}, defaultMode=MODE, items=_ITEMS),
    "secret": fixed(
        ["secretName"], secretName=NAME_OF_OBJECT, optional={"type": "boolean"}, defaultMode=MODE, items=_ITEMS
    ),
    "emptyDir": fixed(medium=choice("", "Memory"), sizeLimit={"type": "string", "pattern": "^[1-9][0-9]{0,8}[KMGT]i$"}),
    "persistentVolumeClaim": fixed(["claimName"], claimName=NAME_OF_OBJECT, readOnly={"type": "boolean"}),
    "csi": fixed(
        ["driver"],
        driver={"type": "string", "pattern": f"^{SUBDOMAIN}$", "maxLength": 63},
        readOnly={"type": "boolean"},
        volumeAttributes={"type": "object", "additionalProperties": {"type": "string"}},
    ),
    "projected": fixed(
        ["sources"],
        defaultMode=MODE,
        sources=array({**_SOURCES, "oneOf": either(*_SOURCES["properties"])}, minItems=1),
    ),
}
MOUNT = fixed(
    ["name", "mountPath"],
    name=NAME_OF_VOLUME,
    mountPath={"type": "string", "pattern": r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$"},
    subPath=_PATH_BELOW,
    readOnly={"type": "boolean"},
)


def volume(*taken: str) -> Schema:
    """Return the schema of a volume with another name than those *taken*."""
    name = {**NAME_OF_VOLUME, "not": {"enum": list(taken)}}
    return {**fixed(["name"], name=name, **_VOLUMES), "oneOf": either(*_VOLUMES)}


PORT = fixed(
    ["port"],
    port={
        "anyOf": [
            number(1, 65535),
            {"type": "string", "pattern": "^[a-z]([a-z0-9]|-[a-z0-9]){0,6}$"},
        ]
    },
    protocol=choice("TCP", "UDP", "SCTP"),
)
CIDR = {
    "type": "string",
    "pattern": rf"^({IPV4}/([0-9]|[12][0-9]|3[0-2])|{IPV6}/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$",
}
PEER = {
    "oneOf": [
        fixed(["ipBlock"], ipBlock=fixed(["cidr"], cidr=CIDR)),
        {**fixed(podSelector=SELECTOR, namespaceSelector=SELECTOR), "minProperties": 1},
    ]
}
EGRESS = fixed(ports=array(PORT), to=array(PEER))
