"""Who asks: each kind of identity with its fields, and the roles that it may assume."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from .field_types import (
    AbsolutePath,
    Audience,
    Issuer,
    KubernetesName,
    Model,
    OidcProviderArn,
    PasswordFile,
    RoleArn,
    RoleName,
    ServiceAccountPattern,
    SessionDuration,
    SessionPolicy,
    UsernameFile,
)


class NodeRoleIdentity(Model):
    """The RAM role of the ECS instance that the node is."""

    kind: Literal["nodeRole"]
    role_name: RoleName | None = None
    """The role's name; without it the metadata service is asked."""
    allow_imds_v1: bool = False
    """Whether the older, unauthenticated form of the metadata service may be used."""


class AccessKeyIdentity(Model):
    """An AccessKey pair of a RAM user, in two files that only root can read."""

    kind: Literal["accessKey"]
    access_key_id_file: AbsolutePath
    """File with the AccessKey ID."""
    access_key_secret_file: AbsolutePath
    """File with the AccessKey secret."""


class BasicAuthIdentity(Model):
    """A user name and password of the registry itself, in two files that only root can read.

    For registries that grant no temporary tokens, as the Personal Edition since September 2024.
    The password is handed to the kubelet and never written down.
    """

    kind: Literal["basicAuth"]
    username_file: UsernameFile
    """File with the user name."""
    password_file: PasswordFile
    """File with the password (console: access credential of the instance)."""


class StsSessionIdentity(Model):
    """A session of a RAM role, in three files that something else renews; read anew when they change."""

    kind: Literal["stsSession"]
    access_key_id_file: AbsolutePath
    """File with the session's AccessKey ID."""
    access_key_secret_file: AbsolutePath
    """File with the session's AccessKey secret."""
    security_token_file: AbsolutePath
    """File with the session's security token."""


class RoleOfServiceAccounts(Model):
    """The RAM role of some ServiceAccounts."""

    service_accounts: Annotated[tuple[ServiceAccountPattern, ...], Field(strict=False, min_length=1)]
    """``NAMESPACE/NAME`` of each, ``*`` for any part of it."""
    role_name: RoleName
    """Name of the role, in the account of the OIDC provider."""


class ServiceAccountIdentity(Model):
    """The ServiceAccount of the pod: the kubelet hands us its token (Kubernetes 1.34 and newer)."""

    kind: Literal["serviceAccount"]
    oidc_provider_arn: OidcProviderArn
    """ARN of the cluster's OIDC provider, ``acs:ram::ACCOUNT:oidc-provider/NAME``; it says the account too."""
    roles: Annotated[tuple[RoleOfServiceAccounts, ...], Field(strict=False, max_length=5000)] = ()
    """Who has which role; the first that fits. Others have that of their annotation
    ``pod-identity.alibabacloud.com/role-name``."""
    without_role: Literal["deny", "nodeRole"] = "deny"
    """What those ServiceAccounts get that have no role."""
    static_pods: Literal["deny", "nodeRole"] = "deny"
    """What pods get for which the kubelet sends no token: static pods, but also *every* pod on whose image a provider
    without tokenAttributes matches too."""
    audience: Audience = "sts.aliyuncs.com"
    """Audience that the token must be for."""
    issuer: Issuer | None = None
    """Issuer that the token must be of; for a provider ``ack-rrsa-CLUSTER`` it is known by the cluster's ID."""
    session_duration: SessionDuration = 3600.0
    """Life of the role's session; at most the role's own maximum."""


class RrsaIdentity(Model):
    """A ServiceAccount's token in a file, exchanged for a role (RRSA).

    What is left out is taken from the environment that ack-pod-identity-webhook gives its pods.
    """

    kind: Literal["rrsa"]
    role_arn: RoleArn | None = None
    """ARN of the role; without it ``ALIBABA_CLOUD_ROLE_ARN``."""
    oidc_provider_arn: OidcProviderArn | None = None
    """ARN of the cluster's OIDC provider; without it ``ALIBABA_CLOUD_OIDC_PROVIDER_ARN``."""
    token_file: AbsolutePath | None = None
    """The token; without it ``ALIBABA_CLOUD_OIDC_TOKEN_FILE``."""
    audience: Audience = "sts.aliyuncs.com"
    """Audience that the token must be for."""
    issuer: Issuer | None = None
    """Issuer that the token must be of; for a provider ``ack-rrsa-CLUSTER`` it is known by the cluster's ID."""
    session_duration: SessionDuration = 3600.0
    """Life of the role's session; at most the role's own maximum."""


class ManagedRoleIdentity(Model):
    """AliyunCSManagedAcrRole of a managed ACK cluster, by the add-on token that the control plane renews."""

    kind: Literal["managedRole"]
    token_file: AbsolutePath = "/var/addon/token-config"  # noqa: S105 - a path
    """Where the Secret's key ``addon.token.config`` is mounted."""
    secret_name: KubernetesName = "addon.aliyuncsmanagedacrrole.token"  # noqa: S105 - a name
    """The Secret in kube-system that is mounted there."""


class AddonSecretIdentity(Model):
    """The AccessKey of a registered cluster, in the Secret that its add-ons share."""

    kind: Literal["addonSecret"]
    directory: AbsolutePath = "/var/alibaba-addon-secret"
    """Where the Secret's keys ``access-key-id`` and ``access-key-secret`` are mounted."""
    secret_name: KubernetesName = "alibaba-addon-secret"  # noqa: S105 - a name
    """The Secret in kube-system that is mounted there."""


AnyIdentity = Annotated[
    NodeRoleIdentity
    | AccessKeyIdentity
    | StsSessionIdentity
    | ServiceAccountIdentity
    | RrsaIdentity
    | ManagedRoleIdentity
    | AddonSecretIdentity
    | BasicAuthIdentity,
    Field(discriminator="kind"),
]


def fields_of(kind: str) -> tuple[str, ...]:
    """Return the names of the fields that an identity of this *kind* has.

    >>> fields_of("accessKey")
    ('kind', 'access_key_id_file', 'access_key_secret_file')
    """
    return next(tuple(fields) for fields in _FIELDS if get_args(fields["kind"].annotation) == (kind,))


_FIELDS = [model.model_fields for model in get_args(get_args(AnyIdentity)[0])]


class AssumedRoleModel(Model):
    """One hop of a chain: a role that the identity before it assumes."""

    role_arn: RoleArn
    """ARN of the role, ``acs:ram::ACCOUNT:role/NAME``; of any account."""
    session_duration: SessionDuration = 3600.0
    """Life of the role's session; at most the role's own maximum."""
    external_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@:/-]{2,1224}$")] | None = None
    """What the role's trust policy wants as sts:ExternalId."""
    policy: SessionPolicy | None = None
    """RAM policy that narrows what the session may do."""
