"""A cluster with our release in it: a real API server, the chart's objects as Helm renders them, the frozen controller.

Its namespaces: `OWN` with the release, team-b with accounts and a pull secret, and one of each attacker's own.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml
from chart.helm import helm
from cluster.chart import CHART, path_of
from cluster.kube import KubeError
from cluster.loopback_api import LoopbackApi, free_ports
from cluster.replicas import accounts, names
from cluster.service import Service
from support import harness

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import AcrSandbox

OWN, BYSTANDER = "kube-system", "team-b"
NAME = "aliyun-acr-credential-provider"
CONTROLLER = f"{NAME}-pull-secrets"
SECRET = "acr-credential-aliyun"
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
HOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
FIRST = ("ServiceAccount", "ConfigMap", "ClusterRole", "Role", "Lease")
WATCHED = (
    f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings", f"{RBAC}/roles", f"{RBAC}/rolebindings",
    "/api/v1/nodes", HOOKS,
    "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies",
    "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", f"/api/v1/namespaces/{OWN}/serviceaccounts",
    f"/api/v1/namespaces/{BYSTANDER}/secrets", f"/api/v1/namespaces/{BYSTANDER}/serviceaccounts",
    "/apis/certificates.k8s.io/v1/certificatesigningrequests", f"/api/v1/namespaces/{OWN}/configmaps",
)  # fmt: skip
"""What no attack may change."""
SECONDS = 20.0
NUMBERS = itertools.count(1)


class Cluster:
    """``with Cluster(...)``: all of it runs; `tenant`, `reporter` and `controller` sign in."""

    def __init__(self, folder: Path, cloud: AcrSandbox) -> None:
        self.folder, self.cloud = folder, cloud
        self.heard: list[str] = []
        """What attackers were answered."""

    def __enter__(self) -> Self:
        assert harness.CONTROLLER.exists(), "run `make freeze-controller` first: what is shipped is what is attacked"
        self._api = LoopbackApi()
        self.api = self._api.__enter__()
        self._put_keys()
        for document in self._rendered():
            self.apply(document)
        self.service = Service(self.api, OWN, f"{NAME}-webhook").__enter__()
        self.webhook_port, self.health_port = free_ports(2)
        self.service.ports.append(self.webhook_port)
        self.start()
        self.bystander = self._bystander()
        self.before = self._state()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.service.__exit__(None, None, None)
        self._api.__exit__(None, None, None)

    # Set up.
    def _put_keys(self) -> None:
        self.keys = self.folder / "credentials"
        self.keys.mkdir(mode=0o700)
        for name, file in (("accessKeyId", self.cloud.key_id_file), ("accessKeySecret", self.cloud.key_secret_file)):
            (self.keys / name).write_bytes(file.read_bytes())
            (self.keys / name).chmod(0o600)
        (self.keys / "caBundle").write_bytes(self.cloud.ca_file.read_bytes())

    def settings(self) -> dict[str, Any]:
        """Return what the release's ConfigMap holds."""
        document = self.cloud.settings()
        document["caBundle"] = str(self.keys / "caBundle")
        for name, key in (("accessKeyIdFile", "accessKeyId"), ("accessKeySecretFile", "accessKeySecret")):
            document["registries"][0]["identity"][name] = str(self.keys / key)
        document["pullSecrets"] = {"namespaces": ["team-*"], "serviceAccounts": ["*"], "admission": {"mode": "webhook"}}
        return document

    def _rendered(self) -> list[dict[str, Any]]:
        values = self.folder / "values.yaml"
        given = {name: value for name, value in self.settings().items() if name not in ("apiVersion", "kind")}
        release = {
            "image": {"repository": "registry.example.com/tools/acr"},
            "allowedHosts": ["127.0.0.1"],
            "plugin": {"serviceAccountTokens": True, "settings": given},
            "pullSecrets": {"enabled": True, "settings": given},
        }
        values.write_text(yaml.safe_dump(release))
        done = helm("template", "acr", str(CHART), f"--namespace={OWN}", f"--values={values}")
        assert done.returncode == 0, done.stderr
        documents = [
            each
            for each in yaml.safe_load_all(done.stdout)
            if each and each["kind"] not in ("DaemonSet", "Deployment", "Service")
        ]
        return sorted(documents, key=lambda each: each["kind"] not in FIRST)

    def apply(self, document: dict[str, Any]) -> None:
        """Apply *document* as an administrator."""
        query = "?fieldManager=helm&force=true"
        self.api.request("PATCH", path_of(document) + query, document, "application/apply-patch+yaml")

    def stop(self) -> None:
        """End the controller as a node does that is drained: it gives its Lease back."""
        self.process.terminate()
        assert self.process.wait(SECONDS) == 0, self.log[-3000:]

    def start(self) -> None:
        """Start the controller, and wait until it is ready."""
        kubeconfig = self.api.kubeconfig_of(OWN, CONTROLLER)
        words = ["pull-secrets", "run", "--kubeconfig", str(kubeconfig), "--namespace", OWN, "--owner", CONTROLLER]
        words += ["--config-map", f"{OWN}/{NAME}-pull-secrets-settings"]
        words += ["--address", "127.0.0.1", "--allow-host", "127.0.0.1"]
        words += ["--webhook-service", f"{NAME}-webhook", "--webhook-service-port", str(self.service.port)]
        words += ["--webhook-port", str(self.webhook_port), "--health-port", str(self.health_port)]
        words += ["--credentials-dir", str(self.keys), "--keys-directory", str(self.folder / "keys")]
        with (self.folder / "controller.log").open("ab") as log:
            command = ["setpriv", "--pdeathsig", "KILL", str(harness.CONTROLLER), *words]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.until(lambda: self.page("/readyz")[0] == 200, "the controller")

    def _bystander(self) -> dict[str, Any]:
        self.api.namespace(BYSTANDER)
        self.until(lambda: names(self.new_account()) == [SECRET], "the webhook")
        self.until(self._passwords, "a pull secret")
        return self._passwords()

    # What is seen.
    def page(self, path: str) -> tuple[int, str]:
        """Return status and text of a page of the controller's."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except OSError as error:
            return getattr(error, "code", 0), str(error)

    def until(self, is_so: Any, what: str) -> None:
        """Wait until *is_so*."""
        end = time.monotonic() + SECONDS
        while not is_so():
            assert self.process.poll() is None, self.log[-3000:]
            assert time.monotonic() < end, f"{what} never came: {self.log[-3000:]}"
            time.sleep(0.1)

    @property
    def log(self) -> str:
        """What the controller wrote."""
        return (self.folder / "controller.log").read_text(errors="replace")

    def find(self, path: str) -> dict[str, Any] | None:
        """Return what is at *path*, None for nothing."""
        try:
            return self.api.get(path)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def new_account(self, namespace: str = BYSTANDER) -> dict[str, Any]:
        """Create a ServiceAccount, and return it."""
        return self.api.create(accounts(namespace), {"metadata": {"name": f"build-{next(NUMBERS)}"}})

    def serve_anew(self) -> None:
        """Wait until a new namespace has its login.

        That the controller works can be shown this way any number of times. A Secret that the attacks delete again and
        again is repaired ever more slowly, as one that a tool deletes.
        """
        namespace = self.mine()
        self.until(lambda: self._passwords(namespace), "the login of a new namespace")

    def _passwords(self, namespace: str = BYSTANDER) -> dict[str, str]:
        found = self.find(f"/api/v1/namespaces/{namespace}/secrets/{SECRET}")
        if found is None:
            return {}
        auths = json.loads(base64.b64decode(found["data"][".dockerconfigjson"]))["auths"]
        return {host: base64.b64decode(each["auth"]).decode() for host, each in auths.items()}

    def _state(self) -> dict[str, Any]:
        found = {}
        for path in WATCHED:
            for each in self.api.get(path)["items"]:
                named = each["metadata"]
                if named["name"].startswith("build-") or "-mine-" in named.get("namespace", ""):
                    continue
                metadata = {
                    name: each["metadata"].get(name)
                    for name in ("labels", "annotations", "finalizers", "ownerReferences")
                }
                where = f"{path}/{each['metadata'].get('namespace', '')}/{each['metadata']['name']}"
                found[where] = {**each, "metadata": metadata, "status": None}
        return found

    # Who signs in.
    def mine(self) -> str:
        """Create a namespace of the attacker's own; its name is selected by the settings."""
        return self.api.namespace(f"team-mine-{next(NUMBERS)}")

    def writer(self) -> None:
        """Make the ServiceAccount "writer", who may write ConfigMaps and Secrets of our namespace and nothing else."""
        where = f"/api/v1/namespaces/{OWN}/serviceaccounts"
        if self.find(f"{where}/writer"):
            return
        verbs = ["get", "create", "update", "patch"]
        rules = [{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": verbs}]
        role = {"kind": "Role", "name": "writer", "apiGroup": "rbac.authorization.k8s.io"}
        subject = {"kind": "ServiceAccount", "name": "writer", "namespace": OWN}
        self.api.create(where, {"metadata": {"name": "writer"}})
        self.api.create(f"{RBAC}/namespaces/{OWN}/roles", {"metadata": {"name": "writer"}, "rules": rules})
        binding = {"metadata": {"name": "writer"}, "roleRef": role, "subjects": [subject]}
        self.api.create(f"{RBAC}/namespaces/{OWN}/rolebindings", binding)
        self.before = self._state()

    # What must be so.
    def prove(self) -> None:
        """No secret was heard; nothing of others is changed; team-b gets its logins and new accounts their entry."""
        secrets = self.cloud.state.secrets()
        for text in (*self.heard, self.log):
            assert not any(secret in text for secret in secrets), "a secret was seen"
        assert "Traceback" not in self.log
        assert f" {BYSTANDER}/" not in self.log, "the controller takes what happens to team-b for a conflict"
        self.heard.clear()
        assert self.process.poll() is None, self.log[-3000:]
        after = self._state()
        assert {path: each for path, each in after.items() if self.before.get(path) != each} == {}
        assert self.before.keys() - after.keys() == set()
        began = time.monotonic()
        assert names(self.new_account()) == [SECRET], "the webhook does not answer"
        assert time.monotonic() - began < 10
        assert self._passwords(), "team-b has no login"
        assert self.page("/healthz")[0] == 200
        assert self.page("/readyz")[0] == 200


class Caller:
    """Who signs in with a ServiceAccount's token, and is answered; `refused` is what he is told."""

    def __init__(self, cluster: Cluster, namespace: str, account: str, pod: dict[str, Any] | None = None) -> None:
        self.cluster, self.namespace, self.account = cluster, namespace, account
        self.token = cluster.api.token_of(namespace, account, pod=pod)

    def request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> dict[str, Any]:
        """Send one request."""
        try:
            answer = self.cluster.api.request(method, path, body, kind, token=self.token)
        except KubeError as error:
            self.cluster.heard.append(str(error))
            raise
        self.cluster.heard.append(json.dumps(answer))
        return answer

    def send(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        """Send one request with *headers* more; return its status and what came."""
        address = urllib.parse.urlsplit(self.cluster.api.url)
        tls = ssl.create_default_context(cafile=str(self.cluster.api.ca_file))
        connection = http.client.HTTPSConnection(address.hostname, address.port, context=tls, timeout=30)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {self.token}", **headers})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        finally:
            connection.close()
        self.cluster.heard.append(text)
        return answer.status, text

    def prove(self) -> None:
        """As `Cluster.prove`."""
        self.cluster.prove()

    def refused(self, *words: Any) -> str:
        """Send a request that must be refused; return with what status and words."""
        with pytest.raises(KubeError) as caught:
            self.request(*words)
        assert caught.value.status in (401, 403), caught.value
        status, _, text = str(caught.value).partition(" ")
        return f"{status} {json.loads(text)['message'][:200]}"
