"""What the fallback must be worth on a real node whose kubelet has no plugin, one function per promise.

The frozen controller runs on the node with the rights of its manifests; the API server asks its webhook through a
Service; the kubelet pulls with what ServiceAccounts bring.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Self

import yaml
from support import harness

from . import control_plane
from .chart import apply, path_of
from .cluster import wait_until
from .kube import KubeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from .cluster import Cluster, Shop

OWN = "kube-system"
SERVICE = "aliyun-acr-credential-provider-webhook"
ADDRESS = "10.124.0.50"
"""The Service's; it is an address of the node, which stands in for what kube-proxy does."""
SECRET = "acr-credential-aliyun"
CONTROLLER = "aliyun-acr-credential-provider-pull-secrets"
MANIFESTS = ("pull-secrets/own-objects-only.yaml", "pull-secrets/rbac.yaml", "components/webhook/rights.yaml")
RENEWALS = 20 if os.environ.get("E2E_FULL") else 5


class Fallback:
    """A *cluster* whose kubelet has no plugin, with the controller at work for *shop*."""

    def __init__(self, cluster: Cluster, *repositories: str, token_life: float | None = None) -> None:
        self.cluster = cluster
        self._teams: list[str] = []
        self.shop: Shop = cluster.open_shop("fallback", *repositories)
        cluster.sandbox.state.token_life = token_life

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as left:
            self._start(left)
            self._left = left.pop_all()
        return self

    def _start(self, left: contextlib.ExitStack) -> None:
        """Start all of it, each step with what takes it back: what one test left would decide the next."""
        cluster = self.cluster
        left.callback(cluster.kubelet.restart)
        cluster.kubelet.restart(with_plugins=False)
        pull_secrets = {
            "namespaces": ["team-*"],
            "serviceAccounts": ["*"],
            "admission": {"mode": "webhook", "failurePolicy": "Fail"},
        }
        cluster.write_settings(cluster.entry(self.shop, *self.shop.hosts), pullSecrets=pull_secrets)
        spec = {"clusterIP": ADDRESS, "ports": [{"port": 443, "protocol": "TCP"}]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE, "namespace": OWN}, "spec": spec}
        for document in (*_manifests(), service):
            left.callback(cluster.api.delete, path_of(document))
            apply(cluster, document)
        left.callback(cluster.node.output, ["ip", "address", "delete", f"{ADDRESS}/32", "dev", "lo"])
        cluster.node.output(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"])
        left.callback(self._uninstall)
        words = ["pull-secrets", "run", f"--namespace={OWN}", f"--settings={cluster.settings_file}"]
        words += [f"--owner={CONTROLLER}", f"--kubeconfig={self._sign_in(CONTROLLER)}", f"--address={ADDRESS}"]
        self.controller = cluster.node.start(
            "pull-secrets",
            [str(harness.CONTROLLER), *words, "--webhook-port=443", f"--keys-directory={cluster.node.folder}/keys"],
            log=cluster.logs / "pull-secrets.log",
        )
        left.callback(self.controller.stop)
        left.callback(self._delete_teams)
        self.controller.await_(self._is_asked)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.close()
        log = self.controller.log.read_text(errors="replace")
        assert not [secret for secret in self.cluster.sandbox.state.secrets() if secret in log]

    def _delete_teams(self) -> None:
        for team in self._teams:
            self.cluster.api.delete(f"/api/v1/namespaces/{team}")
        wait_until(lambda: not any(map(self._is_there, self._teams)), timeout=90, what="the teams' namespaces to go")

    def _uninstall(self) -> None:
        command = [str(harness.CONTROLLER), "pull-secrets", "uninstall", f"--namespace={OWN}", "--force"]
        admin = self.cluster.pki.kubeconfig("uninstaller", control_plane.SERVER, group="system:masters")
        self.cluster.node.output([*command, f"--kubeconfig={admin}"])

    def _sign_in(self, account: str) -> Path:
        """Return a kubeconfig with a token of the controller's own ServiceAccount, as its Pod would have."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        made = self.cluster.api.create(_path(OWN, f"serviceaccounts/{account}/token"), request)
        return self.cluster.pki.kubeconfig_of(account, made["status"]["token"], control_plane.SERVER)

    def _is_asked(self) -> bool:
        """Say whether a new ServiceAccount has the entry by now."""
        team = self.team()
        try:
            made = self.cluster.api.create(_path(team, "serviceaccounts"), {"metadata": {"name": "probe"}})
        except KubeError:
            return False
        return bool(made.get("imagePullSecrets"))

    def team(self) -> str:
        """Make a namespace that is meant."""
        name = f"team-{self.cluster.next_number()}"
        self.cluster.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        self._teams.append(name)
        return name

    def _is_there(self, team: str) -> bool:
        return self.cluster.api.find(f"/api/v1/namespaces/{team}") is not None

    def deploy(self, team: str, repository: str, *, policy: str = "Always") -> str:
        """Create a ServiceAccount and a Deployment of its own, one right after the other; return their name."""
        name = f"app-{self.cluster.next_number()}"
        container = {"name": "app", "image": self.shop.image(repository), "imagePullPolicy": policy}
        pod = {
            "containers": [container],
            "serviceAccountName": name,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "dnsPolicy": "Default",  # there is no DNS in this cluster, and the kubelet would complain of that
        }
        labels = {"app": name}
        spec = {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        self.cluster.api.create(_path(team, "serviceaccounts"), {"metadata": {"name": name}})
        deployments = f"/apis/apps/v1/namespaces/{team}/deployments"
        self.cluster.api.create(deployments, {"metadata": {"name": name}, "spec": spec})
        return name

    def pod(self, team: str, name: str) -> dict[str, Any]:
        """Wait until the one pod of the Deployment *name* runs, and return it."""
        found: list[dict[str, Any]] = []

        def runs() -> bool:
            found[:] = self.cluster.api.get(_path(team, "pods"), labelSelector=f"app={name}")["items"]
            states = [each["state"] for pod in found for each in pod["status"].get("containerStatuses", [])]
            return len(states) == 1 and "running" in states[0]

        try:
            wait_until(runs, timeout=90, what=f"{name} to run")
        except TimeoutError as error:
            raise AssertionError(f"{error}; {self.complaints(team)}; {self.controller.tail()}") from None
        return found[0]

    def complaints(self, team: str) -> list[str]:
        """Return what the kubelet's warnings in *team* say."""
        events = self.cluster.api.get(_path(team, "events"))["items"]
        return [f"{each['reason']}: {each.get('message')}" for each in events if each["type"] == "Warning"]

    def secret(self, team: str) -> dict[str, Any]:
        return self.cluster.api.get(_path(team, f"secrets/{SECRET}"))


def _path(namespace: str, rest: str) -> str:
    return f"/api/v1/namespaces/{namespace}/{rest}"


def _manifests() -> Iterator[dict[str, Any]]:
    """Yield what an operator applies who has the webhook, but for the Deployment."""
    for name in MANIFESTS:
        yield from yaml.safe_load_all((harness.ROOT / "packaging/manifests" / name).read_text())


# The promises.
def the_first_pull_of_an_application_that_comes_with_its_service_account_works(cluster: Cluster) -> None:
    """Namespace, ServiceAccount and Deployment in one go: no refused pull, no missing Secret, no second try."""
    with Fallback(cluster, "team/app") as fallback:
        for _ in range(5):
            team = fallback.team()
            pod = fallback.pod(team, fallback.deploy(team, "team/app"))
            assert pod["status"]["containerStatuses"][0]["imageID"].endswith(fallback.shop.digest("team/app"))
            assert pod["spec"]["imagePullSecrets"] == [{"name": SECRET}]
            assert fallback.complaints(team) == []
        assert cluster.tokens_asked(fallback.shop) == 1, "one token for all namespaces"


def an_image_that_is_here_stays_usable_however_often_the_secret_is_renewed(cluster: Cluster) -> None:
    """The kubelet goes by the Secret that an image was pulled with (KEP-2535), and that stays the same one."""
    with Fallback(cluster, "team/app", token_life=24.0) as fallback:
        team = fallback.team()
        fallback.pod(team, fallback.deploy(team, "team/app"))
        first = fallback.secret(team)
        served = len(cluster.calls("registry.manifest", fallback.shop))
        contents = {first["data"][".dockerconfigjson"]}
        while len(contents) <= RENEWALS:
            before = len(contents)

            def is_renewed(before: int = before) -> bool:
                contents.add(fallback.secret(team)["data"][".dockerconfigjson"])
                return len(contents) > before

            wait_until(is_renewed, timeout=60, what="the Secret to be renewed")
            fallback.pod(team, fallback.deploy(team, "team/app", policy="IfNotPresent"))
        assert fallback.secret(team)["metadata"]["uid"] == first["metadata"]["uid"]
        assert len(cluster.calls("registry.manifest", fallback.shop)) == served, "the image was here all the time"
        assert fallback.complaints(team) == []


def nodes_with_the_plugin_and_without_it_pull_in_one_namespace(cluster: Cluster) -> None:
    """A pull secret does no harm where the kubelet asks the plugin too, and is there where it can't."""
    with Fallback(cluster, "team/app") as fallback:
        team = fallback.team()
        fallback.pod(team, fallback.deploy(team, "team/app"))
        asked = cluster.tokens_asked(fallback.shop)
        cluster.kubelet.restart(with_plugins=True)
        pod = fallback.pod(team, fallback.deploy(team, "team/app"))
        assert pod["status"]["containerStatuses"][0]["imageID"].endswith(fallback.shop.digest("team/app"))
        assert pod["spec"]["imagePullSecrets"] == [{"name": SECRET}]
        assert cluster.tokens_asked(fallback.shop) == asked + 1, "this kubelet did ask the plugin"
        assert fallback.complaints(team) == []


ALL = (
    the_first_pull_of_an_application_that_comes_with_its_service_account_works,
    an_image_that_is_here_stays_usable_however_often_the_secret_is_renewed,
    nodes_with_the_plugin_and_without_it_pull_in_one_namespace,
)
