"""The settings as the program reads them: frozen values without pydantic, which only validation loads.

The models of `models` validate a file and produce them; the settings cache stores them as JSON (`to_dict`,
`from_dict`). Named tuples, because each dataclass costs every miss most of a millisecond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from acr_credential_provider.model.remedy import Remedy, code_of

from .identity_kinds import IMDS, KINDS, IdentityKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .pull_secrets import PullSecrets


class RoleRule(NamedTuple):
    """The RAM role *role_name* is for these ServiceAccounts (``NAMESPACE/NAME``, ``*`` for any part)."""

    service_accounts: tuple[str, ...]
    role_name: str


class AssumedRole(NamedTuple):
    """One hop of a role chain."""

    role_arn: str
    session_duration: float = 3600.0
    external_id: str | None = None
    policy: str | None = None


class Identity(NamedTuple):
    """The identity that asks for tokens: `kind`, and the fields that this kind has; the others keep their defaults.

    The models of `identities` document the fields.
    """

    kind: str
    role_name: str | None = None
    allow_imds_v1: bool = False
    access_key_id_file: str = ""
    access_key_secret_file: str = ""
    security_token_file: str = ""
    username_file: str = ""
    password_file: str = ""
    role_arn: str | None = None
    oidc_provider_arn: str | None = None
    roles: tuple[RoleRule, ...] = ()
    without_role: str = "deny"
    static_pods: str = "deny"
    audience: str = ""
    issuer: str | None = None
    session_duration: float | None = None
    token_file: str | None = None
    secret_name: str = ""
    directory: str = ""

    @property
    def traits(self) -> IdentityKind:
        """What this kind is able to do."""
        return KINDS[self.kind]

    @property
    def key_files(self) -> tuple[str, ...]:
        """The paths of its files with secrets."""
        return tuple(getattr(self, name) for name in self.traits.key_files)

    @property
    def uses_node_role(self) -> bool:
        """True if some or all pods get the RAM role of the node."""
        return self.traits.session_from == IMDS or "nodeRole" in (self.without_role, self.static_pods)


class Registry(NamedTuple):
    """One registry entry; *acr_endpoint* is None unless the settings name one, *source* is its name in their text."""

    instance_id: str
    region: str | None
    domains: tuple[str, ...]
    namespaces: tuple[str, ...]
    identity: Identity
    assume_role: tuple[AssumedRole, ...]
    refresh_before: float
    token_duration: float | None
    network: str
    acr_endpoint: str | None
    source: str = ""


class ProviderSettings(NamedTuple):
    """All settings. *https_proxy* is None where the environment's proxy variables hold, "" for no proxy.

    *skipped* are (problem, remedy) of the entries of an acr-configuration that cannot be used, *quarantined_hosts* the
    hosts that those name, for which no other entry may answer; with *personal_quarantined* one of them may be of the
    Personal Edition, and so have any of its shared hosts. *pull_secrets* is for the controller; the plugin's settings
    cache leaves it out.
    """

    registries: tuple[Registry, ...]
    max_cache_duration: float
    ca_bundle: str | None
    https_proxy: str | None
    no_proxy: tuple[str, ...]
    metadata_endpoint: str
    sts_endpoint: str | None
    log: str
    skipped: tuple[tuple[str, Remedy], ...] = ()
    quarantined_hosts: tuple[str, ...] = ()
    personal_quarantined: bool = False
    pull_secrets: PullSecrets | None = None


def to_dict(settings: ProviderSettings) -> dict[str, Any]:
    """Return *settings*, without the section for the controller, as plain dicts; fields with defaults are left out."""
    registries = [
        {
            **registry._asdict(),
            "identity": _identity_dict(registry.identity),
            "assume_role": [hop._asdict() for hop in registry.assume_role],
        }
        for registry in settings.registries
    ]
    skipped = [(problem, remedy, code_of(remedy)) for problem, remedy in settings.skipped]
    return {**settings._asdict(), "registries": registries, "skipped": skipped, "pull_secrets": None}


def _identity_dict(identity: Identity) -> dict[str, Any]:
    defaults = Identity._field_defaults
    fields = {name: value for name, value in identity._asdict().items() if name == "kind" or value != defaults[name]}
    return fields | {"roles": [rule._asdict() for rule in identity.roles]}


def from_dict(fields: Mapping[str, Any]) -> ProviderSettings:
    """Return the settings of a `to_dict`, perhaps by way of JSON, which makes lists of tuples."""
    tuples = {name: tuple(fields[name]) for name in ("no_proxy", "quarantined_hosts")}
    # An earlier version wrote no code.
    skipped = tuple((problem, Remedy("".join(code), remedy)) for problem, remedy, *code in fields["skipped"])
    return ProviderSettings(
        **{**fields, **tuples, "skipped": skipped, "registries": tuple(map(_registry, fields["registries"]))}
    )


def _registry(fields: Mapping[str, Any]) -> Registry:
    identity = fields["identity"]
    roles = tuple(RoleRule(tuple(rule["service_accounts"]), rule["role_name"]) for rule in identity.get("roles", ()))
    nested = {
        "domains": tuple(fields["domains"]),
        "namespaces": tuple(fields["namespaces"]),
        "identity": Identity(**{**identity, "roles": roles}),
        "assume_role": tuple(AssumedRole(**hop) for hop in fields["assume_role"]),
    }
    return Registry(**{**fields, **nested})
