"""The MutatingWebhookConfiguration, with defaults spelled out so that it can be compared with the one that exists."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.pull_secrets.model.names import LABELS, PREFIX, SWITCH
from acr_credential_provider.pull_secrets.model.owner_reference import mark_of

from .admission import PATH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from acr_credential_provider.pull_secrets.model.owner_reference import Reference
    from acr_credential_provider.settings.pull_secrets import Webhook

NAME = f"{PREFIX}-pull-secrets"
SERVICE = f"{PREFIX}-webhook"
"""The usual name of the Service in front of all replicas."""
WEBHOOK = f"serviceaccounts.pull-secrets.{PREFIX}"
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


def timeout_of(webhook: Webhook) -> int:
    """Return the seconds for which the API server waits."""
    return min(webhook.timeout_seconds, LONGEST)


def warnings_about(webhook: Webhook) -> list[str]:
    """Return warnings for the operator about these settings."""
    if not webhook.enabled:
        return []
    warnings = []
    if webhook.timeout_seconds > LONGEST:
        warnings.append(
            f"timeout-seconds {webhook.timeout_seconds} was taken for {LONGEST}: an answer takes a second at most, and "
            "a longer wait only holds the API server up while no replica can be reached"
        )
    if webhook.failure_policy == "Fail":
        warnings.append(
            "failure-policy Fail: while no replica can be reached no ServiceAccount can be created, and so no usable "
            "namespace either; with Ignore they are created, and get their pull secret within seconds of our return"
        )
    return warnings


def manifest(
    webhook: Webhook,
    service: ServiceReference,
    authorities: bytes,
    *,
    excluded: Sequence[str] = (),
    owner: Reference | None = None,
) -> dict[str, Any]:
    """Return the configuration.

    *authorities* are all certificates (PEM) that may have signed ours, *excluded* the patterns of namespaces that are
    never selected: plain names among them are never asked about.
    """
    owners = {} if owner is None else {"ownerReferences": [owner.document()]}
    left_out = sorted({*NEVER, service.namespace, *(name for name in excluded if "*" not in name)})
    opted_out = {"key": SWITCH, "operator": "NotIn", "values": ["disabled"]}
    names = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": left_out}
    backend = {"namespace": service.namespace, "name": service.service, "path": PATH, "port": service.port}
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["serviceaccounts"],
        "scope": "Namespaced",
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME, "labels": dict(OURS), **owners},
        "webhooks": [
            {
                "name": WEBHOOK,
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": backend, "caBundle": b64encode(authorities).decode("ascii")},
                "failurePolicy": webhook.failure_policy,
                "matchPolicy": "Equivalent",
                "namespaceSelector": {"matchExpressions": [names, opted_out]},
                "objectSelector": {"matchExpressions": [opted_out]},
                # Another webhook may write the whole list after us; the patch adds only what is missing.
                "reinvocationPolicy": "IfNeeded",
                "rules": [rule],
                "sideEffects": "NoneOnDryRun",
                "timeoutSeconds": timeout_of(webhook),
            }
        ],
    }


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
