"""What a cluster looked like when it was read, and what the doctor asks of that. Values alone, none a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.coverage import candidates
from acr_credential_provider.errors import InvalidImageError
from acr_credential_provider.image import place_of
from acr_credential_provider.pull_secrets.names import HELPER, HELPER_SECRETS, PREFIX
from acr_credential_provider.registry import recognise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from acr_credential_provider.loose_yaml import Change
    from acr_credential_provider.problem import Problem
    from acr_credential_provider.settings import ProviderSettings, Registry

    Object = Mapping[str, Any]
    Objects = Sequence[Object] | None
    """None: who asks may not list them."""

WAITING = frozenset({"ErrImagePull", "ImagePullBackOff"})
TOKEN_AUDIENCE = "sts.aliyuncs.com"  # noqa: S105 - a host
_REGION_LABELS = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
PLUGIN_CONDITION = "ACRCredentialProviderReady"
"""The condition by which the node's agent tells whether the kubelet there uses the plugin."""
COMPONENT = "pull-secrets"
"""What the labels call the controller."""
_PLAIN_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,500}", re.ASCII)
_MOST = 5
"""Pods of one cause that are named."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the controller goes by: *settings* (None: nothing usable), what is wrong, and what was read otherwise.

    *annotations* and *data* are of the ConfigMap that it came from, if it came from one.
    """

    settings: ProviderSettings | None
    problems: Sequence[Problem] = ()
    changes: Sequence[Change] = ()
    data: Mapping[str, str] = field(default_factory=dict, repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What was read of a cluster. *selects* says whether (namespace, ServiceAccount) are to have the pull secret."""

    configuration: Configuration | None
    selects: Callable[[Object, Object], bool]
    system_namespaces: Sequence[str] = ()
    """Namespaces of the system that are selected."""
    namespaces: Objects = None
    accounts: Objects = None
    pods: Objects = None
    deployments: Objects = None
    nodes: Objects = None
    events: Objects = None

    @property
    def settings(self) -> ProviderSettings | None:
        """The settings, if there are any that can be used."""
        return self.configuration.settings if self.configuration else None


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull that fails now: which image, for whom, and the pull secrets that the Pod was made with."""

    namespace: str
    pod: str
    account: str
    image: str
    secrets: tuple[str, ...]
    node: str = ""

    @property
    def shown_image(self) -> str:
        """The image fit for a line that may be pasted into a shell: whoever starts Pods writes it."""
        return self.image if _PLAIN_IMAGE.fullmatch(self.image) else self.image.partition("/")[0] + "/..."

    def __str__(self) -> str:
        """Return the Pod as kubectl names it."""
        return f"{self.namespace}/{self.pod}"


class SkippedError(Exception):
    """A check does not apply, or what it needs may not be read."""


def configuration_of(cluster: Cluster) -> Configuration:
    """Return the cluster's configuration; raise `SkippedError`."""
    if cluster.configuration is None:
        raise SkippedError("no configuration")
    return cluster.configuration


def settings_of(cluster: Cluster) -> ProviderSettings:
    """Return the settings; raise `SkippedError` when none can be used."""
    if cluster.settings is None:
        raise SkippedError("no usable configuration")
    return cluster.settings


def failing_pulls(cluster: Cluster) -> list[Pull]:
    """Return the pulls that fail now."""
    if cluster.pods is None:
        raise SkippedError("this user may not list pods")
    found = []
    for pod in cluster.pods:
        spec = pod.get("spec") or {}
        secrets = tuple(str(each.get("name")) for each in spec.get("imagePullSecrets") or ())
        account, node = str(spec.get("serviceAccountName") or "default"), str(spec.get("nodeName") or "")
        found += [Pull(namespace_of(pod), name_of(pod), account, each, secrets, node) for each in _waiting(pod)]
    return found


def _waiting(pod: Object) -> Iterator[str]:
    """Yield the images that *pod* waits for in vain."""
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in WAITING:
            yield str(container.get("image"))


def entries_for(pull: Pull, settings: ProviderSettings, own_region: str) -> list[Registry]:
    """Return the entries whose login the *pull* may need, in *own_region* where they name none."""
    try:
        where = place_of(pull.image)
    except InvalidImageError:  # Docker Hub's short names: nobody's here
        return []
    system = recognise(where.partition("/")[0])
    return [
        each
        for each in candidates(where, settings.registries)
        if each.domains or (system is not None and (each.region or own_region or system.region) == system.region)
    ]


def covered_pulls(cluster: Cluster) -> list[Pull]:
    """Return the failing pulls that an entry is for, on nodes that need a pull secret for them."""
    spared = plugin_nodes(cluster, "True")
    return [each for each in _of_an_entry(cluster) if each.node not in spared]


def pulls_by_plugin(cluster: Cluster) -> list[Pull]:
    """Return those of nodes whose kubelet asks the plugin, which needs no pull secret."""
    nodes = plugin_nodes(cluster, "True")
    return [each for each in _of_an_entry(cluster) if each.node in nodes]


def plugin_nodes(cluster: Cluster, status: str) -> dict[str, str]:
    """Return the nodes whose agent says *status* (True, False) of the plugin there, each with what it says."""
    return {
        name_of(node): str(condition.get("message", ""))
        for node in cluster.nodes or ()
        for condition in (node.get("status") or {}).get("conditions") or ()
        if condition.get("type") == PLUGIN_CONDITION and condition.get("status") == status
    }


def _of_an_entry(cluster: Cluster) -> list[Pull]:
    settings, own = settings_of(cluster), own_region(cluster)
    return [each for each in failing_pulls(cluster) if entries_for(each, settings, own)]


def unselected_pulls(cluster: Cluster) -> list[Pull]:
    """Return the covered pulls of Pods whose ServiceAccount is not to have the pull secret."""
    namespaces = {name_of(each): each for each in cluster.namespaces or ()}
    accounts = {(namespace_of(each), name_of(each)): each for each in cluster.accounts or ()}

    def is_selected(pull: Pull) -> bool:
        namespace: Object = namespaces.get(pull.namespace) or {"metadata": {"name": pull.namespace}}
        bare = {"metadata": {"name": pull.account, "namespace": pull.namespace}}
        return cluster.selects(namespace, accounts.get(account_of(pull)) or bare)

    return [each for each in covered_pulls(cluster) if not is_selected(each)]


def selected_pulls(cluster: Cluster) -> list[Pull]:
    """Return those of Pods whose ServiceAccount is to have the pull secret."""
    left_out = set(unselected_pulls(cluster))
    return [each for each in covered_pulls(cluster) if each not in left_out]


def pulls_without_ours(cluster: Cluster, *, is_own_list: bool) -> list[Pull]:
    """Return the pulls of Pods without our Secret: those whose workload chose the list itself, or the others."""
    accounts = pull_secrets_of_accounts(cluster)
    found = []
    for pull in selected_pulls(cluster):
        if any(is_pull_secret(each, cluster) for each in pull.secrets):
            continue
        # Admission copies the account's list into Pods that have none: such a list is no choice of the workload's.
        is_copied = set(pull.secrets) <= set(accounts.get(account_of(pull), ()))
        if is_copied != is_own_list:
            found.append(pull)
    return found


def pull_secrets_of_accounts(cluster: Cluster) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the pull secrets of each ServiceAccount."""
    if cluster.accounts is None:
        raise SkippedError("this user may not list serviceaccounts")
    return {
        (namespace_of(each), name_of(each)): tuple(str(one.get("name")) for one in each.get("imagePullSecrets") or ())
        for each in cluster.accounts
    }


def is_pull_secret(name: str, cluster: Cluster) -> bool:
    """Say whether *name* is of a Secret that a controller keeps for ACR: ours, or the helper's."""
    section = getattr(cluster.settings, "pull_secrets", None)
    return name in HELPER_SECRETS or name.startswith("acr-credential") or name == getattr(section, "secret_name", "")


def own_region(cluster: Cluster) -> str:
    """Return the region of the cluster's nodes, "" when none says."""
    for node in cluster.nodes or ():
        labels = (node.get("metadata") or {}).get("labels") or {}
        for label in _REGION_LABELS:
            if labels.get(label):
                return str(labels[label])
    return ""


def session_of(registry: Registry) -> tuple[str, float]:
    """Return the role whose session asks ACR, and its life in seconds."""
    if registry.assume_role:
        return registry.assume_role[-1].role_arn, registry.assume_role[-1].session_duration
    identity = registry.identity
    return str(getattr(identity, "role_arn", "") or ""), float(getattr(identity, "session_duration", 0.0))


def is_of_interest(pod: Object) -> bool:
    """Say whether any check looks at *pod*: a controller's, or one that cannot pull. Most clusters have few."""
    return is_controller(pod) or any(_waiting(pod))


def is_controller(pod: Object) -> bool:
    """Say whether *pod* is of a controller that asks ACR, the helper's or ours."""
    owners = (pod.get("metadata") or {}).get("ownerReferences") or ()
    is_of_daemon_set = any(each.get("kind") == "DaemonSet" for each in owners)
    account = (pod.get("spec") or {}).get("serviceAccountName")
    return not is_of_daemon_set and (account == HELPER or is_ours(pod))


def has_projected_token(pod: Object) -> bool:
    """Say whether *pod* has a ServiceAccount token for STS."""
    return any(
        ((source.get("serviceAccountToken") or {}).get("audience")) == TOKEN_AUDIENCE
        for volume in (pod.get("spec") or {}).get("volumes") or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
    )


def is_ours(found: Object) -> bool:
    """Say whether *found* carries the labels of our own controller, which is not all that we may run in a cluster."""
    labels = (found.get("metadata") or {}).get("labels") or {}
    component = labels.get("app.kubernetes.io/component", COMPONENT)
    return bool(labels.get("app.kubernetes.io/name") == PREFIX and component == COMPONENT)


def grouped(pulls: Sequence[Pull], key: Callable[[Pull], Any]) -> dict[Any, list[Pull]]:
    """Return *pulls* by *key*, in order."""
    groups: dict[Any, list[Pull]] = {}
    for each in pulls:
        groups.setdefault(key(each), []).append(each)
    return groups


def some(pulls: Sequence[Pull]) -> str:
    """Return the Pods of *pulls*, no more than fit a line."""
    names = list(dict.fromkeys(map(str, pulls)))
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def account_of(pull: Pull) -> tuple[str, str]:
    """Return namespace and name of the Pod's ServiceAccount."""
    return pull.namespace, pull.account


def name_of(found: Object) -> str:
    """Return the name of an object."""
    return str((found.get("metadata") or {}).get("name", ""))


def namespace_of(found: Object) -> str:
    """Return the namespace of an object."""
    return str((found.get("metadata") or {}).get("namespace", ""))


def called(registry: Registry) -> str:
    """Return what messages call *registry*."""
    return registry.instance_id or "the Personal Edition"
