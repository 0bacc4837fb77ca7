"""A settings file, of our own form or an acr-configuration in it: settings, or problems that can be shown."""

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.settings import loader
from acr_credential_provider.settings.verdict import judge
from fuzz.promises import check_error, check_problems, check_text


def fuzz(data):
    try:
        text = loader.decoded(data, "/etc/settings.yaml")
    except ConfigurationError as error:
        check_error(error)
        return
    for place in ("node", "controller"):
        verdict = judge(text, place=place)
        assert verdict.settings or verdict.problems
        check_problems(verdict.problems)
        check_text(*map(str, [*verdict.changes, *verdict.notes]))
