"""A cluster as it was when it was read, and questions about its objects. Values alone, none of them a secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from acr_credential_provider.console.checks import CheckSkippedError
from acr_credential_provider.pull_secrets.model.names import HELPER, HELPER_SECRETS, PREFIX, is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from acr_credential_provider.acr_configuration.yaml_repair import Change
    from acr_credential_provider.model.config_problem import ConfigProblem
    from acr_credential_provider.settings import ProviderSettings, Registry

    Object = Mapping[str, Any]
    Objects = Sequence[Object] | None
    """None: this user may not list them."""

TOKEN_AUDIENCE = "sts.aliyuncs.com"  # noqa: S105 - a host
PLUGIN_CONDITION = "ACRCredentialProviderReady"
"""The node condition in which the agent reports whether the kubelet uses the plugin."""
COMPONENT = "pull-secrets"
"""The controller's component label."""
_REGION_LABELS = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")


@dataclass(frozen=True, slots=True)
class Configuration:
    """The controller's *settings* (None: not usable), its problems, and the repairs made as it was read.

    *annotations* and *data* are of its ConfigMap, if it came from one.
    """

    settings: ProviderSettings | None
    problems: Sequence[ConfigProblem] = ()
    changes: Sequence[Change] = ()
    data: Mapping[str, str] = field(default_factory=dict, repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, eq=False)
class Cluster:
    """What was read of a cluster.

    *selects* is true for a (namespace, ServiceAccount) that should have the pull secret, *system_namespaces* are those
    of the system that are selected.
    """

    found_configuration: Configuration | None
    selects: Callable[[Object, Object], bool]
    system_namespaces: Sequence[str] = ()
    namespaces: Objects = None
    accounts: Objects = None
    pods: Objects = None
    deployments: Objects = None
    nodes: Objects = None
    events: Objects = None

    @property
    def configuration(self) -> Configuration:
        """The configuration; raises `CheckSkippedError`."""
        if self.found_configuration is None:
            raise CheckSkippedError("no configuration")
        return self.found_configuration

    @property
    def settings(self) -> ProviderSettings:
        """The settings; raises `CheckSkippedError` when none can be used."""
        if self.found_configuration is None or self.found_configuration.settings is None:
            raise CheckSkippedError("no usable configuration")
        return self.found_configuration.settings

    @cached_property
    def registries(self) -> list[Registry]:
        """The registry entries; those without a region have that of the cluster's nodes, if it is known."""
        nodes = [labels_of(node) for node in self.nodes or ()]
        own = next((str(labels[name]) for labels in nodes for name in _REGION_LABELS if labels.get(name)), "")
        return [
            registry if registry.region or not own else registry._replace(region=own)
            for registry in self.settings.registries
        ]

    @cached_property
    def plugin_conditions(self) -> dict[str, Object]:
        """The nodes with an agent, each with the condition that it reports of the plugin there."""
        return {
            name_of(node): condition
            for node in self.nodes or ()
            for condition in (node.get("status") or {}).get("conditions") or ()
            if condition.get("type") == PLUGIN_CONDITION
        }

    @cached_property
    def _objects(self) -> dict[tuple[str, str], Object]:
        objects = (*(self.namespaces or ()), *(self.accounts or ()))
        return {(namespace_of(item), name_of(item)): item for item in objects}

    def is_selected(self, namespace: str, account: str) -> bool:
        """True if a ServiceAccount should have the pull secret."""
        bare_namespace: Object = {"metadata": {"name": namespace}}
        bare_account: Object = {"metadata": {"name": account, "namespace": namespace}}
        return self.selects(
            self._objects.get(("", namespace), bare_namespace), self._objects.get((namespace, account), bare_account)
        )

    def account_secrets(self, namespace: str, account: str) -> tuple[str, ...]:
        """Return the names of a ServiceAccount's pull secrets."""
        return secret_names(self._objects.get((namespace, account), {}).get("imagePullSecrets"))

    def is_pull_secret(self, name: str) -> bool:
        """True if *name* is of a Secret that a controller keeps for ACR: ours, or the helper's."""
        return (
            name in HELPER_SECRETS
            or name.startswith("acr-credential")
            or (self.settings.pull_secrets is not None and name == self.settings.pull_secrets.secret_name)
        )


def listed(objects: Objects, plural: str) -> Sequence[Object]:
    """Return *objects*; raise `CheckSkippedError` if this user may not list them."""
    if objects is None:
        raise CheckSkippedError(f"this user may not list {plural}")
    return objects


def _metadata(item: Object) -> Object:
    return item.get("metadata") or {}


def labels_of(item: Object) -> dict[str, str]:
    """Return the labels of *item*."""
    return _metadata(item).get("labels") or {}


def annotations_of(item: Object) -> dict[str, str]:
    """Return the annotations of *item*."""
    return _metadata(item).get("annotations") or {}


def spec_of(item: Object) -> Object:
    """Return the spec of *item*."""
    return item.get("spec") or {}


def name_of(item: Object) -> str:
    """Return the name of *item*."""
    return str(_metadata(item).get("name", ""))


def namespace_of(item: Object) -> str:
    """Return the namespace of *item*."""
    return str(_metadata(item).get("namespace", ""))


def secret_names(references: Sequence[Object] | None) -> tuple[str, ...]:
    """Return the names in a list of imagePullSecrets; an entry that no Secret can have as its name is left out."""
    names = [str((reference or {}).get("name") or "") for reference in references or ()]
    return tuple(name for name in names if is_name(name))


def is_controller(pod: Object) -> bool:
    """True if *pod* is of a pull-secrets controller, the helper's or ours."""
    owners = _metadata(pod).get("ownerReferences") or ()
    is_of_daemon_set = any(owner.get("kind") == "DaemonSet" for owner in owners)
    return not is_of_daemon_set and (spec_of(pod).get("serviceAccountName") == HELPER or is_ours(pod))


def is_ours(item: Object) -> bool:
    """True if *item* carries the labels of our own controller: we may run other components in a cluster."""
    labels = labels_of(item)
    component = labels.get("app.kubernetes.io/component", COMPONENT)
    return bool(labels.get("app.kubernetes.io/name") == PREFIX and component == COMPONENT)


def has_sts_token(pod: Object) -> bool:
    """True if *pod* mounts a ServiceAccount token for STS."""
    return any(
        (source.get("serviceAccountToken") or {}).get("audience") == TOKEN_AUDIENCE
        for volume in spec_of(pod).get("volumes") or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
    )
