"""A Lease that other nodes and replicas write: of the API server's types, but any content."""

import json
from types import SimpleNamespace
from typing import Annotated

import msgspec
from acr_credential_provider.pull_secrets.kube.leader_election import LeaderElector
from acr_node_config.reporter.restart_leases import RestartSemaphore
from fuzz.promises import check_text

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]


class Spec(msgspec.Struct):
    """The types of the API server, which it checks."""

    holderIdentity: str | None = None  # noqa: N815 - its name in JSON
    leaseDurationSeconds: Int32 | None = None  # noqa: N815 - its name in JSON
    leaseTransitions: Int32 | None = None  # noqa: N815 - its name in JSON
    acquireTime: str | None = None  # noqa: N815 - its name in JSON


class Meta(msgspec.Struct):
    resourceVersion: str  # noqa: N815 - its name in JSON
    annotations: dict[str, str] | None = None


class Lease(msgspec.Struct):
    metadata: Meta
    spec: Spec | None = None


class Api:
    """An API server with one object, whatever is asked for."""

    def __init__(self, lease):
        self._text = json.dumps(lease)
        self.written = []
        self.telemetry = SimpleNamespace(leading=lambda _leads: None)

    def get(self, _path):
        return json.loads(self._text)

    def put(self, _path, document):
        self.written.append(json.dumps(document))

    def replace(self, _path, document):
        self.written.append(json.dumps(document))


def fuzz(data):
    try:
        msgspec.json.decode(data, type=Lease)
        lease = json.loads(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    api = Api(lease)
    slots = RestartSemaphore(api, "acr", ("slot-0", "slot-1"), "node-1", lambda: 1000.0)
    slots.acquire(0)
    slots.adopt()
    slots.release()
    check_text(slots.rejection("0123456789abcdef"))
    slots.reject("0123456789abcdef", "a reason")
    LeaderElector(api, "acr", "replica-1").try_once()
    assert all(json.loads(text)["metadata"]["resourceVersion"] is not None for text in api.written)
