"""What `settings match-images` writes is what installers and people put before a kubelet."""

import json

import pytest
import yaml
from acr_node_config.kubelet_config.provider_entries import NAME, TOKEN_NAME, entries

NODE = {"instanceId": "cri-1", "domains": ["images.example.com"], "identity": {"kind": "nodeRole"}}
ACCOUNT = {
    "instanceId": "cri-2",
    "domains": ["team.example.com"],
    "identity": {"kind": "serviceAccount", "oidcProviderArn": "acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1"},
}


@pytest.fixture
def run(program, tmp_path):
    def run(*registries, output="json"):
        file = tmp_path / "settings.yaml"
        document = {
            "apiVersion": "aliyun-acr-credential-provider/v1",
            "kind": "ProviderSettings",
            "registries": registries,
        }
        file.write_text(json.dumps(document))
        file.chmod(0o600)
        return program.run(b"", "settings", "match-images", str(file), "--output", output)

    return run


def test_the_installer_makes_its_entries_of_it(run):
    ended = run(NODE, ACCOUNT)
    assert (ended.code, ended.stderr) == (0, b"")
    found = entries(json.loads(ended.stdout), (1, 34))
    assert [(each["name"], each["matchImages"]) for each in found] == [
        (NAME, ["images.example.com"]),
        (TOKEN_NAME, ["team.example.com"]),
    ]


def test_people_read_the_same_as_yaml(run):
    assert yaml.safe_load(run(NODE, ACCOUNT, output="text").stdout) == json.loads(run(NODE, ACCOUNT).stdout)
    assert yaml.safe_load(run(NODE, output="text").stdout) == {"matchImages": ["images.example.com"]}


def test_what_cannot_be_said_is_one_error_and_one_remedy(run):
    ended = run({**ACCOUNT, "domains": []})
    assert (ended.code, ended.stdout) == (1, b"")
    assert json.loads(ended.stderr)["error"].startswith("registries[0].domains is missing")
    assert json.loads(ended.stderr)["remedy"].startswith("Add domains")
