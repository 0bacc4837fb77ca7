"""Prints docs/settings.schema.json: the settings file's JSON Schema, each field described by the docstring below it.

`settings_reference` makes docs/reference/settings.md of it.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from typing import Any

from acr_credential_provider.settings import identities, models, pull_secrets
from acr_credential_provider.settings.models import ProviderSettingsModel
from pydantic.alias_generators import to_camel

ID = "urn:aliyun-acr-credential-provider:settings:v1"
DURATION = "([0-9]{1,9}[hms])"
# Words of the file's form, which say the same in every model.
FORM = {"apiVersion": "The version of this form.", "kind": "The kind of this document or identity."}


def page() -> str:
    """Return the schema as JSON text."""
    return json.dumps(schema(), indent=2) + "\n"


def schema() -> dict[str, Any]:
    """Return the schema, with a description of each field."""
    made = ProviderSettingsModel.model_json_schema()
    described: dict[str, dict[str, str]] = {}
    for module in (identities, models, pull_secrets):
        described |= descriptions(inspect.getsource(module))
    for name, model in {"ProviderSettingsModel": made, **made["$defs"]}.items():
        for field, value in model["properties"].items():
            value["description"] = {**FORM, **described.get(name, {})}[field]
            value.pop("title", None)  # the field's name in other letters
            if DURATION in str(value) and isinstance(value.get("default"), float):
                value["default"] = _duration(value["default"])
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID, **made}
    # The classes are called models, to tell them from the values of settings/runtime.py; the file knows only those.
    plain: dict[str, Any] = json.loads(json.dumps(whole).replace('Model"', '"'))
    return plain


def _duration(seconds: float) -> str:
    """Return *seconds* as the settings file has them.

    >>> _duration(3600.0), _duration(900.0), _duration(90.0)
    ('1h', '15m', '90s')
    """
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


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
