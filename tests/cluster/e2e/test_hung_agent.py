"""The agent's probe on a real kubelet: an agent that hangs is restarted, and one that works is left alone."""

import pytest
from cluster import parts
from cluster.cluster import wait_until
from cluster.daemonset import NAMESPACE, DaemonSet
from cluster.worker import PLUGIN, SOCKET

PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{PLUGIN}"
# How often is asked, and how long a container has to end: for a test that is not to take a quarter of an hour.
QUICKLY = {"initialDelaySeconds": 20, "periodSeconds": 5, "failureThreshold": 2, "terminationGracePeriodSeconds": 1}


@pytest.fixture
def daemonset(cluster, tmp_path):
    daemonset = DaemonSet(cluster, tmp_path)
    daemonset.prepare()
    yield daemonset
    daemonset.clear_away()
    cluster.kubelet.restart()


def container(daemonset, name):
    """Return the status of that container of the one pod with the quick probe, empty while there is none."""
    pods = [pod for pod in daemonset.pods() if pod["spec"]["containers"][0]["livenessProbe"]["periodSeconds"] == 5]
    found = [each for pod in pods for each in pod["status"].get("containerStatuses", []) if each["name"] == name]
    return found[0] if found else {}


def runs(daemonset, name):
    return "running" in container(daemonset, name).get("state", {})


def test_a_hung_agent_is_restarted_and_its_reporter_is_not(cluster, daemonset):
    daemonset.load("hung")
    daemonset.apply("hung")
    pod = cluster.api.get(PATH)["spec"]["template"]["spec"]
    pod["containers"][0]["livenessProbe"] |= QUICKLY
    cluster.api.patch(PATH, {"spec": {"template": {"spec": {"containers": pod["containers"]}}}})
    for name in ("agent", "reporter"):
        wait_until(lambda name=name: runs(daemonset, name), timeout=120, what=f"the {name} to run")
    seen = container(daemonset, "agent")
    ctr = [str(parts.find("ctr")), f"--address={SOCKET}", "--namespace=k8s.io", "tasks", "ls"]
    tasks = dict(line.split()[:2] for line in cluster.node.output(ctr).decode().splitlines())
    process = tasks[seen["containerID"].rpartition("/")[2]]
    cluster.node.output(["sh", "-c", f"sleep 40; kill -STOP {process}"])
    assert container(daemonset, "agent")["restartCount"] == 0, "an agent that works was restarted"

    wait_until(lambda: container(daemonset, "agent")["restartCount"] == 1, timeout=240, what="the agent's restart")

    wait_until(lambda: runs(daemonset, "agent"), timeout=60, what="the agent to run again")
    assert container(daemonset, "reporter")["restartCount"] == 0
