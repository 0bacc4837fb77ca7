"""``doctor --cluster``: reads a cluster, changes nothing in it, and tells what keeps its Pods from pulling."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from acr_credential_provider import acr_configuration
from acr_credential_provider.console.checks import FAILED, text, to_dict
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.config.configuration import ParsedConfig, parse, text_of, unreadable
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
from acr_credential_provider.settings import read

from .checks import run_cluster_checks
from .failing_pulls import is_of_interest
from .snapshot import Cluster, Configuration, name_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from acr_credential_provider.model.config_problem import ConfigProblem
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.settings import PullSecrets

    from .snapshot import Object, Objects

_NOWHERE = "/not-read-for-this"
"""Where the key files of a converted acr-configuration would be: nobody asks the cloud here."""


def run(options: argparse.Namespace) -> int:
    """Examine the cluster that *options* (kubeconfig, context, settings, output) name; return the exit code."""
    api = connect(options.kubeconfig, options.context)
    namespace, slash, name = options.config_map.partition("/")
    if not (namespace and slash and name):
        raise ConfigurationError("--config-map names no ConfigMap", remedy="Write it as NAMESPACE/NAME.")
    findings = run_cluster_checks(_look(api, options.settings, (namespace, name)))
    as_json = options.output == "json"
    print(json.dumps(to_dict(findings), indent=2) if as_json else text(findings))  # noqa: T201 - the command's output
    return 1 if any(each.outcome == FAILED for each in findings) else 0


def _look(api: KubeClient, settings: str, config_map: tuple[str, str]) -> Cluster:
    """Return what is to be seen of the cluster; *settings* is a file to go by in place of *config_map*, or ""."""
    judged, configuration = _configuration(api, settings, config_map)
    wanted = judged.spec if judged is not None else None
    registries = judged.settings.registries if judged is not None and judged.settings is not None else ()
    entries = tuple(EntryLogins(each.instance_id, each.region or "", ()) for each in registries)

    def selects(namespace: Object, account: Object) -> bool:
        return wanted is not None and _selects(wanted, entries, namespace, account)

    return Cluster(
        configuration,
        selects,
        system_namespaces(wanted) if wanted is not None else (),
        namespaces=_list(api, NAMESPACES),
        accounts=_list(api, SERVICE_ACCOUNTS),
        pods=_list(api, PODS, is_wanted=is_of_interest),
        deployments=_list(api, DEPLOYMENTS),
        nodes=_list(api, NODES),
        events=_list(api, EVENTS),
    )


def _configuration(
    api: KubeClient, settings: str, config_map: tuple[str, str]
) -> tuple[ParsedConfig | None, Configuration | None]:
    """Return what the controller is told, judged; None and None where nobody told it anything."""
    data: dict[str, str] = {}
    annotations: dict[str, str] = {}
    missed: tuple[ConfigProblem, ...] = ()
    if settings:
        content = read(settings)
    else:
        found = api.get(CONFIG_MAPS.path(*config_map))
        if found is None:
            return None, None
        data = found.get("data") or {}
        annotations = (found.get("metadata") or {}).get("annotations") or {}
        missed = unreadable(found.get("binaryData") or ())
        content = text_of(data)
    judged = parse(content, role="nodeRole", keys_directory=_NOWHERE)
    if missed:
        judged = ParsedConfig(None, missed)
    changes = []
    if acr_configuration.is_one(content):
        conversion = acr_configuration.convert(content, place="controller", keys_directory=_NOWHERE)
        # In the cluster no key is moved anywhere: another check says what there is to say of keys.
        changes = [each for each in conversion.changes if each.what != acr_configuration.KEY_MOVED]
    return judged, Configuration(judged.settings, judged.problems, changes, data, annotations)


def _selects(wanted: PullSecrets, entries: tuple[EntryLogins, ...], namespace: Object, account: Object) -> bool:
    place = Namespace(name_of(namespace), labels=_of(namespace, "labels"), annotations=_of(namespace, "annotations"))
    labels, annotations = _of(account, "labels"), _of(account, "annotations")
    return content_for(place, wanted, Content.of(b""), entries) is not None and selects_account_named(
        wanted, name_of(account), labels, annotations
    )


def _of(found: Object, what: str) -> dict[str, str]:
    metadata: dict[str, Any] = found.get("metadata") or {}
    return metadata.get(what) or {}


def _list(api: KubeClient, resource: Resource, *, is_wanted: Callable[[dict[str, Any]], bool] = bool) -> Objects:
    """Return all objects of *resource*, None if this user has no right to: the checks that need them report it."""
    try:
        return api.list(resource.path(), is_wanted=is_wanted)
    except ClusterError as error:
        if not error.is_forbidden:
            raise
        return None
