"""The settings file: one YAML (or JSON) document, strict, judged before anything uses it.

The models are the reference: their docstrings become the published JSON Schema
(packaging/schema.py). An error names file, line and field, the problem and the remedy, never the value.
An ``acr-configuration`` is accepted in its place; `acr_configuration` makes it native, and the
models judge what comes out.
"""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from . import acr_configuration
from .errors import ConfigurationError, InvalidImageError
from .image import registry_of
from .loose_yaml import TooDeepError, refuse_depth
from .problem import Problem
from .registry import SYSTEM_NAMESPACES, EnterpriseHost, PersonalHost, SharedHost, is_region, recognise

if TYPE_CHECKING:
    from .acr_configuration import Conversion

LARGEST = 1 << 20
"""Bytes. A settings file with a thousand registries has a quarter of this."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:[0-9]+[hms])+", re.ASCII)


def parse_duration(text: object) -> float:
    """Return the seconds of a duration such as ``90s``, ``15m`` or ``1h30m``.

    >>> parse_duration("1h30m")
    5400.0
    """
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise ValueError("is not a duration; write it like 90s, 15m or 1h30m")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([hms])", text))


def _between(least: float, most: float, words: str) -> AfterValidator:
    def check(seconds: float) -> float:
        if not least <= seconds <= most:
            raise ValueError(f"must be {words}")
        return seconds

    return AfterValidator(check)


def _whole_hours(seconds: float) -> float:
    if seconds % 3600 or not 3600 <= seconds <= 24 * 3600:
        raise ValueError("must be whole hours from 1h to 24h; ACR knows nothing finer")
    return seconds


def _is_host(host: str) -> str:
    try:
        registry_of(host + "/x")
    except InvalidImageError:
        raise ValueError("is not a registry host; write HOST or HOST:PORT, without https:// and path") from None
    if host != host.lower():
        raise ValueError("must be lower case, as image names spell their registry")
    return host


def _is_region(region: str) -> str:
    if not is_region(region):
        raise ValueError("is not the ID of a region; write it like cn-hangzhou")
    return region


def _is_namespace(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,119}", name, re.ASCII):
        raise ValueError("is not a namespace; write the part of the image's name between the host and the next /")
    if name in SYSTEM_NAMESPACES:
        raise ValueError("holds Alibaba Cloud's own public images, which a login can only spoil; leave it out")
    return name


_LOOPBACK = re.compile(r"http://(?:127(?:\.[0-9]{1,3}){3}|\[::1\]|localhost)(?::[0-9]{1,5})?", re.ASCII)
_HTTPS = re.compile(r"https://[A-Za-z0-9_.-]+(?::[0-9]{1,5})?|https://\[[0-9a-fA-F:.]+\](?::[0-9]{1,5})?", re.ASCII)


def _is_endpoint(url: str) -> str:
    url = url.rstrip("/")
    if not _HTTPS.fullmatch(url) and not _LOOPBACK.fullmatch(url):
        raise ValueError("must be https://HOST[:PORT] without a path (http:// only for the loopback address)")
    return url


def _is_metadata_endpoint(url: str) -> str:
    if url.rstrip("/") == "http://100.100.100.200":
        return "http://100.100.100.200"
    return _is_endpoint(url)


def _is_proxy(url: str) -> str:
    if not re.fullmatch(r"http://(?:[^@/\s]+@)?[A-Za-z0-9_.-]+(?::[0-9]{1,5})?/?", url):
        raise ValueError("must be http://[USER:PASSWORD@]HOST[:PORT]")
    return url


def _off_is_a_word(level: object) -> object:
    return "off" if level is False else level  # YAML reads it as a boolean


def _is_absolute(path: str) -> str:
    if not path.startswith("/") or "\n" in path or "\0" in path:
        raise ValueError("must be an absolute path")
    return path


def _policy(policy: object) -> str:
    """Return *policy*, a mapping or its JSON, as STS wants it."""
    try:
        document = json.loads(policy) if isinstance(policy, str) else policy
        text = json.dumps(document, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        raise ValueError("is not a RAM policy; write it as a mapping") from None
    if not isinstance(document, dict) or set(document) != {"Version", "Statement"} or document["Version"] != "1":
        raise ValueError('is not a RAM policy; it has Version: "1" and a Statement')
    if len(text) > _LARGEST_POLICY:
        raise ValueError("is larger than the 2048 characters that STS takes")
    return text


_LARGEST_POLICY = 2048
_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": "^([0-9]+[hms])+$"})
_Duration = Annotated[float, BeforeValidator(parse_duration), _DURATION_SCHEMA]
KubeletCache = Annotated[_Duration, _between(0, 24 * 3600, "at most 24h")]
RefreshBefore = Annotated[_Duration, _between(0, 12 * 3600, "at most 12h")]
TokenDuration = Annotated[_Duration, AfterValidator(_whole_hours)]
Host = Annotated[str, AfterValidator(_is_host)]
Endpoint = Annotated[str, AfterValidator(_is_endpoint)]
MetadataEndpoint = Annotated[str, AfterValidator(_is_metadata_endpoint)]
ProxyUrl = Annotated[str, AfterValidator(_is_proxy)]
AbsolutePath = Annotated[str, AfterValidator(_is_absolute)]
Namespace = Annotated[str, AfterValidator(_is_namespace)]
Region = Annotated[str, AfterValidator(_is_region)]
LogLevel = Annotated[Literal["off", "error", "info", "debug"], BeforeValidator(_off_is_a_word)]
SessionDuration = Annotated[_Duration, _between(3600, 12 * 3600, "from 1h to 12h")]
RoleArn = Annotated[str, Field(pattern=r"^acs:ram::[0-9]{1,32}:role/[A-Za-z0-9._-]{1,64}$")]
OidcProviderArn = Annotated[str, Field(pattern=r"^acs:ram::[0-9]{1,32}:oidc-provider/[A-Za-z0-9._-]{1,128}$")]
ServiceAccountPattern = Annotated[str, Field(pattern=r"^[a-z0-9.*-]{1,253}/[a-z0-9.*-]{1,253}$")]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Audience = Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]
Issuer = Annotated[str, Field(pattern=r"^https://[!-~]{1,255}$")]
SessionPolicy = Annotated[
    str, BeforeValidator(_policy), WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "string"}]})
]
RoleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
NamePattern = Annotated[str, Field(pattern=r"^[a-z0-9*]([a-z0-9.*-]{0,251}[a-z0-9*])?$")]
LabelKey = Annotated[str, Field(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")]


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, hide_input_in_errors=True, strict=True
    )


class NodeRoleIdentity(_Model):
    """The RAM role of the ECS instance that the node is."""

    kind: Literal["nodeRole"]
    role_name: RoleName | None = None
    """The role's name; without it the metadata service is asked."""
    allow_metadata_v1: bool = False
    """Whether the older, unauthenticated form of the metadata service may be used."""


class AccessKeyIdentity(_Model):
    """An AccessKey pair of a RAM user, in two files that only root can read."""

    kind: Literal["accessKey"]
    access_key_id_file: AbsolutePath
    """File with the AccessKey ID."""
    access_key_secret_file: AbsolutePath
    """File with the AccessKey secret."""


class LoginIdentity(_Model):
    """A user name and password of the registry itself, in two files that only root can read.

    For registries that grant no temporary tokens, as the Personal Edition since September 2024.
    The password is handed to the kubelet and never written down.
    """

    kind: Literal["login"]
    username_file: AbsolutePath
    """File with the user name."""
    password_file: AbsolutePath
    """File with the password (console: access credential of the instance)."""


class StsIdentity(_Model):
    """A session of a RAM role, in three files that something else renews; read anew when they change."""

    kind: Literal["sts"]
    access_key_id_file: AbsolutePath
    """File with the session's AccessKey ID."""
    access_key_secret_file: AbsolutePath
    """File with the session's AccessKey secret."""
    security_token_file: AbsolutePath
    """File with the session's security token."""


class RoleOfServiceAccounts(_Model):
    """The RAM role of some ServiceAccounts."""

    service_accounts: Annotated[tuple[ServiceAccountPattern, ...], Field(strict=False, min_length=1)]
    """``NAMESPACE/NAME`` of each, ``*`` for any part of it."""
    role_name: RoleName
    """Name of the role, in the account of the OIDC provider."""


class ServiceAccountIdentity(_Model):
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


class RrsaIdentity(_Model):
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


class ManagedRoleIdentity(_Model):
    """AliyunCSManagedAcrRole of a managed ACK cluster, by the add-on token that the control plane renews."""

    kind: Literal["managedRole"]
    token_file: AbsolutePath = "/var/addon/token-config"  # noqa: S105 - a path
    """Where the Secret's key ``addon.token.config`` is mounted."""
    secret_name: KubernetesName = "addon.aliyuncsmanagedacrrole.token"  # noqa: S105 - a name
    """The Secret in kube-system that is mounted there."""


class AddonSecretIdentity(_Model):
    """The AccessKey of a registered cluster, in the Secret that its add-ons share."""

    kind: Literal["addonSecret"]
    directory: AbsolutePath = "/var/alibaba-addon-secret"
    """Where the Secret's keys ``access-key-id`` and ``access-key-secret`` are mounted."""
    secret_name: KubernetesName = "alibaba-addon-secret"  # noqa: S105 - a name
    """The Secret in kube-system that is mounted there."""


class ProfileIdentity(_Model):
    """A profile of the ``aliyun`` command line, for people at a shell."""

    kind: Literal["profile"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")] | None = None
    """Name of the profile; without it the current one."""
    file: AbsolutePath | None = None
    """The command line's configuration; without it ``~/.aliyun/config.json``."""


Identity = Annotated[
    NodeRoleIdentity
    | AccessKeyIdentity
    | StsIdentity
    | ServiceAccountIdentity
    | RrsaIdentity
    | ManagedRoleIdentity
    | AddonSecretIdentity
    | ProfileIdentity
    | LoginIdentity,
    Field(discriminator="kind"),
]
KINDS = ("nodeRole", "accessKey", "sts", "serviceAccount", "rrsa", "managedRole", "addonSecret", "profile", "login")


class AssumedRole(_Model):
    """One hop of a chain: a role that the identity before it assumes."""

    role_arn: RoleArn
    """ARN of the role, ``acs:ram::ACCOUNT:role/NAME``; of any account."""
    session_duration: SessionDuration = 3600.0
    """Life of the role's session; at most the role's own maximum."""
    external_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@:/-]{2,1224}$")] | None = None
    """What the role's trust policy wants as sts:ExternalId."""
    policy: SessionPolicy | None = None
    """RAM policy that narrows what the session may do."""


class _ContradictionError(ValueError):
    """Fields that do not go together; *steps* lead to the one to change, from the model on."""

    def __init__(self, problem: str, remedy: str, *steps: str | int) -> None:
        super().__init__(problem)
        self.remedy = remedy
        self.steps = steps


class RegistryEndpoints(_Model):
    """Other addresses of Alibaba Cloud's APIs for one registry: private links, tests."""

    acr: Endpoint | None = None
    """Base URL of ACR's OpenAPI, in place of ``https://cr[-vpc].REGION.aliyuncs.com``."""


class Registry(_Model):
    """One ACR instance: where it is, which hosts it has, and who asks it for tokens."""

    instance_id: Annotated[str, Field(pattern=r"^(cri-[a-z0-9]{1,60})?$")] = ""
    """ID of the Enterprise Edition instance, ``cri-...`` (console: instance overview); empty: Personal Edition."""
    region: Region | None = None
    """Region of the instance; without it the node's own."""
    domains: Annotated[tuple[Host, ...], Field(strict=False)] = ()
    """Hosts of the instance, custom ones too; without them ACR is asked which ones it has. The Personal Edition's hosts
    are known; a login needs them."""
    namespaces: Annotated[tuple[Namespace, ...], Field(strict=False)] = ()
    """Namespaces on the Personal Edition's shared hosts that get its tokens; without them all but Alibaba Cloud's own.
    They tell two accounts in one region apart."""
    identity: Identity
    """Whose cloud credentials ask ACR."""
    assume_role: Annotated[tuple[AssumedRole, ...], Field(strict=False, max_length=5)] = ()
    """Roles that the identity assumes, one after the other; the last one asks ACR."""
    refresh_before: RefreshBefore = 900.0
    """How long before its expiry a token is renewed, at most half its life."""
    token_duration: TokenDuration | None = None
    """Life of the tokens to ask for, in whole hours; ACR may grant less. Without it an hour, or the life
    of the session that asks."""
    network: Literal["auto", "vpc", "public"] = "auto"
    """How ACR's OpenAPI is reached; auto is the VPC first in the node's own region."""
    endpoints: RegistryEndpoints = RegistryEndpoints()
    """Other addresses of the APIs for this registry."""

    @model_validator(mode="after")
    def _is_of_one_piece(self) -> Registry:
        is_login = self.identity.kind == "login"
        if is_login and not self.domains:
            raise _ContradictionError(
                "is missing: a login says nothing about hosts",
                "Add domains: [HOST], the host of the images.",
                "domains",
            )
        if is_login and self.assume_role:
            raise _ContradictionError(
                "has no meaning for a login, which asks nothing of the cloud", "Remove it.", "assumeRole"
            )
        if not self.instance_id and not is_login and "token_duration" in self.model_fields_set:
            raise _ContradictionError(
                "has no meaning for the Personal Edition, whose tokens have one life", "Remove it.", "tokenDuration"
            )
        if self.namespaces and self.instance_id:
            raise _ContradictionError("are for the Personal Edition's shared hosts only", "Remove them.", "namespaces")
        for index, host in enumerate(self.domains):
            self._check_domain(host, index, is_login=is_login)
        return self

    def _check_domain(self, host: str, index: int, *, is_login: bool) -> None:
        system = recognise(host)
        steps = ("domains", index)
        if self.namespaces and not isinstance(system, SharedHost):
            raise _ContradictionError(
                "is not a shared host, so that namespaces mean nothing there", "Remove it, or the namespaces.", *steps
            )
        if system is None and isinstance(recognise(host.partition(":")[0]), SharedHost):
            raise _ContradictionError("is a shared host with a port, and those have none", "Remove the port.", *steps)
        if is_login or system is None:
            return
        if isinstance(system, PersonalHost):
            raise _ContradictionError(
                "belongs to the new Personal Edition, which grants no temporary tokens",
                "Give the registry identity: {kind: login, usernameFile: ..., passwordFile: ...}.",
                *steps,
            )
        if isinstance(system, SharedHost) and self.instance_id:
            raise _ContradictionError(
                "belongs to the Personal Edition", "Move it to a registry without instanceId.", *steps
            )
        if isinstance(system, EnterpriseHost) and not self.instance_id:
            raise _ContradictionError(
                "belongs to an instance of the Enterprise Edition", "Add the instanceId of that instance.", *steps
            )
        if self.region is not None and system.region != self.region:
            raise _ContradictionError(
                f"is in {system.region}, not in the registry's region", "Correct one of the two.", *steps
            )


class Proxy(_Model):
    """The HTTP proxy to the cloud; without it the proxy variables of the environment hold."""

    https: ProxyUrl | None = None
    """Proxy for https:// addresses."""
    no_proxy: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Hosts, domains and networks that are reached without it."""


class Endpoints(_Model):
    """Other addresses of services that all registries share."""

    metadata: MetadataEndpoint = "http://100.100.100.200"
    """Base URL of the ECS metadata service."""
    sts: Endpoint | None = None
    """Base URL of STS, in place of the one that is nearest to the node."""


class LabelRequirement(_Model):
    """What one label must be like."""

    key: LabelKey
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """What is asked of it."""
    values: Annotated[tuple[LabelValue, ...], Field(strict=False)] = ()
    """For In and NotIn."""

    @model_validator(mode="after")
    def _has_values_where_they_matter(self) -> LabelRequirement:
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            raise _ContradictionError(
                f"does not fit operator {self.operator}", "In and NotIn have values, the others none.", "values"
            )
        return self


class Selector(_Model):
    """Which objects are meant, by what they carry; all of it must hold, as in Kubernetes' own selectors."""

    match_labels: dict[LabelKey, LabelValue] = {}
    """Labels and their values."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(strict=False)] = ()
    """What other labels must be like."""
    match_annotations: dict[str, str] = {}
    """Annotations and their values."""


class Webhook(_Model):
    """The admission webhook that gives ServiceAccounts their pull secret while they are created."""

    enabled: bool = False
    """Whether there is one."""
    failure_policy: Literal["Ignore", "Fail"] = "Ignore"
    """What becomes of a ServiceAccount whose creation it does not answer in time."""
    timeout_seconds: Annotated[int, Field(ge=1, le=30)] = 10
    """How long the API server waits for its answer."""


class PullSecrets(_Model):
    """What the pull-secrets controller keeps; a node's plugin leaves it aside.

    A ServiceAccount gets the Secret if namespace and account are both meant. Whatever is meant, a Namespace or
    ServiceAccount with the label or annotation ``aliyun-acr-credential-provider/pull-secrets: disabled`` is left alone.
    """

    secret_name: KubernetesName = "acr-credential-aliyun"  # noqa: S105 - a name
    """Name of the Secret in each namespace."""
    namespaces: Annotated[tuple[NamePattern, ...], Field(strict=False)] = ()
    """Names of namespaces, ``*`` for any part of one. Without them ``default``, or all where there is a selector."""
    excluded_namespaces: Annotated[tuple[NamePattern, ...], Field(strict=False)] = (
        "kube-system",
        "kube-public",
        "kube-node-lease",
    )
    """Namespaces that are not meant, whatever else is said: a login can spoil the pull of a system's public images."""
    namespace_selector: Selector | None = None
    """What namespaces must carry besides."""
    service_accounts: Annotated[tuple[NamePattern, ...], Field(strict=False)] = ()
    """Names of ServiceAccounts, ``*`` for any part of one. Without them ``default``, or all where there is a
    selector."""
    service_account_selector: Selector | None = None
    """What ServiceAccounts must carry besides."""
    webhook: Webhook = Webhook()
    """The admission webhook."""


class ProviderSettings(_Model):
    """Settings of aliyun-acr-credential-provider, the same file for every way it runs."""

    api_version: Literal["aliyun-acr-credential-provider/v1"]
    kind: Literal["ProviderSettings"]
    registries: Annotated[tuple[Registry, ...], Field(strict=False, min_length=1, max_length=5000)]
    """The instances whose hosts get tokens. No other host ever gets one."""
    kubelet_cache: KubeletCache = 300.0
    """The longest time that the kubelet may keep an answer; a change here must not wait longer."""
    ca_bundle: AbsolutePath | None = None
    """PEM file with the certificate authorities to trust; without it the system's."""
    proxy: Proxy | None = None
    """The HTTP proxy to the cloud."""
    endpoints: Endpoints = Endpoints()
    """Other addresses of shared services."""
    log: LogLevel = "off"
    """What goes to the system's log (/dev/log): error is failures only, info a line for each answer."""
    pull_secrets: PullSecrets | None = None
    """What the pull-secrets controller keeps; without it the ServiceAccount default of the namespace default."""

    @model_validator(mode="after")
    def _each_host_has_one_registry(self) -> ProviderSettings:
        claimed: set[tuple[str, ...]] = set()
        for index, registry in enumerate(self.registries):
            for claim, steps in _claims(registry):
                if claim in claimed:
                    raise _ContradictionError(
                        "is claimed by a registry above too",
                        "Keep one of the two; two accounts on the Personal Edition's shared hosts need namespaces.",
                        "registries",
                        index,
                        *steps,
                    )
                claimed.add(claim)
        return self


def _claims(registry: Registry) -> list[tuple[tuple[str, ...], tuple[str | int, ...]]]:
    """Return what only one registry may have, and the steps to the field that claims it."""
    namespaces = registry.namespaces or ("",)
    claims: list[tuple[tuple[str, ...], tuple[str | int, ...]]] = [
        ((host, namespace), ("domains", index))
        for index, host in enumerate(registry.domains)
        for namespace in namespaces
    ]
    region = registry.region or "own"
    if registry.instance_id:
        claims.append(((registry.instance_id, region, ""), ("instanceId",)))
    elif not registry.domains:
        claims += [(("personal", region, namespace), ()) for namespace in namespaces]
    return claims


class PartlyUsable(ProviderSettings):
    """What can be used of an acr-configuration, and (problem, remedy) of each entry that can't."""

    skipped: Annotated[tuple[tuple[str, str], ...], Field(strict=False)] = ()
    doubtful_hosts: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Hosts that stand in those entries: no other entry may answer for them."""
    personal_in_doubt: bool = False
    """Whether one of them may be of the Personal Edition, and so have any of its shared hosts."""


def load(path: str) -> ProviderSettings:
    """Read and judge the settings file at *path*; raise `ConfigurationError`."""
    judged = judge(read(path))
    if isinstance(judged, ProviderSettings):
        return judged
    first, more = judged[0], len(judged) - 1
    others = f" (and {more} more: see `settings validate {path}`)" if more else ""
    raise ConfigurationError(f"{path}, {first}{others}", remedy=first.remedy)


PLACES = ("node", "controller")
_NOT_AT = {  # place and kind -> why not, and what works there instead
    ("node", "managedRole"): ("the kubelet may not read that Secret", "Use nodeRole or serviceAccount."),
    ("node", "addonSecret"): (
        "the kubelet may not read that Secret",
        "Use accessKey, with its values in files that only root can read.",
    ),
    ("node", "profile"): ("it is for people at a shell", "Use nodeRole, serviceAccount or accessKey."),
    ("controller", "serviceAccount"): ("only the kubelet has the pods' tokens", "Use rrsa."),
    ("controller", "profile"): ("it is for people at a shell", "Use rrsa or managedRole."),
}
_RRSA_FIELDS = ("role_arn", "oidc_provider_arn", "token_file")


def judge_for(place: str, settings: ProviderSettings, text: str) -> list[Problem]:
    """Return what *settings*, read from *text*, ask for that a *place* (one of `PLACES`) cannot hold."""
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    problems = []
    for index, registry in enumerate(settings.registries):
        identity = registry.identity
        steps: list[Any] = ["registries", index, "identity"]
        field = f"registries[{index}].identity"
        refusal = _NOT_AT.get((place, identity.kind))
        if refusal:
            why, alternative = refusal
            problem = f"{identity.kind} does not work on a {place}: {why}"
            problems.append(Problem(_line(root, [*steps, "kind"]), f"{field}.kind", problem, alternative))
        elif place == "node" and isinstance(identity, RrsaIdentity):
            problems += [
                Problem(
                    _line(root, steps),
                    f"{field}.{to_camel(name)}",
                    "is missing: no webhook sets it in a kubelet's environment",
                    "Add it, with a token file that something on this host renews; or use serviceAccount.",
                )
                for name in _RRSA_FIELDS
                if getattr(identity, name) is None
            ]
    return problems


def judge(text: str) -> ProviderSettings | list[Problem]:
    """Return the settings that *text* holds, or all that is wrong with it (never an empty list)."""
    if acr_configuration.is_one(text):
        return judge_conversion(acr_configuration.convert(text))
    document = _document(text)
    if isinstance(document, Problem):
        return [document]
    try:
        return ProviderSettings.model_validate(document)
    except ValidationError as error:
        return _problems(error, text)


def _document(text: str) -> dict[Any, Any] | Problem:
    try:
        refuse_depth(text)
        document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        if isinstance(error, _RepeatedKeyError):
            return Problem(line, "", "repeats a key of the same mapping", "Keep one of the two.")
        return Problem(line, "", "is not YAML", "Check indentation, quotes, and the space after each colon.")
    except TooDeepError as error:
        return Problem(error.line + 1, "", "is nested too deep", "Check indentation, and close what is opened.")
    except (yaml.YAMLError, RecursionError, ValueError):
        return Problem(1, "", "is not YAML", "Save the file as plain UTF-8 text.")
    if isinstance(document, dict):
        return document
    what = "the file is empty" if document is None else "the file is not a mapping"
    return Problem(1, "", what, "Start with apiVersion: aliyun-acr-credential-provider/v1.")


def _problems(error: ValidationError, text: str) -> list[Problem]:
    found = error.errors(include_input=False, include_url=False)
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    # Registries that are wrong themselves do not count as items; saying so too would confuse.
    told = [each for each in found if each["type"] != "too_short" or len(found) == 1]
    return [_problem(each, root) for each in told]


def judge_conversion(conversion: Conversion) -> ProviderSettings | list[Problem]:
    """Return the settings that an acr-configuration means, or all that is wrong with it.

    A registry that the models refuse is dropped from the *conversion* like an entry that
    could not be read: one bad entry must not cost the others their pulls.
    """
    while conversion.document is not None and conversion.document["registries"]:
        try:
            settings = ProviderSettings.model_validate(conversion.document)
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)
        else:
            if not conversion.problems:
                return settings
            skipped = [(str(each), each.remedy) for each in conversion.problems]
            doubts = {
                "skipped": skipped,
                "doubtfulHosts": sorted(conversion.doubtful_hosts),
                "personalInDoubt": conversion.personal_in_doubt,
            }
            return PartlyUsable.model_validate(conversion.document | doubts)
        wrong = {_refuse(each, conversion) for each in found}
        if None in wrong:
            break
        for index in sorted(each for each in wrong if each is not None)[::-1]:
            conversion.drop(index)
    return conversion.problems or [Problem(1, "", "names no registry", "Add an entry to acr-registry-info.")]


def _refuse(error: Any, conversion: Conversion) -> int | None:
    """Note what is wrong with a registry of *conversion*, in the words of the file; return its index.

    Returns None for what is wrong with all of them together.
    """
    told, steps = _told(error)
    if len(steps) < 2:
        conversion.problems.append(Problem(1, "acr-registry-info", *told))
        return None
    index = int(steps[1])
    field, line = conversion.origins[index].of(str(steps[2]) if len(steps) > 2 else "")
    conversion.problems.append(Problem(line, field, *told))
    return index


def read(path: str) -> str:
    """Return the text of the file at *path*, if nobody but root or we could have written it."""
    remedy = f"Install the settings at {path}, owned by root with mode 0600, or name another file with --settings."
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            seen = os.fstat(file.fileno())
            data = file.read(LARGEST + 1) if stat.S_ISREG(seen.st_mode) else None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {os.strerror(error.errno or 0)}", remedy=remedy) from None
    if data is None:
        raise ConfigurationError(f"{path} is not a regular file", remedy=remedy)
    if seen.st_uid not in (0, os.geteuid()) or seen.st_mode & 0o022:
        raise ConfigurationError(
            f"{path} can be changed by others than root", remedy=f"Run: chown root:root {path}; chmod 0600 {path}"
        )
    if len(data) > LARGEST:
        raise ConfigurationError(f"{path} is larger than 1 MiB", remedy="Leave out what this node does not use.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise ConfigurationError(f"{path} is not UTF-8 text", remedy="Save it as UTF-8.")


class _RepeatedKeyError(yaml.constructor.ConstructorError):
    pass


class _StrictLoader(yaml.CSafeLoader):
    """YAML as people mean it: a key given twice is a mistake, not a last word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise _RepeatedKeyError(None, None, "repeated key", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep=deep)


_SAID_BETTER = {  # pydantic's error type: problem and remedy, where its own words quote the value or say too little
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


def _problem(error: Any, root: yaml.Node | None) -> Problem:
    told, steps = _told(error)
    field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
    return Problem(_line(root, steps), field, *told)


def _told(error: Any) -> tuple[tuple[str, str], list[str | int]]:
    """Return problem and remedy of a validation *error*, and the steps to its field."""
    # The kind that pydantic puts between an identity and its field is no level of the file.
    where = error["loc"]
    steps = [step for at, step in enumerate(where) if not (at and where[at - 1] == "identity" and step in KINDS)]
    kind = error["type"]
    if kind in _SAID_BETTER:
        problem, remedy = _SAID_BETTER[kind]
        return (problem, remedy.format_map({key: str(value) for key, value in error.get("ctx", {}).items()})), steps
    if kind == "value_error":  # the words of this file's own validators
        ours = error["ctx"]["error"]
        if isinstance(ours, _ContradictionError):
            return (str(ours), ours.remedy), [*steps, *ours.steps]
        return (str(ours), "Correct the value."), steps
    return ("is not valid", f"{error['msg']}."), steps


def _line(node: yaml.Node | None, steps: list[Any]) -> int:
    """Return the line of the field that *steps* lead to, or of the nearest one that exists."""
    line = node.start_mark.line + 1 if node else 1
    for step in steps:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            here = next(((key, value) for key, value in node.value if key.value == step), None)
            if here is None:
                break
            line, node = here[0].start_mark.line + 1, here[1]
    return line
