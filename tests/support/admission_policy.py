"""The MutatingAdmissionPolicy of the chart on a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import yaml
from acr_credential_provider.pull_secrets.model.resources import SELECTIONS
from acr_credential_provider.pull_secrets.webhook.admission_policy import KIND, NAME
from chart.helm import CHART, helm
from cluster.kube import KubeError
from cluster.replicas import find

from .replica import eventually

if TYPE_CHECKING:
    from cluster.loopback_api import LoopbackApi

GROUP = "/apis/admissionregistration.k8s.io/v1"
POLICY = f"{GROUP}/mutatingadmissionpolicies"
BINDING = f"{GROUP}/mutatingadmissionpolicybindings"
KINDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Release:
    """The policy of a release in *namespace*, and what it makes of new ServiceAccounts."""

    def __init__(self, api: LoopbackApi, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.selections = SELECTIONS.path(namespace)
        self.selection = SELECTIONS.path(namespace, NAME)
        values = "--set=plugin.enabled=false,pullSecrets.enabled=true,image.repository=registry.example/acr"
        only = [f"--show-only=templates/pull-secrets/{each}.yaml" for each in ("admission-policy", "rbac")]
        done = helm("template", "acr", str(CHART), f"--namespace={namespace}", values, "--kube-version=1.36", *only)
        assert done.returncode == 0, done.stderr
        documents = [each for each in yaml.safe_load_all(done.stdout) if each]
        self.documents = {each["kind"]: each for each in documents if "rbac" not in each["apiVersion"]}
        self.rights = [each for each in documents if "rbac" in each["apiVersion"]]

    def __enter__(self) -> Self:
        kind = self.documents["CustomResourceDefinition"]
        self.kind = f"{KINDS}/{kind['metadata']['name']}"
        eventually(lambda: self._is_created(KINDS, kind))  # once what another test deleted has gone
        self.api.create(POLICY, self.documents["MutatingAdmissionPolicy"])
        self.api.create(BINDING, self.documents["MutatingAdmissionPolicyBinding"])
        eventually(self._is_served)
        return self

    def __exit__(self, *_: object) -> None:
        for path in (f"{BINDING}/{NAME}", f"{POLICY}/{NAME}", self.kind):
            self.api.request("DELETE", path)
        eventually(lambda: not self._is_there(self.kind))

    def _is_created(self, path: str, document: dict[str, Any]) -> bool:
        try:
            self.api.create(path, document)
        except KubeError as error:
            if error.status == 409:
                return False
            raise
        return True

    def _is_there(self, path: str) -> bool:
        return find(self.api, path) is not None

    def _is_served(self) -> bool:
        return self._is_there(SELECTIONS.path(self.namespace))

    def selected(self) -> dict[str, Any]:
        """Return the spec of the policy's parameter, {} if there is none."""
        spec: dict[str, Any] = (find(self.api, self.selection) or {"spec": {}})["spec"]
        return spec

    def select(self, spec: dict[str, Any]) -> None:
        """Make *spec* the policy's parameter."""
        body = {"apiVersion": f"{SELECTIONS.group}/{SELECTIONS.version}", "kind": KIND, "metadata": {"name": NAME}}
        if present := find(self.api, self.selection):
            self.api.request("PUT", self.selection, {**present, "spec": spec})
        else:
            self.api.create(self.selections, {**body, "spec": spec})

    def entries(self, namespace: str, name: str, **body: Any) -> list[str]:
        """Return the names in the list that a new ServiceAccount would have."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts?dryRun=All"
        made = self.api.create(path, {"metadata": {"name": name}, **body})
        return [each.get("name", "") for each in made.get("imagePullSecrets") or []]

    def has_entry(self, namespace: str, name: str, secret: str, **body: Any) -> bool:
        return secret in self.entries(namespace, name, **body)
