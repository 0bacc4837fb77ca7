"""docs/migration.md: its commands, in its order, against a real API server with the helper's objects in it."""

import os
import re

import pytest
import yaml
from cluster.kube import KubeError
from support import harness

NAME = "aliyun-acr-credential-provider"
GUIDE = (harness.ROOT / "docs/migration.md").read_text()
CONFIG = "/api/v1/namespaces/kube-system/configmaps"
DATA = {
    "service-account": "default",
    "watch-namespace": "default",
    "expiring-threshold": "15m",
    "notify-email": "",
    "acr-registry-info": '- instanceId: "cri-0000000000000001"\n  regionId: "cn-hangzhou"\n  domains: ""\n',
}


def steps():
    """Return the commands of ours in the guide's shell blocks, each with the file that its output goes to."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL):
        for line in block.splitlines():
            words = line.partition("#")[0].split()
            if words[:2] == ["kubectl", "acr"]:
                words = [NAME, "kubectl", *words[2:]]
            if words[:1] == [NAME] and not re.search(r"/team/app", line):  # what is tried on a node is not for here
                words, target = (words[: words.index(">")], words[-1]) if ">" in words else (words, "")
                found.append((tuple(words[1:]), target))
    return found


@pytest.fixture
def configuration(api):
    """The ConfigMap as users have it, and as kubectl prints it."""
    applied = {"kubectl.kubernetes.io/last-applied-configuration": "{}\n"}
    api.create(CONFIG, {"metadata": {"name": "acr-configuration", "annotations": applied}, "data": DATA})
    found = api.get(f"{CONFIG}/acr-configuration")
    yield yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", **found}, sort_keys=False)
    api.request("DELETE", f"{CONFIG}/acr-configuration")


def test_the_guides_own_commands_work_in_their_order(api, configuration, tmp_path):
    (tmp_path / "acr-configuration.yaml").write_text(configuration)
    program = harness.source(tmp_path / "settings.yaml", tmp_path / "cache")
    kubeconfig = api.kubeconfig("admin", group="system:masters")
    environment = {**os.environ, **harness.HERE_ONLY, "KUBECONFIG": str(kubeconfig)}
    ran = []
    for words, target in steps():
        ended = program.run(b"", *words, cwd=tmp_path, env=environment)
        assert ended.code == 0, (words, ended.stdout, ended.stderr)
        assert b"Traceback" not in ended.stderr
        if target:
            (tmp_path / target).write_bytes(ended.stdout)
        ran.append(words[1] if words[0] == "kubectl" else words[0])
    assert {"settings", "doctor", "plan", "uninstall"} <= set(ran)
    with pytest.raises(KubeError):
        api.get("/api/v1/namespaces/kube-system/secrets/aliyun-acr-credential-provider-tokens")


def test_the_objects_that_the_guide_names_are_those_of_the_code():
    from acr_credential_provider.pull_secrets.model.names import HELPER, HELPER_SECRETS, SWITCH
    from acr_credential_provider.settings.pull_secrets import PullSecrets

    assert all(name in GUIDE for name in (HELPER, HELPER_SECRETS[0], "aliyun-acr-credential-a", SWITCH))
    assert PullSecrets().secret_name in GUIDE
    for folder in re.findall(r"`(packaging/manifests/[a-z-]+)`", GUIDE):
        assert (harness.ROOT / folder / "kustomization.yaml").exists()
