"""`node agent`: the command line of the DaemonSet's privileged half."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, replace

from acr_credential_provider.command_line import CommandParser, folder_argument, path_on_node
from acr_credential_provider.hit import CACHE, SETTINGS
from acr_credential_provider.version import VERSION
from acr_credential_provider.watchdog import report

from . import agent_status, desk, folders, pushed
from .agent import LOOK_EVERY, SPREAD, Agent, Wishes
from .agent_status import AgentStatus, Grant
from .files import Host
from .node_program import InstalledProgram
from .offers import Offers
from .reporter import GRANT, STATUS

NAME = "aliyun-acr-credential-provider"


@dataclass(frozen=True, slots=True)
class Folders:
    """The two one-way folders between agent and reporter; "" for none."""

    status: str
    grants: str

    def tell(self, status: AgentStatus) -> None:
        """Let the reporter have *status*."""
        try:
            if self.status:
                desk.put(self.status, STATUS, status.document())
        except OSError:  # a full disk: the node matters more than who reads about it
            return

    def grant(self) -> Grant | None:
        """Return what the reporter granted last."""
        document = desk.get(self.grants, GRANT) if self.grants else None
        try:
            return Grant.of(document) if document else None
        except ValueError:
            return None


def run(arguments: list[str]) -> int:
    """Keep the node as it should be until SIGTERM; return the exit code."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda _number, _frame: stop.set())
    agent = _agent(options)
    if options.status:
        desk.sweep(options.status, STATUS)
    lock: int | None = None
    while not stop.is_set():
        lock = _lock(agent.host) if lock is None else lock
        if lock is None:  # another pod's, which is about to end
            standby = replace(agent.status, state=agent_status.STANDBY, message="another agent is at work here")
            agent.desk.tell(replace(standby, beat=_boot()))
        else:
            agent.tick()
        stop.wait(LOOK_EVERY)
    return 0


def _agent(options: argparse.Namespace) -> Agent:
    host = Host(options.host_root)
    spoken = Folders(options.status or "", options.grants or "")
    wishes = Wishes(
        version=VERSION,
        content=" ".join(options.installer),
        uninstall=options.uninstall,
        asks_for_slots=bool(options.grants),
        own_image="" if options.allow_own_image else options.own_image,
    )
    own = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "acr_credential_provider"]
    plugin = ["--settings", options.plugin_settings, "--cache", options.plugin_cache]
    program = InstalledProgram(own, host.root, options.installer, plugin)
    pushes = (options.settings_from or "", options.credentials_from or "")
    offers = Offers(options.node, *pushes, options.spread, host, program, _boot)
    agent = Agent(wishes, program, host, offers, spoken, _boot, report, _log)
    program.beat = agent.tell
    return agent


def _lock(host: Host) -> int | None:
    """Return the descriptor that makes this the node's only agent, None while another one is."""
    pushed.make_folder(host)
    with folders.telling(pushed.FOLDER):
        file = folders.open_folder(host.root, pushed.FOLDER, to_write=True)
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
    except OSError:  # nobody reads it
        return


def _parser() -> argparse.ArgumentParser:
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
        help=f"mounted Secret; its keys become files in {pushed.CREDENTIALS}",
    )
    parser.add_argument("--status", type=folder_argument, metavar="DIR", help="what the reporter reads")
    parser.add_argument(
        "--grants", type=folder_argument, metavar="DIR", help="what it answers; without it nobody is asked"
    )
    parser.add_argument("--spread", type=float, default=SPREAD, help=f"seconds in which nodes take settings ({SPREAD})")
    parser.add_argument("--uninstall", action="store_true", help="make the node what it was, and stay idle")
    parser.add_argument("--own-image", default=os.environ.get("OWN_IMAGE", ""), help="this pod's image (OWN_IMAGE)")
    parser.add_argument("--allow-own-image", action="store_true", help="even if it is pulled with the plugin's logins")
    parser.add_argument("--plugin-settings", type=path_on_node, default=SETTINGS, help=argparse.SUPPRESS)
    parser.add_argument("--plugin-cache", type=path_on_node, default=CACHE, help=argparse.SUPPRESS)
    parser.add_argument("installer", nargs="*", metavar="-- OPTION", help="options of `node install`")
    return parser
