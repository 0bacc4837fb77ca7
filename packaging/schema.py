"""Prints the JSON Schema of the settings file, each field described by the docstring below it."""

from __future__ import annotations

import ast
import inspect
import json
from typing import Any

from acr_credential_provider.settings import identities, models, pull_secrets
from acr_credential_provider.settings.models import ProviderSettingsModel
from pydantic.alias_generators import to_camel


def main() -> None:
    schema = ProviderSettingsModel.model_json_schema()
    told: dict[str, dict[str, str]] = {}
    for module in (identities, models, pull_secrets):
        told |= descriptions(inspect.getsource(module))
    for name, model in {"ProviderSettingsModel": schema, **schema["$defs"]}.items():
        for field, text in told.get(name, {}).items():
            model["properties"][field]["description"] = text
    whole: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    # The classes are called models, to tell them from the values of settings/runtime.py; the file knows only those.
    print(json.dumps(whole, indent=2).replace('Model"', '"'))  # noqa: T201 - what it is for


def descriptions(source: str) -> dict[str, dict[str, str]]:
    """Return the docstring of each field, by class and name in the file."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            fields = found.setdefault(node.name, {})
            for field, text in zip(node.body, node.body[1:], strict=False):
                is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                    fields[to_camel(field.target.id)] = " ".join(str(text.value.value).split())
    return found


if __name__ == "__main__":
    main()
