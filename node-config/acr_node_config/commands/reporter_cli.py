"""`node reporter`: the command line of the unprivileged half of the DaemonSet."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from acr_credential_provider.console.command_line import CommandParser, add_output, folder_argument
from acr_credential_provider.exec.watchdog import report
from acr_credential_provider.kube_api.client import NodeKubeClient
from acr_credential_provider.kube_api.in_cluster import SERVICE_ACCOUNT, InCluster
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.version import NAME

from acr_node_config.reporter import node_report
from acr_node_config.reporter.health_server import HealthServer, Page
from acr_node_config.reporter.reporter import Clocks, Reporter
from acr_node_config.reporter.restart_leases import RestartSemaphore, slot_name

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 2.0
"""Seconds between two reads of the agent's status."""
HUNG_AFTER = 4 * TICK + 60.0
"""Seconds without a tick after which the reporter itself counts as hung: more than the calls of one tick may take."""


def run(arguments: list[str]) -> int:
    """Report until SIGTERM; return the exit code."""
    options = _parser().parse_args(arguments)
    if not options.node:
        raise ConfigurationError(
            "it is not known which node this is",
            remedy=Remedy("ArgumentMissing", "Set NODE_NAME (fieldRef: spec.nodeName) or give --node."),
        )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    clocks = Clocks(_boot, time.time)
    api = NodeKubeClient(InCluster.of(os.environ, options.service_account).find)
    names = [slot_name(number) for number in range(options.slots)]
    slots = RestartSemaphore(api, options.namespace, names, options.node, _boot) if names else None
    reporter = Reporter(options.node, options.status_dir, options.lease_dir, api, slots, clocks, report)
    ticked_at = [_boot()]
    pages = _pages(reporter, ticked_at)
    server = HealthServer(options.host, options.port, pages)
    pages["/metrics"] = lambda: (200, node_report.metrics(reporter.agent, _boot(), time.time(), server.faults))
    server.start()
    while not stop.is_set():
        reporter.tick()
        ticked_at[0] = _boot()
        stop.wait(TICK)
    server.stop()
    return 0


def _pages(reporter: Reporter, ticked_at: list[float]) -> dict[str, Callable[[], Page]]:
    def agent_health() -> Page:
        status = reporter.agent
        if node_report.is_stale(status, _boot()):
            return 503, "the agent has given no sign of life for a while\n"
        return 200, f"{status.state if status else ''}\n"

    def own_health() -> Page:
        return (200, "ok\n") if _boot() - ticked_at[0] < HUNG_AFTER else (503, "hung\n")

    return {"/healthz": own_health, "/healthz/agent": agent_health}


def _boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def whole_parser() -> CommandParser:
    """Return the parser of this command."""
    return _parser()


def _parser() -> CommandParser:
    parser = CommandParser(
        prog=f"{NAME} node reporter",
        description="Reports this node's agent to the cluster, and serves its metrics and health.",
    )
    parser.add_argument("--node", default=os.environ.get("NODE_NAME", ""), help="this node (default: NODE_NAME)")
    parser.add_argument(
        "--namespace", default=os.environ.get("POD_NAMESPACE", "kube-system"), help="of the Leases (POD_NAMESPACE)"
    )
    parser.add_argument(
        "--status-dir",
        type=folder_argument,
        default="/status",
        metavar="DIR",
        help="where the agent's status is (/status)",
    )
    parser.add_argument(
        "--lease-dir",
        type=folder_argument,
        default="/grants",
        metavar="DIR",
        help="where restart grants for the agent go (/grants)",
    )
    parser.add_argument("--slots", type=int, default=1, help="nodes that may restart their kubelet at once; 0: all (1)")
    parser.add_argument("--host", default="", help="address to listen at (all)")
    parser.add_argument("--port", type=int, default=9808, help="for /metrics and /healthz (9808)")
    parser.add_argument(
        "--service-account", type=folder_argument, default=SERVICE_ACCOUNT, metavar="DIR", help="token and ca.crt"
    )
    add_output(parser)
    return parser
