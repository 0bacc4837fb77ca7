"""What plan says is what install does: the same refusals, and a diff of each file without secrets."""

from __future__ import annotations

import json

import pytest
from acr_node_config.commands import node_cli
from acr_node_config.install.journal import APPLYING, Journal
from acr_node_config.install.state import FOLDER
from acr_node_config.model.errors import NodeConfigError, RefusedError
from acr_node_config.model.placement import Wanted
from support import node_sites
from support.node_sites import OTHERS, OTHERS_CONFIG, OTHERS_YAML
from support.node_tree import DROP_IN, DROP_IN_PATH, KUBEADM, Tree
from support.node_world import StandinService, program, request

SECRET = "s3cret-Value"


@pytest.fixture
def bundle(tmp_path):
    return program(tmp_path / "bundle")


@pytest.fixture
def kubeadm(tmp_path):
    tree = Tree(tmp_path / "host")
    tree.write("/usr/lib/systemd/system/kubelet.service", KUBEADM).write(DROP_IN_PATH, DROP_IN)
    return tree.program("/usr/bin/kubelet").process(70, "/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml")


IN_THE_WAY = {
    "a file where a folder goes": lambda root: (root / "opt").write_text(""),
    "a folder where the link goes": lambda root: (
        root / "opt/aliyun-acr-credential-provider/bin/aliyun-acr-credential-provider"
    ).mkdir(parents=True),
    "a symlink where the configuration goes": lambda root: (
        (root / "etc/aliyun-acr-credential-provider").mkdir(parents=True),
        (root / "etc/aliyun-acr-credential-provider/credential-providers.yaml").symlink_to("/etc/nothing"),
    ),
    "a folder of a group's": lambda root: (
        (root / "etc/aliyun-acr-credential-provider").mkdir(parents=True),
        (root / "etc/aliyun-acr-credential-provider").chmod(0o775),
    ),
    "a folder where the environment file goes": lambda root: (root / "etc/default/kubelet").mkdir(parents=True),
    "an environment file that all can replace": lambda root: (
        (root / "etc/default").mkdir(parents=True),
        (root / "etc/default").chmod(0o777),
    ),
}


@pytest.mark.parametrize("blocks", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_plan_and_install_say_the_same_of_what_is_in_the_way(kubeadm, bundle, blocks):
    blocks(kubeadm.folder)
    before, said = kubeadm.listing(), []
    for verb in (kubeadm.node().plan, kubeadm.node().install):
        try:
            verb(kubeadm.request(bundle))
            said.append("works")
        except NodeConfigError as error:
            said.append((type(error), error.problem, error.remedy))
            assert kubeadm.listing() == before
    assert said[0] == said[1]


def test_that_the_kubelet_does_not_run_is_said_by_both(tmp_path, bundle):
    site = node_sites.kubeadm_deb(tmp_path)
    node = site.world.node(StandinService(site.world))
    for verb in (node.plan, node.install):
        with pytest.raises(RefusedError, match="does not run"):
            verb(request(bundle, site.placement))
    assert not site.world.at(FOLDER).exists()


def test_an_interrupted_change_is_ended_before_the_kubelet_is_asked_for(tmp_path, bundle):
    site = node_sites.kubeadm_deb(tmp_path)  # its kubelet does not run, because of that change maybe
    node = site.world.node(StandinService(site.world))
    with node.state.locked():
        node.state.write_journal(Journal("install", APPLYING, "key", ()))
    plan = node.plan(request(bundle, site.placement))
    assert plan.missing
    assert "interrupted install is ended first" in plan.notes[0]


def test_a_diff_shows_the_change_of_each_file_and_no_secret(kubeadm, bundle):
    flags = f'KUBELET_EXTRA_ARGS="--token={SECRET} --word {SECRET} --x=a,{SECRET}"\n'
    kubeadm.write("/etc/default/kubelet", f"# more\n{flags}OTHER={SECRET}\n")
    plan = kubeadm.node().plan(kubeadm.request(bundle, settings=f"accessKeySecret: {SECRET}\n".encode()))
    text = "\n".join(plan.diffs)
    assert SECRET not in text
    assert "+++ /etc/aliyun-acr-credential-provider/settings.yaml\n(settings are not shown)" in text
    assert "+  - name: aliyun-acr-credential-provider" in text or "+- name: aliyun-acr-credential-provider" in text
    assert '-KUBELET_EXTRA_ARGS="--token=*** --word *** --x=***' in text
    assert "--image-credential-provider-config=/etc/aliyun-acr-credential-provider/credential-providers.yaml" in text
    kubeadm.node().install(kubeadm.request(bundle, settings=b"a: b\n"))
    assert kubeadm.node().plan(kubeadm.request(bundle, settings=b"a: b\n")).diffs == ()


ENV = {"name": "PASSWORD", "value": SECRET}
CONFIGS = {
    "JSON in one line": json.dumps({**OTHERS_CONFIG, "providers": [{**OTHERS_CONFIG["providers"][0], "env": [ENV]}]}),
    "JSON": json.dumps({**OTHERS_CONFIG, "providers": [{**OTHERS_CONFIG["providers"][0], "env": [ENV]}]}, indent=2),
    "YAML": f"{OTHERS_YAML}    env:\n      - name: PASSWORD\n        value: {SECRET}\n",
    "YAML in a line": f'{OTHERS_YAML}    env: [{{name: PASSWORD, value: "{SECRET}"}}]\n',
    "YAML with the value first": f"{OTHERS_YAML}    env:\n      - value: '{SECRET}'\n        name: PASSWORD\n",
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_an_environment_of_others_is_not_shown(kubeadm, bundle, config):
    kubeadm.program(f"/opt/p/{OTHERS}").write("/etc/p.yaml", config)
    plan = kubeadm.node().plan(kubeadm.request(bundle, "files-only", Wanted(bin_dir="/opt/p", config="/etc/p.yaml")))
    text = "\n".join(plan.diffs)
    assert "--- /etc/p.yaml\n+++ /etc/p.yaml" in text
    assert SECRET not in text


def test_a_drop_in_shows_no_value_of_a_flag(kubeadm, bundle):
    kubeadm.write(DROP_IN_PATH, f"[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --token={SECRET} --k {SECRET}\n")
    plan = kubeadm.node().plan(kubeadm.request(bundle, "drop-in"))
    text = "\n".join(plan.diffs)
    assert "+ExecStart=*** --token=*** --k *** $ALIYUN_ACR_CREDENTIAL_PROVIDER_FLAGS" in text
    assert SECRET not in text


@pytest.mark.parametrize("output", ["text", "json"])
def test_the_command_prints_it_when_it_is_asked_to(capfd, tmp_path, bundle, kubeadm, output):
    script = tmp_path / "bundle" / "aliyun-acr-credential-provider"
    covered = json.dumps({"matchImages": ["*.*.cr.aliyuncs.com"], "tokenMode": None})
    script.write_text(
        f"#!/bin/sh\ncase $1 in settings) echo '{covered}';; *) echo aliyun-acr-credential-provider 0.1.0;; esac\n"
    )
    settings = tmp_path / "settings.yaml"
    settings.write_text("a: b\n")
    settings.chmod(0o600)
    words = ["plan", "--bundle", str(tmp_path / "bundle"), "--settings", str(settings), "--service", "none"]
    words += ["--host-root", str(kubeadm.folder), "--output", output, "--mode", "files-only"]
    assert node_cli.run(words) == 0
    assert "+++ /etc" not in capfd.readouterr().out
    assert node_cli.run([*words, "--diff"]) == 0
    assert "+++ /etc/aliyun-acr-credential-provider/credential-providers.yaml" in capfd.readouterr().out
