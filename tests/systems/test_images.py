"""Node images: the plugin is baked in before a kubelet was started, and found by it at its first start."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG, flag
from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.placement.profiles import PROFILES
from systems import layout
from systems.node import SystemNode
from systems.operator_steps import INSTALLS, Operator

LAYOUTS = layout.every()
BY_PROFILE = {
    "kubeadm-deb": ("kubeadm-deb", "image-builder", "kind", "openyurt"),
    "kubeadm-rpm": ("kubeadm-rpm", "flatcar", "fedora-coreos", "ack-edge"),
    "ack": ("ack-alinux3", "ack-alinux2", "ack-containeros", "karpenter"),
    "k3s": ("k3s-server", "k3s-agent", "k3s-openrc"),
    "rke2": ("rke2-server", "rke2-agent"),
}
"""Profiles that an empty image can be baked for, and systems that are set up on it later."""
ROWS = [(profile, name) for profile, names in BY_PROFILE.items() for name in names]
UNITS = [
    (name, state)
    for name, each in LAYOUTS.items()
    for state, result in each.result.items()
    if result == INSTALLS and (each.rancher or each.unit == "kubelet.service")
]


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_each_profile_that_names_a_place_can_be_baked():
    assert set(BY_PROFILE) == set(PROFILES) - {"openshift", "generic"}  # by a MachineConfig; by what is found


@pytest.mark.parametrize(("profile", "name"), ROWS, ids=lambda each: each)
def test_an_image_without_a_kubelet_is_baked_for_its_first_start(folder, bundles, settings, profile, name):
    system = LAYOUTS[name]
    node = SystemNode(folder, replace(system, files={}, kubelet="", programs=()), starts=False)
    empty = node.tree()
    image = Operator(node, bundles[0], settings, is_image=True, options=["--profile", profile])
    assert image.plan().unit_to_restart == ""

    image.install()

    assert not [path for path in node.tree() if path not in empty and not node.is_writable(path)]
    baked = node.tree()
    assert image.install().changed == ()
    assert node.tree() == baked

    # The system is set up, with the operator's file that is there, and starts.
    node.layout = system
    node.set_up_files(keep=True)
    assert node.start() == ""
    words = node.kubelet_words()
    assert NAME in node.providers()
    assert node.at(f"{flag(words, BIN_DIR_FLAG)}/{NAME}").is_file()

    # The running node knows what was baked, and gives it back.
    running = Operator(node, bundles[0], settings)
    if system.unit:
        assert running.install().confirmed
        assert running.plan().to_do == ()
    running.uninstall()
    assert not any(NAME in path for path in node.tree())
    assert node.start() == ""
    assert not flag(node.kubelet_words(), CONFIG_FLAG)


@pytest.mark.parametrize(("name", "state"), UNITS, ids=lambda each: each)
def test_an_image_with_a_kubelet_that_never_ran_needs_no_profile(folder, bundles, settings, name, state):
    node = SystemNode(folder, LAYOUTS[name], has_others=state == "others")
    before, words, theirs = node.tree(), node.kubelet_words(), node.providers()
    node.stop()
    image = Operator(node, bundles[0], settings, is_image=True)

    image.install()

    assert node.start() == ""
    assert set(words) <= set(node.kubelet_words())
    assert node.providers() == [*theirs, NAME]
    Operator(node, bundles[0], settings).uninstall()
    assert node.tree() == before
