"""`node agent`: the command line of the DaemonSet's privileged half."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
import time
from dataclasses import replace

from acr_credential_provider.console.command_line import (
    CommandParser,
    add_allowed_hosts,
    add_output,
    folder_argument,
    path_on_node,
)
from acr_credential_provider.exec.watchdog import report
from acr_credential_provider.fastpath.lookup import CACHE, SETTINGS
from acr_credential_provider.files.credentials_folder import FOLDER
from acr_credential_provider.version import NAME, VERSION

from acr_node_config.agent import mounted_settings
from acr_node_config.agent.agent import LOOK_EVERY, ROLLOUT_WINDOW, Agent, AgentOptions
from acr_node_config.agent.plugin_runner import InstalledPlugin
from acr_node_config.agent.settings_rollout import SettingsRollout
from acr_node_config.agent.status_channel import StatusChannel
from acr_node_config.hostfs import safe_path
from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.rollout import agent_status, json_exchange


def run(arguments: list[str]) -> int:
    """Keep the node as it should be until SIGTERM; return the exit code."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    agent = _agent(options)
    if options.status_dir:
        json_exchange.sweep(options.status_dir, agent_status.STATUS)
    lock: int | None = None
    while not stop.is_set():
        lock = _lock(agent.host) if lock is None else lock
        if lock is None:  # another pod's, which is about to end
            standby = replace(agent.status, state=agent_status.STANDBY, message="another agent is at work here")
            agent.channel.publish(replace(standby, beat=_boot()))
        else:
            agent.tick()
        stop.wait(LOOK_EVERY)
    return 0


def _agent(options: argparse.Namespace) -> Agent:
    host = HostFiles(options.host_root)
    channel = StatusChannel(options.status_dir or "", options.lease_dir or "")
    wanted = AgentOptions(
        version=VERSION,
        content=" ".join(options.installer),
        uninstall=options.uninstall,
        needs_lease=bool(options.lease_dir),
        own_image="" if options.allow_own_image else options.own_image,
        cache=options.plugin_cache,
    )
    own = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "acr_credential_provider"]
    plugin = ["--settings", options.plugin_settings, "--cache", options.plugin_cache]
    program = InstalledPlugin(own, host.root, options.installer, plugin, options.allow_host)
    mounts = (options.settings_from or "", options.credentials_from or "")
    rollout = SettingsRollout(options.node, *mounts, options.rollout_window, host, program, _boot)
    agent = Agent(wanted, program, host, rollout, channel, _boot, report, _log)
    program.heartbeat = agent.publish
    return agent


def _lock(host: HostFiles) -> int | None:
    """Return the descriptor that makes this the node's only agent, None while another one is."""
    mounted_settings.make_folder(host)
    with safe_path.translate_os_errors(mounted_settings.FOLDER):
        file = safe_path.own_folder(host.root, mounted_settings.FOLDER).descriptor
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def _boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _log(text: str) -> None:
    try:
        sys.stderr.write(f"agent: {agent_status.plain_text(text)}\n")
        sys.stderr.flush()
    except OSError:  # the log is closed
        return


def whole_parser() -> CommandParser:
    """Return the parser of this command."""
    return _parser()


def _parser() -> CommandParser:
    parser = CommandParser(
        prog=f"{NAME} node agent",
        description="Installs the plugin on this node, keeps it and its settings right, and renews tokens before they "
        "are due. What comes after -- goes to `node install`.",
    )
    parser.add_argument(
        "--host-root", type=folder_argument, default="/", metavar="DIR", help="where the node's / is mounted (/)"
    )
    parser.add_argument("--node", default=os.environ.get("NODE_NAME", ""), help="this node's name (NODE_NAME)")
    parser.add_argument(
        "--settings-from", type=folder_argument, metavar="DIR", help="mounted ConfigMap with settings.yaml"
    )
    parser.add_argument(
        "--credentials-from",
        type=folder_argument,
        metavar="DIR",
        help=f"mounted Secret; its keys become files in {FOLDER}",
    )
    add_allowed_hosts(parser)
    parser.add_argument(
        "--status-dir", type=folder_argument, metavar="DIR", help="where the status goes, for the reporter"
    )
    parser.add_argument(
        "--lease-dir",
        type=folder_argument,
        metavar="DIR",
        help="where the reporter's restart grants come from; without it the kubelet is restarted at once",
    )
    parser.add_argument(
        "--rollout-window",
        type=float,
        default=ROLLOUT_WINDOW,
        metavar="SECONDS",
        help=f"time over which the cluster's nodes take new settings ({ROLLOUT_WINDOW:.0f})",
    )
    parser.add_argument("--uninstall", action="store_true", help="make the node what it was, and stay idle")
    parser.add_argument("--own-image", default=os.environ.get("OWN_IMAGE", ""), help="this pod's image (OWN_IMAGE)")
    parser.add_argument("--allow-own-image", action="store_true", help="even if it is pulled with the plugin's logins")
    parser.add_argument("--plugin-settings", type=path_on_node, default=SETTINGS, help=argparse.SUPPRESS)
    parser.add_argument("--plugin-cache", type=path_on_node, default=CACHE, help=argparse.SUPPRESS)
    parser.add_argument("installer", nargs="*", metavar="-- OPTION", help="options of `node install`")
    add_output(parser)
    return parser
