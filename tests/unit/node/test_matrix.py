"""Every kind of node in every state that it may be found in, through every verb: placed by the rules, not by the test.

The nodes are trees and facts of theirs. Which of them are the real thing: docs/nodes.md.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace

import pytest
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG
from acr_node_config.install.requests import InstallRequest
from acr_node_config.install.state import FOLDER
from acr_node_config.model.errors import RefusedError
from acr_node_config.model.facts import (
    ACK_ARGUMENTS,
    EnvironmentSource,
    Folder,
    HostFile,
    NodeFacts,
    OperatingSystem,
    Rancher,
)
from acr_node_config.model.placement import Refusal, Wanted
from acr_node_config.placement.profiles import place
from support import node_samples
from support.node_sites import OTHERS, OTHERS_CONFIG, OTHERS_YAML
from support.node_verbs import MORE, of_the_node
from support.node_world import COVERED, UNIT, StandinService, World, program

RANCHER = "/var/lib/rancher/credentialprovider"
STATES = ("fresh", "existing JSON", "existing YAML", "existing folder", "flags already set", "one flag only")


@dataclass
class Site(World):
    """A node of a *kind*, in a *state*, as facts that are looked up each time."""

    kind: str = ""
    mode: str = "auto"
    sample: NodeFacts = field(default_factory=NodeFacts)

    def facts(self) -> NodeFacts:
        seen = super().facts()
        unit = self.sample.unit
        sources = tuple(
            EnvironmentSource(each.path, each.is_optional, self._host_file(each.path)) if each.path else each
            for each in unit.environment_files
        )
        facts = replace(
            self.sample,
            kubelet=replace(seen.kubelet, unit=UNIT),
            version=seen.version,
            config=seen.config,
            executables=seen.executables,
            unit=replace(unit, name=UNIT, environment_files=sources),
        )
        if self.sample.ack_arguments:
            facts = replace(facts, ack_arguments=self._host_file(ACK_ARGUMENTS))
        if self.sample.rancher:
            files = sorted(self.at(self.rancher).glob("*.yaml"))
            found = tuple(self._host_file("/" + str(each.relative_to(self.root))) for each in files)
            facts = replace(facts, rancher=Rancher(self.kind, UNIT, found))
        return facts

    def _host_file(self, path: str) -> HostFile | None:
        file = self.at(path)
        return HostFile(path, file.read_bytes(), file.stat().st_mode & 0o777) if file.exists() else None


def _environment(kind, sample, path, variable="KUBELET_EXTRA_ARGS"):
    return lambda folder: Site(folder, flags_file=path, variable=variable, kind=kind, sample=sample)


def _rancher(kind):
    where = f"/etc/rancher/{kind}/config.yaml.d"
    defaults = (f"{RANCHER}/config.yaml", f"{RANCHER}/bin")
    sample = node_samples.rancher(kind, UNIT)
    return lambda folder: Site(folder, rancher=where, defaults=defaults, kind=kind, sample=sample)


def _openshift(mode):
    system = OperatingSystem("rhel", is_openshift=True)
    folders = {"/": Folder(is_writable=False), "/var": Folder(is_writable=True), "/etc": Folder(is_writable=True)}
    sample = node_samples.kubeadm(system=system, folders=folders)
    return lambda folder: Site(folder, kind="openshift", mode=mode, sample=sample)


KINDS = {
    "kubeadm deb": _environment("kubeadm", node_samples.kubeadm(), node_samples.DEBIAN),
    "kubeadm rpm": _environment("kubeadm", node_samples.kubeadm(node_samples.RED_HAT), node_samples.RED_HAT),
    "ack": _environment("ack", node_samples.ack(), ACK_ARGUMENTS, "KUBELET_CUSTOMIZED_ARGS"),
    "ack containeros": _environment("ack", node_samples.container_os(), ACK_ARGUMENTS, "KUBELET_CUSTOMIZED_ARGS"),
    "eks style": _environment("eks", node_samples.kubeadm(), node_samples.DEBIAN),
    "k3s": _rancher("k3s"),
    "rke2": _rancher("rke2"),
    "openshift": _openshift("auto"),
    "openshift, files only": _openshift("files-only"),
}


def put(site: Site, state: str) -> None:
    """Bring *site* into *state*."""
    where = {"eks": "/etc/eks/image-credential-provider", "k3s": RANCHER, "rke2": RANCHER}.get(site.kind, "/etc/others")
    bin_dir = f"{where}/bin" if site.rancher else where
    name = {"existing JSON": "config.json", "existing folder": "config.d"}.get(state, "config.yaml")
    config = f"{where}/{name}"
    if state not in ("fresh", "one flag only"):
        site.add_provider(bin_dir, OTHERS)
        text = json.dumps(OTHERS_CONFIG, indent=2) if state == "existing JSON" else OTHERS_YAML
        site.write(f"{config}/10-others.yaml" if state == "existing folder" else config, text, 0o600)
    flags = {CONFIG_FLAG: config, BIN_DIR_FLAG: bin_dir}
    if state == "fresh":
        flags = {}
    elif state == "one flag only":
        flags.pop(BIN_DIR_FLAG)
    if site.rancher:
        site.write(
            f"{site.rancher}/10-node.yaml", "node-name: one\n" + "".join(f"{k}: {v}\n" for k, v in flags.items())
        )
        return
    words = " ".join(f"--{name}={value}" for name, value in flags.items())
    if state in ("flags already set", "fresh"):
        site.write(site.flags_file, f'{site.variable}="--v=2 {words}"\n', 0o640)
    else:
        site.base += tuple(words.split())


def is_refused(kind: str, state: str) -> bool:
    if kind == "openshift, files only":
        return False
    return kind == "openshift" or state == "one flag only" or (state == "existing folder" and kind in ("k3s", "rke2"))


CELLS = [cell for cell in itertools.product(KINDS, STATES) if cell != ("eks style", "fresh")]  # it always has a file


@pytest.fixture(params=CELLS, ids=" - ".join)
def cell(request, tmp_path):
    kind, state = request.param
    site = KINDS[kind](tmp_path)
    put(site, state)
    site.start_kubelet()
    return site, is_refused(kind, state)


def wanted(site: Site, of, covered=COVERED) -> InstallRequest:
    return InstallRequest(of, covered, lambda facts: place(facts, site.mode, Wanted()), b"a: b\n", site.mode)


def test_through_all_verbs_and_back_to_the_same_bytes_and_modes(cell, tmp_path):
    site, is_refusal = cell
    first, second = program(tmp_path / "first"), program(tmp_path / "second", "0.2.0")
    before, restarts = site.tree(), 0 if site.mode == "files-only" else 1
    service = StandinService(site)
    node = site.node(service)
    if is_refusal:
        assert isinstance(place(site.facts(), site.mode, Wanted()), Refusal)
        with pytest.raises(RefusedError) as error:
            node.install(wanted(site, first))
        assert error.value.remedy
        node.uninstall()
        assert (site.tree(), service.restarts) == (before, 0)
        return

    # Install, and install again.
    outcome = node.install(wanted(site, first))
    assert outcome.changed
    assert service.restarts == restarts
    assert site.faults(site.words()) in (
        "",
        "one flag alone",
    )  # where it was before, and we are to leave the kubelet alone
    installed = of_the_node(site)
    assert node.install(wanted(site, first)).changed == ()
    assert (of_the_node(site), service.restarts) == (installed, restarts)

    # Upgrade the program, and later what the kubelet reads too; roll back each time.
    assert node.install(wanted(site, second)).changed
    assert service.restarts == restarts
    node.rollback()
    assert (of_the_node(site), service.restarts) == (installed, restarts)
    node.install(wanted(site, second, MORE))
    assert service.restarts == 2 * restarts
    node.rollback()
    assert (of_the_node(site), service.restarts) == (installed, 3 * restarts)

    # Uninstall.
    node.uninstall()
    assert site.tree() == before
    assert not site.at(FOLDER).exists()
    assert service.restarts == 4 * restarts
    assert site.kept()["words"] == site.words()
