"""The command line of operators: each command, its options, and the function that carries it out.

The node's installer, the controller and the platforms have command lines of their own (`subcommands`).
"""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

from acr_credential_provider.console import output
from acr_credential_provider.console.arguments import namespaced_name
from acr_credential_provider.console.command_line import (
    STDIN,
    CommandLineError,
    CommandParser,
    add_allowed_hosts,
    add_output,
    commands_of,
    file_or_stdin,
    folder_argument,
    path_argument,
)
from acr_credential_provider.console.paths import add_paths, own_paths
from acr_credential_provider.fastpath.lookup import API_VERSIONS, LARGEST_REQUEST, SETTINGS
from acr_credential_provider.files import regular_file
from acr_credential_provider.files.regular_file import NotRegularFileError
from acr_credential_provider.model import exit_codes
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained
from acr_credential_provider.version import KUBECTL_PLUGIN, NAME

from . import about, cache, kubectl, settings, subcommands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acr_credential_provider.console.checks import CheckResult

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

for clusters there is kubectl acr, of the same release: doctor, status, plan, uninstall, openshift, render
"""
HELPER_DEADLINE = 15.0
"""Seconds for the answer to docker."""


def main(arguments: list[str]) -> int:
    """Carry out the command in *arguments*, with new files for this user alone; return the exit code as `run` does."""
    os.umask(0o077)
    return run(arguments)


def run(arguments: list[str]) -> int:
    """Carry out the command in *arguments*; return the exit code (`model/exit_codes.py`)."""
    output.begin(arguments)
    is_kubectl = arguments[:1] == [kubectl.WORD]
    try:
        return _run(arguments[1:] if is_kubectl else arguments, is_kubectl=is_kubectl)
    except CredentialProviderError as error:
        output.report(error)
        return error.exit_code
    except BrokenPipeError:  # a closed pager; Python must not flush into it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return exit_codes.DONE
    except OSError as error:
        output.report(_disk_error(error))
        return exit_codes.FAILED


def _run(arguments: Sequence[str], *, is_kubectl: bool) -> int:
    parser = make_parser(is_kubectl=is_kubectl)
    words = parser.ordered(arguments)
    if words[:1] == [about.HELP]:
        named = [word for word in words[1:] if not word.startswith("-")]
        words = [*named, "--help"]
    if is_kubectl:
        words = kubectl.spelled_out(words)
    if words and words[0] in subcommands.LAZY_SUBCOMMANDS:
        return subcommands.run(words[0], words[1:])
    options = parser.parse_args(words)
    own_paths(options)
    code: int = about.print_version(options) if options.version else options.run(options)
    return code


def _disk_error(error: OSError) -> CredentialProviderError:
    """Return *error* for operators, with its path and the system's message."""
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "this command's output"
    reason, remedy = explained(
        error, remedy=Remedy("FileUnusable", "Run it as the user whose file that is (root, on a node).")
    )
    return ConfigurationError(f"cannot work on {path}: {reason}", remedy=remedy)


def make_parser(*, is_kubectl: bool = False, is_whole: bool = False, has_hidden: bool = True) -> CommandParser:
    """Return the parser of all commands, as the program itself or as a plugin of kubectl.

    *is_whole*: with the options of commands that are loaded by name, for completion, man pages and tests.
    *has_hidden*: with commands that the help does not list, because another program has them.
    """
    prog, about_it = (KUBECTL_PLUGIN, kubectl) if is_kubectl else (NAME, None)
    parser = CommandParser(
        prog=prog,
        description=about_it.DESCRIPTION if about_it else DESCRIPTION,
        epilog=about_it.EXAMPLES if about_it else EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_without_command, is_kubectl=is_kubectl, program=prog.replace(" ", "-"))
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    add_output(parser)
    add_paths(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    if not is_kubectl:
        _add_protocols(commands)
    explain = commands.add_parser("explain", help="say which answer an image would get and why: offline")
    explain.add_argument("image", metavar="IMAGE")
    add_paths(explain)
    add_output(explain)
    explain.set_defaults(run=_explain)
    _add_doctor(commands.add_parser("doctor", help="try a pull's whole path and name the first broken step"))
    settings.add_to(commands)
    cache.add_to(commands)
    subcommands.add_to(commands, is_kubectl=is_kubectl, is_whole=is_whole, has_hidden=has_hidden)
    for word, (spelled_out, purpose) in kubectl.SHORT.items() if is_kubectl else ():
        commands.add_parser(word, help=purpose, add_help=False)
        if is_whole:
            outer, inner = spelled_out
            commands.choices[word] = commands_of(commands.choices[outer])[inner]
    about.add_to(commands)
    return parser


def _add_protocols(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add the commands that answer another program in its own protocol."""
    get = commands.add_parser("get-credentials", help="answer a CredentialProviderRequest (the default)")
    add_paths(get)
    get.set_defaults(run=_without_command)
    helper = commands.add_parser("docker-credential", help="answer docker's credential helper protocol")
    helper.add_argument("verb", choices=("get", "list", "store", "erase", "version"))
    add_paths(helper)
    helper.set_defaults(run=_docker_credential)


def _add_doctor(doctor: argparse.ArgumentParser) -> None:
    add = doctor.add_argument
    add("image", metavar="IMAGE", nargs="?", default="")
    add_paths(doctor)
    add_output(doctor)
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


def _without_command(options: argparse.Namespace) -> int:
    if options.is_kubectl:
        make_parser(is_kubectl=True).print_help()
        return exit_codes.DONE
    raise CommandLineError(
        "a CredentialProviderRequest is expected on stdin, not a terminal",
        remedy=Remedy("CommandLineInvalid", f"See {NAME} --help."),
    )


def _explain(options: argparse.Namespace) -> int:
    from acr_credential_provider.console import checks  # noqa: PLC0415 - a pull's whole path, for this command alone
    from acr_credential_provider.explain.checks import explain  # noqa: PLC0415

    results = explain(options.image, settings_path=options.settings, cache=options.cache)
    return checks.report(results, as_json=options.output == "json")


def _doctor(options: argparse.Namespace) -> int:
    if options.cluster or (options.is_kubectl and not options.image):
        return _cluster_doctor(options)
    from acr_credential_provider.console.checks import report, run_checks, show  # noqa: PLC0415 - for this command alone
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
    as_json = options.output == "json"
    results = run_checks(CHECKS, context, on_result=_show_nothing if as_json else show)
    return report(results, as_json=as_json, are_shown=not as_json)


def _show_nothing(_result: CheckResult) -> None:
    """All results are one document, in the end."""


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
    if options.settings_are_own:  # of a node or a laptop; the cluster's controller has a ConfigMap
        options.settings = ""
    module = "acr_credential_provider.cluster_doctor.cli"
    return subcommands.load(module, "doctor --cluster", elsewhere=subcommands.CONTROLLER)(options)


def _docker_credential(options: argparse.Namespace) -> int:
    from acr_credential_provider.exec import docker_credential_helper  # noqa: PLC0415 - for this command alone

    paths = {"--settings": options.settings, "--cache": options.cache}
    return docker_credential_helper.run(options.verb, paths, started=time.monotonic(), seconds=HELPER_DEADLINE)
