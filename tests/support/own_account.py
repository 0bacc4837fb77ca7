"""The ServiceAccount that a controller under test signs in as, with the rights of the manifests and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from cluster.kube import KubeError
from cluster.replicas import wait_until

from support.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cluster.loopback_api import LoopbackApi

RBAC = "/apis/rbac.authorization.k8s.io/v1"
MANIFESTS = ROOT / "packaging/manifests/pull-secrets"
TAKE_OVER = "aliyun-acr-credential-provider-take-over"
NAME, SYSTEM, SECRET = "aliyun-acr-credential-provider-pull-secrets", "kube-system", "acr-credential-aliyun"


def own_account(
    api: LoopbackApi, namespace: str, names: Iterable[str], *, take_over: bool = False, owner: str = ""
) -> str:
    """Make it in *namespace* for Secrets called *names*, or give what is there the rights anew; return its name.

    *owner* is the ClusterRole that owns what the controller writes, if that is not its own.
    """
    name = f"of-{namespace}"
    for document in _documents(take_over=take_over):
        mine = _moved(document, name, namespace, sorted(names))
        for rule in mine.get("rules", []) if owner else []:
            if rule["resources"] == ["clusterroles"]:
                rule["resourceNames"] = [owner]
        _put(api, mine, mine["metadata"].get("namespace", ""))
        if mine["kind"] in ("Role", "RoleBinding") and namespace != SYSTEM:
            rules = [rule for rule in mine.get("rules", []) if rule["apiGroups"] == ["apps"]]  # the helper's Deployment
            _put(api, {**mine, **({"rules": rules} if rules else {})}, SYSTEM)
    path = f"/api/v1/namespaces/{namespace}/secrets?fieldSelector=metadata.name={min(names)}"
    token = api.token_of(namespace, name)
    wait_until(lambda: _is_allowed(api, path, token), "the rights to be granted")
    return name


def _documents(*, take_over: bool) -> Iterator[dict[str, Any]]:
    for manifest in ("rbac.yaml", *(("take-over.yaml",) if take_over else ())):
        yield from yaml.safe_load_all((MANIFESTS / manifest).read_text())


def _moved(value: Any, name: str, namespace: str, secrets: list[str]) -> Any:
    """Return *value*, a part of a manifest, for a controller of another name, in another namespace."""
    if isinstance(value, dict):
        moved = {key: _moved(each, name, namespace, secrets) for key, each in value.items()}
        if SECRET in value.get("resourceNames", ()):
            moved["resourceNames"] = secrets
        elif "resourceNames" in value and value["resources"] != ["clusterroles"]:
            moved["resourceNames"] = value["resourceNames"]  # of objects that have the usual name here too
        return moved
    if isinstance(value, list):
        return [_moved(each, name, namespace, secrets) for each in value]
    names = {NAME: name, TAKE_OVER: f"{name}-take-over", SYSTEM: namespace}
    return names.get(value, value) if isinstance(value, str) else value


def _put(api: LoopbackApi, document: dict[str, Any], namespace: str) -> None:
    is_account = document["kind"] == "ServiceAccount"
    place = f"/namespaces/{namespace}" if namespace else ""
    path = f"{'/api/v1' if is_account else RBAC}{place}/{document['kind'].lower()}s"
    metadata = {**document["metadata"], **({"namespace": namespace} if namespace else {})}
    try:
        api.create(path, {**document, "metadata": metadata})
    except KubeError as error:
        if error.status != 409:
            raise
        if not is_account:
            api.request("PUT", f"{path}/{metadata['name']}", {**document, "metadata": metadata})


def _is_allowed(api: LoopbackApi, path: str, token: str) -> bool:
    try:
        api.request("GET", path, token=token)
    except KubeError as error:
        if error.status != 403:
            raise
        return False
    return True
