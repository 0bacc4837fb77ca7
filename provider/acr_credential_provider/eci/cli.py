"""The command ``render``: writes the settings in the form of platforms without a kubelet of ours, to stdout."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from acr_credential_provider.console.command_line import CommandParser, add_output, path_argument
from acr_credential_provider.console.output import warn, warn_of_all, write_document
from acr_credential_provider.console.paths import add_settings, own_paths
from acr_credential_provider.files.atomic_write import write_private_atomically
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.settings.loader import read
from acr_credential_provider.settings.verdict import judge
from acr_credential_provider.sources.basic_auth import read_basic_auth
from acr_credential_provider.version import KUBECTL_PLUGIN

from .forms import POD, ROLES, written
from .registry_infos import render

if TYPE_CHECKING:
    from acr_credential_provider.settings import Identity, ProviderSettings
    from acr_credential_provider.sources.basic_auth import BasicAuth

_ARN = re.compile(r"acs:ram::[0-9]{1,32}:role/[A-Za-z0-9._-]{1,64}", re.ASCII)
_NOWHERE = "/not-read-for-this"
"""The folder for the key files of a converted acr-configuration: ECI uses no identity, so none is read."""


def run(arguments: list[str]) -> int:
    """Carry out ``render`` with *arguments*; return the exit code: 0 done, 1 parts of the settings are unusable."""
    options = _parser().parse_args(arguments)
    own_paths(options)
    code: int = options.run(options)
    return code


def whole_parser() -> CommandParser:
    """Return the parser of all commands below ``render``."""
    return _parser()


def _parser() -> CommandParser:
    parser = CommandParser(
        prog=f"{KUBECTL_PLUGIN} render", description="Writes what other platforms need of the settings."
    )
    commands = parser.add_subparsers(required=True, metavar="PLATFORM")
    eci = commands.add_parser("eci", help="Elastic Container Instance and virtual nodes")
    add_settings(eci)
    eci.add_argument("--image", action="append", default=[], help="an image to pull; all entries without")
    form = (
        "annotations for a Pod's metadata (default), parameters of CreateContainerGroup (api) or of "
        "CreateEciScalingConfiguration (ess), or blocks for Terraform's resources of the two"
    )
    eci.add_argument("--form", choices=tuple(ROLES), default=POD, help=form)
    role = "role of ECI's own account that ECI asks as"
    eci.add_argument("--service-arn", type=_arn, default="", metavar="ARN", help=role)
    add_output(eci, is_yaml=True, text="for Terraform: HCL in place of YAML")
    passwords = "read logins and write all into FILE, for its owner alone; stdout never gets a password (not for pod)"
    eci.add_argument("--with-passwords", type=path_argument, metavar="FILE", help=passwords)
    eci.set_defaults(run=_eci)
    return parser


def _arn(text: str) -> str:
    if text and not _ARN.fullmatch(text):
        raise argparse.ArgumentTypeError("write it as acs:ram::ACCOUNT:role/NAME")
    return text


def _eci(options: argparse.Namespace) -> int:
    if options.with_passwords and options.form == POD:
        raise ConfigurationError(
            "--with-passwords has no meaning for a Pod, which takes logins from imagePullSecrets",
            remedy=Remedy(
                "ArgumentInvalid",
                "Add --form api; for a Pod, create the Secret with kubectl create secret docker-registry.",
            ),
        )
    settings = _settings(options.settings)
    rendered = render(
        settings,
        images=options.image,
        service_arn=options.service_arn,
        login_of=_login if options.with_passwords else None,
        roles=ROLES[options.form],
    )
    warn_of_all("note", rendered.notes)
    text = written(rendered, options.form, as_json=options.output == "json")
    if options.with_passwords:
        write_private_atomically(
            options.with_passwords, text, remedy=Remedy("FileUnusable", "Name a file in a folder that you may write.")
        )
    else:
        write_document(text)
    return 1 if settings.skipped else 0


def _login(identity: Identity) -> BasicAuth:
    return read_basic_auth(identity.username_file, identity.password_file)


def _settings(path: str) -> ProviderSettings:
    """Return the settings at *path*; entries that cannot be used are reported on stderr."""
    verdict = judge(read(path), place="controller", keys_directory=_NOWHERE)
    if verdict.settings is None:
        raise ConfigurationError(f"{path}, {verdict.problems[0]}", remedy=verdict.problems[0].remedy)
    for problem in verdict.problems:
        warn("error", f"{path}, {problem}", remedy=problem.remedy)
    return verdict.settings
