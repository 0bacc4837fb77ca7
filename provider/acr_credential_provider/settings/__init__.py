"""The settings file: one YAML (or JSON) document, strict, judged before anything uses it.

The models are the reference: their docstrings become the published JSON Schema
(packaging/generate/settings_schema.py). An error names file, line and field, the problem and the remedy, never the
value.
An ``acr-configuration`` is accepted in its place; `acr_configuration` makes it native, and the
models judge what comes out.
"""

from .deployment_target import PLACES, validate_for
from .field_types import parse_duration
from .identities import (
    KINDS,
    AccessKeyIdentity,
    AddonSecretIdentity,
    AssumedRole,
    BasicAuthIdentity,
    Identity,
    ManagedRoleIdentity,
    NodeRoleIdentity,
    ProfileIdentity,
    RrsaIdentity,
    ServiceAccountIdentity,
    StsSessionIdentity,
)
from .loader import LARGEST, decoded, load, read, settings_in
from .models import DegradedSettings, ProviderSettings, Registry
from .pull_secrets import LabelRequirement, PullSecrets, Selector, Webhook
from .validation import validate, validate_conversion

__all__ = [
    "KINDS",
    "LARGEST",
    "PLACES",
    "AccessKeyIdentity",
    "AddonSecretIdentity",
    "AssumedRole",
    "BasicAuthIdentity",
    "DegradedSettings",
    "Identity",
    "LabelRequirement",
    "ManagedRoleIdentity",
    "NodeRoleIdentity",
    "ProfileIdentity",
    "ProviderSettings",
    "PullSecrets",
    "Registry",
    "RrsaIdentity",
    "Selector",
    "ServiceAccountIdentity",
    "StsSessionIdentity",
    "Webhook",
    "decoded",
    "load",
    "parse_duration",
    "read",
    "settings_in",
    "validate",
    "validate_conversion",
    "validate_for",
]
