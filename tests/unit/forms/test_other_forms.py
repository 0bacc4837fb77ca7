"""Names of images, annotations of Pods, files of logins and kubelets' configurations with ACR's hosts."""

from pathlib import Path

import pytest
import yaml
from acr_credential_provider.fastpath.response_cache import FOREVER
from acr_credential_provider.kubelet.config_validation import problems
from acr_credential_provider.kubelet.image_match import explain_mismatch
from acr_credential_provider.model.acr_hosts import EnterpriseHost, PersonalHost, SharedHost, recognise
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.image_reference import registry_of, scope_of
from acr_credential_provider.openshift import docker_config
from acr_credential_provider.pull_secrets.model.eci_annotations import requests_of
from acr_credential_provider.settings.registry_matching import Hosts, match
from support.judged import validate

FOLDER = Path(__file__).parent
SETTINGS = validate(
    "apiVersion: aliyun-acr-credential-provider/v1\nkind: ProviderSettings\nregistries:\n"
    "- {instanceId: cri-shop0001, region: cn-hangzhou, identity: {kind: nodeRole}}\n"
    "- {identity: {kind: nodeRole}}\n- {region: cn-beijing, identity: {kind: nodeRole}}\n"
)
EDITIONS = {EnterpriseHost: "enterprise", SharedHost: "personal", PersonalHost: "new-personal", type(None): "none"}


def rows(name, key):
    """Return the rows below *key* of all groups in the file *name*, each of which has a source."""
    groups = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert all(len(group["source"]) > 10 for group in groups)
    return [row for group in groups for row in group[key]]


class OfTheShop:
    """A node in cn-hangzhou, for whose one instance ACR lists two hosts."""

    def region_of(self, registry):
        return registry.region or "cn-hangzhou"

    def known(self, registry):
        return Hosts([f"shop-registry{network}.cn-hangzhou.cr.aliyuncs.com" for network in ("", "-vpc")], FOREVER)

    ask = known


@pytest.mark.parametrize("row", rows("images", "images"), ids=lambda row: row["image"][:60])
def test_the_name_of_an_image_says_edition_region_network_and_whose_login_it_gets(row):
    host = recognise(registry_of(row["image"]))
    assert EDITIONS[type(host)] == row["edition"]
    assert getattr(host, "region", None) == row.get("region")
    network = getattr(host, "network", "") or ("vpc" if getattr(host, "vpc", False) else "")
    assert network == row.get("network", "")
    assert scope_of(row["image"]) == row["scope"]
    found = match(row["scope"], SETTINGS, OfTheShop(), path="/etc/settings.yaml", retry_after=1.0).registry
    assert ("none" if found is None else found.instance_id or "personal") == row["whose"]


@pytest.mark.parametrize("row", rows("annotations", "annotations"), ids=lambda row: str(row["set"])[:70])
def test_an_annotation_names_its_instances_or_the_mistake(row):
    found = requests_of(row["set"])
    assert [str(each) for each in found.instances] == row["instances"]
    assert list(found.problems) == row.get("problems", [])


@pytest.mark.parametrize("row", rows("pull_secrets", "files"), ids=lambda row: row["text"][:60])
def test_a_file_of_logins_has_those_of_acr_s_hosts(row):
    if "error" in row:
        with pytest.raises(ConfigurationError) as caught:
            docker_config.parse(row["text"], source="config.json")
        assert row["error"] in caught.value.problem
        return
    found = docker_config.parse(row["text"], source="config.json")
    assert {docker_config.path_of(key): login.username for key, login in found.logins.items()} == row["logins"]
    assert len(found.notes) == len(row.get("notes", []))
    assert all(part in note for part, note in zip(row.get("notes", []), found.notes, strict=True))


@pytest.mark.parametrize("row", rows("kubelet_configs", "configs"), ids=range(4))
def test_another_provider_s_configuration_is_judged_as_its_kubelet_does(row):
    found = problems(
        {"/etc/p.yaml": row["text"].encode()}, (1, 34), is_directory=False, executables={"acr-credential-provider"}
    )
    assert bool(found) != row["starts"], [str(each) for each in found]
    patterns = yaml.safe_load(row["text"])["providers"][0]["matchImages"]
    for image in row["matches"]:
        assert any(explain_mismatch(pattern, image) == "" for pattern in patterns), image
    for image in row["misses"]:
        assert all(explain_mismatch(pattern, image) for pattern in patterns), image
