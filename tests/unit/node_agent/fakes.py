"""An API server and a node in memory, each with the rules of the real one that matter here."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from acr_credential_provider.errors import CloudUnreachableError
from acr_node_config.kube_api import ApiRefusedError
from acr_node_config.slots import ROLLOUT, slot_name

NAMESPACE = "kube-system"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/"


class Clock:
    """Seconds since boot and since the epoch, as a test moves them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boot(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now


class FakeApi:
    """Objects by path, with resourceVersions that must fit on PUT; `is_down` answers nobody."""

    def __init__(self, *, slots: int = 1, nodes: tuple[str, ...] = ()) -> None:
        self._versions = itertools.count(1)
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.conditions: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.is_down = False
        self.before_put = lambda path: None
        for name in [ROLLOUT, *map(slot_name, range(slots))]:
            self._store(LEASES + name, {"metadata": {"name": name, "namespace": NAMESPACE}})
        for node in nodes:
            self._store(f"/api/v1/nodes/{node}", {"metadata": {"name": node, "uid": f"uid-of-{node}"}})

    def _store(self, path: str, document: dict[str, Any]) -> None:
        document["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[path] = document

    def _begin(self, method: str, path: str) -> None:
        self.calls.append((method, path))
        if self.is_down:
            raise CloudUnreachableError("the API server did not answer", remedy="Nothing, if it passes.")

    def get(self, path: str) -> dict[str, Any]:
        self._begin("GET", path)
        if path not in self.objects:
            raise ApiRefusedError("GET", path, 404)
        return copy.deepcopy(self.objects[path])

    def put(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        self._begin("PUT", path)
        self.before_put(path)
        if self.objects[path]["metadata"]["resourceVersion"] != document["metadata"]["resourceVersion"]:
            raise ApiRefusedError("PUT", path, 409)
        self._store(path, copy.deepcopy(document))
        return copy.deepcopy(document)

    def patch(self, path: str, document: dict[str, Any], kind: str) -> dict[str, Any]:
        self._begin("PATCH", path)
        assert kind == "application/strategic-merge-patch+json"
        (condition,) = document["status"]["conditions"]
        self.conditions[path.split("/")[4]] = condition
        return {}

    def post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        self._begin("POST", path)
        assert path == "/api/v1/namespaces/default/events"
        self.events.append(document)
        return {}

    def holder(self, slot: int = 0) -> str:
        return self.objects[LEASES + slot_name(slot)].get("spec", {}).get("holderIdentity", "")

    def reasons(self, node: str) -> list[str]:
        return [event["reason"] for event in self.events if event["involvedObject"]["name"] == node]
