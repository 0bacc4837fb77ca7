"""What a cluster looked like when it was read, and what the doctor asks of that. Values alone, none a secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.pull_secrets.model.names import HELPER, HELPER_SECRETS, PREFIX, is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from acr_credential_provider.acr_configuration.yaml_repair import Change
    from acr_credential_provider.model.config_problem import ConfigProblem
    from acr_credential_provider.settings import ProviderSettings, Registry

    Object = Mapping[str, Any]
    Objects = Sequence[Object] | None
    """None: who asks may not list them."""

TOKEN_AUDIENCE = "sts.aliyuncs.com"  # noqa: S105 - a host
_REGION_LABELS = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
PLUGIN_CONDITION = "ACRCredentialProviderReady"
"""The condition by which the node's agent tells whether the kubelet there uses the plugin."""
COMPONENT = "pull-secrets"
"""What the labels call the controller."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the controller goes by: *settings* (None: nothing usable), what is wrong, and what was read otherwise.

    *annotations* and *data* are of the ConfigMap that it came from, if it came from one.
    """

    settings: ProviderSettings | None
    problems: Sequence[ConfigProblem] = ()
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


def plugin_nodes(cluster: Cluster, status: str) -> dict[str, str]:
    """Return the nodes whose agent says *status* (True, False) of the plugin there, each with what it says."""
    return {
        name_of(node): str(condition.get("message", ""))
        for node in cluster.nodes or ()
        for condition in (node.get("status") or {}).get("conditions") or ()
        if condition.get("type") == PLUGIN_CONDITION and condition.get("status") == status
    }


def pull_secrets_of_accounts(cluster: Cluster) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the pull secrets of each ServiceAccount."""
    if cluster.accounts is None:
        raise SkippedError("this user may not list serviceaccounts")
    return {(namespace_of(each), name_of(each)): names_in(each.get("imagePullSecrets")) for each in cluster.accounts}


def names_in(references: Sequence[Object] | None) -> tuple[str, ...]:
    """Return the names in a list of imagePullSecrets; an entry that no Secret can have as its name is left out."""
    names = [str((each or {}).get("name") or "") for each in references or ()]
    return tuple(each for each in names if is_name(each))


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
    session = registry.assume_role[-1] if registry.assume_role else registry.identity
    return session.role_arn or "", session.session_duration or 0.0


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


def name_of(found: Object) -> str:
    """Return the name of an object."""
    return str((found.get("metadata") or {}).get("name", ""))


def namespace_of(found: Object) -> str:
    """Return the namespace of an object."""
    return str((found.get("metadata") or {}).get("namespace", ""))
