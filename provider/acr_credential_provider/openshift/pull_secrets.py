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
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.pull_secrets.model.names import TEMPORARY_USER

from . import docker_config
from .auth_paths import host_of, is_below, path_of, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from acr_credential_provider.sources.basic_auth import BasicAuth

KUBELET_TYPE = "kubernetes.io/dockerconfigjson"
PULL_SECRET_TYPES = {KUBELET_TYPE: ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
"""The types that a kubelet reads, and the data key of each."""
PODMAN_TYPE = "kubernetes.io/podmanconfigjson"
"""The type that ``oc create secret generic`` gives to podman's file, as documented; no kubelet reads it."""
FILE_KEYS = (*PULL_SECRET_TYPES.values(), "config.json", "auth.json")
"""The data keys under which Secrets of any type hold a container client's file."""
LISTS = {"pull": "imagePullSecrets", "mount": "secrets"}
"""The list of a ServiceAccount for each purpose that ``oc secrets link --for`` knows."""
GLOBAL = ("openshift-config", "pull-secret")
"""Namespace and name of the Secret that all nodes of an OpenShift cluster pull with."""

RELEASES = (
    "quay.io/openshift-release-dev",
    "registry.redhat.io",
    "registry.connect.redhat.io",
    "cloud.openshift.com",
)
"""Where OpenShift's own images come from, and where a cluster reports to."""

Patch = list[dict[str, Any]]
"""Operations of a JSON patch (RFC 6902)."""


def file_key(secret: Mapping[str, Any]) -> str:
    """Return the data key of the container client's file in *secret*, "" if it has none or several."""
    data = secret.get("data") or {}
    kind = secret.get("type")
    if kind in PULL_SECRET_TYPES:
        keys = [key for key in data if key == PULL_SECRET_TYPES[kind]]
    else:
        keys = [key for key in data if key in FILE_KEYS] or (list(data) if kind == PODMAN_TYPE else [])
    return keys[0] if len(keys) == 1 else ""


def link(service_account: Mapping[str, Any], secrets: Sequence[str], purposes: Sequence[str] = ("pull",)) -> Patch:
    """Return the patch that adds *secrets* to *service_account* for *purposes*; empty if all are there.

    It fits this version of the object only, and appends: order and entries of others stay.
    """
    operations = [each for purpose in purposes for each in _additions(service_account, LISTS[purpose], secrets)]
    return [_test_version(service_account), *operations] if operations else []


def _additions(service_account: Mapping[str, Any], field_name: str, secrets: Sequence[str]) -> Patch:
    linked = service_account.get(field_name) or []
    names = {entry.get("name") for entry in linked}
    missing = [{"name": name} for name in dict.fromkeys(secrets) if name not in names]
    if not missing:
        return []
    if not linked:  # there is no list to append to; the test of the version keeps another new list from being lost
        return [{"op": "add", "path": f"/{field_name}", "value": missing}]
    return [{"op": "add", "path": f"/{field_name}/-", "value": entry} for entry in missing]


def unlink(service_account: Mapping[str, Any], secrets: Sequence[str], purposes: Sequence[str] = ("pull",)) -> Patch:
    """Return the patch that removes *secrets* from the lists for *purposes* only; empty if none is there."""
    removals = []
    for field_name in (LISTS[purpose] for purpose in purposes):
        linked = service_account.get(field_name) or []
        indexes = [index for index, entry in enumerate(linked) if entry.get("name") in secrets]
        # From the end, because each removal moves the entries after it.
        removals += [{"op": "remove", "path": f"/{field_name}/{index}"} for index in reversed(indexes)]
    return [_test_version(service_account), *removals] if removals else []


def image_puller(source: str, target: str, service_account: str = "") -> dict[str, Any]:
    """Return the RoleBinding by which Pods of the project *source* pull images of the project *target*.

    With *service_account*, only its Pods. It is for OpenShift's internal registry. The colons keep two grants from
    having one name, which would take back the first: no other name of Kubernetes has one.
    """
    if service_account:
        subject = {"kind": "ServiceAccount", "namespace": source, "name": service_account}
    else:
        group = f"system:serviceaccounts:{source}"
        subject = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": group}
    name = ":".join(["image-puller", source, *([service_account] if service_account else [])])
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
    remedy = Remedy("AuthFileInvalid", "Repair it first; nothing was changed.")
    try:
        name = docker_config.auths_key(document)
    except ValueError as error:
        raise ConfigurationError(f"{source} {error}", remedy=remedy) from None
    auths = document.get(name)
    if not isinstance(auths, dict):
        raise ConfigurationError(f"{source} has no auths", remedy=remedy)
    spellings: dict[str, list[str]] = {}  # by place: a login that stayed under another one would be tried too
    for key in auths:
        spellings.setdefault(place_of(path_of(key) or key), []).append(key)
    new = dict(auths)
    added: list[str] = []
    changed: list[str] = []
    unchanged: list[str] = []
    for path, login in sorted(logins.items()):
        for key in spellings.get(place_of(path), [path]):
            if key in auths and _has(auths[key], login):
                unchanged.append(key)
            else:
                (changed if key in auths else added).append(key)
                new[key] = docker_config.entry(login)
    return Merge(
        json.dumps(document | {name: new}, separators=(",", ":")).encode(),
        tuple(added),
        tuple(changed),
        tuple(unchanged),
        kept=len(auths) - len(changed) - len(unchanged),
    )


def replace_content(secret: Mapping[str, Any], content: bytes) -> Patch:
    """Return the patch that puts *content* into this version of a dockerconfigjson *secret*."""
    value = b64encode(content).decode("ascii")
    return [_test_version(secret), {"op": "replace", "path": "/data/.dockerconfigjson", "value": value}]


def wanted(hosts: Sequence[str]) -> Callable[[str], bool]:
    """Return what says whether a path is at or below one of *hosts* (HOST or HOST/PATH); without any, whether ACR's.

    Raises `ConfigurationError` for what is no such path.
    """
    if not hosts:
        return lambda path: recognise(host_of(path)) is not None
    places = [docker_config.named_path(host) for host in hosts]
    return lambda path: any(is_below(path, place) for place in places)


def _has(value: Any, login: BasicAuth) -> bool:
    try:
        return docker_config.login_of(value) == login
    except ValueError:
        return False


def warnings(logins: Mapping[str, BasicAuth]) -> list[str]:
    """Return warnings about *logins* that are about to go to every node of a cluster."""
    temporary = sorted(key for key, login in logins.items() if login.username.startswith(TEMPORARY_USER))
    advice = (
        "an authorization token of ACR, which ends within the hour; on nodes use the plugin, in namespaces the "
        "pull-secrets controller, or give a password that lasts (identity basicAuth)"
    )
    return [f"{', '.join(temporary)}: {advice}"] if temporary else []


def release_warnings(merge: Merge) -> list[str]:
    """Return a warning if *merge*, of the global pull secret, decides how OpenShift's own images are pulled."""
    keys = [key for key in (*merge.added, *merge.changed) if _is_for_releases(place_of(path_of(key) or key))]
    advice = "nodes pull OpenShift's own images with it: check that the new login may pull these"
    return [f"{', '.join(map(plain_text, keys))}: {advice}"] if keys else []


def _is_for_releases(place: str) -> bool:
    # A kubelet compares prefixes, not path elements.
    return any(release.startswith(place) or place.startswith(release) for release in RELEASES)


def _test_version(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"op": "test", "path": "/metadata/resourceVersion", "value": document["metadata"]["resourceVersion"]}
