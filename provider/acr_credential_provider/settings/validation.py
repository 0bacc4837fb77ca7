"""Validates a text: returns its settings, or all problems by line and field."""

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

    from .cluster_origin import ClusterJudge, ClusterOrigin
    from .runtime import ProviderSettings


def validate(text: str, origin: ClusterOrigin | None = None) -> ProviderSettings | list[ConfigProblem]:
    """Return the settings in *text*, or all its problems (never an empty list).

    *origin* limits what text from a cluster may name; None is for a file of root's own.
    """
    if acr_configuration.is_one(text):
        return validate_conversion(acr_configuration.convert(text), origin)
    document = parse(text)
    if isinstance(document, ConfigProblem):
        return [document]
    try:
        return from_document(document, origin.judge() if origin else None)
    except ValidationError as error:
        return _problems(error, text)


def from_document(document: Mapping[str, Any], judge: ClusterJudge | None = None) -> ProviderSettings:
    """Return the settings in a parsed *document*; raise pydantic's ``ValidationError``."""
    return ProviderSettingsModel.model_validate(document, context=judge).to_runtime()


def _problems(error: ValidationError, text: str) -> list[ConfigProblem]:
    errors = error.errors(include_input=False, include_url=False)
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    # Registries with problems of their own do not count as items; a second error about that would confuse.
    return [config_problem(e, root) for e in errors if e["type"] != "too_short" or len(errors) == 1]


def validate_conversion(
    conversion: Conversion, origin: ClusterOrigin | None = None
) -> ProviderSettings | list[ConfigProblem]:
    """Return the settings that an acr-configuration means, or all its problems; *origin* as in `validate`.

    A registry that the models refuse is dropped from the *conversion* like an entry that
    could not be read: one bad entry must not cost the others their pulls.
    """
    while conversion.document is not None and conversion.document["registries"]:
        judge = origin.judge(conversion.secrets) if origin else None
        try:
            settings = from_document(conversion.document, judge)
        except ValidationError as error:
            errors = error.errors(include_input=False, include_url=False)
        else:
            return settings._replace(
                skipped=tuple((str(problem), problem.remedy) for problem in conversion.problems),
                quarantined_hosts=tuple(sorted(conversion.quarantined_hosts)) if conversion.problems else (),
                personal_quarantined=bool(conversion.problems) and conversion.personal_quarantined,
            )
        wrong = {_record(error, conversion) for error in errors}
        if None in wrong:
            break
        for index in sorted(index for index in wrong if index is not None)[::-1]:
            conversion.drop(index)
    return conversion.problems or [ConfigProblem(1, "", "names no registry", "Add an entry to acr-registry-info.")]


def _record(error: Any, conversion: Conversion) -> int | None:
    """Add *error* to the problems of *conversion*, in the words of the file; return the index of its registry.

    Returns None for an error about all registries together.
    """
    message, steps = message_of(error)
    if len(steps) < 2:
        conversion.problems.append(ConfigProblem(1, "acr-registry-info", *message))
        return None
    index = int(steps[1])
    field, line = conversion.origins[index].locate(str(steps[2]) if len(steps) > 2 else "")
    conversion.problems.append(ConfigProblem(line, field, *message))
    return index
