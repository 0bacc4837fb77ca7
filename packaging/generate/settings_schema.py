"""Prints docs/settings.schema.json: the settings file's JSON Schema, each field described by the docstring below it."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from typing import Any

from acr_credential_provider.settings import identities, models, pull_secrets
from acr_credential_provider.settings.models import ProviderSettingsModel
from pydantic.alias_generators import to_camel


def page() -> str:
    """Return the schema as JSON text."""
    schema = ProviderSettingsModel.model_json_schema()
    described: dict[str, dict[str, str]] = {}
    for module in (identities, models, pull_secrets):
        described |= descriptions(inspect.getsource(module))
    for name, model in {"ProviderSettingsModel": schema, **schema["$defs"]}.items():
        for field, text in described.get(name, {}).items():
            model["properties"][field]["description"] = text
    whole: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    # The classes are called models, to tell them from the values of settings/runtime.py; the file knows only those.
    return json.dumps(whole, indent=2).replace('Model"', '"') + "\n"


def descriptions(source: str) -> dict[str, dict[str, str]]:
    """Return the docstring of each field, by class and name in the file."""
    texts: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            fields = texts.setdefault(node.name, {})
            for field, text in zip(node.body, node.body[1:], strict=False):
                is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                    fields[to_camel(field.target.id)] = " ".join(str(text.value.value).split())
    return texts


if __name__ == "__main__":
    sys.stdout.write(page())
