"""Validation errors as messages for an operator: problem and remedy, never the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from acr_credential_provider.model.config_problem import did_you_mean
from acr_credential_provider.model.remedy import Remedy

from .field_types import ContradictionError, Model
from .identity_kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

_MESSAGES = {  # pydantic's error type: problem and remedy, where its own message quotes the value or is too short
    "missing": ("is missing", "Add it."),
    "union_tag_not_found": ("has no kind", f"Add one of kind: {', '.join(KINDS)}."),
    "string_type": ("is not a string", "Put the value in quotes."),
    "string_pattern_mismatch": ("does not have the form it should", "Write it in the form {pattern}."),
    "literal_error": ("is none of the values it may have", "Use {expected}."),
    "model_type": ("is not a mapping", "Write it as key: value lines below the field."),
    "model_attributes_type": ("is not a mapping", "Write it as key: value lines below the field."),
    "dict_type": ("is not a mapping", "Write it as key: value lines below the field."),
    "tuple_type": ("is not a list", "Write each item on a line of its own, after a dash."),
    "too_short": ("has no item", "Add at least one."),
    "too_long": ("has more than {max_length} items", "Leave out what this node does not use."),
    "bool_type": ("is neither true nor false", "Write true or false, without quotes."),
    "int_type": ("is not a whole number", "Write digits, without quotes."),
}
_ABSENT = ("missing", "union_tag_not_found")
_NO_MAPPING = ("model_attributes_type", "model_type", "dict_type")
_MISSING = {
    "apiVersion": "Add the line apiVersion: aliyun-acr-credential-provider/v1.",
    "kind": "Add the line kind: ProviderSettings.",
    "identity": "Add identity: {{kind: nodeRole}}, or another kind: docs/identities.md lists them.",
}


def message_of(error: Any, model: type[Model], raw: Any) -> tuple[tuple[str, Remedy], list[str | int]]:
    """Return problem and remedy of a validation *error* of *raw* as a *model*, and the steps to its field."""
    # The kind that pydantic puts between an identity and its field is no level of the file.
    path = error["loc"]
    steps = [step for at, step in enumerate(path) if not (at and path[at - 1] == "identity" and step in KINDS)]
    kind = error["type"]
    name = str(steps[-1]) if steps else ""
    if kind == "value_error":  # from our own validators
        ours = error["ctx"]["error"]
        if isinstance(ours, ContradictionError):
            return (str(ours), ours.remedy), [*steps, *ours.steps]
        return (str(ours), Remedy("SettingsInvalid", "Correct the value.")), steps
    if kind == "extra_forbidden":
        return _unknown_field(name, _fields(model, path[:-1])), steps
    values = {key: str(value) for key, value in error.get("ctx", {}).items()}
    if kind == "union_tag_invalid":
        kinds = ", ".join(KINDS)
        remedy = Remedy("SettingsInvalid", f"{did_you_mean(values['tag'], KINDS)}Use kind: {kinds}.")
        return ("has a kind that is not known", remedy), steps
    problem, advice = _MESSAGES.get(kind, ("is not valid", "{msg}."))
    if kind == "missing" and (name != "kind" or len(steps) == 1):
        advice = _MISSING.get(name, advice)
    if name == "identity" and kind in _NO_MAPPING:
        written = raw.get("identity") if isinstance(raw, dict) else None
        example = written if isinstance(written, str) and written in KINDS else "nodeRole"
        advice = f"Write identity: {{{{kind: {example}}}}}."
    values["msg"] = error["msg"]
    code = "SettingsFieldMissing" if kind in _ABSENT else "SettingsInvalid"
    return (problem.format_map(values), Remedy(code, advice.format_map(values))), steps


def _unknown_field(name: str, known: list[str]) -> tuple[str, Remedy]:
    file = f"{name}File"
    if file in known:
        return (
            "is a secret in the settings themselves: keys and passwords are read from files",
            Remedy(
                "AccessKeyInText",
                f"Write it into a file that only root can read, and name that: {file}: /etc/.../{name}. Renew "
                "the secret.",
            ),
        )
    return "is not a known field", Remedy(
        "SettingsUnknownKey", f"{did_you_mean(name, known)}Correct its spelling or remove it."
    )


def _fields(model: type[Model], path: tuple[str | int, ...]) -> list[str]:
    """Return the names of the fields that *model* has at *path* in the file."""
    models = [model]
    for step in path:
        if isinstance(step, int) or (step in KINDS and len(models) > 1):
            models = [each for each in models if step not in KINDS or _is_kind(each, str(step))]
            continue
        models = [
            inner
            for each in models
            for field in each.model_fields.values()
            if step in (field.alias, field.serialization_alias)
            for inner in _models_in(field.annotation)
        ]
    return [str(field.alias) for each in models for field in each.model_fields.values()]


def _is_kind(model: type[Model], kind: str) -> bool:
    field = model.model_fields.get("kind")
    return field is not None and get_args(field.annotation) == (kind,)


def _models_in(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
