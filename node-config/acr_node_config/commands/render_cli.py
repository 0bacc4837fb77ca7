"""The command line of ``node render``: writes manifests for other platforms to stdout. Nothing is changed."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from acr_credential_provider.console.command_line import STDIN, CommandParser, add_output, file_or_stdin
from acr_credential_provider.console.output import pass_on, warn_of_all, write_document, write_json
from acr_credential_provider.console.paths import add_settings, own_paths
from acr_credential_provider.files import regular_file
from acr_credential_provider.model import exit_codes
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.version import NAME

from acr_node_config.hostfs import host_exec
from acr_node_config.hostfs.host_reader import LARGEST
from acr_node_config.placement import openshift

if TYPE_CHECKING:
    from acr_node_config.model.facts import Version

SECONDS = 30.0
PROGRAM = f"{NAME} node render"
EXAMPLES = f"""examples:
  oc debug node/NODE -q -- chroot /host systemctl cat kubelet > kubelet.unit
  {PROGRAM} openshift --unit kubelet.unit --settings settings.yaml --kubernetes 1.32 > machine-config.yaml
  {PROGRAM} openshift --part disruption-policy
  {PROGRAM} openshift --part scc --namespace aliyun-acr-credential-provider
"""


def run(arguments: list[str]) -> int:
    """Write what *arguments* ask for; raise ``CredentialProviderError``. Exit code 0, or argparse's 2."""
    options = _parser().parse_args(arguments)
    own_paths(options)
    rendered = _rendered(options)
    if options.output != "json":
        write_document(openshift.text(rendered))
        return exit_codes.DONE
    warn_of_all("note", rendered.notes)
    first, *more = rendered.documents
    write_json({"apiVersion": "v1", "kind": "List", "items": [first, *more]} if more else first)
    return exit_codes.DONE


def _rendered(options: argparse.Namespace) -> openshift.Rendered:
    if options.part == "disruption-policy":
        return openshift.disruption_policy()
    if options.part == "scc":
        return openshift.security_context(options.namespace, options.service_account)
    if not options.unit:
        raise ConfigurationError(
            "the kubelet's unit is not given, and whether it has a place for our flags is not known without it",
            remedy=Remedy(
                "ArgumentMissing",
                "Name a file with --unit: oc debug node/NODE -q -- chroot /host systemctl cat kubelet",
            ),
        )
    unit = _read(options.unit)
    covered = json.loads(_read(options.match_images)) if options.match_images else _covered(options.settings)
    return openshift.machine_config(covered, unit, role=options.role, version=options.kubernetes)


def whole_parser() -> CommandParser:
    """Return the parser of this command."""
    return _parser()


def _parser() -> CommandParser:
    parser = CommandParser(
        prog=PROGRAM,
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    platform = parser.add_subparsers(required=True, metavar="PLATFORM").add_parser(
        "openshift", help="a MachineConfig, a disruption policy, or the rights of the DaemonSet"
    )
    platform.add_argument("--part", choices=openshift.PARTS, default=openshift.PARTS[0])
    platform.add_argument(
        "--unit", type=file_or_stdin, metavar="FILE", help="what systemctl cat kubelet prints on a node; - is stdin"
    )
    platform.add_argument("--role", default="worker", type=_name, help="pool of machines (default: worker)")
    platform.add_argument("--kubernetes", type=_version, metavar="X.Y", help="version of the nodes' kubelet")
    add_settings(platform)
    add_output(platform, is_yaml=True)
    platform.add_argument(
        "--match-images", type=file_or_stdin, metavar="FILE", help="what settings match-images --output json wrote"
    )
    platform.add_argument("--namespace", default=NAME, type=_name, help="of the DaemonSet")
    platform.add_argument("--service-account", default=NAME, type=_name)
    return parser


def _covered(settings: str) -> dict[str, Any]:
    """Return the output of ``settings match-images`` for *settings*."""
    own = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "acr_credential_provider"]
    words = [*own, "settings", "match-images", settings, "--output", "json"]
    ended = host_exec.run(host_exec.Command(words, is_ours=True), seconds=SECONDS, environment=os.environ)
    pass_on(ended.stderr)
    if ended.returncode:
        raise ConfigurationError(
            "the settings cannot be used; the reason is above",
            remedy=Remedy("SettingsInvalid", f"Correct {settings}, then run this again."),
        )
    covered: dict[str, Any] = json.loads(ended.stdout)
    return covered


def _read(file: str) -> str:
    if file == STDIN:
        return sys.stdin.read()
    return regular_file.read(file, LARGEST).decode()


def _version(text: str) -> Version:
    match = re.fullmatch(r"v?(\d{1,3})\.(\d{1,3})(?:\..*)?", text, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError("write it like 1.32")
    return int(match[1]), int(match[2])


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text, re.ASCII):
        raise argparse.ArgumentTypeError("is not a name that Kubernetes takes")
    return text
