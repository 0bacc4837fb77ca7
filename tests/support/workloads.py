"""What the programs and the kubelet make of rendered workloads: arguments, and ports by name.

Names of ports are looked up as Kubernetes does it: a probe's or a hook's among the ports of its own container, a
Service's or a PodMonitor's among those of all containers of the pods that it selects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acr_credential_provider.pull_secrets.commands import cli as pull_secrets_cli
from acr_node_config.commands import agent_cli, node_cli, reporter_cli

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HOOKS = ("postStart", "preStop")
PARSERS = {
    ("node", "agent"): (agent_cli._parser, 2),
    ("node", "reporter"): (reporter_cli._parser, 2),
    ("pull-secrets", "run"): (pull_secrets_cli._parser, 1),
}
"""By the first two arguments: who parses, and from which argument on."""
WORKLOADS = ("DaemonSet", "Deployment", "StatefulSet", "Job")


def pods_of(documents: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the pod template of each workload."""
    for document in documents:
        if document["kind"] in WORKLOADS:
            yield document["spec"]["template"]


def containers_of(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all containers of the pod template *pod*."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Parse a container's *arguments* as its program does; what it hands on to `node install` too."""
    make, start = PARSERS[arguments[0], arguments[1]]
    options = make().parse_args(arguments[start:])
    for verb in ("plan", "install"):
        node_cli._parser().parse_args([verb, *getattr(options, "installer", [])])
    return options


def checks_of(container: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the target of all that the kubelet connects to in *container*."""
    handlers = {name: container[name] for name in PROBES if name in container}
    handlers |= {name: hook for name, hook in container.get("lifecycle", {}).items() if name in HOOKS}
    for name, handler in handlers.items():
        for kind in ("httpGet", "tcpSocket", "grpc"):
            if kind in handler:
                yield name, handler[kind]


def port_in(container: dict[str, Any], port: int | str) -> int:
    """Return the number of *port* as the kubelet finds it for a probe of *container*; raise `LookupError`."""
    number = port if isinstance(port, int) else _by_name([container], port)
    if number is None and str(port).isdecimal():
        number = int(port)
    if number is None or not 0 < number < 65536:
        raise LookupError(f"port {port} not found in {container['name']}")
    return number


def port_of_pod(pod: dict[str, Any], port: int | str, protocol: str = "TCP") -> int:
    """Return the number of *port* as a Service finds it in *pod*; raise `LookupError`."""
    number = port if isinstance(port, int) else _by_name(containers_of(pod), port, protocol)
    if number is None:
        raise LookupError(f"port {port} not found in any container")
    return number


def unresolved(documents: list[dict[str, Any]]) -> list[str]:
    """Return a line for each port in *documents* that Kubernetes would not find, or where nothing listens."""
    lines = []
    for pod in pods_of(documents):
        listening = {port["containerPort"] for each in containers_of(pod) for port in each.get("ports", [])}
        scraped = pod["metadata"].get("annotations", {}).get("prometheus.io/port")
        if scraped is not None and int(scraped) not in listening:
            lines.append(f"prometheus.io/port {scraped}: nothing listens there")
        for container in containers_of(pod):
            for name, target in checks_of(container):
                lines += _line(f"{name} of {container['name']}", port_in, container, target["port"], listening)
    for document in documents:
        for pod in _selected(document, documents):
            listening = {port["containerPort"] for each in containers_of(pod) for port in each.get("ports", [])}
            for port in _asked_for(document):
                lines += _line(f"{document['kind']} {document['metadata']['name']}", port_of_pod, pod, port, listening)
    return lines


def _line(what: str, find: Any, where: dict[str, Any], port: int | str, listening: set[int]) -> list[str]:
    try:
        number = find(where, port)
    except LookupError as error:
        return [f"{what}: {error}"]
    return [] if number in listening else [f"{what}: nothing listens at {number}"]


def _by_name(containers: list[dict[str, Any]], name: str, protocol: str = "") -> int | None:
    for container in containers:
        for port in container.get("ports", []):
            if port.get("name") == name and protocol in ("", port.get("protocol", "TCP")):
                return int(port["containerPort"])
    return None


def _selected(document: dict[str, Any], documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    spec = document.get("spec", {})
    if document["kind"] == "Service":
        selector = spec.get("selector", {})
    elif document["kind"] == "PodMonitor":
        selector = spec["selector"]["matchLabels"]
    elif document["kind"] == "NetworkPolicy":
        selector = spec["podSelector"].get("matchLabels", {})
    else:
        return []
    found = [pod for pod in pods_of(documents) if selector.items() <= pod["metadata"]["labels"].items()]
    assert found, f"{document['kind']} {document['metadata']['name']} selects no pod"
    return found


def _asked_for(document: dict[str, Any]) -> list[int | str]:
    spec = document["spec"]
    if document["kind"] == "Service":
        return [port.get("targetPort", port["port"]) for port in spec["ports"]]
    if document["kind"] == "PodMonitor":
        return [endpoint["port"] for endpoint in spec["podMetricsEndpoints"]]
    return [port["port"] for rule in spec.get("ingress", []) for port in rule.get("ports", [])]
