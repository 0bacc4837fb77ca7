"""The agent and the reporter across an upgrade and back: a booted machine, its Node and the Leases in a real API."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request

import pytest
import yaml
from cluster.loopback_api import free_ports
from support.harness import ROOT
from support.replica import eventually
from systemd.machine import NAME

from upgrade.upgraded_machine import DOCUMENT

LEASES = ROOT / "node-config/manifests/base/leases.yaml"
SLOT = f"{NAME}-slot-0"
FOLDERS = {"pushed": "/var/lib/acr/pushed", "status": "/var/lib/acr/status", "grants": "/var/lib/acr/grants"}
"""On the machine's root, which has a path outside of it too, as a mount in the reporter's container has."""


class DaemonSet:
    """The two containers of a node's pod, of any version: the agent in the machine, the reporter beside it."""

    def __init__(self, api, namespace, machine, folder):
        self.api, self.machine, self._namespace = api, machine, namespace
        self._folder = folder
        self.node = f"node-of-{namespace}"
        api.create("/api/v1/nodes", {"metadata": {"name": self.node}})
        for lease in yaml.safe_load_all(LEASES.read_text()):
            lease["metadata"]["namespace"] = namespace
            api.create(self._leases, lease)
        self._sign_in()
        for path in FOLDERS.values():
            machine.run("mkdir", "--parents", path)

    @property
    def _leases(self):
        return f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases"

    def _sign_in(self):
        self.api.create(f"/api/v1/namespaces/{self._namespace}/serviceaccounts", {"metadata": {"name": NAME}})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        subjects = [{"kind": "ServiceAccount", "name": NAME, "namespace": self._namespace}]
        binding = {"metadata": {"name": self._namespace}, "roleRef": role, "subjects": subjects}
        self.api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
        (self._folder / "token").write_text(self.api.token_of(self._namespace, NAME))
        (self._folder / "ca.crt").write_bytes(self.api.ca_file.read_bytes())

    def push(self, version, *domains):
        """Put settings into the mounted ConfigMap; other *domains* are other images for the kubelet to know."""
        document = json.loads(json.dumps(DOCUMENT))
        document["registries"][0]["domains"] += domains
        folder = self.machine.inside / FOLDERS["pushed"].lstrip("/")
        (folder / ".settings").write_text(json.dumps(version.settings(document)))
        (folder / ".settings").rename(folder / "settings.yaml")

    @contextlib.contextmanager
    def pod(self, path, version):
        """Run the bundle that the machine has at *path*; both containers are killed in the end."""
        (port,) = free_ports(1)
        with contextlib.ExitStack() as stack:
            for words in (self._agent(path, version), self._reporter(version, port)):
                environment = {**os.environ, "KUBERNETES_SERVICE_HOST": "127.0.0.1"}
                environment["KUBERNETES_SERVICE_PORT"] = self.api.url.rpartition(":")[2]
                log = stack.enter_context((self._folder / "pod.log").open("ab"))
                process = subprocess.Popen(words, stdout=log, stderr=log, env=environment, start_new_session=True)
                stack.callback(_kill, process)
            eventually(lambda: _answers(port))
            yield

    def _agent(self, path, version):
        option = lambda *names: version.option(*names, command="node agent")  # noqa: E731
        stable = version.option("--stable-for", "--settle", command="node install")
        words = [f"{path}/{NAME}", "node", "agent", f"--node={self.node}", f"--settings-from={FOLDERS['pushed']}"]
        words += [option("--status-dir", "--status"), FOLDERS["status"], option("--lease-dir", "--grants")]
        words += [FOLDERS["grants"], option("--rollout-window", "--spread"), "0", "--", f"{stable}=4"]
        return self.machine._entering(tuple(words))

    def _reporter(self, version, port):
        option = lambda *names: version.option(*names, command="node reporter")  # noqa: E731
        folders = {name: f"{self.machine.root}{path}" for name, path in FOLDERS.items()}
        words = [version.plugin, "node", "reporter", f"--node={self.node}", f"--namespace={self._namespace}"]
        words += [option("--status-dir", "--status"), folders["status"], option("--lease-dir", "--grants")]
        return [*words, folders["grants"], "--host=127.0.0.1", f"--port={port}", f"--service-account={self._folder}"]

    def condition(self):
        conditions = self.api.get(f"/api/v1/nodes/{self.node}")["status"].get("conditions", [])
        return next((each for each in conditions if each["type"] == "ACRCredentialProviderReady"), None)

    def is_ready(self):
        condition = self.condition()
        return condition is not None and condition["status"] == "True" and not self.holder()

    def leases(self):
        return {lease["metadata"]["name"]: lease for lease in self.api.get(self._leases)["items"]}

    def holder(self):
        return self.leases()[SLOT]["spec"].get("holderIdentity") or ""

    def has_program_of(self, version):
        told = subprocess.run(
            [version.plugin, "--version", "--output", "json"], capture_output=True, text=True, check=True
        )
        installed = self.machine.say(f"/opt/{NAME}/bin/{NAME}", "--version", "--output", "json")
        return bool(installed) and json.loads(installed)["commit"] == json.loads(told.stdout)["commit"]


def uids(leases):
    return {name: lease["metadata"]["uid"] for name, lease in leases.items()}


def _kill(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz/agent", timeout=20) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


@pytest.fixture
def daemonset(api, namespace, machine, tmp_path):
    return DaemonSet(api, namespace, machine, tmp_path)


@pytest.mark.parametrize("first", ["/old", "/present"], ids=["upgrade", "downgrade"])
def test_the_pod_of_the_other_version_finds_node_leases_and_condition_as_they_were_left(daemonset, old, present, first):
    versions = {"/old": old, "/present": present}
    second = "/present" if first == "/old" else "/old"
    machine = daemonset.machine
    daemonset.push(versions[first])
    with daemonset.pod(first, versions[first]):
        eventually(daemonset.is_ready)
        assert daemonset.has_program_of(versions[first])
    pid, leases = machine.kubelet()["MainPID"], daemonset.leases()

    daemonset.push(versions[second])
    with daemonset.pod(second, versions[second]):
        eventually(lambda: daemonset.has_program_of(versions[second]))
        eventually(daemonset.is_ready)
        assert machine.kubelet()["MainPID"] == pid
        assert uids(daemonset.leases()) == uids(leases)
        # What restarts the kubelet takes the Lease that the other version gave back.
        daemonset.push(versions[second], "images.example.com")
        eventually(lambda: machine.kubelet()["MainPID"] != pid and daemonset.is_ready())
        assert "images.example.com" in machine.say("cat", f"/etc/{NAME}/credential-providers.yaml")


@pytest.mark.parametrize("first", ["/old", "/present"], ids=["upgrade", "downgrade"])
def test_a_lease_that_a_killed_pod_held_is_its_successors_until_the_change_is_done(daemonset, old, present, first):
    versions = {"/old": old, "/present": present}
    second = "/present" if first == "/old" else "/old"
    daemonset.push(versions[first])
    with daemonset.pod(first, versions[first]):
        eventually(daemonset.holder)
        assert daemonset.holder() == daemonset.node

    daemonset.push(versions[second])
    with daemonset.pod(second, versions[second]):
        eventually(daemonset.is_ready)
        assert daemonset.has_program_of(versions[second])
        assert daemonset.machine.status()["isGood"]
