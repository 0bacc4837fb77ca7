"""The resources of the Kubernetes API that this program reads or writes, and their paths."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote


class Resource(NamedTuple):
    """A resource: its group ("" for the core), version and plural name."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str = "", name: str = "") -> str:
        """Return the path of one object, or of all in *namespace* or in the cluster.

        >>> SECRETS.path("team", "x"), NAMESPACES.path(name="team"), DEPLOYMENTS.path()
        ('/api/v1/namespaces/team/secrets/x', '/api/v1/namespaces/team', '/apis/apps/v1/deployments')
        """
        start = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        return f"{start}{scope}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


CONFIG_MAPS = Resource("", "v1", "configmaps")
EVENTS = Resource("", "v1", "events")
NAMESPACES = Resource("", "v1", "namespaces")
NODES = Resource("", "v1", "nodes")
PODS = Resource("", "v1", "pods")
SECRETS = Resource("", "v1", "secrets")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles")
WEBHOOKS = Resource("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations")
ADMISSION_POLICIES = Resource("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies")
SELECTIONS = Resource("pull-secrets.aliyun-acr-credential-provider", "v1", "pullsecretselections")
ADMISSION_POLICY_BINDINGS = Resource("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings")
