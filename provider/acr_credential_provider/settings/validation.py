"""Judges a text: the settings that it holds, or each thing that is wrong with it, by line and field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from acr_credential_provider import acr_configuration
from acr_credential_provider.model.config_problem import ConfigProblem

from .error_messages import config_problem, message_of
from .models import ProviderSettingsModel
from .strict_yaml import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_credential_provider.acr_configuration import Conversion

    from .runtime import ProviderSettings


def validate(text: str) -> ProviderSettings | list[ConfigProblem]:
    """Return the settings that *text* holds, or all that is wrong with it (never an empty list)."""
    if acr_configuration.is_one(text):
        return validate_conversion(acr_configuration.convert(text))
    document = parse(text)
    if isinstance(document, ConfigProblem):
        return [document]
    try:
        return from_document(document)
    except ValidationError as error:
        return _problems(error, text)


def from_document(document: Mapping[str, Any]) -> ProviderSettings:
    """Return the settings in a parsed *document*; raise pydantic's ``ValidationError``."""
    return ProviderSettingsModel.model_validate(document).to_runtime()


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
            settings = from_document(conversion.document)
        except ValidationError as error:
            errors = error.errors(include_input=False, include_url=False)
        else:
            return settings._replace(
                skipped=tuple((str(problem), problem.remedy) for problem in conversion.problems),
                quarantined_hosts=tuple(sorted(conversion.quarantined_hosts)) if conversion.problems else (),
                personal_quarantined=bool(conversion.problems) and conversion.personal_quarantined,
            )
        wrong = {_refuse(each, conversion) for each in errors}
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
    field, line = conversion.origins[index].of(str(steps[2]) if len(steps) > 2 else "")
    conversion.problems.append(ConfigProblem(line, field, *told))
    return index
