"""An acr-configuration, read loosely: for a node and for the controller, settings or problems that can be shown."""

from acr_credential_provider import acr_configuration
from acr_credential_provider.settings.runtime import ProviderSettings
from acr_credential_provider.settings.validation import validate_conversion
from fuzz.promises import check_problems, check_text


def fuzz(data):
    text = data.decode("utf-8", "replace")
    for place in ("node", "controller"):
        conversion = acr_configuration.convert(text, place=place, keys_directory="/run/keys", role="nodeRole")
        settings = validate_conversion(conversion)
        if not isinstance(settings, ProviderSettings):
            assert settings
            check_problems(settings)
        check_problems(conversion.problems)
        check_text(*map(str, [*conversion.changes, *conversion.notes]))
