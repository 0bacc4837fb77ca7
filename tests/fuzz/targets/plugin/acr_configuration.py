"""An acr-configuration, read loosely: for a node and for the controller, settings or problems that can be shown."""

from acr_credential_provider import acr_configuration
from acr_credential_provider.settings.verdict import judge_conversion
from fuzz.promises import check_problems, check_text


def fuzz(data):
    text = data.decode("utf-8", "replace")
    for place in ("node", "controller"):
        conversion = acr_configuration.convert(text, place=place, keys_directory="/run/keys", role="nodeRole")
        verdict = judge_conversion(conversion)
        assert verdict.settings or verdict.problems
        check_problems(verdict.problems)
        check_text(*map(str, [*verdict.changes, *verdict.notes]))
