import re

import yaml
from acr_credential_provider.settings import ProviderSettings
from acr_credential_provider.settings.cluster_origin import ClusterOrigin
from support.harness import ROOT
from support.judged import problems_of, validate


def test_the_settings_in_the_guide_are_what_a_controller_takes():
    text = (ROOT / "docs/pull-secrets.md").read_text()
    samples = [each for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "ProviderSettings" in each]
    assert len(samples) == 1
    settings = validate(samples[0], origin=ClusterOrigin())
    assert isinstance(settings, ProviderSettings), settings
    assert problems_of(samples[0], "controller") == []
    assert settings.pull_secrets.namespaces == tuple(yaml.safe_load(samples[0])["pullSecrets"]["namespaces"])
