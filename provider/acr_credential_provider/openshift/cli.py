"""The command ``openshift``: what ``oc`` does with pull secrets, for ACR's logins, and without removing any other."""

from __future__ import annotations

import argparse
import random
import re
import time
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import yaml

from acr_credential_provider.console.arguments import duration, namespaced_name
from acr_credential_provider.console.command_line import CommandParser, add_output, path_argument
from acr_credential_provider.console.output import say, warn, warn_of_all, write_document, write_json
from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.connection import connect
from acr_credential_provider.pull_secrets.model.resources import SECRETS, SERVICE_ACCOUNTS
from acr_credential_provider.version import KUBECTL_PLUGIN

from . import docker_config, pull_secrets
from .login_arguments import add_sources, named_logins, secret_name, service_account_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.sources.basic_auth import BasicAuth

    from .pull_secrets import Merge

COMMAND = f"{KUBECTL_PLUGIN} openshift"
TRIES = 10
"""Writes of one object, each on a version of it that was read anew."""
_PROJECT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_SERVICE_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_EXAMPLES = f"""examples:
  {COMMAND} link default acr-login -n team
  {COMMAND} pull-secret acr-login -n team --from-file ~/.config/containers/auth.json
  {COMMAND} merge-pull-secret --from-file auth.json --dry-run
  {COMMAND} grant-image-puller --from project-a --in project-b | oc apply -f -
"""


def run(arguments: list[str]) -> int:
    """Carry out ``openshift`` with *arguments*; return the exit code."""
    options = _parser().parse_args(arguments)
    code: int = options.run(options)
    return code


def whole_parser() -> CommandParser:
    """Return the parser of all commands below ``openshift``."""
    return _parser()


def _parser() -> CommandParser:
    parser = CommandParser(
        prog=COMMAND,
        description="Pull secrets on OpenShift (and any cluster): links, merges, grants.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for word, purpose in (("link", "add Secrets to a ServiceAccount's imagePullSecrets"), ("unlink", "take them out")):
        command = commands.add_parser(word, help=purpose)
        command.add_argument("service_account", metavar="SERVICEACCOUNT")
        command.add_argument("secrets", metavar="SECRET", nargs="+")
        wait = "for the ServiceAccount to come (30s)"
        command.add_argument("--wait", type=duration, default=0.0, metavar="TIME", help=wait)
        purposes = "pull, mount, or both with a comma (default: pull; oc's is mount)"
        command.add_argument("--for", dest="purposes", type=_purposes, default=("pull",), help=purposes)
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
    add_output(grant, is_yaml=True)
    grant.set_defaults(run=_grant)
    return parser


def _purposes(text: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(text.split(",")))
    if not set(words) <= pull_secrets.LISTS.keys():
        raise argparse.ArgumentTypeError("write pull, mount or pull,mount")
    return words


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("-n", "--namespace", default="", help="default: the one of the kubeconfig's context")
    parser.add_argument("--kubeconfig", type=path_argument, metavar="FILE", help="default: as kubectl")
    parser.add_argument("--context", default="")
    parser.add_argument("--dry-run", action="store_true", help="say what would change; the API server only tries it")


def _connect(options: argparse.Namespace) -> tuple[KubeClient, str]:
    api = connect(options.kubeconfig, options.context)
    return api, options.namespace or api.namespace


def _retry_on_conflict(attempt: Callable[[], str], name: str) -> str:
    """Return the result of *attempt*, repeated while others change the object called *name* at the same time."""
    for turn in range(TRIES):
        try:
            return attempt()
        except ClusterError as error:
            if not error.is_conflict:
                raise
            time.sleep(random.uniform(0.01, 0.05) * 2**turn if turn < 5 else 1.0)  # noqa: S311 - spreads writers
    raise CredentialProviderError(
        f"{name} was changed by others before each of {TRIES} tries to write it",
        remedy=Remedy(
            "ChangedMeanwhile", "Find the other writer (kubectl get -o yaml --show-managed-fields), and try again."
        ),
    )


def _print_outcome(line: str, options: argparse.Namespace, *, changes: Sequence[str] = ()) -> None:
    if options.output == "json":
        write_json({"result": line, "changes": list(changes), "dryRun": options.dry_run})
        return
    for change in changes:
        say(change)
    say(line + (" (dry run)" if options.dry_run else ""))


# Links.


def _link(options: argparse.Namespace) -> int:
    service_account_name(options.service_account)  # refused before anything is read
    names = [secret_name(each) for each in options.secrets]
    api, namespace = _connect(options)
    for name in names:
        _check_secret(api, namespace, name, is_for_kubelets="pull" in options.purposes)
    return _patch_service_account((api, namespace), options, pull_secrets.link, "linked")


def _unlink(options: argparse.Namespace) -> int:
    return _patch_service_account(_connect(options), options, pull_secrets.unlink, "unlinked")


def _check_secret(api: KubeClient, namespace: str, name: str, *, is_for_kubelets: bool) -> None:
    try:
        secret = api.get(SECRETS.path(namespace, name))
    except ClusterError as error:
        if not error.is_forbidden:
            raise
        warn("note", f"{namespace}/{name}: not checked, because this user may not read Secrets")
        return
    if secret is None:
        raise ConfigurationError(
            f"there is no Secret {namespace}/{name}",
            remedy=Remedy("SecretMissing", f"Make it first: {COMMAND} pull-secret {name} -n {namespace}"),
        )
    if is_for_kubelets and secret.get("type") not in pull_secrets.PULL_SECRET_TYPES:
        remedy = Remedy(
            "SecretTypeWrong", f"Make one of logins that kubelets read: {COMMAND} pull-secret NAME -n {namespace}"
        )
        if pull_secrets.file_key(secret):
            remedy = Remedy(
                "SecretTypeWrong",
                f"Make one of it that they read: {COMMAND} pull-secret NAME --from-secret {name} -n {namespace}",
            )
        raise ConfigurationError(
            f"no kubelet reads {namespace}/{name}, which is of type {secret.get('type')}", remedy=remedy
        )


def _patch_service_account(
    cluster: tuple[KubeClient, str],
    options: argparse.Namespace,
    plan: Callable[..., pull_secrets.Patch],
    outcome: str,
) -> int:
    api, namespace = cluster
    name = service_account_name(options.service_account)
    secrets = [secret_name(each) for each in options.secrets]
    path = SERVICE_ACCOUNTS.path(namespace, name)
    until = time.monotonic() + options.wait

    def attempt() -> str:
        while (account := api.get(path)) is None and time.monotonic() < until:
            time.sleep(0.5)
        if account is None:
            raise ConfigurationError(
                f"there is no ServiceAccount {namespace}/{name}",
                remedy=Remedy(
                    "ServiceAccountMissing",
                    "Create it first; each project gets its own a moment later: add --wait 30s.",
                ),
            )
        patch = plan(account, secrets, options.purposes)
        if not patch:
            return "unchanged"
        api.patch(path, patch, dry_run=options.dry_run)
        return outcome

    result = _retry_on_conflict(attempt, f"ServiceAccount {namespace}/{name}")
    _print_outcome(f"serviceaccount/{name} {result}", options)
    return 0


# Secrets.


def _pull_secret(options: argparse.Namespace) -> int:
    api, namespace = _connect(options)
    is_wanted = pull_secrets.wanted(options.host) if options.host else _is_any
    logins, left_out = named_logins(options, api, namespace, is_wanted)
    logins = docker_config.with_auth_servers(logins, dict(options.auth_server))
    if not logins and options.host:
        raise ConfigurationError(
            "none of the logins is for the named hosts, or a path below them",
            remedy=Remedy(
                "ArgumentInvalid",
                f"Correct --host, or leave it out. There are: {', '.join(map(plain_text, left_out)) or 'none'}",
            ),
        )
    if not logins:
        raise ConfigurationError(
            "no login was found there", remedy=Remedy("AuthFileInvalid", "Log in first, or name another source.")
        )
    _warn(logins)
    content = docker_config.encode(logins)
    path = SECRETS.path(namespace, options.name)

    def attempt() -> str:
        secret = api.get(path)
        if secret is None:
            manifest = _manifest(options.name, namespace, content)
            api.create(SECRETS.path(namespace), manifest, dry_run=options.dry_run)
            return "created"
        if not options.replace or secret.get("type") != pull_secrets.KUBELET_TYPE:
            raise ConfigurationError(
                f"there is a Secret {namespace}/{options.name} already (type {secret.get('type')})",
                remedy=Remedy(
                    "SecretExists",
                    "Choose another name, or replace one of type kubernetes.io/dockerconfigjson with --replace.",
                ),
            )
        patch = pull_secrets.replace_content(secret, content)
        api.patch(path, patch, dry_run=options.dry_run)
        return "replaced"

    result = _retry_on_conflict(attempt, f"Secret {namespace}/{options.name}")
    _print_outcome(f"secret/{options.name} {result}: {', '.join(sorted(logins))}", options)
    return 0


def _is_any(_path: str) -> bool:
    return True


def _manifest(name: str, namespace: str, content: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": pull_secrets.KUBELET_TYPE,
        "data": {".dockerconfigjson": b64encode(content).decode("ascii")},
    }


def _merge(options: argparse.Namespace) -> int:
    api, context_namespace = _connect(options)
    namespace, name = options.secret
    is_wanted = pull_secrets.wanted(options.host)
    logins, left_out = named_logins(options, api, context_namespace, is_wanted)
    if left_out:
        names = ", ".join(map(plain_text, left_out))
        warn("note", f"left out, because they are not ACR's and no --host names them: {names}")
    if not logins:
        raise ConfigurationError(
            "no login of ACR was given", remedy=Remedy("ArgumentMissing", "Name the hosts to add with --host HOST.")
        )
    logins = docker_config.with_auth_servers(logins, dict(options.auth_server))
    _warn(logins)
    merged: list[Merge] = []

    def attempt() -> str:
        secret = _global_secret(api, namespace, name)
        content = b64decode((secret.get("data") or {}).get(".dockerconfigjson") or "")
        merged[:] = [pull_secrets.merge(content, logins, source=f"Secret {namespace}/{name}")]
        if not (merged[0].added or merged[0].changed):
            return "unchanged"
        patch = pull_secrets.replace_content(secret, merged[0].content)
        api.patch(SECRETS.path(namespace, name), patch, dry_run=options.dry_run)
        return "merged"

    result = _retry_on_conflict(attempt, f"Secret {namespace}/{name}")
    _print_outcome(f"secret/{name} in {namespace} {result}", options, changes=merged[0].diff().splitlines())
    if result == "merged" and options.secret == pull_secrets.GLOBAL:
        warn_of_all("warning", pull_secrets.release_warnings(merged[0]))
    if result == "merged" and options.secret == pull_secrets.GLOBAL and not options.dry_run:
        warn("note", "it rolls out to all nodes, which takes minutes in a large cluster (before 4.7.4: drains)")
    return 0


def _global_secret(api: KubeClient, namespace: str, name: str) -> dict[str, Any]:
    try:
        secret = api.get(SECRETS.path(namespace, name))
    except ClusterError as error:
        if not error.is_forbidden:
            raise
        raise ConfigurationError(
            error.problem,
            remedy=Remedy(
                "ClusterPermissionMissing", "Log in as cluster-admin, who alone may change the global pull secret."
            ),
        ) from None
    if secret is None:
        raise ConfigurationError(
            f"there is no Secret {namespace}/{name}",
            remedy=Remedy(
                "SecretMissing",
                "It is OpenShift's. Clusters with a hosted control plane (ROSA, ARO, HyperShift) take "
                "kube-system/additional-pull-secret in its place: pull-secret additional-pull-secret -n kube-system.",
            ),
        )
    if secret.get("type") != pull_secrets.KUBELET_TYPE:
        raise ConfigurationError(
            f"Secret {namespace}/{name} is of type {secret.get('type')}",
            remedy=Remedy("SecretTypeWrong", "Name one of type kubernetes.io/dockerconfigjson."),
        )
    return secret


def _warn(logins: dict[str, BasicAuth]) -> None:
    warn_of_all("warning", pull_secrets.warnings(logins))


# Grants.


def _grant(options: argparse.Namespace) -> int:
    project, slash, service_account = options.source.partition("/")
    names = [(project, _PROJECT), (options.target, _PROJECT)]
    # PROJECT/ is refused, too: read as PROJECT, it would grant to all Pods what was meant for one ServiceAccount.
    for name, form in [*names, (service_account, _SERVICE_ACCOUNT)] if slash else names:
        if not form.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} is not a name in Kubernetes",
                remedy=Remedy("ArgumentInvalid", "Write --from PROJECT[/NAME]."),
            )
    binding = pull_secrets.image_puller(project, options.target, service_account)
    if options.output == "json":
        write_json(binding)
    else:
        write_document(yaml.safe_dump(binding, sort_keys=False))
    return 0
