"""Several kubelets' own code judges what the installer writes for them, on systems of all kinds."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG, flag
from cluster import parts
from cluster.node import ENVIRONMENT
from support.node_verbs import MORE
from systems import layout
from systems.node import SystemNode
from systems.operator_steps import Operator, make_program, make_settings

IMAGE = "nobodys.invalid/app"
NAMES = (
    "kubeadm-deb",
    "ack-containeros",
    "aks",
    "eks-al2",
    "gke-cos",
    "gardener",
    "image-builder",
    "k3s-server",
    "rke2-agent",
)
LAYOUTS = layout.every()


@pytest.mark.parametrize("module", parts.lookups(), ids=lambda module: module.version)
def test_a_kubelet_starts_with_what_is_written_on_each_system(module, tmp_path):
    program = module.built / "lookup"
    if not program.exists():
        pytest.skip(f"{program} is not built: run `make e2e-assets`")
    bundle, settings = make_program(tmp_path, "0.1.0", MORE), make_settings(tmp_path)
    wrong = []
    for name in NAMES:
        for state in LAYOUTS[name].result:
            with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
                system = replace(LAYOUTS[name], version=".".join(module.version[1:].split(".")[:2]))
                node = SystemNode(Path(folder), system, has_others=state == "others")
                operator = Operator(node, bundle, settings)
                operator.arrive()
                operator.install()
                words = node.kubelet_words()
                places = [node.at(flag(words, each)) for each in (CONFIG_FLAG, BIN_DIR_FLAG)]
                ran = subprocess.run(
                    [program, *places, IMAGE], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
                )
                if ran.returncode or not node.providers():
                    wrong.append((name, state, ran.stderr))
    assert not wrong
