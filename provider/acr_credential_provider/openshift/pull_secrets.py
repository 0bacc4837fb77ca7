"""OpenShift's ways with pull secrets as values: what to patch, what to merge, what to grant.

None of it touches what others keep in the same lists: OpenShift's own controller keeps
``*-dockercfg-*`` entries in every ServiceAccount, and the global pull secret lets the
cluster's own images be pulled.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.acr_hosts import recognise
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.model.names import TEMPORARY_USER

from . import docker_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from acr_credential_provider.sources.basic_auth import BasicAuth

PULL_SECRET_TYPES = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
"""What a kubelet reads, and the key of it."""
PODMAN_TYPE = "kubernetes.io/podmanconfigjson"
"""What ``oc create secret generic`` makes of podman's file as it is documented; no kubelet reads it."""
GLOBAL = ("openshift-config", "pull-secret")
"""Namespace and name of the Secret that all nodes of an OpenShift cluster pull with."""
IMAGE_PULLER = "system:image-puller"

Operations = list[dict[str, Any]]


def link(service_account: Mapping[str, Any], secrets: Sequence[str]) -> Operations:
    """Return the JSON patch that adds *secrets* to the imagePullSecrets of *service_account*; empty: all are there.

    It holds for this version of it only, and appends: order and entries of others stay.
    """
    listed = service_account.get("imagePullSecrets") or []
    names = {each.get("name") for each in listed}
    missing = [{"name": each} for each in dict.fromkeys(secrets) if each not in names]
    if not missing:
        return []
    if not listed:  # there is nothing to append to; the test above the patch holds off whoever makes a list meanwhile
        return [_unchanged(service_account), {"op": "add", "path": "/imagePullSecrets", "value": missing}]
    return [_unchanged(service_account)] + [
        {"op": "add", "path": "/imagePullSecrets/-", "value": each} for each in missing
    ]


def unlink(service_account: Mapping[str, Any], secrets: Sequence[str]) -> Operations:
    """Return the JSON patch that takes *secrets* out of the imagePullSecrets, and only there; empty: none is in it."""
    listed = service_account.get("imagePullSecrets") or []
    places = [place for place, each in enumerate(listed) if each.get("name") in secrets]
    if not places:
        return []
    # From the end, for each removal moves what comes after it.
    return [_unchanged(service_account)] + [
        {"op": "remove", "path": f"/imagePullSecrets/{place}"} for place in reversed(places)
    ]


def image_puller(source: str, target: str, service_account: str = "") -> dict[str, Any]:
    """Return the RoleBinding by which Pods of the project *source* pull images of the project *target*.

    With *service_account* only its Pods. It is for OpenShift's internal registry.
    """
    if service_account:
        subject = {"kind": "ServiceAccount", "namespace": source, "name": service_account}
    else:
        group = f"system:serviceaccounts:{source}"
        subject = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": group}
    name = "-".join(["image-puller", source, *([service_account] if service_account else [])])
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": target},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": IMAGE_PULLER},
        "subjects": [subject],
    }


@dataclass(frozen=True, slots=True)
class Merge:
    """A pull secret with logins added: its new *content*, and what became of each path."""

    content: bytes = field(repr=False)
    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept: int
    """How many paths of others are in it, as they were."""

    def diff(self) -> str:
        """Return what changes, a path a line, without any login."""
        lines = [f"+ {each}" for each in self.added] + [f"~ {each}" for each in self.changed]
        lines += [f"= {each}" for each in self.unchanged]
        return "\n".join([*lines, f"  ({self.kept} others stay as they are)"])


def merge(content: bytes, logins: Mapping[str, BasicAuth], *, what: str) -> Merge:
    """Return the pull secret *content* with *logins* in it and all else as it was.

    Raises `ConfigurationError` where *content* cannot be read: whoever overwrote it would
    take the cluster's own logins away.
    """
    document = docker_config.load(content, what=what)
    auths = document.get("auths")
    if not isinstance(auths, dict):
        raise ConfigurationError(f"{what} has no auths", remedy="Repair it first; nothing was changed.")
    keys = {docker_config.path_of(key): key for key in auths}
    added, changed, unchanged = [], [], []
    new = dict(auths)
    for path, login in sorted(logins.items()):
        key = keys.get(docker_config.path_of(path), path)
        old = docker_config.parse(json.dumps({"auths": {key: auths[key]}}), what=what).logins if key in auths else {}
        if key not in auths:
            added.append(key)
        elif old.get(key) == login:
            unchanged.append(key)
            continue
        else:
            changed.append(key)
        new[key] = docker_config.entry(login)
    kept = len(auths) - len(changed) - len(unchanged)
    return Merge(
        json.dumps(document | {"auths": new}, separators=(",", ":")).encode(),
        tuple(added),
        tuple(changed),
        tuple(unchanged),
        kept,
    )


def replace_content(secret: Mapping[str, Any], content: bytes) -> Operations:
    """Return the JSON patch that puts *content* into this version of a dockerconfigjson *secret*."""
    value = b64encode(content).decode("ascii")
    return [_unchanged(secret), {"op": "replace", "path": "/data/.dockerconfigjson", "value": value}]


def ours(logins: Mapping[str, BasicAuth], hosts: Sequence[str]) -> tuple[dict[str, BasicAuth], list[str]]:
    """Return what of *logins* is ACR's or of one of the *hosts* that were named, and the paths that are not."""
    wanted = {docker_config.host_of(each) for each in hosts}
    mine = {
        key: login
        for key, login in logins.items()
        if docker_config.host_of(key) in wanted or (not wanted and recognise(docker_config.host_of(key)))
    }
    return mine, [key for key in logins if key not in mine]


def warnings(logins: Mapping[str, BasicAuth]) -> list[str]:
    """Return what to know before *logins* go to every node of a cluster."""
    short = sorted(key for key, login in logins.items() if login.username.startswith(TEMPORARY_USER))
    advice = (
        "an authorization token of ACR, which ends within the hour; on nodes use the plugin, in namespaces the "
        "pull-secrets controller, or give a password that lasts (identity login)"
    )
    return [f"{', '.join(short)}: {advice}"] if short else []


def _unchanged(found: Mapping[str, Any]) -> dict[str, Any]:
    version = found["metadata"]["resourceVersion"]
    return {"op": "test", "path": "/metadata/resourceVersion", "value": version}
