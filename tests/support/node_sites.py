"""Kinds of nodes for the installer's tests: what is on each, and where the plugin goes there."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from acr_node_config.model.placement import EnvironmentFlags, Placement, RancherFlags

from support.node_world import UNIT, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OTHERS = "ecr-credential-provider"
OTHERS_CONFIG = {
    "apiVersion": "kubelet.config.k8s.io/v1",
    "kind": "CredentialProviderConfig",
    "providers": [
        {
            "name": OTHERS,
            "matchImages": ["*.dkr.ecr.*.amazonaws.com"],
            "defaultCacheDuration": "12h",
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        }
    ],
}
OTHERS_YAML = f"""\
# written by the cloud's own bootstrap
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: {OTHERS}   # its own
    matchImages: ["*.dkr.ecr.*.amazonaws.com"]
    defaultCacheDuration: 12h
    apiVersion: credentialprovider.kubelet.k8s.io/v1
"""
OURS = "/opt/aliyun-acr-credential-provider/bin"
OUR_CONFIG = "/etc/aliyun-acr-credential-provider/credential-providers.yaml"
EKS = "/etc/eks/image-credential-provider"


class Site(NamedTuple):
    world: World
    placement: Placement

    @property
    def shared(self) -> str:
        """A file that others have a part in, "" if there is none."""
        if not self.placement.is_config_ours:
            return self.placement.config
        return self.placement.flags.path if isinstance(self.placement.flags, EnvironmentFlags) else ""


def _patched(world: World, path: str, variable: str = "KUBELET_EXTRA_ARGS", profile: str = "kubeadm-deb") -> Site:
    flags = EnvironmentFlags(path, variable)
    return Site(world, Placement(profile, OURS, OUR_CONFIG, True, False, flags, UNIT))


def kubeadm_deb(folder: Path) -> Site:
    return _patched(World(folder), "/etc/default/kubelet")


def kubeadm_deb_with_arguments(folder: Path) -> Site:
    world = World(folder)
    world.write("/etc/default/kubelet", '# ours\nKUBELET_EXTRA_ARGS="--node-ip=192.0.2.1 --v=2"\nOTHER=x', 0o640)
    return _patched(world, "/etc/default/kubelet")


def kubeadm_rpm(folder: Path) -> Site:
    world = World(folder, flags_file="/etc/sysconfig/kubelet")
    world.write("/etc/sysconfig/kubelet", "KUBELET_EXTRA_ARGS=\n")
    return _patched(world, "/etc/sysconfig/kubelet", profile="kubeadm-rpm")


def ack(folder: Path) -> Site:
    path = "/etc/kubernetes/kubelet-customized-args.conf"
    world = World(folder, flags_file=path, variable="KUBELET_CUSTOMIZED_ARGS")
    world.write(path, 'KUBELET_CUSTOMIZED_ARGS="--max-pods=64"\n')
    return _patched(world, path, "KUBELET_CUSTOMIZED_ARGS", "ack")


def k3s(folder: Path) -> Site:
    drop_in = "/etc/rancher/k3s/config.yaml.d/50-aliyun-acr-credential-provider.yaml"
    world = World(folder, rancher="/etc/rancher/k3s/config.yaml.d")
    world.write("/etc/rancher/k3s/config.yaml.d/10-node.yaml", "node-name: one\n", 0o600)
    return Site(world, Placement("k3s", OURS, OUR_CONFIG, True, False, RancherFlags(drop_in), UNIT))


def k3s_by_default(folder: Path) -> Site:
    """k3s looks there by itself, once both the folder and the file are there."""
    where = "/var/lib/rancher/credentialprovider"
    world = World(folder, rancher="/etc/rancher/k3s/config.yaml.d", defaults=(f"{where}/config.yaml", f"{where}/bin"))
    return Site(world, Placement("k3s", f"{where}/bin", f"{where}/config.yaml", True, False, None, UNIT))


def ack_containeros(folder: Path) -> Site:
    """The programs lie in the folder that is the installer's own, the only one that can be written and run from."""
    site = ack(folder)
    return site._replace(placement=replace(site.placement, bin_dir="/var/lib/aliyun-acr-credential-provider/bin"))


def _merged(folder: Path, name: str, text: str, flags_in: str = "") -> Site:
    config = f"{EKS}/{name}"
    flags = (f"--image-credential-provider-config={config}", f"--image-credential-provider-bin-dir={EKS}")
    world = World(folder)
    if flags_in:
        world.write(flags_in, f"KUBELET_EXTRA_ARGS='{' '.join(flags)}'\n")
    else:
        world.base += flags
    world.write(config, text, 0o600)
    world.add_provider(EKS, OTHERS)
    return Site(world, Placement("eks", EKS, config, False, False, None, UNIT))


def existing_json(folder: Path) -> Site:
    return _merged(folder, "config.json", json.dumps(OTHERS_CONFIG, indent=2))


def existing_yaml(folder: Path) -> Site:
    return _merged(folder, "config.yaml", OTHERS_YAML)


def flags_already_set(folder: Path) -> Site:
    return _merged(folder, "config.yaml", OTHERS_YAML, flags_in="/etc/default/kubelet")


def existing_directory(folder: Path) -> Site:
    where = f"{EKS}/config.d"
    world = World(folder)
    world.base += (f"--image-credential-provider-config={where}", f"--image-credential-provider-bin-dir={EKS}")
    world.write(f"{where}/10-ecr.yaml", OTHERS_YAML)
    world.add_provider(EKS, OTHERS)
    return Site(world, Placement("generic", EKS, f"{where}/50-aliyun-acr.yaml", True, True, None, UNIT))


ALL: dict[str, Callable[[Path], Site]] = {
    each.__name__.replace("_", " "): each
    for each in (
        kubeadm_deb, kubeadm_deb_with_arguments, kubeadm_rpm, ack, ack_containeros, k3s, k3s_by_default, existing_json,
        existing_yaml, flags_already_set, existing_directory,
    )
}  # fmt: skip
