"""containerd and the kubelet on a node, with the plugin configured as on a real one."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

from sandbox.oci import runnable_image
from support import guide

from . import node as machine
from . import parts
from .kube import KubeApi

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.oci import OciImage

    from .node import Running
    from .pki import Pki

PAUSE = "e2e.invalid/pause:1"
SOCKET = "/run/containerd/containerd.sock"
KUBELET_PORT = 10250
PLUGIN = "aliyun-acr-credential-provider"
TOKEN_PLUGIN = f"{PLUGIN}-token"
"""The same program under another name: a provider of its own, which is handed pods' tokens."""
API_VERSION = "credentialprovider.kubelet.k8s.io/v1"
MATCH_IMAGES = (
    "*.*.cr.aliyuncs.com",
    "registry.*.aliyuncs.com",
    "registry-vpc.*.aliyuncs.com",
    "images.example.com",
)
POD_NETWORK = "10.125.0.0/24"


def provider_config(*arguments: str, match_images: tuple[str, ...] = MATCH_IMAGES) -> dict[str, Any]:
    """Return a CredentialProviderConfig that runs the plugin with *arguments*."""
    provider = {
        "name": PLUGIN,
        "apiVersion": API_VERSION,
        "matchImages": list(match_images),
        "defaultCacheDuration": "0s",
        "args": list(arguments),
    }
    return {"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [provider]}


def token_provider(*arguments: str, hosts: tuple[str, ...], **changes: Any) -> dict[str, Any]:
    """Return the provider that is handed the tokens of pods whose images are on *hosts*, as the guide has it.

    *changes* are to its tokenAttributes.
    """
    (provider,) = provider_config(*arguments, match_images=hosts)["providers"]
    attributes = guide.document("tokenAttributes")["tokenAttributes"] | changes
    return {**provider, "name": TOKEN_PLUGIN, "tokenAttributes": attributes}


class ContainerRuntime:
    """containerd with runc and CNI; `map_host` tells it where a registry is."""

    def __init__(self, node: machine.Node, logs: Path) -> None:
        self._node = node
        self._hosts = node.folder / "registries"
        self._hosts.mkdir()
        networks = node.folder / "networks"
        networks.mkdir()
        (networks / "10-e2e.conflist").write_text(json.dumps(_network()))
        config = node.folder / "containerd.toml"
        config.write_text(self._config(networks))
        self._ctr = [str(parts.find("ctr")), f"--address={SOCKET}", "--namespace=k8s.io"]
        service = node.start(
            "containerd", [str(parts.find("containerd")), f"--config={config}"], log=logs / "containerd.log"
        )
        service.await_(lambda: node.run([*self._ctr, "version"], capture_output=True).returncode == 0)
        # containerd pulls it itself, and never with a plugin's credentials.
        self.load(PAUSE, runnable_image("pause"))

    def load(self, name: str, image: OciImage) -> None:
        """Have *image* here as *name*, as if it had been preloaded."""
        self._node.output([*self._ctr, "images", "import", "-"], input=image.archive(name))

    def map_host(self, host: str, url: str, *, ca_file: Path) -> None:
        """Send what is pulled from *host* to *url*; in force from the next pull on."""
        folder = self._hosts / host
        folder.mkdir(exist_ok=True)
        (folder / "hosts.toml").write_text(
            f'server = "https://{host}"\n[host."{url}"]\ncapabilities = ["pull", "resolve"]\nca = "{ca_file}"\n'
        )

    def remove(self, image: str) -> None:
        """Remove *image*, as crictl does."""
        self._node.output([*self._ctr, "images", "remove", "--sync", image])

    def images(self) -> dict[str, str]:
        """Return the digests of the images that are here, by name."""
        lines = self._node.output([*self._ctr, "images", "list"]).decode().splitlines()[1:]
        return {name: digest for name, _, digest, *_ in (line.split() for line in lines)}

    def _config(self, networks: Path) -> str:
        return f"""
version = 2
root = "{self._node.folder}/containerd"
state = "/run/containerd"
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# A machine that is a container itself may not lower it.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{self._hosts}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{parts.CNI}"
conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{parts.find("runc")}"
SystemdCgroup = false
"""


def _network() -> dict[str, Any]:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_NETWORK}]],
        "routes": [{"dst": "0.0.0.0/0"}],  # to the node and its API server
        "dataDir": "/run/cni",
    }
    ptp = {"type": "ptp", "ipam": ipam}
    return {"cniVersion": "0.4.0", "name": "e2e", "plugins": [ptp]}


class Kubelet:
    """The kubelet; its plugin is a link that `use_plugin` turns, which is in force from the next exec on."""

    def __init__(self, node: machine.Node, pki: Pki, server: str, logs: Path, *, arguments: tuple[str, ...]) -> None:
        self._node = node
        self._logs = logs
        self.root = node.folder / "kubelet"
        self.static_pods = node.folder / "static-pods"
        self.static_pods.mkdir()
        self._bin = node.folder / "plugins"
        self._bin.mkdir()
        (self._bin / TOKEN_PLUGIN).symlink_to(PLUGIN)
        self._arguments = arguments
        self._token_mode: tuple[Any, ...] = ((), False, {})
        self._providers = node.folder / "credential-providers.yaml"
        self.write_providers(provider_config(*arguments))
        serving = pki.server("kubelet", machine.ADDRESS, machine.NAME)
        resolv = node.folder / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.1\n")
        settings = node.folder / "kubelet.yaml"
        settings.write_text(json.dumps(_kubelet_config(node.folder, pki, str(serving.cert), str(serving.key))))
        user = f"system:node:{machine.NAME}"
        self._command = [
            str(parts.find("kubelet")),
            f"--config={settings}",
            f"--kubeconfig={pki.kubeconfig(user, server, group='system:nodes')}",
            f"--hostname-override={machine.NAME}",
            f"--node-ip={machine.ADDRESS}",
            f"--root-dir={self.root}",
            f"--cert-dir={node.folder / 'kubelet-certs'}",
        ]
        self._plugins = [
            f"--image-credential-provider-config={self._providers}",
            f"--image-credential-provider-bin-dir={self._bin}",
        ]
        self._api = KubeApi(node, machine.ADDRESS, KUBELET_PORT, pki=pki)
        self._running: Running | None = None
        self._flags: tuple[str, ...] = ()
        self.started = 0
        """How often it was started."""
        self.log = logs / "kubelet.log"

    def start(self, *, with_plugins: bool = True) -> None:
        self.started += 1
        command = [*self._command, *(self._plugins if with_plugins else []), *self._flags]
        self._running = self._node.start("kubelet", command, log=self.log)
        self._running.await_(lambda: self._api.is_ready("/healthz"))

    def restart(self, *flags: str, with_plugins: bool = True) -> None:
        """End it as systemd does, and start it again with *flags* beside its own: what it kept in memory is gone."""
        self.stop()
        self._flags = flags
        self.start(with_plugins=with_plugins)

    def stop(self) -> None:
        """End it as systemd does."""
        assert self._running, "it was never started"
        self._running.stop()

    def forget_pulls(self) -> None:
        """Remove what it wrote down about who may use which image (KEP-2535), while it does not run."""
        shutil.rmtree(self.root / "image_manager")

    def write_providers(self, config: dict[str, Any]) -> None:
        """Write the CredentialProviderConfig; in force after a restart."""
        self._providers.write_text(json.dumps(config))

    def use_tokens(self, *hosts: str, alone: bool = False, **changes: Any) -> None:
        """Hand the plugin tokens of pods whose images are on *hosts*, without any of none; restarts if that is new.

        The provider for that is one more, whose hosts the other one matches too, or *alone*.
        *changes* are to its tokenAttributes.
        """
        if (hosts, alone, changes) == self._token_mode:
            return
        config = provider_config(*self._arguments)
        if hosts:
            one_more = token_provider(*self._arguments, hosts=hosts, **changes)
            config["providers"] = [one_more] if alone else [*config["providers"], one_more]
        self.write_providers(config)
        self._token_mode = (hosts, alone, changes)
        self.restart()

    def install(self, bundle: Path) -> Path:
        """Put a copy of the frozen plugin at *bundle* beside the others; return its executable."""
        target = self._node.folder / "bundles" / bundle.name
        shutil.copytree(bundle, target, symlinks=True)
        return target / bundle.name

    def use_plugin(self, program: Path) -> None:
        """Make *program* the plugin, from the next pull on."""
        link = self._bin / f".{PLUGIN}.new"
        link.symlink_to(program)
        os.replace(link, self._bin / PLUGIN)

    def plugin_runs(self, plugin: str = PLUGIN) -> int:
        """Return how often this kubelet ran *plugin* since it started, by its own metrics."""
        metrics = self._api.raw("GET", "/metrics").decode()
        name = rf'^kubelet_credential_provider_plugin_duration_count{{plugin_name="{plugin}"}} (\d+)$'
        return sum(int(found[1]) for found in re.finditer(name, metrics, re.MULTILINE))


def _kubelet_config(folder: Path, pki: Pki, cert: str, key: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": machine.ADDRESS,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(pki.ca_file)}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": cert,
        "tlsPrivateKeyFile": key,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "resolvConf": str(folder / "resolv.conf"),
        "staticPodPath": str(folder / "static-pods"),
        "volumePluginDir": str(folder / "volume-plugins"),
        # A test machine may be nearly full, and that is not what is tested.
        "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%", "memory.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        # Pulls must be able to come all at once: that is the herd that the plugin has to stand.
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
    }
