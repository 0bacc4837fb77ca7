"""The options that name the logins for a pull secret, and the logins that they name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from acr_credential_provider.console.command_line import path_argument
from acr_credential_provider.console.output import warn_of_all
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.model.resources import SECRETS
from acr_credential_provider.sources.basic_auth import BasicAuth
from acr_credential_provider.sources.secret_file import read_secret

from . import docker_config, login_sources

if TYPE_CHECKING:
    from acr_credential_provider.pull_secrets.kube.client import KubeClient


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options that `named_logins` reads."""
    add = parser.add_argument_group("where logins come from").add_argument
    files = "docker config.json, auth.json"
    add("--from-file", type=path_argument, action="append", default=[], metavar="FILE", help=files)
    add("--from-secret", action="append", default=[], metavar="SECRET", help="podmanconfigjson too")
    add("--settings", type=path_argument, metavar="FILE", help="ask ACR now; such tokens live for an hour")
    add("--host", action="append", default=[], help="only these (merge: ACR's own without it)")
    add("--docker-server", metavar="HOST")
    add("--docker-username", metavar="NAME")
    add("--docker-password-file", type=path_argument, metavar="FILE", help="a file for its owner alone")
    server = "the registry HOST leaves logins to SERVER: give it the same one"
    add("--auth-server", action="append", default=[], type=_auth_server, metavar="HOST=SERVER", help=server)


def named_logins(options: argparse.Namespace, api: KubeClient, namespace: str) -> dict[str, BasicAuth]:
    """Return the logins that *options* name, of all sources together; Secrets are in *namespace*."""
    configs = [login_sources.from_file(path) for path in options.from_file]
    for name in options.from_secret:
        secret = api.get(SECRETS.path(namespace, name))
        if secret is None:
            raise ConfigurationError(f"there is no Secret {namespace}/{name}", remedy="Name one that there is.")
        configs.append(login_sources.from_secret(secret, source=f"Secret {namespace}/{name}"))
    for config in configs:
        warn_of_all("note", config.notes)
    logins = _docker_login(options)
    if options.settings:
        logins |= login_sources.from_acr(options.settings, options.host)
    if not configs and not logins:
        raise ConfigurationError(
            "no login was named", remedy="Use --from-file, --from-secret, --settings or --docker-server."
        )
    return docker_config.merged([*configs, docker_config.DockerConfig(logins)])


def _docker_login(options: argparse.Namespace) -> dict[str, BasicAuth]:
    parts = (options.docker_server, options.docker_username, options.docker_password_file)
    if not any(parts):
        return {}
    if not all(parts):
        raise ConfigurationError(
            "a login needs --docker-server, --docker-username and --docker-password-file", remedy="Give all three."
        )
    password = read_secret(options.docker_password_file, what="the password").decode("utf-8", "replace")
    return {options.docker_server: BasicAuth(options.docker_username, password)}


def _auth_server(text: str) -> tuple[str, str]:
    host, _, server = text.partition("=")
    if not (host and server):
        raise argparse.ArgumentTypeError("write it as HOST=SERVER")
    return host, server
