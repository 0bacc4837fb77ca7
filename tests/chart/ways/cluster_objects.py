"""All objects of a cluster, by kind, namespace and name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster.kube import KubeError

if TYPE_CHECKING:
    from cluster.loopback_api import LoopbackApi

OF_RBAC = ("system:", "system-", "cluster-admin", "admin", "edit", "view", "extension-apiserver")
NOT_FOUND = 404
Key = tuple[str, str, str]
OF_THE_CLUSTER = {"Event", "APIService", "FlowSchema", "PriorityLevelConfiguration", "ComponentStatus", "IPAddress"}
"""Kinds of which the API server keeps objects of its own at any time."""


def all_objects(api: LoopbackApi) -> dict[Key, dict[str, Any]]:
    """Return every object that *api* has, but for what it makes itself while it runs."""
    groups = api.get("/apis")["groups"]
    paths = ["/api/v1", *(f"/apis/{each['preferredVersion']['groupVersion']}" for each in groups)]
    found = {}
    for path in paths:
        for resource in api.get(path)["resources"]:
            if "list" not in resource["verbs"] or resource["kind"] in OF_THE_CLUSTER:
                continue
            for each in api.get(f"{path}/{resource['name']}").get("items") or []:
                metadata = each["metadata"]
                where = f"namespaces/{metadata['namespace']}/" if "namespace" in metadata else ""
                each |= {"apiVersion": path.removeprefix("/apis/").removeprefix("/api/"), "kind": resource["kind"]}
                each["path"] = f"{path}/{where}{resource['name']}/{metadata['name']}"
                found[resource["kind"], metadata.get("namespace", ""), metadata["name"]] = each
    return {key: each for key, each in found.items() if not _is_of_the_cluster(key)}


def _is_of_the_cluster(key: Key) -> bool:
    """True for what an API server makes in its first seconds."""
    kind, namespace, name = key
    if kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "PriorityClass"):
        return name.startswith(OF_RBAC)
    return (kind, namespace, name) == ("Service", "default", "kubernetes") or (
        kind == "Lease" and name.startswith("apiserver-")
    )


def delete(api: LoopbackApi, found: dict[str, Any]) -> None:
    """Delete an object that `all_objects` *found*, if it is still there."""
    try:
        api.request("DELETE", found["path"])
    except KubeError as error:
        if error.status != NOT_FOUND:
            raise


def differences(declared: Any, live: Any, at: str = "") -> list[str]:
    """Return where an object that is *live* says something else than was *declared*; it may say more."""
    if isinstance(declared, dict):
        if not isinstance(live, dict):
            return [at]
        return [word for name, each in declared.items() for word in differences(each, live.get(name), f"{at}.{name}")]
    if isinstance(declared, list):
        if not isinstance(live, list) or len(live) != len(declared):
            return [at]
        pairs = zip(declared, live, strict=True)
        return [word for number, pair in enumerate(pairs) for word in differences(*pair, f"{at}[{number}]")]
    if declared is None or declared == live or (declared in ("", 0, False, {}, []) and live is None):
        return []
    return [f"{at}: {declared!r}, {live!r}"]
