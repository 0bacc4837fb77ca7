"""The command ``openshift``: what ``oc`` does with pull secrets, with ACR's logins and without taking any away."""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import yaml

from acr_credential_provider.console.arguments import duration, namespaced_name
from acr_credential_provider.console.command_line import CommandParser, path_argument
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.connection import connect
from acr_credential_provider.pull_secrets.model.resources import SECRETS, SERVICE_ACCOUNTS

from . import docker_config, pull_secrets
from .login_arguments import add_sources, named_logins

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.sources.basic_auth import BasicAuth

    from .pull_secrets import Merge, Operations

NAME = "aliyun-acr-credential-provider openshift"
TRIES = 10
"""Writes of one object, each on a version of it that was read anew."""
_CLUSTER_ADMIN = "Log in as cluster-admin, who alone may change the global pull secret."
_EXAMPLES = f"""examples:
  {NAME} link default acr-login -n team
  {NAME} pull-secret acr-login -n team --from-file ~/.config/containers/auth.json
  {NAME} merge-pull-secret --from-file auth.json --dry-run
  {NAME} grant-image-puller --from project-a --in project-b | oc apply -f -
"""


def run(arguments: list[str]) -> int:
    """Carry out ``openshift`` with *arguments*; return the exit code."""
    options = _parser().parse_args(arguments)
    code: int = options.run(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog=NAME,
        description="Pull secrets on OpenShift (and any cluster): links, merges, grants.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for word, purpose in (("link", "add Secrets to a ServiceAccount's imagePullSecrets"), ("unlink", "take them out")):
        command = commands.add_parser(word, help=purpose)
        command.add_argument("service_account", metavar="SERVICEACCOUNT")
        command.add_argument("secrets", metavar="SECRET", nargs="+")
        command.add_argument(
            "--wait",
            type=duration,
            default=0.0,
            metavar="TIME",
            help="for the ServiceAccount to come (30s)",
        )
        command.add_argument("--for", dest="purpose", choices=("pull",), default="pull", help="pull is all it does")
        _add_cluster(command)
        command.set_defaults(run=_link if word == "link" else _unlink)

    create = commands.add_parser("pull-secret", help="make a Secret that kubelets read of logins in other forms")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--replace", action="store_true", help="put them in place of what is in the Secret now")
    add_sources(create)
    _add_cluster(create)
    create.set_defaults(run=_pull_secret)

    merge = commands.add_parser("merge-pull-secret", help="add logins to the pull secret of all nodes")
    merge.add_argument(
        "--secret", type=namespaced_name, default=pull_secrets.GLOBAL, metavar="NAMESPACE/NAME", help="another Secret"
    )
    add_sources(merge)
    _add_cluster(merge)
    merge.set_defaults(run=_merge)

    grant = commands.add_parser("grant-image-puller", help="write the RoleBinding for images of another project")
    grant.add_argument("--from", dest="source", required=True, metavar="PROJECT[/SERVICEACCOUNT]", help="who pulls")
    grant.add_argument("--in", dest="target", required=True, metavar="PROJECT", help="whose images")
    grant.set_defaults(run=_grant)
    return parser


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", default="", help="default: the one of the kubeconfig's context")
    parser.add_argument("--kubeconfig", type=path_argument, metavar="FILE", help="default: as kubectl")
    parser.add_argument("--context", default="")
    parser.add_argument("--dry-run", action="store_true", help="say what would change; the API server only tries it")


# Links.


def _link(options: argparse.Namespace) -> int:
    api = connect(options.kubeconfig, options.context)
    namespace = options.namespace or api.namespace
    for name in options.secrets:
        _check_is_pull_secret(api, namespace, name)
    return _patch_service_account(api, namespace, options, pull_secrets.link, "linked")


def _unlink(options: argparse.Namespace) -> int:
    api = connect(options.kubeconfig, options.context)
    return _patch_service_account(api, options.namespace or api.namespace, options, pull_secrets.unlink, "unlinked")


def _check_is_pull_secret(api: KubeClient, namespace: str, name: str) -> None:
    try:
        secret = api.get(SECRETS.path(namespace, name))
    except ClusterError as error:
        if not error.is_forbidden:
            raise
        sys.stderr.write(f"note: {namespace}/{name}: not looked at, for this user may not read Secrets\n")
        return
    if secret is None:
        raise ConfigurationError(
            f"there is no Secret {namespace}/{name}", remedy=f"Make it first: {NAME} pull-secret {name} -n {namespace}"
        )
    if secret.get("type") not in pull_secrets.PULL_SECRET_TYPES:
        raise ConfigurationError(
            f"no kubelet reads {namespace}/{name}, which is of type {secret.get('type')}",
            remedy=f"Make one of it that they read: {NAME} pull-secret NAME --from-secret {name} -n {namespace}",
        )


def _patch_service_account(
    api: KubeClient, namespace: str, options: argparse.Namespace, plan: Callable[..., Operations], done: str
) -> int:
    name = options.service_account
    until = time.monotonic() + options.wait

    path = SERVICE_ACCOUNTS.path(namespace, name)

    def attempt() -> str:
        found = api.get(path)
        while found is None and time.monotonic() < until:
            time.sleep(0.5)
            found = api.get(path)
        if found is None:
            raise ConfigurationError(
                f"there is no ServiceAccount {namespace}/{name}",
                remedy="Create it first; each project gets its own a moment later: add --wait 30s.",
            )
        operations = plan(found, options.secrets)
        if not operations:
            return "unchanged"
        api.patch(path, operations, dry_run=options.dry_run)
        return done

    outcome = _until_it_holds(attempt, f"ServiceAccount {namespace}/{name}")
    _say(f"serviceaccount/{name} {outcome}", options)
    return 0


def _until_it_holds(attempt: Callable[[], str], what: str) -> str:
    """Return what *attempt* returns, tried again while others change the object at the same time."""
    for turn in range(TRIES):
        try:
            return attempt()
        except ClusterError as error:
            if not error.is_conflict:
                raise
            time.sleep(random.uniform(0.01, 0.05) * 2**turn if turn < 5 else 1.0)  # noqa: S311 - spreads writers
    raise CredentialProviderError(
        f"{what} changed each of the {TRIES} times it was to be written",
        remedy="See who else writes it (kubectl get -o yaml --show-managed-fields), and try again.",
    )


# Secrets.


def _pull_secret(options: argparse.Namespace) -> int:
    api = connect(options.kubeconfig, options.context)
    namespace = options.namespace or api.namespace
    found = named_logins(options, api, namespace)
    if options.host:
        found, _ = pull_secrets.ours(found, options.host)
    found = docker_config.with_auth_servers(found, dict(options.auth_server))
    if not found:
        raise ConfigurationError("none of the logins is for the named hosts", remedy="Correct --host, or leave it out.")
    _warn(found)
    content = docker_config.encode(found)

    def attempt() -> str:
        there = api.get(SECRETS.path(namespace, options.name))
        if there is None:
            manifest = _manifest(options.name, namespace, content)
            api.create(SECRETS.path(namespace), manifest, dry_run=options.dry_run)
            return "created"
        if not options.replace or there.get("type") != "kubernetes.io/dockerconfigjson":
            raise ConfigurationError(
                f"there is a Secret {namespace}/{options.name} already (type {there.get('type')})",
                remedy="Choose another name, or replace one of type kubernetes.io/dockerconfigjson with --replace.",
            )
        operations = pull_secrets.replace_content(there, content)
        api.patch(SECRETS.path(namespace, options.name), operations, dry_run=options.dry_run)
        return "replaced"

    outcome = _until_it_holds(attempt, f"Secret {namespace}/{options.name}")
    _say(f"secret/{options.name} {outcome}: {', '.join(sorted(found))}", options)
    return 0


def _manifest(name: str, namespace: str, content: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": b64encode(content).decode("ascii")},
    }


def _merge(options: argparse.Namespace) -> int:
    api = connect(options.kubeconfig, options.context)
    namespace, name = options.secret
    found, others = pull_secrets.ours(named_logins(options, api, options.namespace or api.namespace), options.host)
    if others:
        sys.stderr.write(f"note: left out, for they are not ACR's and no --host names them: {', '.join(others)}\n")
    if not found:
        raise ConfigurationError("no login of ACR was given", remedy="Name the hosts to add with --host HOST.")
    found = docker_config.with_auth_servers(found, dict(options.auth_server))
    _warn(found)
    merged: list[Merge] = []

    def attempt() -> str:
        there = _global(api, namespace, name)
        content = b64decode((there.get("data") or {}).get(".dockerconfigjson") or "")
        merged[:] = [pull_secrets.merge(content, found, what=f"Secret {namespace}/{name}")]
        if not (merged[0].added or merged[0].changed):
            return "unchanged"
        operations = pull_secrets.replace_content(there, merged[0].content)
        api.patch(SECRETS.path(namespace, name), operations, dry_run=options.dry_run)
        return "merged"

    outcome = _until_it_holds(attempt, f"Secret {namespace}/{name}")
    print(merged[0].diff())  # noqa: T201 - the command's output
    _say(f"secret/{name} in {namespace} {outcome}", options)
    if outcome == "merged" and options.secret == pull_secrets.GLOBAL and not options.dry_run:
        sys.stderr.write(
            "note: it rolls out to all nodes, which takes minutes in a large cluster (before 4.7.4: drains)\n"
        )
    return 0


def _global(api: KubeClient, namespace: str, name: str) -> dict[str, Any]:
    try:
        there = api.get(SECRETS.path(namespace, name))
    except ClusterError as error:
        if not error.is_forbidden:
            raise
        raise ConfigurationError(error.problem, remedy=_CLUSTER_ADMIN) from None
    if there is None:
        raise ConfigurationError(
            f"there is no Secret {namespace}/{name}",
            remedy="It is OpenShift's. Clusters with a hosted control plane (ROSA, ARO, HyperShift) take "
            "kube-system/additional-pull-secret in its place: pull-secret additional-pull-secret -n kube-system.",
        )
    if there.get("type") != "kubernetes.io/dockerconfigjson":
        raise ConfigurationError(
            f"Secret {namespace}/{name} is of type {there.get('type')}",
            remedy="Name one of type kubernetes.io/dockerconfigjson.",
        )
    return there


def _warn(found: dict[str, BasicAuth]) -> None:
    for warning in pull_secrets.warnings(found):
        sys.stderr.write(f"warning: {warning}\n")


# Grants.


def _grant(options: argparse.Namespace) -> int:
    project, _, service_account = options.source.partition("/")
    for each in (project, options.target, *([service_account] if service_account else [])):
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", each, re.ASCII):
            raise ConfigurationError(f"{each!r} is not a name in Kubernetes", remedy="Write --from PROJECT[/NAME].")
    document = pull_secrets.image_puller(project, options.target, service_account)
    sys.stdout.write(yaml.safe_dump(document, sort_keys=False))
    return 0


def _say(line: str, options: argparse.Namespace) -> None:
    print(line + (" (dry run)" if options.dry_run else ""))  # noqa: T201 - the command's output
