"""`node render openshift` as an administrator runs it, from source and frozen."""

import base64
import json

import yaml

UNIT = "[Service]\nExecStart=/usr/bin/kubelet --config=/etc/kubernetes/kubelet.conf\n"


def test_the_machine_config_has_the_patterns_of_the_settings(program, tmp_path):
    settings = tmp_path / "settings.yaml"
    registry = {"instanceId": "cri-1", "domains": ["images.example.com"], "identity": {"kind": "nodeRole"}}
    document = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings", "registries": [registry]}
    settings.write_text(json.dumps(document))
    settings.chmod(0o600)
    words = ("--unit", "-", "--settings", str(settings), "--kubernetes", "1.32")
    ended = program.run(UNIT.encode(), "node", "render", "openshift", *words)
    assert (ended.code, ended.stderr) == (0, b"")
    config, _guard = yaml.safe_load(ended.stdout)["spec"]["config"]["storage"]["files"]
    written = yaml.safe_load(base64.b64decode(config["contents"]["source"].partition(",")[2]))
    assert written["providers"][0]["matchImages"] == ["images.example.com"]


def test_settings_that_cannot_be_used_are_told_once_with_their_remedy(program, tmp_path):
    words = ("--unit", "-", "--settings", str(tmp_path / "none.yaml"))
    ended = program.run(UNIT.encode(), "node", "render", "openshift", *words)
    assert (ended.code, ended.stdout) == (1, b"")
    assert b"error: cannot read" in ended.stderr
    assert b"none.yaml" in ended.stderr


def test_the_parts_without_a_node_need_nothing(program):
    ended = program.run(b"", "node", "render", "openshift", "--part", "scc", "--namespace", "acr")
    assert ended.code == 0
    assert [each["kind"] for each in yaml.safe_load_all(ended.stdout)] == ["Namespace", "RoleBinding"]
