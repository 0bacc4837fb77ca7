import re

import yaml
from acr_credential_provider.settings import ProviderSettings
from acr_credential_provider.settings.deployment_target import validate_for
from acr_credential_provider.settings.validation import validate
from support.harness import ROOT


def test_the_settings_in_the_guide_are_what_a_controller_takes():
    text = (ROOT / "docs/pull-secrets.md").read_text()
    samples = [each for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "ProviderSettings" in each]
    assert len(samples) == 1
    settings = validate(samples[0])
    assert isinstance(settings, ProviderSettings), settings
    assert validate_for("controller", settings, samples[0]) == []
    assert settings.pull_secrets.namespaces == tuple(yaml.safe_load(samples[0])["pullSecrets"]["namespaces"])
