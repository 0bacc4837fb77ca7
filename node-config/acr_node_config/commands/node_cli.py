"""`node`: what operators, bootstrap scripts and the agent run on a node."""

from __future__ import annotations

import argparse
import importlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.console import output
from acr_credential_provider.console.command_line import (
    CommandParser,
    add_output,
    add_yes,
    folder_argument,
    path_argument,
    path_on_node,
)
from acr_credential_provider.console.confirmation import is_confirmed
from acr_credential_provider.console.output import say, warn_of_all, write_json
from acr_credential_provider.fastpath.lookup import SETTINGS
from acr_credential_provider.model import exit_codes
from acr_credential_provider.model.errors import CredentialProviderError

from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.install.node import Node
from acr_node_config.install.rollback_guard import Guard
from acr_node_config.install.state import InstallerFolder
from acr_node_config.install.system import HostSystem
from acr_node_config.kubelet import healthz
from acr_node_config.kubelet.health_gate import BUDGET, STABLE_FOR, HealthGate
from acr_node_config.kubelet.service_manager import (
    BUS_SOCKET,
    WAYS,
    DbusServiceManager,
    ServiceManager,
    SystemctlServiceManager,
)
from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model import first_call, steps
from acr_node_config.model.errors import RejectedError
from acr_node_config.model.paths import tidy
from acr_node_config.model.placement import MODES, EnvironmentFlags
from acr_node_config.placement.profiles import PROFILES

from .install_inputs import install_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_node_config.install.change_set import Outcome
    from acr_node_config.install.requests import InstallStatus

DESCRIPTION = "Installs the plugin on a node, keeps it there, and takes it away again."
EPILOG = f"""\
examples:
  {NAME} node plan --settings settings.yaml
  {NAME} node install --settings settings.yaml
  {NAME} node status
  {NAME} node uninstall
"""
LAZY_SUBCOMMANDS = {
    "agent": ("acr_node_config.commands.agent_cli", "keep this node installed, from a DaemonSet"),
    "reporter": ("acr_node_config.commands.reporter_cli", "report the agent to the cluster"),
    "render": ("acr_node_config.commands.render_cli", "write what OpenShift needs"),
}
"""Words with a command line of their own: its module, and its help."""


def run(arguments: list[str]) -> int:
    """Carry out *arguments*; return the exit code."""
    try:
        parser = _parser()
        arguments = parser.ordered(arguments)
        if arguments and arguments[0] in LAZY_SUBCOMMANDS:
            code: int = importlib.import_module(LAZY_SUBCOMMANDS[arguments[0]][0]).run(arguments[1:])
            return code
        options = parser.parse_args(arguments)
        code = options.run(options)
    except CredentialProviderError as error:
        output.report(error)
        return error.exit_code
    return code


def whole_parser() -> CommandParser:
    """Return the parser of all commands below ``node``."""
    return _parser(is_whole=True)


def _parser(*, is_whole: bool = False) -> CommandParser:
    parser = CommandParser(
        prog=f"{NAME} node",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], help_text: str) -> argparse.ArgumentParser:
        verb = verbs.add_parser(name, help=help_text)
        verb.add_argument("--host-root", metavar="DIR", type=_host_root, default="/", help="where the node's / is (/)")
        add_output(verb)
        verb.set_defaults(run=command, is_image=False)
        return verb

    _add_install_options(add("install", _install, "install, or bring what is installed to what is wanted"))
    plan = add("plan", _plan, "print what install would do, or why it would not; changes nothing")
    _add_install_options(plan)
    plan.add_argument("--diff", action="store_true", help="and how each file would change, as a unified diff")
    _add_install_options(add("bake", _bake, "install into an image, or before the node joins: restarts nothing"))
    add("status", _status, "print what is installed, and whether it is as it was left")
    add("verify", _verify, "try what is installed: files, program, kubelet; exit code 1 if something is wrong")
    _add_service(add("rollback", _rollback, "go back to what was before the last change"))
    undo = add("uninstall", _uninstall, "take it all away; the node is as it was before")
    _add_service(undo)
    add_yes(undo)
    health = verbs.add_parser("healthz")  # for `KubeletProbe` in a pod with another network
    add_output(health)
    health.set_defaults(run=_healthz)
    for word, (module, purpose) in LAZY_SUBCOMMANDS.items():
        verbs.add_parser(word, help=purpose, add_help=False)
        if is_whole:
            verbs.choices[word] = importlib.import_module(module).whole_parser()
    return parser


def _add_install_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--settings", metavar="FILE", type=path_argument, help=f"settings to install (default: those at {SETTINGS})"
    )
    parser.add_argument("--bundle", metavar="DIR", type=folder_argument, help="program to install (default: this one)")
    parser.add_argument("--mode", choices=MODES, default="auto", help="how to change the kubelet (auto)")
    parser.add_argument("--profile", choices=PROFILES, default="", help="kind of node (default: found out)")
    parser.add_argument("--bin-dir", metavar="DIR", type=path_on_node, help="folder of the kubelet's providers")
    parser.add_argument("--config", metavar="FILE", type=path_on_node, help="the CredentialProviderConfig")
    parser.add_argument(
        "--flags-in",
        metavar="FILE:VARIABLE",
        type=_flags_in,
        help="environment file and variable that the kubelet takes more flags from (default: found out)",
    )
    parser.add_argument("--retry", action="store_true", help="try even what was rejected on this node before")
    _add_service(parser)


def _add_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--service", choices=WAYS, default="auto", help="how to have the kubelet restarted (auto: D-Bus, or systemctl)"
    )
    parser.add_argument(
        "--stable-for",
        type=_seconds,
        default=STABLE_FOR,
        metavar="SECONDS",
        help=f"how long the kubelet must run, healthy, as one process ({STABLE_FOR:.0f})",
    )


def _host_root(path: str) -> str:
    return path_on_node(path_argument(path))


def _flags_in(text: str) -> EnvironmentFlags:
    path, colon, variable = text.rpartition(":")
    if not colon or not (variable.isascii() and variable.isidentifier()):
        raise argparse.ArgumentTypeError("must be FILE:VARIABLE, such as /etc/kubernetes/kubelet.env:KUBELET_ARGS")
    return EnvironmentFlags(tidy(path_on_node(path)), variable)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= BUDGET - 5:
        raise argparse.ArgumentTypeError(f"must be between 0 and {BUDGET - 5:.0f} seconds")
    return seconds


def _install(options: argparse.Namespace) -> int:
    node = _node(options)
    return _print_outcome(options, node.install(install_request(options, node.host)))


def _plan(options: argparse.Namespace) -> int:
    node = _node(options)
    plan = node.plan(install_request(options, node.host))
    code = RejectedError.exit_code if plan.rejection else 0
    if options.output == "json":
        diffs = {"diffs": list(plan.diffs)} if options.diff else {}
        write_json({**plan.to_dict(), **diffs})
        return code
    for step in plan.to_do:
        say(steps.words(step))
    if not plan.to_do:
        say("nothing is to be done")
    for text in plan.diffs if options.diff else ():
        for line in text.splitlines():
            say(line)
    warn_of_all("note", (*plan.notes, *((f"it was rejected before: {plan.rejection}",) if plan.rejection else ())))
    return code


def _bake(options: argparse.Namespace) -> int:
    options.service, options.is_image = "none", True
    node = _node(options)
    outcome = node.install(install_request(options, node.host))
    outcome = replace(outcome, notes=(*outcome.notes, *node.forget_cache()))
    return _print_outcome(options, outcome)


def _status(options: argparse.Namespace) -> int:
    status = _node(options).status()
    if options.output == "json":
        write_json(status.to_dict())
        return 0
    if status.installed is None:
        say("nothing is installed")
    else:
        say(f"installed: {status.installed.version} in {status.installed.tree}")
        health = "healthy" if status.installed.confirmed else "not yet seen healthy"
        say(f"kubelet: {health} with this configuration")
        say(f"calls: {first_call.in_words(status.first_call)}")
    for path in status.drifted:
        say(f"not as it was left: {path}")
    if status.interrupted:
        say(f"interrupted: {status.interrupted}; the next install, rollback or uninstall ends it")
    if status.guard_acted:
        say(f"the guard put the kubelet's files back: {status.guard_acted}")
    for rejected in status.rejected:
        say(f"rejected: {rejected.reason}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    node = _node(options)
    problems = node.verify()
    if options.output == "json":
        write_json({"problems": problems})
    else:
        for problem in problems or ["all is well"]:
            say(problem)
    return 1 if problems else 0


def _rollback(options: argparse.Namespace) -> int:
    return _print_outcome(options, _node(options).rollback())


def _uninstall(options: argparse.Namespace) -> int:
    node = _node(options)
    if options.dry_run:
        return _print_removal(options, node.status())
    if not is_confirmed(options, "Take the plugin away from this node, and restart its kubelet?"):
        return exit_codes.FAILED
    return _print_outcome(options, node.uninstall())


def _print_removal(options: argparse.Namespace, status: InstallStatus) -> int:
    """Say what `uninstall` would take away or put back."""
    paths = sorted({*status.watched, *((status.installed.tree,) if status.installed is not None else ())})
    if options.output == "json":
        write_json({"verb": "uninstall", "dryRun": True, "wouldChange": paths})
        return exit_codes.DONE
    for path in paths:
        say(f"would take away or put back {path}")
    if not paths:
        say("nothing is installed")
    return exit_codes.DONE


def _healthz(options: argparse.Namespace) -> int:
    is_well = healthz.answers()
    if options.output == "json":
        write_json({"healthy": is_well})
    else:
        say("ok" if is_well else "no")  # see `probe.HEALTH`
    return 0 if is_well else 1


def _node(options: argparse.Namespace) -> Node:
    """Return the installer of the node at ``--host-root``."""
    host = HostFiles(options.host_root)
    service = _service(host, getattr(options, "service", "auto"))
    state = InstallerFolder(host)
    return Node(
        host,
        state,
        Guard(host, state.folder, service),
        HostSystem(host, service, options.is_image),
        HealthGate(stable_for=getattr(options, "stable_for", STABLE_FOR)),
    )


def _service(host: HostFiles, way: str) -> ServiceManager | None:
    """Return the host's service manager: over D-Bus where its socket is, else by systemctl; None without one."""
    socket = host.outside(BUS_SOCKET)
    if way == "dbus" or (way == "auto" and os.path.exists(socket)):
        return DbusServiceManager(socket)
    if way == "systemctl" or (way == "auto" and os.path.isdir(host.outside("/run/systemd/system"))):
        return SystemctlServiceManager(host.root)
    return None


def _print_outcome(options: argparse.Namespace, outcome: Outcome) -> int:
    if options.output == "json":
        document = {
            "verb": outcome.verb,
            "changed": list(outcome.changed),
            "restarted": outcome.restarted,
            "confirmed": outcome.confirmed,
            "notes": list(outcome.notes),
        }
        write_json(document)
        return 0
    for path in outcome.changed:
        say(f"changed {path}")
    if outcome.restarted:
        say("the kubelet was restarted" + (" and is healthy with this configuration" if outcome.confirmed else ""))
    if not outcome.changed:
        say("nothing was to be done")
    warn_of_all("note", outcome.notes)
    return 0
