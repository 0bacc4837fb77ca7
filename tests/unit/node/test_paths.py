"""A path is a path: slashes too many, symlinks on the way, and the next of our own places where one cannot be used."""

from __future__ import annotations

import os

import pytest
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG
from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.install.state import FOLDER
from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model.errors import RefusedError
from acr_node_config.model.placement import BIN_DIRS, Wanted
from acr_node_config.model.steps import MakeFolder
from support.node_sites import OTHERS, OTHERS_YAML
from support.node_tree import DROP_IN, DROP_IN_PATH, KUBEADM, Tree
from support.node_world import program

BASE = ("/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml")


@pytest.fixture
def bundle(tmp_path):
    return program(tmp_path / "bundle")


@pytest.fixture
def kubeadm(tmp_path):
    tree = Tree(tmp_path / "host")
    tree.write("/usr/lib/systemd/system/kubelet.service", KUBEADM).write(DROP_IN_PATH, DROP_IN)
    return tree.program("/usr/bin/kubelet").process(70, *BASE)


def with_others(tmp_path, bin_dir, config="/etc/providers.yaml"):
    """A kubelet with a provider of someone else; its flags say *bin_dir* and *config*."""
    tree = Tree(tmp_path / "host")
    tree.write("/usr/lib/systemd/system/kubelet.service", KUBEADM).program("/usr/bin/kubelet")
    tree.process(70, *BASE, f"--{CONFIG_FLAG}={config}", f"--{BIN_DIR_FLAG}={bin_dir}")
    tree.write("/etc/providers.yaml", OTHERS_YAML)
    return tree


SLASHES = ["/opt/bin/", "/opt/bin//", "/opt//bin", "/opt/./bin/.", "//opt/bin"]


@pytest.mark.parametrize("spelt", SLASHES)
def test_a_bin_dir_is_the_same_with_slashes_too_many(tmp_path, bundle, spelt):
    tree = with_others(tmp_path, spelt, "/etc//providers.yaml").program(f"/opt/bin/{OTHERS}")
    before = tree.listing()
    outcome = tree.node().install(tree.request(bundle))
    assert f"/opt/bin/{NAME}" in outcome.changed
    assert NAME in (tree.folder / "etc/providers.yaml").read_text()
    assert tree.node().plan(tree.request(bundle)).to_do == ()
    tree.node().uninstall()
    assert tree.listing() == before


@pytest.mark.parametrize("spelt", ["/srv/bin/", "/srv//bin", "/srv/./bin"])
def test_so_is_one_that_an_operator_names(kubeadm, bundle, spelt):
    kubeadm.node().install(kubeadm.request(bundle, wanted=Wanted(bin_dir=spelt, config="/srv/c.yaml")))
    assert (kubeadm.folder / "srv/bin" / NAME).exists()
    assert f"--{BIN_DIR_FLAG}=/srv/bin" in (kubeadm.folder / "etc/default/kubelet").read_text()


LINKS = {
    "/opt": "var/opt",  # Fedora CoreOS and other systems of ostree
    "/etc/default": "../usr/local/default",
    "/var/lib/kubelet": "/data/kubelet",
    "/etc/aliyun-acr-credential-provider": "/var/settings",
}


@pytest.mark.parametrize(("link", "target"), LINKS.items())
def test_a_folder_on_the_way_may_be_a_symlink(kubeadm, bundle, link, target):
    real = kubeadm.folder / os.path.normpath(os.path.join(os.path.dirname(link), target)).lstrip("/")
    real.mkdir(parents=True)
    if not (kubeadm.folder / link.lstrip("/")).exists():
        kubeadm.link(link, target)
    before = kubeadm.listing()
    plan = kubeadm.node().plan(kubeadm.request(bundle))
    outcome = kubeadm.node().install(kubeadm.request(bundle))
    assert {step.path for step in plan.missing} == set(outcome.changed)
    assert kubeadm.node().plan(kubeadm.request(bundle)).to_do == ()
    kubeadm.node().uninstall()
    assert kubeadm.listing() == before


@pytest.mark.parametrize("target", ["/data/providers", "../data/providers", "hop"])
def test_a_bin_dir_may_be_one_itself(tmp_path, bundle, target):
    tree = with_others(tmp_path, "/opt/bin").program(f"/data/providers/{OTHERS}")
    tree.link("/opt/bin", target).link("/opt/hop", "../data/providers")
    tree.node().install(tree.request(bundle))
    assert (tree.folder / "data/providers" / NAME).is_symlink()
    assert (tree.folder / "opt/bin").is_symlink()


def others_own(path):
    os.lchown(path, 1000, 1000)


BROKEN = {
    "leads nowhere": lambda opt: opt.symlink_to("var/nothing"),
    "leads to a file": lambda opt: opt.symlink_to("/etc/hostname"),
    "is a file": lambda opt: opt.write_text(""),
    "is a user's symlink": lambda opt: (opt.symlink_to("var"), others_own(opt)),
    "is a folder that a group can write": lambda opt: (opt.mkdir(), opt.chmod(0o775)),
    "is a user's folder": lambda opt: (opt.mkdir(), others_own(opt)),
}


@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN)
def test_the_next_of_our_own_places_serves_where_one_cannot_be_used(kubeadm, bundle, breaks):
    kubeadm.write("/etc/hostname", "node\n")
    breaks(kubeadm.folder / "opt")
    assert any(step.path == f"{BIN_DIRS[1]}/{NAME}" for step in kubeadm.node().plan(kubeadm.request(bundle)).to_do)
    kubeadm.node().install(kubeadm.request(bundle))
    assert (kubeadm.folder / BIN_DIRS[1].lstrip("/") / NAME).is_symlink()


@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN)
def test_what_install_would_refuse_on_the_way_plan_refuses_too(tmp_path, bundle, breaks):
    tree = with_others(tmp_path, "/opt/bin").write("/etc/hostname", "node\n")
    breaks(tree.folder / "opt")
    before = tree.listing()
    said = []
    for verb in (tree.node().plan, tree.node().install):
        with pytest.raises(RefusedError) as refused:
            verb(tree.request(bundle))
        said.append((refused.value.problem, refused.value.remedy))
    assert said[0] == said[1]
    assert tree.listing() == before  # nor is a folder of ours left


def test_a_symlink_that_leaves_the_node_is_not_followed(kubeadm):
    outside = kubeadm.folder.parent / "outside"
    outside.mkdir()
    (kubeadm.folder / "opt").symlink_to("../../outside")
    assert not HostFiles(str(kubeadm.folder)).satisfies(MakeFolder("/opt"))


def test_an_install_that_is_refused_leaves_no_folder_behind(tmp_path, bundle):
    tree = with_others(tmp_path, "/opt/bin", config="/etc/gone.yaml")
    before = tree.listing()
    with pytest.raises(RefusedError, match="is not there"):
        tree.node().install(tree.request(bundle))
    assert tree.listing() == before
    assert not (tree.folder / FOLDER.lstrip("/")).exists()


# --bin-dir and --config of others, with files-only.
@pytest.mark.parametrize("folder", ["/opt/providers", "/usr/local/lib/providers", "/home/kubernetes/bin"])
def test_files_only_joins_the_file_of_others_beside_their_programs(kubeadm, bundle, folder):
    kubeadm.program(f"{folder}/{OTHERS}").write("/etc/providers.yaml", OTHERS_YAML)
    before = kubeadm.listing()
    wanted = Wanted(bin_dir=folder, config="/etc/providers.yaml")
    outcome = kubeadm.node().install(kubeadm.request(bundle, "files-only", wanted))
    text = (kubeadm.folder / "etc/providers.yaml").read_text()
    assert NAME in text
    assert OTHERS in text
    assert f"--{CONFIG_FLAG}=/etc/providers.yaml" in outcome.notes[0]
    kubeadm.node().uninstall()
    assert kubeadm.listing() == before


def test_it_looks_for_their_programs_where_it_is_told(kubeadm, bundle):
    kubeadm.write("/etc/providers.yaml", OTHERS_YAML)
    request = kubeadm.request(bundle, "files-only", Wanted(bin_dir="/opt/providers", config="/etc/providers.yaml"))
    with pytest.raises(RefusedError, match="names no program"):
        kubeadm.node().plan(request)


def test_a_folder_as_config_is_answered_with_the_file_to_name(kubeadm, bundle):
    kubeadm.write("/etc/providers.d/10-ecr.yaml", OTHERS_YAML)
    request = kubeadm.request(bundle, "files-only", Wanted(config="/etc/providers.d/"))
    with pytest.raises(RefusedError) as refused:
        kubeadm.node().plan(request)
    config = refused.value.remedy.partition("--config ")[2].rstrip(".")
    outcome = kubeadm.node().install(kubeadm.request(bundle, "files-only", Wanted(config=config)))
    assert config in outcome.changed
