"""Validation errors as messages for an operator: problem and remedy, never the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.plain_text import key_name
from acr_credential_provider.model.config_problem import ConfigProblem

from .field_types import ContradictionError
from .identity_kinds import KINDS
from .strict_yaml import line_of

if TYPE_CHECKING:
    import yaml

_MESSAGES = {  # pydantic's error type: problem and remedy, where its own message quotes the value or is too short
    "missing": ("is missing", "Add it."),
    "extra_forbidden": ("is not a known field", "Correct its spelling or remove it."),
    "union_tag_invalid": ("has a kind that is not known", "Use kind: {expected_tags}."),
    "union_tag_not_found": ("has no kind", f"Add one of kind: {', '.join(KINDS)}."),
    "string_type": ("is not a string", "Put the value in quotes."),
    "string_pattern_mismatch": ("does not have the form it should", "Write it in the form {pattern}."),
    "literal_error": ("is none of the values it may have", "Use {expected}."),
    "model_type": ("is not a mapping", "Write it as key: value lines below the field."),
    "tuple_type": ("is not a list", "Write each item on a line of its own, after a dash."),
    "too_short": ("has no item", "Add at least one."),
}


def config_problem(error: Any, root: yaml.Node | None) -> ConfigProblem:
    """Return the validation *error* of the document *root* as a problem of its line and field."""
    words, steps = message_of(error)
    names = (f"[{step}]" if isinstance(step, int) else f".{key_name(step)}" for step in steps)
    field = "".join(names).lstrip(".")
    return ConfigProblem(line_of(root, steps), field, *words)


def message_of(error: Any) -> tuple[tuple[str, str], list[str | int]]:
    """Return problem and remedy of a validation *error*, and the steps to its field."""
    # The kind that pydantic puts between an identity and its field is no level of the file.
    path = error["loc"]
    steps = [step for at, step in enumerate(path) if not (at and path[at - 1] == "identity" and step in KINDS)]
    kind = error["type"]
    if kind in _MESSAGES:
        problem, remedy = _MESSAGES[kind]
        return (problem, remedy.format_map({key: str(value) for key, value in error.get("ctx", {}).items()})), steps
    if kind == "value_error":  # from our own validators
        ours = error["ctx"]["error"]
        if isinstance(ours, ContradictionError):
            return (str(ours), ours.remedy), [*steps, *ours.steps]
        return (str(ours), "Correct the value."), steps
    return ("is not valid", f"{error['msg']}."), steps
