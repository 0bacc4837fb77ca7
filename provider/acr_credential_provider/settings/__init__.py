"""The settings file: one YAML (or JSON) document, strict, judged before anything uses it.

The models are the reference: their docstrings become the published JSON Schema
(packaging/schema.py). An error names file, line and field, the problem and the remedy, never the value.
An ``acr-configuration`` is accepted in its place; `acr_configuration` makes it native, and the
models judge what comes out.
"""

from .file import LARGEST, decoded, load, read, settings_in
from .identities import (
    KINDS,
    AccessKeyIdentity,
    AddonSecretIdentity,
    AssumedRole,
    Identity,
    LoginIdentity,
    ManagedRoleIdentity,
    NodeRoleIdentity,
    ProfileIdentity,
    RrsaIdentity,
    ServiceAccountIdentity,
    StsIdentity,
)
from .judging import judge, judge_conversion
from .models import PartlyUsable, ProviderSettings, Registry
from .places import PLACES, judge_for
from .pull_secrets import LabelRequirement, PullSecrets, Selector, Webhook
from .values import parse_duration

__all__ = [
    "KINDS",
    "LARGEST",
    "PLACES",
    "AccessKeyIdentity",
    "AddonSecretIdentity",
    "AssumedRole",
    "Identity",
    "LabelRequirement",
    "LoginIdentity",
    "ManagedRoleIdentity",
    "NodeRoleIdentity",
    "PartlyUsable",
    "ProfileIdentity",
    "ProviderSettings",
    "PullSecrets",
    "Registry",
    "RrsaIdentity",
    "Selector",
    "ServiceAccountIdentity",
    "StsIdentity",
    "Webhook",
    "decoded",
    "judge",
    "judge_conversion",
    "judge_for",
    "load",
    "parse_duration",
    "read",
    "settings_in",
]
