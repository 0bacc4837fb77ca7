"""Real clients of the credential helper protocol pull from the sandbox with it: skopeo and buildah."""

import json
import os
import shutil
import subprocess

import pytest
from support import harness

CLIENTS = {
    "skopeo": ["skopeo", "--policy", "{policy}", "copy", "--src-cert-dir", "{certs}", "docker://{image}", "dir:{out}"],
    "buildah": [
        *("buildah", "--root", "{out}/root", "--runroot", "{out}/run", "--storage-driver", "vfs"),
        *("pull", "--signature-policy", "{policy}", "--cert-dir", "{certs}", "{image}"),
    ],
}


class Client:
    """One client, with the helper on its PATH and an auth file that names it for the sandbox's registry."""

    def __init__(self, name, sandbox, frozen, folder):
        assert shutil.which(name), f"{name} is not installed: apt-get install --no-install-recommends {name}"
        self.name, self.sandbox = name, sandbox
        for each in ("bin", "certs", "out"):
            (folder / each).mkdir()
        (folder / "bin/docker-credential-aliyun-acr").symlink_to(harness.FROZEN)
        (folder / "certs/ca.crt").write_bytes(sandbox.ca_file.read_bytes())
        (folder / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        (folder / "auth.json").write_text(json.dumps({"credHelpers": {sandbox.registry.address: "aliyun-acr"}}))
        self.places = {"policy": folder / "policy.json", "certs": folder / "certs", "out": folder / "out"}
        self.environment = {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "HOME": str(folder),
            "NO_PROXY": "127.0.0.1",
            "REGISTRY_AUTH_FILE": str(folder / "auth.json"),
            "ACR_CREDENTIAL_PROVIDER_SETTINGS": str(frozen.settings),
            "ACR_CREDENTIAL_PROVIDER_CACHE": str(frozen.cache),
        }

    def pull(self):
        words = [word.format(image=self.sandbox.image, **self.places) for word in CLIENTS[self.name]]
        return subprocess.run(words, env=self.environment, capture_output=True, timeout=60, check=False)


@pytest.fixture(params=CLIENTS)
def client(request, sandbox, frozen, tmp_path):
    folder = tmp_path / "client"
    folder.mkdir()
    return Client(request.param, sandbox, frozen, folder)


def test_it_pulls_with_the_helpers_login(client, sandbox):
    for _ in ("from the cloud", "from the memo"):
        done = client.pull()
        assert done.returncode == 0, done.stderr
    assert sandbox.calls.count("GetAuthorizationToken") == 1
    assert sandbox.calls.count("registry.manifest") >= 1


def test_it_is_told_why_there_is_no_login(client, sandbox):
    sandbox.state.remove_key(sandbox.key.id)
    done = client.pull()
    assert done.returncode != 0
    assert b"InvalidAccessKeyId" in done.stderr
    assert b"remedy: Correct the access key" in done.stderr


def test_a_registry_that_is_not_covered_is_tried_without_a_login(client, sandbox, frozen):
    """The helper's words for it are the protocol's: the client goes on and meets the registry's own refusal."""
    document = json.loads(frozen.settings.read_text())
    document["registries"][0]["domains"] = ["other.example.com"]
    frozen.settings.write_text(json.dumps(document))
    done = client.pull()
    assert done.returncode != 0
    assert b"unauthorized" in done.stderr.lower() or b"authentication required" in done.stderr.lower(), done.stderr
    assert b"error getting credentials" not in done.stderr
