"""OpenShift's operations on pull secrets as values: patches for links, merged contents, grants.

None of them touches entries of others: OpenShift's own controller keeps ``*-dockercfg-*`` entries in every
ServiceAccount, and the cluster's own images are pulled by the global pull secret.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.model.acr_hosts import recognise
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.model.names import TEMPORARY_USER

from . import docker_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from acr_credential_provider.sources.basic_auth import BasicAuth

KUBELET_TYPE = "kubernetes.io/dockerconfigjson"
PULL_SECRET_TYPES = {KUBELET_TYPE: ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
"""The types that a kubelet reads, and the data key of each."""
PODMAN_TYPE = "kubernetes.io/podmanconfigjson"
"""The type that ``oc create secret generic`` gives to podman's file, as documented; no kubelet reads it."""
GLOBAL = ("openshift-config", "pull-secret")
"""Namespace and name of the Secret that all nodes of an OpenShift cluster pull with."""

Patch = list[dict[str, Any]]
"""Operations of a JSON patch (RFC 6902)."""


def link(service_account: Mapping[str, Any], secrets: Sequence[str]) -> Patch:
    """Return the patch that adds *secrets* to the imagePullSecrets of *service_account*; empty if all are there.

    It fits this version of the object only, and appends: order and entries of others stay.
    """
    linked = service_account.get("imagePullSecrets") or []
    names = {entry.get("name") for entry in linked}
    missing = [{"name": name} for name in dict.fromkeys(secrets) if name not in names]
    if not missing:
        return []
    if not linked:  # there is no list to append to; the test of the version keeps another new list from being lost
        return [_test_version(service_account), {"op": "add", "path": "/imagePullSecrets", "value": missing}]
    additions = [{"op": "add", "path": "/imagePullSecrets/-", "value": entry} for entry in missing]
    return [_test_version(service_account), *additions]


def unlink(service_account: Mapping[str, Any], secrets: Sequence[str]) -> Patch:
    """Return the patch that removes *secrets* from the imagePullSecrets only; empty if none is there."""
    linked = service_account.get("imagePullSecrets") or []
    indexes = [index for index, entry in enumerate(linked) if entry.get("name") in secrets]
    # From the end, because each removal moves the entries after it.
    removals = [{"op": "remove", "path": f"/imagePullSecrets/{index}"} for index in reversed(indexes)]
    return [_test_version(service_account), *removals] if removals else []


def image_puller(source: str, target: str, service_account: str = "") -> dict[str, Any]:
    """Return the RoleBinding by which Pods of the project *source* pull images of the project *target*.

    With *service_account*, only its Pods. It is for OpenShift's internal registry.
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
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:image-puller"},
        "subjects": [subject],
    }


@dataclass(frozen=True, slots=True)
class Merge:
    """A pull secret with logins added: its new *content*, and the paths of the logins by outcome."""

    content: bytes = field(repr=False)
    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept: int
    """The number of other paths, which stay as they were."""

    def diff(self) -> str:
        """Return the paths by outcome, one a line, without any login."""
        marks = (("+", self.added), ("~", self.changed), ("=", self.unchanged))
        lines = [f"{mark} {plain_text(path)}" for mark, paths in marks for path in paths]
        return "\n".join([*lines, f"  ({self.kept} others stay as they are)"])


def merge(content: bytes, logins: Mapping[str, BasicAuth], *, source: str) -> Merge:
    """Return the pull secret *content* with *logins* in it and all else as it was; errors name its *source*.

    Raises `ConfigurationError` if *content* cannot be read: to overwrite it would remove the cluster's own logins.
    """
    document = docker_config.load(content, source=source)
    auths = document.get("auths")
    if not isinstance(auths, dict):
        raise ConfigurationError(f"{source} has no auths", remedy="Repair it first; nothing was changed.")
    keys = {docker_config.path_of(key): key for key in auths}
    new = dict(auths)
    added: list[str] = []
    changed: list[str] = []
    unchanged: list[str] = []
    for path, login in sorted(logins.items()):
        key = keys.get(docker_config.path_of(path), path)
        if key in auths and docker_config.login_of(auths[key]) == login:
            unchanged.append(key)
        else:
            (changed if key in auths else added).append(key)
            new[key] = docker_config.entry(login)
    return Merge(
        json.dumps(document | {"auths": new}, separators=(",", ":")).encode(),
        tuple(added),
        tuple(changed),
        tuple(unchanged),
        kept=len(auths) - len(changed) - len(unchanged),
    )


def replace_content(secret: Mapping[str, Any], content: bytes) -> Patch:
    """Return the patch that puts *content* into this version of a dockerconfigjson *secret*."""
    value = b64encode(content).decode("ascii")
    return [_test_version(secret), {"op": "replace", "path": "/data/.dockerconfigjson", "value": value}]


def select(logins: Mapping[str, BasicAuth], hosts: Sequence[str]) -> tuple[dict[str, BasicAuth], list[str]]:
    """Return those of *logins* that are for one of *hosts* (without any: for ACR), and the paths of the others."""
    named = {docker_config.host_of(host) for host in hosts}
    selected = {}
    for key, login in logins.items():
        host = docker_config.host_of(key)
        if host in named or (not named and recognise(host)):
            selected[key] = login
    return selected, [key for key in logins if key not in selected]


def warnings(logins: Mapping[str, BasicAuth]) -> list[str]:
    """Return warnings about *logins* that are about to go to every node of a cluster."""
    temporary = sorted(key for key, login in logins.items() if login.username.startswith(TEMPORARY_USER))
    advice = (
        "an authorization token of ACR, which ends within the hour; on nodes use the plugin, in namespaces the "
        "pull-secrets controller, or give a password that lasts (identity basicAuth)"
    )
    return [f"{', '.join(temporary)}: {advice}"] if temporary else []


def _test_version(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"op": "test", "path": "/metadata/resourceVersion", "value": document["metadata"]["resourceVersion"]}
