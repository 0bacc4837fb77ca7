"""The settings file: one YAML (or JSON) document, strict, validated before anything uses it.

The models are the reference: their docstrings become the published JSON Schema
(packaging/generate/settings_schema.py). An error names file, line and field, the problem and the remedy, never the
value.
An ``acr-configuration`` is accepted in its place; `acr_configuration` makes it native, and the
models validate the result.

`runtime` has the values that the program reads. Importing this package loads no pydantic; `models`, `loader` and
`validation` do.
"""

from .identity_kinds import KINDS
from .runtime import AssumedRole, Identity, ProviderSettings, Registry

__all__ = ["KINDS", "AssumedRole", "Identity", "ProviderSettings", "Registry"]
