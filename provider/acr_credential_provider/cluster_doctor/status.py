"""`status`: what of this project runs in a cluster, and how it fares. Reads the cluster and changes nothing in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from acr_credential_provider.console.command_line import CommandParser, add_output, path_argument
from acr_credential_provider.console.output import say, write_json
from acr_credential_provider.console.times import as_duration
from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.model import exit_codes
from acr_credential_provider.pull_secrets.kube.connection import connect
from acr_credential_provider.pull_secrets.model.names import LEASE_NAME
from acr_credential_provider.pull_secrets.model.resources import DEPLOYMENTS, LEASES, NODES
from acr_credential_provider.version import KUBECTL_PLUGIN

from .cli import list_objects
from .snapshot import PLUGIN_CONDITION, is_ours, name_of, namespace_of, spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .snapshot import Object, Objects

FORBIDDEN = "not known: this user may not list "


@dataclass(frozen=True, slots=True)
class Controller:
    """A Deployment of the pull-secrets controller; *leader* and *renewed_at* are of its Lease, "" without one."""

    namespace: str
    name: str
    replicas: int
    ready: int
    leader: str = ""
    renewed_at: str = ""


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """What runs in a cluster. *not_ready* are nodes on which the plugin does not work, each with the reason.

    *controllers* and *nodes* (how many) are None if this user may not list them.
    """

    nodes: int | None
    ready: int = 0
    not_ready: dict[str, str] = field(default_factory=dict)
    controllers: tuple[Controller, ...] | None = ()

    @property
    def is_well(self) -> bool:
        """True if nothing is known not to work."""
        return not self.not_ready and all(each.ready >= each.replicas for each in self.controllers or ())


def run(arguments: list[str]) -> int:
    """Carry out ``status``; return the exit code: 0, or 1 if something does not work."""
    options = whole_parser().parse_args(arguments)
    api = connect(options.kubeconfig, options.context)
    deployments = list_objects(api, DEPLOYMENTS)
    namespaces = {namespace_of(each) for each in deployments or () if is_ours(each)}
    leases = {namespace: api.get(LEASES.path(namespace, LEASE_NAME)) or {} for namespace in sorted(namespaces)}
    status = status_of(list_objects(api, NODES), deployments, leases)
    if options.output == "json":
        write_json(to_dict(status))
    else:
        for line in lines(status, datetime.now(UTC)):
            say(line)
    return exit_codes.DONE if status.is_well else exit_codes.FAILED


def whole_parser() -> CommandParser:
    """Return the parser of this command."""
    parser = CommandParser(
        prog=f"{KUBECTL_PLUGIN} status", description="Says what of this project runs in a cluster, and how it fares."
    )
    parser.add_argument("--kubeconfig", type=path_argument, metavar="FILE", help="default: as kubectl")
    parser.add_argument("--context", default="", metavar="NAME", help="default: the current one")
    add_output(parser)
    return parser


def status_of(nodes: Objects, deployments: Objects, leases: Mapping[str, Object]) -> ClusterStatus:
    """Return what these objects say; *leases* are those of the controllers, by namespace."""
    conditions = {
        name_of(node): condition
        for node in nodes or ()
        for condition in (node.get("status") or {}).get("conditions") or ()
        if condition.get("type") == PLUGIN_CONDITION
    }
    wrong = {name: each for name, each in conditions.items() if each.get("status") != "True"}
    return ClusterStatus(
        None if nodes is None else len(nodes),
        len(conditions) - len(wrong),
        {name: plain_text(str(each.get("message") or "no reason is given")) for name, each in wrong.items()},
        None if deployments is None else tuple(_controller(each, leases) for each in deployments if is_ours(each)),
    )


def _controller(deployment: Object, leases: Mapping[str, Object]) -> Controller:
    lease = spec_of(leases.get(namespace_of(deployment)) or {})
    replicas = spec_of(deployment).get("replicas", 1)
    return Controller(
        namespace_of(deployment),
        name_of(deployment),
        int(replicas),
        int((deployment.get("status") or {}).get("readyReplicas") or 0),
        plain_text(str(lease.get("holderIdentity") or "")),
        plain_text(str(lease.get("renewTime") or "")),
    )


def lines(status: ClusterStatus, now: datetime) -> list[str]:
    """Return *status* as lines for a terminal."""
    found = [f"plugin: {FORBIDDEN}nodes"]
    if status.nodes is not None:
        without = status.nodes - status.ready - len(status.not_ready)
        found = [f"plugin: ready on {status.ready} of {status.nodes} nodes, not installed by an agent on {without}"]
    found += [f"node {name}: not ready: {reason}" for name, reason in sorted(status.not_ready.items())]
    if status.controllers is None:
        return [*found, f"controller: {FORBIDDEN}Deployments"]
    for each in status.controllers:
        leader = f", leader {each.leader}{_seen(each.renewed_at, now)}" if each.leader else ", no leader"
        found.append(
            f"controller: {each.namespace}/{each.name}, {each.ready} of {each.replicas} replicas ready{leader}"
        )
    return found if status.controllers else [*found, "controller: none"]


def _seen(renewed_at: str, now: datetime) -> str:
    try:
        return f", seen {as_duration(max((now - datetime.fromisoformat(renewed_at)).total_seconds(), 0))} ago"
    except (ValueError, TypeError):
        return ""


def to_dict(status: ClusterStatus) -> dict[str, Any]:
    """Return *status* as JSON."""
    plugin = {"nodes": status.nodes, "ready": status.ready, "notReady": status.not_ready}
    controllers = None if status.controllers is None else [asdict(each) for each in status.controllers]
    for each in controllers or ():
        each["renewedAt"] = each.pop("renewed_at")
    return {"well": status.is_well, "plugin": plugin, "controllers": controllers}
