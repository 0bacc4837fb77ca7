"""The machine with the kubelet that the cluster tests use, and the containerd that it cannot do without.

The kubelet runs by itself, without an API server: it reads its flags and files, starts and ends, answers /healthz and
runs static pods as on any node. What it changes of a machine's kernel are files of ours here.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from acr_node_config.rollout.agent_status import STATUS
from cluster import machine as cluster_machine
from cluster import parts
from cluster.cgroups import Cgroup
from cluster.daemonset import IMAGE as REPOSITORY
from cluster.daemonset import MANIFESTS, rendered
from sandbox.oci import OciImage, folder_image, runnable_image
from support import harness
from systemd.machine import DROP_IN, NAME, SETTINGS, UNIT, Machine

PAUSE = "e2e.invalid/pause:1"
IMAGE = f"{REPOSITORY}:1"
PUSHED = "/pushed"
PROGRAMS = ("containerd", "ctr", "containerd-shim-runc-v2", "runc")
SOCKET = "/run/containerd/containerd.sock"
KERNEL = """\
[Unit]
Description=What a kubelet and containerd want of a kernel, in files and cgroups of this machine alone
[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory=/etc/sysctls
ExecStart=/bin/sh -c 'for each in */*; do mount --bind "$each" "/proc/sys/$each"; done; \
    touch /dev/kmsg; mount --bind /dev/null /dev/kmsg; \
    for each in /sys/fs/cgroup /sys/fs/cgroup/*; do mount -o remount,bind,rw "$each"; done; true'
"""
CONTAINERD = """\
[Unit]
Description=containerd
Wants=kernel.service
After=kernel.service
[Service]
ExecStart=/usr/bin/containerd --config=/etc/containerd/config.toml
Delegate=yes
KillMode=process
"""
CONTAINERD_CONFIG = f"""\
version = 2
root = "/var/lib/containerd"
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{parts.CNI}"
conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "/usr/bin/runc"
SystemdCgroup = false
"""
NETWORK = {
    "cniVersion": "0.4.0",
    "name": "e2e",
    "plugins": [{"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.126.0.0/24"}]]}}],
}
NEEDS = "[Unit]\nWants=containerd.service\nAfter=containerd.service\n"


class RealMachine(Machine):
    """A machine whose kubelet is the real one. *features* are its feature gates."""

    OTHERS = (*Machine.OTHERS, "/var/lib/kubelet/", "/var/lib/containerd", "/var/lib/cni", "/etc/kubernetes/manifests/")

    def __init__(self, *arguments: Any, features: dict[str, bool] | None = None, **options: Any) -> None:
        self._features = features or {}
        self._cgroup: Cgroup | None = None
        # Layers of containers cannot lie on a layer of overlayfs.
        super().__init__(*arguments, tmpfs={"/var/lib/containerd": "1g"}, **options)

    def _put_kubelet(self, _version: str) -> None:
        for path, text in {
            "kubelet.service": UNIT,
            "kubelet.service.d/10-kubeadm.conf": DROP_IN,
            "kubelet.service.d/20-containerd.conf": NEEDS,
            "containerd.service": CONTAINERD,
            "kernel.service": KERNEL,
        }.items():
            self.write(f"/etc/systemd/system/{path}", text)
        self.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=2\n")
        self.write("/etc/containerd/config.toml", CONTAINERD_CONFIG)
        self.write("/etc/cni/net.d/10-e2e.conflist", json.dumps(NETWORK))
        for name, value in cluster_machine.SYSCTLS.items():
            self.write(f"/etc/sysctls/{name}", f"{value}\n")
        self.write("/etc/kubernetes/resolv.conf", "nameserver 127.0.0.1\n")
        self.write("/etc/kubernetes/manifests/.keep", "")
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        self.write("/var/lib/kubelet/kubeadm-flags.env", 'KUBELET_KUBEADM_ARGS="--hostname-override=node-1"\n')
        self.write("/var/lib/kubelet/config.yaml", json.dumps(_config(self._features), indent=1))

    def boot(self) -> None:
        if self._cgroup is None:
            self._cgroup = Cgroup(f"acr-systemd-{os.getpid()}").__enter__()
        super().boot()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._cgroup is not None:
            self._cgroup.__exit__()

    def _held(self, words: list[str]) -> list[str]:
        return self._cgroup.enter(words)

    def load(self, name: str, image: OciImage) -> None:
        """Have *image* here as *name*, as if it had been pulled."""
        words = self._entering(("ctr", f"--address={SOCKET}", "--namespace=k8s.io", "images", "import", "-"))
        subprocess.run(words, input=image.archive(name), check=True, stdout=subprocess.DEVNULL)

    def run_agent(self, **changes: Any) -> None:
        """Run the DaemonSet's agent, with *changes* as `agent_pod` takes them, and the settings of `/settings`."""
        self.load(PAUSE, runnable_image("pause"))
        runs = {"Entrypoint": [f"/{NAME}/{NAME}"], "User": "65532:65532"}
        self.load(IMAGE, folder_image(harness.FROZEN.parent, NAME, runs))
        self.put(f"{PUSHED}/settings/settings.yaml", SETTINGS)
        self.put("/etc/kubernetes/manifests/agent.yaml", json.dumps(agent_pod(**changes)))

    def stop_agent(self) -> None:
        """Take the pod away, and with it what it said."""
        self.run("rm", "/etc/kubernetes/manifests/agent.yaml")
        self.wait_until(lambda: not self.say("ctr", f"--address={SOCKET}", "--namespace=k8s.io", "task", "list", "-q"))
        self.run("rm", "-rf", f"{PUSHED}/status", "/var/log/pods")

    def wait_for_agent(self, state: str) -> None:
        self.wait_until(lambda: self.agent().get("state") == state, told=lambda: f"{self.agent()} {self.agent_log()}")

    def put(self, path: str, text: str) -> None:
        """Write a file of the machine while it runs, whole or not at all."""
        script = 'mkdir -p "${1%/*}" && cat > "${1%/*}/.new" && mv "${1%/*}/.new" "$1"'
        subprocess.run(self._entering(("sh", "-c", script, "sh", path)), input=text.encode(), check=True)

    def agent(self) -> dict[str, Any]:
        """Return what the agent says of itself, nothing before it has said anything."""
        try:
            return json.loads(self.say("cat", f"{PUSHED}/status/{STATUS}"))
        except ValueError:
            return {}

    def agent_log(self) -> str:
        return self.say("sh", "-c", "cat /var/log/pods/kube-system_agent*/*/*.log")

    def _mounts(self) -> list[str]:
        programs = {f"/usr/bin/{name}": parts.find(name) for name in (*PROGRAMS, "kubelet")}
        mounts = [f"--bind-ro={path}:{inside}" for inside, path in programs.items()]
        # runc gives each container a keyring and, with cgroups of version 2, a program that knows its devices.
        return [*mounts, f"--bind-ro={parts.CNI}", "--system-call-filter=@keyring bpf"]


def _config(features: dict[str, bool]) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "resolvConf": "/etc/kubernetes/resolv.conf",
        "staticPodPath": "/etc/kubernetes/manifests",
        "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%", "memory.available": "0%"},
        "featureGates": features,
    }


def agent_pod(
    *,
    security: dict[str, Any] | None = None,
    host: dict[str, Any] | None = None,
    uninstall: bool = False,
    service: str = "dbus",
) -> dict[str, Any]:
    """Return the DaemonSet's agent as a static pod, which no API server is asked about.

    What the cluster would bring (settings, and a reporter to speak with) are folders of the machine at `PUSHED`.
    *security* replaces the container's securityContext, *host* changes the mount of the node's root; *service* is the
    way to have the kubelet restarted.
    """
    spec = json.loads(json.dumps(_daemonset()))
    agent = next(each for each in spec["containers"] if each["name"] == "agent")
    agent["args"] = [each for each in agent["args"] if not each.startswith("--lease-dir")]
    agent["args"] += [
        "--rollout-window=0",
        *(["--uninstall"] if uninstall else []),
        "--",
        "--stable-for=4",
        f"--service={service}",
    ]
    agent["image"], agent["imagePullPolicy"] = IMAGE, "Never"
    del agent["livenessProbe"]  # the reporter answers it
    if security is not None:
        agent["securityContext"] = security
    for mount in agent["volumeMounts"]:
        mount.update((host or {}) if mount["name"] == "host" else {})
    names = [each["name"] for each in agent["volumeMounts"]]
    folders = {name: {"path": f"{PUSHED}/{name}", "type": "DirectoryOrCreate"} for name in names}
    folders["host"] = {"path": "/"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "agent", "namespace": "kube-system"},
        "spec": {
            "containers": [agent],
            "tolerations": spec["tolerations"],
            "terminationGracePeriodSeconds": 5,
            "volumes": [{"name": name, "hostPath": path} for name, path in folders.items()],
        },
    }


def _daemonset(overlay: Path = MANIFESTS / "base") -> dict[str, Any]:
    (found,) = (each for each in rendered(overlay) if each["kind"] == "DaemonSet")
    return found["spec"]["template"]["spec"]


def security_of(component: str) -> dict[str, Any]:
    """Return the agent's securityContext in an operator's overlay with *component*."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifests").symlink_to(MANIFESTS)
        top = Path(folder) / "overlay"
        top.mkdir()
        document = {"resources": ["../manifests/base"], "components": [f"../manifests/components/{component}"]}
        (top / "kustomization.yaml").write_text(json.dumps(document))
        spec = _daemonset(top)
    return next(each["securityContext"] for each in spec["containers"] if each["name"] == "agent")
