"""The MutatingWebhookConfiguration, with defaults spelled out so that it can be compared with the one that exists."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.pull_secrets.model.names import LABELS, PREFIX, SWITCH
from acr_credential_provider.pull_secrets.model.owner_reference import mark_of

from .admission import PATH
from .match_conditions import conditions, has_labels, label_selector, negated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from acr_credential_provider.pull_secrets.model.owner_reference import Reference
    from acr_credential_provider.settings.pull_secrets import Admission, PullSecrets

NAME = f"{PREFIX}-pull-secrets"
SERVICE = f"{PREFIX}-webhook"
"""The usual name of the Service in front of all replicas."""
WEBHOOK = f"serviceaccounts.pull-secrets.{PREFIX}"
UNSELECTED = f"unselected.{WEBHOOK}"
"""The one for ServiceAccounts that the settings do not select, but that a Namespace's annotation may."""
OPTED_OUT = {"key": SWITCH, "operator": "NotIn", "values": ["disabled"]}
API_VERSION = "admissionregistration.k8s.io/v1"
MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = {MANAGED_BY: LABELS[MANAGED_BY]}
"""The labels that mark it as ours."""
LONGEST = 10
"""Seconds. Our answer takes a second at most, so a longer wait only makes an outage slower: every creation of a
ServiceAccount then occupies the API server for that long."""
NEVER = ("kube-system",)
"""Namespaces that are never asked about, beside our own: a webhook that is down must not keep a cluster from
repairing itself, nor us from being restarted."""


@dataclass(frozen=True, slots=True)
class ServiceReference:
    """The Service in front of all replicas, and the path there."""

    namespace: str
    service: str
    port: int = 443

    @property
    def host(self) -> str:
        """The name that the API server verifies our certificate by."""
        return f"{self.service}.{self.namespace}.svc"


def timeout_of(admission: Admission) -> int:
    """Return the seconds for which the API server waits."""
    return min(admission.timeout_seconds, LONGEST)


def warnings_about(admission: Admission) -> list[str]:
    """Return warnings for the operator about these settings."""
    warnings = []
    if admission.timeout_seconds > LONGEST:
        warnings.append(
            f"timeout-seconds {admission.timeout_seconds} was taken for {LONGEST}: an answer takes a second at most, "
            "and a longer wait only holds the API server up while no replica can be reached"
        )
    if admission.failure_policy == "Fail":
        warnings.append(
            "failure-policy Fail: while no replica can be reached no ServiceAccount that the settings select can be "
            "created; with Ignore they are created, and get their pull secret within seconds of our return"
        )
    return warnings


def manifest(
    spec: PullSecrets, service: ServiceReference, authorities: bytes, *, owner: Reference | None = None
) -> dict[str, Any]:
    """Return the configuration.

    *authorities* are all certificates (PEM) that may have signed ours. Plain names among the excluded namespaces are
    never asked about. Under Fail only those whom *spec* selects may be refused: the API server asks about all others,
    whose namespace may have asked for a login by annotation, under Ignore.
    """
    owners = {} if owner is None else {"ownerReferences": [owner.document()]}
    hooks = [_hook(spec, service, authorities)]
    if spec.admission.failure_policy == "Fail":
        required = conditions(spec)
        is_by_labels = has_labels(spec.namespace_selector) or has_labels(spec.service_account_selector)
        if required or is_by_labels:
            others = {} if is_by_labels else {"matchConditions": negated(required)}
            hooks.append(hooks[0] | {"name": UNSELECTED, "failurePolicy": "Ignore"} | others)
            hooks[0] = _selecting(hooks[0], spec, required)
    return {
        "apiVersion": API_VERSION,
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME, "labels": dict(OURS), **owners},
        "webhooks": hooks,
    }


def _hook(spec: PullSecrets, service: ServiceReference, authorities: bytes) -> dict[str, Any]:
    backend = {"namespace": service.namespace, "name": service.service, "path": PATH, "port": service.port}
    excluded = [name for name in spec.excluded_namespaces if "*" not in name]
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["serviceaccounts"],
        "scope": "Namespaced",
    }
    return {
        "name": WEBHOOK,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": backend, "caBundle": b64encode(authorities).decode("ascii")},
        "failurePolicy": spec.admission.failure_policy,
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchExpressions": [_names(service, excluded), OPTED_OUT]},
        "objectSelector": {"matchExpressions": [OPTED_OUT]},
        # Another webhook may write the whole list after us; the patch adds only what is missing.
        "reinvocationPolicy": "IfNeeded",
        "rules": [rule],
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": timeout_of(spec.admission),
    }


def _selecting(hook: dict[str, Any], spec: PullSecrets, required: list[dict[str, str]]) -> dict[str, Any]:
    """Return *hook* for those alone whom *spec* selects."""
    narrowed = {
        "namespaceSelector": label_selector(spec.namespace_selector, *hook["namespaceSelector"]["matchExpressions"]),
        "objectSelector": label_selector(spec.service_account_selector, OPTED_OUT),
    }
    return hook | narrowed | ({"matchConditions": required} if required else {})


def _names(service: ServiceReference, excluded: Sequence[str]) -> dict[str, Any]:
    names = sorted({*NEVER, service.namespace, *excluded})
    return {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": names}


def is_ours(configuration: Mapping[str, Any]) -> bool:
    """True if *configuration*, which has our name, was made by us."""
    labels = configuration.get("metadata", {}).get("labels") or {}
    return all(labels.get(key) == value for key, value in OURS.items())


def differs(configuration: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """True if *configuration* has to be replaced to be as *wanted*."""
    owners = wanted["metadata"].get("ownerReferences")
    is_owned = not owners or mark_of(configuration["metadata"].get("ownerReferences")) == mark_of(owners)
    return configuration.get("webhooks") != wanted["webhooks"] or not is_ours(configuration) or not is_owned


def leads_to(configuration: Mapping[str, Any], target: ServiceReference) -> bool:
    """True if *configuration* names Services of *target*'s namespace only, and so of no other release."""
    services = [(hook.get("clientConfig") or {}).get("service") or {} for hook in configuration.get("webhooks") or []]
    return all(service.get("namespace") == target.namespace for service in services)


def trusts(configuration: Mapping[str, Any] | None, authority: bytes) -> bool:
    """True if the API server accepts certificates that *authority* (PEM) signed."""
    hooks = (configuration or {}).get("webhooks") or []
    bundles = (str(hook.get("clientConfig", {}).get("caBundle", "")) for hook in hooks)
    return bool(hooks) and all(authority.strip() in b64decode(bundle) for bundle in bundles)
