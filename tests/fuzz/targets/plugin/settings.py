"""A settings file, of our own form or an acr-configuration in it: settings, or problems that can be shown."""

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.settings import loader
from acr_credential_provider.settings.runtime import ProviderSettings
from acr_credential_provider.settings.validation import validate
from fuzz.promises import check_error, check_problems, check_text


def fuzz(data):
    try:
        text = loader.decoded(data, "/etc/settings.yaml")
    except ConfigurationError as error:
        check_error(error)
        return
    found = validate(text)
    if isinstance(found, ProviderSettings):
        for problem, remedy in found.skipped:
            check_text(problem, remedy)
    else:
        assert found
        check_problems(found)
