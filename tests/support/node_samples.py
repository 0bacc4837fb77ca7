"""Nodes as facts, one of each kind that the installer knows: for the tests of all its parts."""

from __future__ import annotations

import json
from dataclasses import replace

from acr_node_config.model.facts import (
    ACK_ARGUMENTS,
    EnvironmentSource,
    Folder,
    HostFile,
    KubeletUnit,
    NodeFacts,
    OperatingSystem,
    ProviderConfig,
    Rancher,
    RunningKubelet,
)

from support.kubelet_configs import config, provider

DEBIAN, RED_HAT = "/etc/default/kubelet", "/etc/sysconfig/kubelet"
COMMAND = ("/usr/bin/kubelet", "$KUBELET_KUBECONFIG_ARGS", "$KUBELET_CONFIG_ARGS", "$KUBELET_KUBEADM_ARGS")
CONFIG, BIN_DIR = "--image-credential-provider-config", "--image-credential-provider-bin-dir"


def source(path, content=None, *, is_optional=True):
    file = None if content is None else HostFile(path, content.encode(), 0o644)
    return EnvironmentSource(path, is_optional, file)


def kubelet(*flags, version=(1, 34), config="", bin_dir=""):
    return RunningKubelet(
        pid=700,
        program="/usr/bin/kubelet",
        arguments=("/usr/bin/kubelet", *flags),
        config=config,
        bin_dir=bin_dir,
        version=version,
        unit="kubelet.service",
    )


def kubeadm(path=DEBIAN, content=None, **changes):
    unit = KubeletUnit(
        "kubelet.service",
        (*COMMAND, "$KUBELET_EXTRA_ARGS"),
        environment_files=(
            source("/var/lib/kubelet/kubeadm-flags.env", 'KUBELET_KUBEADM_ARGS="--pod-infra-container-image=x"\n'),
            source(path, content),
        ),
    )
    facts = NodeFacts(
        system=OperatingSystem("debian"),
        kubelet=kubelet(),
        version=(1, 34),
        unit=unit,
        folders={"/": Folder(is_writable=True)},
    )
    return replace(facts, **changes)


def ack(content='KUBELET_CUSTOMIZED_ARGS=""\n', **changes):
    file = HostFile(ACK_ARGUMENTS, content.encode())
    unit = KubeletUnit(
        "kubelet.service",
        (*COMMAND, "$KUBELET_EXTRA_ARGS", "$KUBELET_CUSTOMIZED_ARGS"),
        environment_files=(EnvironmentSource(ACK_ARGUMENTS, is_optional=True, file=file),),
    )
    return replace(kubeadm(), system=OperatingSystem("alinux"), unit=unit, ack_arguments=file, **changes)


def container_os(**changes):
    folders = {"/": Folder(is_writable=False), "/etc": Folder(is_writable=True), "/var": Folder(is_writable=True)}
    return ack(folders=folders, **changes)


def with_providers(path, bin_dir, *files, is_directory=False, **changes):
    """A node whose kubelet has the configuration in *files*, of others."""
    running = kubelet(f"{CONFIG}={path}", f"{BIN_DIR}={bin_dir}", config=path, bin_dir=bin_dir)
    found = ProviderConfig(path, is_directory, files)
    return replace(kubeadm(), kubelet=running, config=found, executables=frozenset({"ecr"}), **changes)


def json_file(path, *names):
    return HostFile(path, json.dumps(config(*map(provider, names)), indent=2).encode())


def eks(**changes):
    path = "/etc/eks/image-credential-provider/config.json"
    folder = "/etc/eks/image-credential-provider"
    return with_providers(path, folder, json_file(path, "ecr"), **{"has_nodeadm": True, **changes})


def directory(**changes):
    path = "/etc/kubernetes/providers.d"
    return with_providers(path, "/opt/providers", json_file(f"{path}/10.json", "ecr"), is_directory=True, **changes)


def rancher(name="k3s", unit="k3s-agent.service", *files, **changes):
    running = RunningKubelet(9, f"/usr/local/bin/{name}", (f"/usr/local/bin/{name}", "agent"), "", "", (1, 34), unit)
    return replace(kubeadm(), kubelet=running, unit=KubeletUnit(unit), rancher=Rancher(name, unit, files), **changes)
