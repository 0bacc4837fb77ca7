"""The MutatingAdmissionPolicy that adds the pull secret to new ServiceAccounts, with no server of ours in the way.

The release holds the policy, its binding and a kind of their own for the parameter. The controller writes what the
settings select into an object of that kind; the policy's expressions read it, and do nothing while it is not there. So
the controller needs no right to write admission policies, which no other policy could limit.
Contract: https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.model.names import PREFIX
from acr_credential_provider.pull_secrets.model.owner_reference import is_owned
from acr_credential_provider.pull_secrets.model.resources import (
    ADMISSION_POLICIES,
    ADMISSION_POLICY_BINDINGS,
    SELECTIONS,
)

from .match_conditions import regex_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.model.owner_reference import Reference
    from acr_credential_provider.settings.pull_secrets import PullSecrets, Selector

NAME = f"{PREFIX}-pull-secrets"
"""The policy, its binding and its parameter."""
KIND = "PullSecretSelection"


def parameters(spec: PullSecrets) -> dict[str, Any]:
    """Return the parameter's spec, with which the policy selects as *spec* does."""
    everything = ("*",)
    namespaces = spec.namespaces or (("default",) if spec.namespace_selector is None else everything)
    accounts = spec.service_accounts or (("default",) if spec.service_account_selector is None else everything)
    return {
        "secretName": spec.secret_name,
        "namespaces": _patterns(namespaces) | _selector(spec.namespace_selector),
        "excludedNamespaces": _patterns(spec.excluded_namespaces),
        "serviceAccounts": _patterns(accounts) | _selector(spec.service_account_selector),
    }


def _patterns(patterns: Sequence[str]) -> dict[str, Any]:
    # A pattern that fits nothing, because an empty one would fit everything.
    return {"names": [each for each in patterns if "*" not in each], "pattern": regex_of(patterns) or "^ $"}


def _selector(selector: Selector | None) -> dict[str, Any]:
    if selector is None:
        return {"labels": [], "annotations": []}
    labels = [{"key": key, "operator": "In", "values": [value]} for key, value in selector.match_labels.items()]
    labels += [
        {"key": each.key, "operator": each.operator, "values": list(each.values)} for each in selector.match_expressions
    ]
    annotations = [{"key": key, "value": value} for key, value in selector.match_annotations.items()]
    return {"labels": labels, "annotations": annotations}


class AdmissionPolicy:
    """The policy of this release in the cluster, as the controller in *namespace* sees and sets it."""

    def __init__(self, api: KubeClient, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._path = SELECTIONS.path(namespace, NAME)

    def is_installed(self) -> bool:
        """True if the API server has our policy, with a binding to our parameter."""
        policy, binding = (self._get(each.path(name=NAME)) for each in (ADMISSION_POLICIES, ADMISSION_POLICY_BINDINGS))
        spec = (binding or {}).get("spec") or {}
        target = spec.get("paramRef") or {}
        named = (spec.get("policyName"), target.get("namespace"), target.get("name"))
        return policy is not None and named == (NAME, self._namespace, NAME)

    def write(self, wanted: Mapping[str, Any], owner: Reference | None) -> bool:
        """Let the policy do what *wanted* says; return True if it did something else, or nothing."""
        present = self._get(self._path)
        if present is not None and present.get("spec") == wanted and is_owned(present["metadata"], owner):
            return False
        owners = {} if owner is None else {"ownerReferences": [owner.document()]}
        document = {
            "apiVersion": f"{SELECTIONS.group}/{SELECTIONS.version}",
            "kind": KIND,
            "metadata": {"name": NAME, "namespace": self._namespace, **owners},
            "spec": wanted,
        }
        if present is None:
            self._api.create(SELECTIONS.path(self._namespace), document)
        else:
            self._api.replace(self._path, document | {"metadata": present["metadata"] | owners})
        return True

    def is_in_force(self) -> bool:
        """True if the policy has its parameter."""
        return self._get(self._path) is not None

    def withdraw(self) -> bool:
        """Let the policy do nothing; return True if it did something."""
        return self._get(self._path) is not None and self._api.delete(self._path)

    def _get(self, path: str) -> dict[str, Any] | None:
        """Return the object, None if it is not there. Rights to read it come and go with the policy."""
        try:
            return self._api.get(path)
        except ClusterError as error:
            if error.status == 403:
                return None
            raise
