"""What the agent learns of mounted settings from the real program: their problems, and what they take away."""

import sys

import pytest
import yaml
from acr_node_config.agent.plugin_runner import SETTINGS, Installation, InstalledPlugin

OWN = [sys.executable, "-m", "acr_credential_provider"]
INFO = "- instanceId: {}\n  regionId: cn-hangzhou\n"


def native(*instances):
    entry = {"region": "cn-hangzhou", "identity": {"kind": "nodeRole"}}
    head = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings"}
    return yaml.safe_dump({**head, "registries": [{"instanceId": each, **entry} for each in instances]})


def of_the_helper(info):
    return yaml.safe_dump({"kind": "ConfigMap", "apiVersion": "v1", "data": {"acr-registry-info": info}})


def validated(root, in_force, new):
    """Return the validation of the settings *new* on a node that has those *in_force*, "" for none."""
    path = root / SETTINGS.lstrip("/")
    path.parent.mkdir(parents=True)
    if in_force:
        path.write_text(in_force)
        path.chmod(0o600)
    (root / "new.yaml").write_text(new)
    (root / "new.yaml").chmod(0o600)
    return InstalledPlugin(OWN, str(root), _installed=Installation()).validate("/new.yaml")


BOTH = native("cri-one", "cri-two")
HELPERS = of_the_helper(INFO.format("cri-one") + INFO.format("cri-two"))


@pytest.mark.parametrize("before", [BOTH, HELPERS], ids=["native", "acr-configuration"])
@pytest.mark.parametrize(
    ("new", "lost"),
    [
        (BOTH, []),
        (native("cri-one", "cri-two", "cri-new"), []),
        (native("cri-two"), ["cri-one in cn-hangzhou"]),
        (of_the_helper(INFO.format("cri-two")), ["cri-one in cn-hangzhou"]),
        (native("cri-new"), ["cri-one in cn-hangzhou", "cri-two in cn-hangzhou"]),
    ],
)
def test_the_logins_that_new_settings_take_away_are_named(tmp_path, before, new, lost):
    validation = validated(tmp_path, before, new)
    assert validation.problems == ()
    assert list(validation.lost) == lost


@pytest.mark.parametrize("before", [BOTH, HELPERS], ids=["native", "acr-configuration"])
@pytest.mark.parametrize("new", ["", "# to be filled in\n", "null"])
def test_an_emptied_list_is_a_mistake_on_a_node_too(tmp_path, before, new):
    validation = validated(tmp_path, before, of_the_helper(new))
    assert any("cri-one in cn-hangzhou, cri-two in cn-hangzhou" in problem for problem in validation.problems)


def test_an_empty_list_means_the_personal_edition_on_a_node_that_has_no_settings(tmp_path):
    assert validated(tmp_path, "", of_the_helper("")) == type(validated(tmp_path / "other", "", BOTH))()
