"""``doctor --cluster``: reads a cluster and changes nothing in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acr_credential_provider import acr_configuration
from acr_credential_provider.console.checks import report
from acr_credential_provider.pull_secrets.config.configuration import ParsedConfig, text_of, unreadable
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.connection import connect
from acr_credential_provider.pull_secrets.model.content import Content, EntryLogins
from acr_credential_provider.pull_secrets.model.namespace_requests import content_for
from acr_credential_provider.pull_secrets.model.objects import Namespace
from acr_credential_provider.pull_secrets.model.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    Resource,
)
from acr_credential_provider.pull_secrets.model.selection import selects_account_named, system_namespaces
from acr_credential_provider.settings.cluster_origin import ClusterOrigin
from acr_credential_provider.settings.loader import read
from acr_credential_provider.settings.verdict import judge

from .checks import run_cluster_checks
from .failing_pulls import is_relevant
from .snapshot import Cluster, Configuration, annotations_of, labels_of, name_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from acr_credential_provider.model.config_problem import ConfigProblem
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.settings.pull_secrets import PullSecrets

    from .snapshot import Object, Objects

_NOWHERE = "/not-read-for-this"
"""Where the key files of a converted acr-configuration would be: they are not used here."""


def run(options: argparse.Namespace) -> int:
    """Check the cluster that *options* (kubeconfig, context, settings, output) name; return the exit code."""
    api = connect(options.kubeconfig, options.context)
    origin = None if options.settings else ClusterOrigin(frozenset(options.allow_host))
    results = run_cluster_checks(_read_cluster(api, options.settings, options.config_map, origin))
    return report(results, as_json=options.output == "json")


def _read_cluster(
    api: KubeClient, settings_path: str, config_map: tuple[str, str], origin: ClusterOrigin | None
) -> Cluster:
    """Return what this user may see of the cluster; *settings_path*, if any, replaces *config_map*."""
    parsed, configuration = _configuration(api, settings_path, config_map, origin)
    pull_secrets = parsed.spec if parsed is not None else None
    registries = parsed.settings.registries if parsed is not None and parsed.settings is not None else ()
    entries = tuple(EntryLogins(registry.instance_id, registry.region or "", ()) for registry in registries)

    def selects(namespace: Object, account: Object) -> bool:
        return pull_secrets is not None and _selects(pull_secrets, entries, namespace, account)

    return Cluster(
        configuration,
        selects,
        system_namespaces(pull_secrets) if pull_secrets is not None else (),
        namespaces=list_objects(api, NAMESPACES),
        accounts=list_objects(api, SERVICE_ACCOUNTS),
        pods=list_objects(api, PODS, is_wanted=is_relevant),
        deployments=list_objects(api, DEPLOYMENTS),
        nodes=list_objects(api, NODES),
        events=list_objects(api, EVENTS),
    )


def _configuration(
    api: KubeClient, settings_path: str, config_map: tuple[str, str], origin: ClusterOrigin | None
) -> tuple[ParsedConfig | None, Configuration | None]:
    """Return the controller's configuration, parsed; None and None if it does not exist."""
    data: dict[str, str] = {}
    annotations: dict[str, str] = {}
    problems: tuple[ConfigProblem, ...] = ()
    if settings_path:
        content = read(settings_path)
    else:
        document = api.get(CONFIG_MAPS.path(*config_map))
        if document is None:
            return None, None
        data = document.get("data") or {}
        annotations = annotations_of(document)
        problems = unreadable(document.get("binaryData") or ())
        content = text_of(data)
    verdict = judge(content, place="controller", keys_directory=_NOWHERE, origin=origin)
    parsed = ParsedConfig(None, problems) if problems else ParsedConfig(verdict.settings, verdict.problems)
    # Keys stay where they are in the cluster; another check warns of them.
    changes = [change for change in verdict.changes if change.what != acr_configuration.KEY_MOVED]
    return parsed, Configuration(parsed.settings, parsed.problems, changes, data, annotations)


def _selects(pull_secrets: PullSecrets, entries: tuple[EntryLogins, ...], namespace: Object, account: Object) -> bool:
    labels, annotations = labels_of(namespace), annotations_of(namespace)
    content = content_for(
        Namespace(name_of(namespace), labels=labels, annotations=annotations), pull_secrets, Content.of(b""), entries
    )
    return content is not None and selects_account_named(
        pull_secrets, name_of(account), labels_of(account), annotations_of(account)
    )


def list_objects(api: KubeClient, resource: Resource, *, is_wanted: Callable[[dict[str, Any]], bool] = bool) -> Objects:
    """Return all objects of *resource*, None if this user may not list them."""
    try:
        return api.list(resource.path(), is_wanted=is_wanted)
    except ClusterError as error:
        if not error.is_forbidden:
            raise
        return None
