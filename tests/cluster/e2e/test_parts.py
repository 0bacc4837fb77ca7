"""Where the programs of a cluster are taken from."""

import re

import pytest
from cluster import parts


@pytest.fixture
def folder(tmp_path):
    for name in ("kubelet", "kube-apiserver"):
        (tmp_path / name).write_text("#!/bin/sh\necho Kubernetes v1.2.3\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(("variable", "name"), [("KUBEBUILDER_ASSETS", "kube-apiserver"), ("E2E_ASSETS", "kubelet")])
def test_a_folder_that_is_named_goes_before_what_was_built(folder, monkeypatch, variable, name):
    monkeypatch.setenv(variable, str(folder))
    assert parts.find(name) == folder / name


def test_a_part_that_is_nowhere_is_told_with_the_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(parts.MissingPartError, match="make e2e-assets"):
        parts.find("kube-scheduler")


def test_what_was_built_is_not_used_any_more_once_its_sources_change(tmp_path):
    source = tmp_path / "lookup"
    source.mkdir()
    (source / "go.mod").write_text("require k8s.io/kubernetes v1.30.1\n")
    module = parts.Module("lookup", sources=tmp_path)
    before = module.built
    (source / "main.go").write_text("package main\n")
    assert module.built != before
    assert module.version == "v1.30.1"


def test_the_older_kubelets_are_older_than_the_cluster_and_need_no_other_program():
    kubelets = parts.kubelets()
    assert [module.tag for module in kubelets] == ["kubelet_1_34", "kubelet_1_35"]
    assert all(module.version < parts.CLUSTER.version for module in kubelets)
    for module in kubelets:
        text = (module.source / module.mod_file).read_text()
        assert re.findall(r"kubernetes/cmd/(\S+)", text) == ["kubelet"]
