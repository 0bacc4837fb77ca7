"""The options that name the logins for a pull secret, and the logins that they name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from acr_credential_provider.console.command_line import path_argument
from acr_credential_provider.console.output import warn_of_all
from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.pull_secrets.model.resources import SECRETS
from acr_credential_provider.sources.basic_auth import BasicAuth
from acr_credential_provider.sources.secret_file import read_secret

from . import docker_config, login_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


def named_logins(
    options: argparse.Namespace, api: KubeClient, namespace: str, is_wanted: Callable[[str], bool]
) -> tuple[dict[str, BasicAuth], list[str]]:
    """Return those of the logins that *options* name which are wanted, by path, and the paths of the others.

    Secrets are in *namespace*. An entry that cannot be used is refused only if its path is wanted.
    """
    configs = [login_sources.from_file(path) for path in options.from_file]
    for name in map(secret_name, options.from_secret):
        secret = api.get(SECRETS.path(namespace, name))
        if secret is None:
            raise ConfigurationError(
                f"there is no Secret {namespace}/{name}", remedy=Remedy("SecretMissing", "Name one that there is.")
            )
        configs.append(login_sources.from_secret(secret, source=f"Secret {namespace}/{name}"))
    for config in configs:
        warn_of_all("note", config.notes)
    logins = _docker_login(options)
    if options.settings:
        logins |= login_sources.from_acr(options.settings, options.host)
    if not configs and not logins:
        raise ConfigurationError(
            "no login was named",
            remedy=Remedy("ArgumentMissing", "Use --from-file, --from-secret, --settings or --docker-server."),
        )
    chosen = [config.only(is_wanted) for config in (*configs, docker_config.DockerConfig(logins))]
    return docker_config.merged(config for config, _ in chosen), [path for _, others in chosen for path in others]


def secret_name(text: str) -> str:
    """Return the name of the Secret that *text* names: NAME, or as oc takes it, secret/NAME or secrets/NAME."""
    return _object_name(text, ("secret", "secrets"), "Secret")


def service_account_name(text: str) -> str:
    """Return the name of the ServiceAccount that *text* names: NAME, or as oc takes it, sa/NAME."""
    return _object_name(text, ("sa", "serviceaccount", "serviceaccounts"), "ServiceAccount")


def _object_name(text: str, resources: Sequence[str], kind: str) -> str:
    resource, slash, name = text.rpartition("/")
    if (slash and resource.lower() not in resources) or not name:
        raise ConfigurationError(
            f"{plain_text(text)} does not name a {kind}",
            remedy=Remedy("ArgumentInvalid", f"Write it as NAME or {resources[0]}/NAME."),
        )
    return name


def _docker_login(options: argparse.Namespace) -> dict[str, BasicAuth]:
    parts = (options.docker_server, options.docker_username, options.docker_password_file)
    if not any(parts):
        return {}
    if not all(parts):
        raise ConfigurationError(
            "a login needs --docker-server, --docker-username and --docker-password-file",
            remedy=Remedy("ArgumentMissing", "Give all three."),
        )
    try:
        password = read_secret(options.docker_password_file, what="the password").decode()
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{options.docker_password_file} is not text in UTF-8",
            remedy=Remedy("SecretFileInvalid", "Write the password into it, and nothing else."),
        ) from None
    return {docker_config.named_path(options.docker_server): BasicAuth(options.docker_username, password)}


def _auth_server(text: str) -> tuple[str, str]:
    host, _, server = text.partition("=")
    if not (host and server):
        raise argparse.ArgumentTypeError("write it as HOST=SERVER")
    return docker_config.named_path(host), docker_config.named_path(server)
