"""Judges a text: the settings that it holds, or each thing that is wrong with it, by line and field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from acr_credential_provider import acr_configuration
from acr_credential_provider.model.config_problem import ConfigProblem

from .error_messages import config_problem, message_of
from .models import DegradedSettings, ProviderSettings
from .strict_yaml import parse

if TYPE_CHECKING:
    from acr_credential_provider.acr_configuration import Conversion


def validate(text: str) -> ProviderSettings | list[ConfigProblem]:
    """Return the settings that *text* holds, or all that is wrong with it (never an empty list)."""
    if acr_configuration.is_one(text):
        return validate_conversion(acr_configuration.convert(text))
    document = parse(text)
    if isinstance(document, ConfigProblem):
        return [document]
    try:
        return ProviderSettings.model_validate(document)
    except ValidationError as error:
        return _problems(error, text)


def _problems(error: ValidationError, text: str) -> list[ConfigProblem]:
    found = error.errors(include_input=False, include_url=False)
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    # Registries that are wrong themselves do not count as items; saying so too would confuse.
    told = [each for each in found if each["type"] != "too_short" or len(found) == 1]
    return [config_problem(each, root) for each in told]


def validate_conversion(conversion: Conversion) -> ProviderSettings | list[ConfigProblem]:
    """Return the settings that an acr-configuration means, or all that is wrong with it.

    A registry that the models refuse is dropped from the *conversion* like an entry that
    could not be read: one bad entry must not cost the others their pulls.
    """
    while conversion.document is not None and conversion.document["registries"]:
        try:
            settings = ProviderSettings.model_validate(conversion.document)
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)
        else:
            if not conversion.problems:
                return settings
            skipped = [(str(each), each.remedy) for each in conversion.problems]
            doubts = {
                "skipped": skipped,
                "quarantinedHosts": sorted(conversion.quarantined_hosts),
                "personalQuarantined": conversion.personal_quarantined,
            }
            return DegradedSettings.model_validate(conversion.document | doubts)
        wrong = {_refuse(each, conversion) for each in found}
        if None in wrong:
            break
        for index in sorted(each for each in wrong if each is not None)[::-1]:
            conversion.drop(index)
    return conversion.problems or [ConfigProblem(1, "", "names no registry", "Add an entry to acr-registry-info.")]


def _refuse(error: Any, conversion: Conversion) -> int | None:
    """Note what is wrong with a registry of *conversion*, in the words of the file; return its index.

    Returns None for what is wrong with all of them together.
    """
    told, steps = message_of(error)
    if len(steps) < 2:
        conversion.problems.append(ConfigProblem(1, "acr-registry-info", *told))
        return None
    index = int(steps[1])
    field, line = conversion.origins[index].locate(str(steps[2]) if len(steps) > 2 else "")
    conversion.problems.append(ConfigProblem(line, field, *told))
    return index
