"""Prints packaging/chart/values.schema.json: which values the chart takes, with the settings' own schema in it.

Helm of version 3 knows JSON Schema up to draft 7, and its regular expressions are those of Go.
"""

from __future__ import annotations

import copy
import json
import re
import sys
from typing import Any

from acr_credential_provider.settings.identity_kinds import KINDS
from pydantic.alias_generators import to_camel

from generate import kubernetes_shapes as k8s
from generate import settings_schema
from generate.kubernetes_shapes import Schema, array, choice, fixed, number

LONGEST_REPETITION = 1000
"""The largest count that a regular expression of Go may have."""
SUBCHART = {
    "global": ({"type": "object"}, "Values of a chart around this one. None is used."),
    "enabled": ({"type": "boolean"}, "For a chart around this one: its `condition` may name it. Without effect here."),
}
"""What only a chart around this one sets; there is no default."""
NOT_IN_DRAFT_7 = ("title", "default", "discriminator")
"""Keywords of the settings' schema that judge nothing, and one that only OpenAPI has."""
HOST = {"type": "string", "pattern": "^([a-z0-9][a-z0-9._-]*|[0-9a-f]*:[0-9a-f:.]+)$"}
REPOSITORY = (
    r"^(([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?/)?"
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$|^$"
)
BOOLEAN = {"type": "boolean"}
Described = tuple[Schema, str]


def shared(name: str) -> Schema:
    """Return a reference to the definition called *name*."""
    kind = {"type": "array"} if name in ARRAYS else {"type": "object"}
    return {**kind, "allOf": [{"$ref": f"#/definitions/{name}"}]}


DEFINITIONS: dict[str, Schema] = {
    "labels": k8s.LABELS,
    "annotations": k8s.ANNOTATIONS,
    "nodeSelector": k8s.NODE_SELECTOR,
    "selector": k8s.SELECTOR,
    "affinity": k8s.AFFINITY,
    "tolerations": array(k8s.TOLERATION),
    "topologySpreadConstraints": array(k8s.SPREAD),
    "resources": k8s.RESOURCES,
    "env": array(k8s.ENV),
    "volumeMounts": array(k8s.MOUNT),
    "peers": array(k8s.PEER),
    "egress": array(k8s.EGRESS),
}
ARRAYS = {name for name, each in DEFINITIONS.items() if each["type"] == "array"}


def group(text: str, **values: Described) -> Described:
    """Return an object of *values*, which have defaults: one that is set to null would be missing."""
    schema = fixed(**{name: {**each, "description": about} for name, (each, about) in values.items()})
    return {**schema, "required": [name for name, each in schema["properties"].items() if not is_optional(each)]}, text


def is_optional(schema: Schema) -> bool:
    """True if templates take a missing value for an empty one: maps and lists of the operator's own."""
    return schema["type"] in ("object", "array") and not {"properties", "minItems"} & schema.keys()


def service_account(default: str) -> Described:
    return group(
        "The ServiceAccount of the Pods.",
        create=(BOOLEAN, "Whether the release creates it. False: it exists, and a name is needed."),
        name=(k8s.NAME_OR_NONE, f"Its name. Default: {default}."),
        annotations=(shared("annotations"), "Its annotations."),
    )


NETWORK_POLICY = group(
    "A NetworkPolicy for the Pods.",
    enabled=(
        BOOLEAN,
        "Whether there is one. Egress only to DNS, the API server and what they need; ingress only to their ports.",
    ),
    extraEgress=(shared("egress"), "More rules of egress, for example to a proxy."),
)


def pods(container: str, taken: list[str]) -> dict[str, Described]:
    """Return the values that Pods of both kinds have; *container* gets variables and mounts."""
    return {
        "priorityClassName": (k8s.NAME_OR_NONE, "The Pods' priority class."),
        "nodeSelector": (shared("nodeSelector"), "Labels of the nodes to run on."),
        "tolerations": (shared("tolerations"), "Taints that the Pods tolerate."),
        "podAnnotations": (shared("annotations"), "The Pods' annotations."),
        "podLabels": (shared("labels"), "More labels of the Pods."),
        "extraEnv": (shared("env"), f"More environment variables of the {container}."),
        "extraVolumes": (array(k8s.volume(*taken)), "More volumes of the Pods."),
        "extraVolumeMounts": (shared("volumeMounts"), f"Where the {container} mounts them."),
    }


PLUGIN = group(
    "The DaemonSet that installs the plugin on nodes and repairs it.",
    enabled=(BOOLEAN, "Whether there is one."),
    uninstall=(BOOLEAN, "Whether to return each node to its previous state instead. Then delete the release."),
    settings=({"type": "object"}, "The plugin's settings file, without apiVersion and kind."),
    installer=(array({"type": "string"}), "Options of `node install`."),
    rollout=group(
        "How changes reach the nodes.",
        restartsAtOnce=(number(0, 100), "Number of nodes that may restart their kubelet at the same time. 0: all."),
        settingsSpreadSeconds=(
            number(0, 86400),
            "The nodes apply new settings at different moments within these seconds.",
        ),
        maxUnavailable=(
            {
                "type": ["string", "integer"],
                "anyOf": [{"type": "string", "pattern": k8s.PERCENT}, number(1, k8s.MAX_INT)],
            },
            "Nodes whose Pod may be replaced at the same time: a number or a percentage.",
        ),
    ),
    allowOwnImage=(BOOLEAN, "Whether to allow an image that only the plugin can pull, for example a preloaded one."),
    serviceAccountTokens=(
        BOOLEAN,
        "Whether nodes may request ServiceAccount tokens for the audience, for identities of kind serviceAccount.",
    ),
    audience=({"type": "string", "pattern": "^[!-~]{1,255}$"}, "The audience of those tokens."),
    privileged=(BOOLEAN, "Whether the agent is privileged. Otherwise it has four capabilities."),
    ownNodeOnly=(BOOLEAN, "Whether a policy limits a reporter to its own node (Kubernetes 1.30 and newer)."),
    serviceAccount=service_account("the chart's"),
    networkPolicy=NETWORK_POLICY,
    affinity=(shared("affinity"), "The Pods' affinity. The rule that keeps them off virtual nodes is added to it."),
    **pods("agent container", ["host", "settings", "credentials", "status", "grants", "token"]),
    agentResources=(shared("resources"), "Resource requests and limits of the agent container."),
    reporterResources=(shared("resources"), "Resource requests and limits of the reporter container."),
)
CONTROLLER = group(
    "The Deployment that maintains ServiceAccounts' imagePullSecrets.",
    enabled=(BOOLEAN, "Whether there is one."),
    settings=({"type": "object"}, "The controller's settings file, without apiVersion and kind."),
    configMap=(
        {"type": "string", "pattern": f"^({k8s.NAME_OF_VOLUME['pattern'].strip('^$')}/{k8s.SUBDOMAIN})?$"},
        "An existing ConfigMap instead of settings, as NAMESPACE/NAME. Default: kube-system/acr-configuration.",
    ),
    replicas=(number(1, 10), "Number of replicas. One writes, all serve the webhook."),
    serviceAccount=service_account("one per release"),
    tokenMode=(
        choice("auto", "managedRole", "workerRole"),
        "Identity for entries of an acr-configuration that name none.",
    ),
    takeOver=(BOOLEAN, "Whether to replace the entries of a running aliyun-acr-credential-helper."),
    webhook=group(
        "The admission webhook for ServiceAccounts.",
        enabled=(
            BOOLEAN,
            "Whether to grant its rights, for an acr-configuration that enables it. Settings that do need no more.",
        ),
    ),
    admissionPolicy=group(
        "The admission policy for ServiceAccounts.",
        enabled=(
            BOOLEAN,
            "Whether the release has it (Kubernetes 1.36 and newer), for settings with admission.mode auto or policy.",
        ),
    ),
    ownObjectsOnly=(BOOLEAN, "Whether a policy limits the controller to its own objects (Kubernetes 1.30 and newer)."),
    logLevel=(choice("debug", "info", "warning", "error"), "The log level."),
    affinity=(shared("affinity"), "The Pods' affinity. Default: replicas on different nodes."),
    topologySpreadConstraints=(
        shared("topologySpreadConstraints"),
        "How replicas spread. Without a labelSelector, the controller's own Pods are counted.",
    ),
    **pods("controller", ["keys", "scratch", "rrsa-token", "managed-role", "addon-secret", "credentials"]),
    resources=(shared("resources"), "Resource requests and limits of a replica."),
    podDisruptionBudget=group(
        "A PodDisruptionBudget.",
        enabled=(BOOLEAN, "Whether there is one. It lets one replica go at a time, also a single one."),
    ),
    networkPolicy=NETWORK_POLICY,
)
WHOLE = group(
    "Values of the chart aliyun-acr-credential-provider.",
    **SUBCHART,
    commonLabels=(shared("labels"), "Labels of all objects and Pods."),
    image=group(
        "The image of all containers.",
        repository=(
            {"type": "string", "pattern": REPOSITORY},
            "Its registry path, without tag and digest. Required; nodes must be able to pull it without the plugin.",
        ),
        tag=(
            {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"},
            "Its tag. Default: the chart's appVersion.",
        ),
        digest=(
            {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            "Its digest. Takes precedence over the tag.",
        ),
        pullPolicy=(choice("IfNotPresent", "Always", "Never"), "The image pull policy."),
        pullSecrets=(array(k8s.NAME_OF_OBJECT, uniqueItems=True), "Names of Secrets for pulling the image."),
    ),
    platform=(
        choice("generic", "ack", "openshift", "k3s"),
        "The platform of the cluster. Adds the objects that only this platform needs.",
    ),
    credentialsSecret=(
        k8s.NAME_OR_NONE,
        "Name of a Secret in the release's namespace. Its keys become the files that the settings name.",
    ),
    allowedHosts=(
        array(HOST),
        "Hosts, besides Alibaba Cloud's, to which settings may send credentials: endpoints, proxy, basicAuth domains.",
    ),
    plugin=PLUGIN,
    pullSecrets=CONTROLLER,
    metricsFrom=(shared("peers"), "Peers of a NetworkPolicy that may read metrics. Empty: all."),
    apiServerPorts=(
        array(number(1, 65535), minItems=1),
        "Ports of the API server's own address, which the NetworkPolicies allow.",
    ),
    podMonitor=group(
        "PodMonitors, for the Prometheus operator.",
        enabled=(BOOLEAN, "Whether there are PodMonitors."),
        interval=({"type": "string", "pattern": "^[1-9][0-9]{0,5}(s|m)$"}, "The scrape interval."),
        labels=(shared("labels"), "Labels by which the Prometheus operator selects them."),
    ),
    prometheusRule=group(
        "PrometheusRules with alerts, for the Prometheus operator.",
        enabled=(BOOLEAN, "Whether there are PrometheusRules."),
        labels=(shared("labels"), "Labels by which the Prometheus operator selects them."),
        runbooks=(
            {"type": "string", "pattern": "^(https?://[!#-\\[\\]-~]+/)?$"},
            "URL of a copy of these documents, with a slash at its end: each alert's runbook_url begins with it.",
        ),
    ),
    dashboards=group(
        "ConfigMaps with dashboards, for the sidecar of Grafana.",
        enabled=(BOOLEAN, "Whether there are ConfigMaps with dashboards."),
        labels=(shared("labels"), "Labels by which the sidecar finds them."),
    ),
)


def page() -> str:
    """Return the schema as JSON text."""
    schema, title = WHOLE
    schema = copy.deepcopy(schema)
    definitions = copy.deepcopy(DEFINITIONS)
    settings = json.loads(settings_schema.page())
    parts = settings.pop("$defs")
    definitions |= {name: narrowed(part) for name, part in parts.items()}
    del settings["$schema"], settings["$id"]  # a second one would change what "#" in its references means
    for place, values in (("node", "plugin"), ("controller", "pullSecrets")):
        definitions[f"settingsOf{place.title()}"] = of_place(narrowed(settings), place)
        at = schema["properties"][values]
        at["properties"]["settings"] |= {
            "anyOf": [{"maxProperties": 0}, {"$ref": f"#/definitions/settingsOf{place.title()}"}],
        }
    schema["properties"]["pullSecrets"]["not"] = {
        "properties": {"settings": {"minProperties": 1}, "configMap": {"minLength": 1}},
        "required": ["settings", "configMap"],
    }
    for accounts in (schema["properties"][each]["properties"]["serviceAccount"] for each in ("plugin", "pullSecrets")):
        accounts["if"] = {"properties": {"create": {"const": False}}, "required": ["create"]}
        accounts["then"] = {"properties": {"name": {"minLength": 1}}}
    schema["required"] = [name for name in schema["required"] if name not in SUBCHART]
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", "title": title.rstrip("."), **schema}
    # A line for each definition: the values are what readers of this file look for.
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(each)}" for name, each in sorted(definitions.items()))
    head = json.dumps(whole, indent=2).removesuffix("\n}")
    return f'{head},\n  "definitions": {{\n{lines}\n  }}\n}}\n'


def of_place(settings: Schema, place: str) -> Schema:
    """Return the schema of *settings* at *place*: whose identities work there, with what they need."""
    schema = copy.deepcopy(settings)
    schema["required"] = ["registries"]  # apiVersion and kind are the chart's to add
    refused = [
        name for name, kind in KINDS.items() if (kind.not_on_node if place == "node" else kind.not_in_controller)
    ]
    rules: list[Schema] = (
        [{"not": {"properties": {"kind": {"enum": refused}}, "required": ["kind"]}}] if refused else []
    )
    for name, kind in KINDS.items() if place == "node" else ():
        if kind.needed_on_node:
            needed = [to_camel(field) for field in kind.needed_on_node]
            there: Schema = {"required": needed, "properties": {field: {"type": "string"} for field in needed}}
            rules.append({"if": {"properties": {"kind": {"const": name}}, "required": ["kind"]}, "then": there})
    registries = schema["properties"]["registries"]
    registries["items"] = (
        {"allOf": [registries["items"], {"properties": {"identity": {"allOf": rules}}}]}
        if rules
        else registries["items"]
    )
    return schema


def narrowed(part: Any) -> Any:
    """Return a *part* of the settings' schema without what draft 7, or Go's regular expressions, do not know."""
    if isinstance(part, list):
        return [narrowed(each) for each in part]
    if not isinstance(part, dict):
        return part
    kept = {name: narrowed(each) for name, each in part.items() if name not in NOT_IN_DRAFT_7}
    if "properties" in part:  # a field may be called like a keyword
        kept["properties"] = {name: narrowed(each) for name, each in part["properties"].items()}
    if "$ref" in kept:
        kept["$ref"] = kept["$ref"].replace("#/$defs/", "#/definitions/")
    pattern = kept.get("pattern", "")
    if (count := re.search(r"\{(\d+),(\d+)\}\$$", pattern)) and int(count[2]) > LONGEST_REPETITION:
        kept |= {"pattern": f"{pattern[: count.start()]}*$", "minLength": int(count[1]), "maxLength": int(count[2])}
    return kept


if __name__ == "__main__":
    sys.stdout.write(page())
