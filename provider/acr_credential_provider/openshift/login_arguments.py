"""The options by which a command is told which logins to put into a pull secret, and what they come to."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from acr_credential_provider.console.command_line import path_argument
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.model.resources import SECRETS
from acr_credential_provider.sources.basic_auth import BasicAuth
from acr_credential_provider.sources.secret_file import read_secret

from . import docker_config, login_sources

if TYPE_CHECKING:
    from acr_credential_provider.pull_secrets.kube.client import KubeClient

    from .docker_config import DockerConfig


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options that `named_logins` reads."""
    group = parser.add_argument_group("where logins come from")
    group.add_argument(
        "--from-file",
        type=path_argument,
        action="append",
        default=[],
        metavar="FILE",
        help="docker config.json, auth.json",
    )
    group.add_argument("--from-secret", action="append", default=[], metavar="SECRET", help="podmanconfigjson too")
    group.add_argument(
        "--settings", type=path_argument, metavar="FILE", help="ask ACR now; such tokens live for an hour"
    )
    group.add_argument("--host", action="append", default=[], help="only these (merge: ACR's own without it)")
    group.add_argument("--docker-server", metavar="HOST")
    group.add_argument("--docker-username", metavar="NAME")
    group.add_argument("--docker-password-file", type=path_argument, metavar="FILE", help="a file for its owner alone")
    group.add_argument(
        "--auth-server",
        action="append",
        default=[],
        type=_equation,
        metavar="HOST=SERVER",
        help="the registry HOST leaves logins to SERVER: give it the same one",
    )


def named_logins(options: argparse.Namespace, api: KubeClient, namespace: str) -> dict[str, BasicAuth]:
    """Return the logins that *options* name, all sources together."""
    files = [login_sources.from_file(each) for each in options.from_file]
    for name in options.from_secret:
        secret = api.get(SECRETS.path(namespace, name))
        if secret is None:
            raise ConfigurationError(f"there is no Secret {namespace}/{name}", remedy="Name one that there is.")
        files.append(login_sources.from_secret(secret, what=f"Secret {namespace}/{name}"))
    files += _literal(options)
    for each in files:
        for note in each.notes:
            sys.stderr.write(f"note: {note}\n")
    if options.settings:
        files.append(docker_config.DockerConfig(login_sources.from_acr(options.settings, options.host)))
    if not files:
        raise ConfigurationError(
            "no login was named", remedy="Use --from-file, --from-secret, --settings or --docker-server."
        )
    return docker_config.merged(files)


def _literal(options: argparse.Namespace) -> list[DockerConfig]:
    parts = (options.docker_server, options.docker_username, options.docker_password_file)
    if not any(parts):
        return []
    if not all(parts):
        raise ConfigurationError(
            "a login needs --docker-server, --docker-username and --docker-password-file", remedy="Give all three."
        )
    password = read_secret(options.docker_password_file, what="the password").decode("utf-8", "replace")
    return [docker_config.DockerConfig({options.docker_server: BasicAuth(options.docker_username, password)})]


def _equation(text: str) -> tuple[str, str]:
    host, sign, server = text.partition("=")
    if not (host and sign and server):
        raise argparse.ArgumentTypeError("write it as HOST=SERVER")
    return host, server
