"""What operators type: each word with its options, and who carries it out.

What a node's installer, the controller and the platforms add has command lines of its own, behind `LAZY_SUBCOMMANDS`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time

from acr_credential_provider.console.arguments import add_paths, namespaced_name
from acr_credential_provider.console.command_line import CommandParser, file_or_stdin, folder_argument, path_argument
from acr_credential_provider.exec.watchdog import report
from acr_credential_provider.fastpath.lookup import API_VERSIONS, LARGEST_REQUEST, SETTINGS
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.version import VERSION

from . import cache, settings

NAME = "aliyun-acr-credential-provider"
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
"""Seconds for a client that wants a login."""
LAZY_SUBCOMMANDS = {
    "node": ("acr_node_config.commands.node_cli", "install the plugin on a node, keep it, undo it"),
    "pull-secrets": (
        "acr_credential_provider.pull_secrets.commands.cli",
        "keep ServiceAccounts' pull secrets (the controller)",
    ),
    "openshift": ("acr_credential_provider.openshift.cli", "link and merge pull secrets as oc does"),
    "render": ("acr_credential_provider.eci.cli", "write what other platforms need of the settings"),
}
"""Words with a command line of their own: its module, whose ``run(arguments)`` returns the exit code; its help.

Imported by name, for a build may leave them out: a node has no controller.
"""


def main(arguments: list[str]) -> int:
    """Carry out the command in *arguments* with files for this user alone; return the exit code as `run` does."""
    os.umask(0o077)
    return run(arguments)


def run(arguments: list[str]) -> int:
    """Carry out the command in *arguments*; return the exit code: 0 done, 1 failed, 2 not understood."""
    try:
        parser = _parser()
        arguments = parser.ordered(arguments)
        if arguments and arguments[0] in LAZY_SUBCOMMANDS:
            return _run_subcommand(arguments[0], arguments[1:])
        options = parser.parse_args(arguments)
        code: int = _version(options) if options.version else options.run(options)
    except CredentialProviderError as error:
        report(error)
        return 1
    except BrokenPipeError:  # a pager that was closed; Python must not try to flush into it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        report(_of_the_disk(error))
        return 1
    return code


def _run_subcommand(word: str, arguments: list[str]) -> int:
    return _run_lazy(LAZY_SUBCOMMANDS[word][0], arguments, word=word)


def _run_lazy(name: str, asked: object, *, word: str) -> int:
    try:
        code: int = importlib.import_module(name).run(asked)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
    else:
        return code
    raise ConfigurationError(
        f"{word} is not part of this build", remedy="Run it from the container image, which has every command."
    )


def _of_the_disk(error: OSError) -> CredentialProviderError:
    """Return what an operator should know of *error*: which path, and what the system said about it."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "this command's output"
    why = os.strerror(error.errno) if error.errno else type(error).__name__
    return ConfigurationError(
        f"cannot work on {where}: {why}",
        remedy="Run it as the user whose file that is (root, on a node), on a disk that is writable and has space.",
    )


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

    for word, (_module, purpose) in LAZY_SUBCOMMANDS.items():
        commands.add_parser(word, help=purpose, add_help=False)
    return parser


def _add_doctor(doctor: argparse.ArgumentParser) -> None:
    doctor.add_argument("image", metavar="IMAGE", nargs="?", default="")
    add_paths(doctor)
    doctor.add_argument("--output", choices=("text", "json"), default="text")
    doctor.add_argument(
        "--host-root", metavar="DIR", type=folder_argument, help="where the node's / is mounted, in a pod"
    )
    doctor.add_argument(
        "--cluster", action="store_true", help="look at a cluster's pull secrets instead; changes nothing"
    )
    doctor.add_argument("--kubeconfig", type=path_argument, metavar="FILE", help="with --cluster; default: as kubectl")
    doctor.add_argument("--context", default="", help="with --cluster")
    doctor.add_argument(
        "--config-map",
        type=namespaced_name,
        default="kube-system/acr-configuration",
        metavar="NAMESPACE/NAME",
        help="with --cluster: where the controller's configuration is (default: kube-system/acr-configuration)",
    )
    doctor.add_argument("--no-kubelet", action="store_true", help="leave the kubelet of this machine aside")
    doctor.add_argument(
        "--token-file",
        type=file_or_stdin,
        metavar="FILE",
        help="try as the ServiceAccount whose token is in FILE (- is stdin): kubectl create token --audience AUDIENCE",
    )
    doctor.add_argument(
        "--service-account-annotation",
        metavar="KEY=VALUE",
        type=_annotation,
        action="append",
        default=[],
        help="an annotation of that ServiceAccount; may be repeated",
    )
    doctor.set_defaults(run=_doctor)


def _annotation(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError("must be KEY=VALUE")
    return key, value


def _reject_tty(_options: argparse.Namespace) -> int:
    sys.stderr.write(f"{NAME}: a CredentialProviderRequest is expected on stdin, not a terminal; see --help\n")
    return 2


def _version(options: argparse.Namespace) -> int:
    from acr_credential_provider.console.build_info import build_info  # noqa: PLC0415 - for this command alone

    print(json.dumps(build_info(), indent=2) if options.output == "json" else f"{NAME} {VERSION}")  # noqa: T201
    return 0


def _explain(options: argparse.Namespace) -> int:
    from acr_credential_provider.console import checks  # noqa: PLC0415 - a pull's whole path, for this command alone
    from acr_credential_provider.explain.checks import explain  # noqa: PLC0415

    results = explain(options.image, settings_path=options.settings, cache=options.cache)
    return checks.report(results, as_json=options.output == "json")


def _doctor(options: argparse.Namespace) -> int:
    if options.cluster:
        return _doctor_of_the_cluster(options)
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
    """Return the text in *path*, whatever it is: the doctor judges it as a pull would."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            return file.read(LARGEST_REQUEST).decode("utf-8", "replace").strip()
    except OSError as error:
        problem = f"{path} cannot be read: {os.strerror(error.errno or 0)}"
    raise ConfigurationError(
        problem, remedy="Write a token there: kubectl create token NAME -n NAMESPACE --audience sts.aliyuncs.com"
    )


def _doctor_of_the_cluster(options: argparse.Namespace) -> int:
    if options.settings == SETTINGS:  # a node's; the cluster's controller goes by its ConfigMap
        options.settings = ""
    return _run_lazy("acr_credential_provider.cluster_doctor.cli", options, word="doctor --cluster")


def _docker_credential(options: argparse.Namespace) -> int:
    from acr_credential_provider.exec import docker_credential_helper  # noqa: PLC0415 - for this command alone

    paths = {"--settings": options.settings, "--cache": options.cache}
    return docker_credential_helper.run(options.verb, paths, started=time.monotonic(), seconds=HELPER_DEADLINE)
