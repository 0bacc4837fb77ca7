"""The command line of operators: each command, its options, and the function that carries it out.

The node's installer, the controller and the platforms have command lines of their own, behind `LAZY_SUBCOMMANDS`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time

from acr_credential_provider.console.arguments import add_paths, namespaced_name
from acr_credential_provider.console.command_line import (
    STDIN,
    CommandParser,
    add_allowed_hosts,
    file_or_stdin,
    folder_argument,
    path_argument,
)
from acr_credential_provider.console.output import warn, write_document
from acr_credential_provider.exec.watchdog import report
from acr_credential_provider.fastpath.lookup import API_VERSIONS, LARGEST_REQUEST, SETTINGS
from acr_credential_provider.files import regular_file
from acr_credential_provider.files.regular_file import NotRegularFileError
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained
from acr_credential_provider.version import NAME, VERSION

from . import cache, settings

DESCRIPTION = "Gives the kubelet registry tokens of Alibaba Cloud Container Registry (ACR)."
EXAMPLES = f"""examples:
  # what the kubelet does: a CredentialProviderRequest on stdin, the answer on stdout
  echo '{{"kind":"CredentialProviderRequest","apiVersion":"{API_VERSIONS[0]}",
    "image":"demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app"}}' | {NAME}

  {NAME} doctor demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app:1.0
  {NAME} explain demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app
  {NAME} settings validate {SETTINGS}
  {NAME} cache show
  {NAME} cache refresh --within 10m
"""
EXIT_CODES = "exit code: 0 no check failed, 1 a check failed, 3 no registry entry serves the image"
HELPER_DEADLINE = 15.0
"""Seconds for the answer to docker."""
LAZY_SUBCOMMANDS = {
    "node": ("acr_node_config.commands.node_cli", "install the plugin on a node, keep it, undo it"),
    "pull-secrets": (
        "acr_credential_provider.pull_secrets.commands.cli",
        "run the pull-secrets controller",
    ),
    "openshift": ("acr_credential_provider.openshift.cli", "link and merge pull secrets as oc does"),
    "render": ("acr_credential_provider.eci.cli", "write what other platforms need of the settings"),
}
"""Commands with a command line of their own: the module, whose ``run(arguments)`` returns the exit code, and the help.

Imported by name, because a build may leave them out: a node has no controller.
"""


def main(arguments: list[str]) -> int:
    """Carry out the command in *arguments*, with new files for this user alone; return the exit code as `run` does."""
    os.umask(0o077)
    return run(arguments)


def run(arguments: list[str]) -> int:
    """Carry out the command in *arguments*; return the exit code: 0 done, 1 failed, 2 not understood."""
    try:
        parser = _parser()
        arguments = parser.ordered(arguments)
        if arguments and arguments[0] in LAZY_SUBCOMMANDS:
            return _run_lazy(LAZY_SUBCOMMANDS[arguments[0]][0], arguments[1:], command=arguments[0])
        options = parser.parse_args(arguments)
        code: int = _version(options) if options.version else options.run(options)
    except CredentialProviderError as error:
        report(error)
        return 1
    except BrokenPipeError:  # a closed pager; Python must not flush into it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        report(_disk_error(error))
        return 1
    return code


def _run_lazy(module: str, options: object, *, command: str) -> int:
    try:
        code: int = importlib.import_module(module).run(options)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
    else:
        return code
    raise ConfigurationError(
        f"{command} is not part of this build",
        remedy=Remedy("CommandNotInBuild", "Run it from the container image, which has every command."),
    )


def _disk_error(error: OSError) -> CredentialProviderError:
    """Return *error* for operators, with its path and the system's message."""
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "this command's output"
    reason, remedy = explained(
        error, remedy=Remedy("FileUnusable", "Run it as the user whose file that is (root, on a node).")
    )
    return ConfigurationError(f"cannot work on {path}: {reason}", remedy=remedy)


def _parser() -> CommandParser:
    parser = CommandParser(
        prog=NAME, description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=_reject_tty)
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    parser.add_argument("--output", choices=("text", "json"), default="text", help="with json, --version says it all")
    add_paths(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    get = commands.add_parser("get-credentials", help="answer a CredentialProviderRequest (the default)")
    add_paths(get)
    get.set_defaults(run=_reject_tty)

    explain = commands.add_parser(
        "explain", help="say which answer an image would get and why: offline", epilog=EXIT_CODES
    )
    explain.add_argument("image", metavar="IMAGE")
    add_paths(explain)
    explain.add_argument("--output", choices=("text", "json"), default="text")
    explain.set_defaults(run=_explain)

    _add_doctor(
        commands.add_parser("doctor", help="try a pull's whole path and name the first broken step", epilog=EXIT_CODES)
    )

    helper = commands.add_parser("docker-credential", help="answer docker's credential helper protocol")
    helper.add_argument("verb", choices=("get", "list", "store", "erase", "version"))
    add_paths(helper)
    helper.set_defaults(run=_docker_credential)

    settings.add_to(commands)

    cache.add_to(commands)

    for command, (_module, purpose) in LAZY_SUBCOMMANDS.items():
        commands.add_parser(command, help=purpose, add_help=False)
    return parser


def _add_doctor(doctor: argparse.ArgumentParser) -> None:
    add = doctor.add_argument
    add("image", metavar="IMAGE", nargs="?", default="")
    add_paths(doctor)
    add("--output", choices=("text", "json"), default="text")
    add("--host-root", metavar="DIR", type=folder_argument, help="where the node's / is mounted, in a pod")
    add("--cluster", action="store_true", help="look at a cluster's pull secrets instead; changes nothing")
    add("--kubeconfig", type=path_argument, metavar="FILE", help="with --cluster; default: as kubectl")
    add("--context", default="", help="with --cluster")
    configuration = "with --cluster: the ConfigMap of the controller (default: kube-system/acr-configuration)"
    default = "kube-system/acr-configuration"
    add("--config-map", type=namespaced_name, default=default, metavar="NAMESPACE/NAME", help=configuration)
    add_allowed_hosts(doctor)
    add("--no-kubelet", action="store_true", help="do not check this machine's kubelet")
    account = "try as the ServiceAccount whose token is in FILE (- is stdin): kubectl create token --audience AUDIENCE"
    add("--token-file", type=file_or_stdin, metavar="FILE", help=account)
    annotation = "an annotation of that ServiceAccount; may be repeated"
    flag = "--service-account-annotation"
    add(flag, metavar="KEY=VALUE", type=_annotation, action="append", default=[], help=annotation)
    doctor.set_defaults(run=_doctor)


def _annotation(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError("must be KEY=VALUE")
    return key, value


def _reject_tty(_options: argparse.Namespace) -> int:
    warn(NAME, "a CredentialProviderRequest is expected on stdin, not a terminal; see --help")
    return 2


def _version(options: argparse.Namespace) -> int:
    from acr_credential_provider.console.build_info import build_info  # noqa: PLC0415 - for this command alone

    write_document(json.dumps(build_info(), indent=2) if options.output == "json" else f"{NAME} {VERSION}")
    return 0


def _explain(options: argparse.Namespace) -> int:
    from acr_credential_provider.console import checks  # noqa: PLC0415 - a pull's whole path, for this command alone
    from acr_credential_provider.explain.checks import explain  # noqa: PLC0415

    results = explain(options.image, settings_path=options.settings, cache=options.cache)
    return checks.report(results, as_json=options.output == "json")


def _doctor(options: argparse.Namespace) -> int:
    if options.cluster:
        return _cluster_doctor(options)
    from acr_credential_provider.console.checks import report, run_checks  # noqa: PLC0415 - for this command alone
    from acr_credential_provider.doctor.checks import CHECKS  # noqa: PLC0415
    from acr_credential_provider.doctor.chroot import chroot  # noqa: PLC0415
    from acr_credential_provider.doctor.context import DoctorContext, PodIdentity  # noqa: PLC0415

    pod = None
    if options.token_file:
        pod = PodIdentity(_token(options.token_file), dict(options.service_account_annotation))
    context = DoctorContext(
        options.image,
        settings_path=options.settings,
        cache=options.cache,
        use_kubelet=not options.no_kubelet,
        pod=pod,
    )
    if options.host_root:
        chroot(options.host_root)
    return report(run_checks(CHECKS, context), as_json=options.output == "json")


def _token(path: str) -> str:
    """Return the text in *path*; the doctor checks it as a pull does."""
    remedy = Remedy(
        "FileUnusable", "Write a token there: kubectl create token NAME -n NAMESPACE --audience sts.aliyuncs.com"
    )
    try:
        return _bytes(path).decode("utf-8", "replace").strip()
    except NotRegularFileError:
        problem = f"{path} is not a regular file"
    except OSError as error:
        reason, remedy = explained(error, remedy=remedy)
        problem = f"{path} cannot be read: {reason}"
    raise ConfigurationError(problem, remedy=remedy)


def _bytes(path: str) -> bytes:
    if path != STDIN:
        return regular_file.read(path, LARGEST_REQUEST)
    with open(0, "rb", closefd=False) as file:
        return file.read(LARGEST_REQUEST)


def _cluster_doctor(options: argparse.Namespace) -> int:
    if options.settings == SETTINGS:  # the default of a node; the cluster's controller has a ConfigMap
        options.settings = ""
    return _run_lazy("acr_credential_provider.cluster_doctor.cli", options, command="doctor --cluster")


def _docker_credential(options: argparse.Namespace) -> int:
    from acr_credential_provider.exec import docker_credential_helper  # noqa: PLC0415 - for this command alone

    paths = {"--settings": options.settings, "--cache": options.cache}
    return docker_credential_helper.run(options.verb, paths, started=time.monotonic(), seconds=HELPER_DEADLINE)
