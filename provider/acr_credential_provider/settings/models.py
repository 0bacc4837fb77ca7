"""The settings as a whole: registries, and what they share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, model_validator

from acr_credential_provider.model.acr_hosts import EnterpriseHost, PersonalHost, SharedHost, recognise

from .field_types import (
    AbsolutePath,
    AcrEndpoint,
    ContradictionError,
    Host,
    LogLevel,
    MaxCacheDuration,
    MetadataEndpoint,
    Model,
    Namespace,
    ProxyUrl,
    RefreshBefore,
    Region,
    StsEndpoint,
    TokenDuration,
    judge_of,
    refuse_if,
)
from .identities import AnyIdentity, AssumedRoleModel
from .identity_kinds import KINDS
from .pull_secrets import PullSecrets
from .runtime import ProviderSettings, from_dict


class RegistryEndpointsModel(Model):
    """Other addresses of Alibaba Cloud's APIs for one registry: private links, tests."""

    acr: AcrEndpoint | None = None
    """Base URL of ACR's OpenAPI, in place of ``https://cr[-vpc].REGION.aliyuncs.com``."""


class RegistryModel(Model):
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
    identity: AnyIdentity
    """Whose cloud credentials ask ACR."""
    assume_role: Annotated[tuple[AssumedRoleModel, ...], Field(strict=False, max_length=5)] = ()
    """Roles that the identity assumes, one after the other; the last one asks ACR."""
    refresh_before: RefreshBefore = 900.0
    """How long before its expiry a token is renewed, at most half its life."""
    token_duration: TokenDuration | None = None
    """Life of the tokens to ask for, in whole hours; ACR may grant less. Without it an hour, or the life
    of the session that asks."""
    network: Literal["auto", "vpc", "public"] = "auto"
    """How ACR's OpenAPI is reached; auto is the VPC first in the node's own region."""
    endpoints: RegistryEndpointsModel = RegistryEndpointsModel()
    """Other addresses of the APIs for this registry."""

    @model_validator(mode="after")
    def _is_of_one_piece(self, info: ValidationInfo) -> RegistryModel:
        is_login = not KINDS[self.identity.kind].asks_cloud
        if is_login and not self.domains:
            raise ContradictionError(
                "is missing: a login says nothing about hosts",
                "Add domains: [HOST], the host of the images.",
                "domains",
            )
        if is_login and self.assume_role:
            raise ContradictionError(
                "has no meaning for a login, which asks nothing of the cloud", "Remove it.", "assumeRole"
            )
        if not self.instance_id and not is_login and "token_duration" in self.model_fields_set:
            raise ContradictionError(
                "has no meaning for the Personal Edition, whose tokens have one life", "Remove it.", "tokenDuration"
            )
        if self.namespaces and self.instance_id:
            raise ContradictionError("are for the Personal Edition's shared hosts only", "Remove them.", "namespaces")
        for index, host in enumerate(self.domains):
            self._check_domain(host, index, is_login=is_login)
            if is_login and (judge := judge_of(info)):
                refuse_if(judge.login_host(host), "domains", index)
        return self

    def _check_domain(self, host: str, index: int, *, is_login: bool) -> None:
        system = recognise(host)
        steps = ("domains", index)
        if self.namespaces and not isinstance(system, SharedHost):
            raise ContradictionError(
                "is not a shared host, so that namespaces mean nothing there", "Remove it, or the namespaces.", *steps
            )
        if system is None and isinstance(recognise(host.partition(":")[0]), SharedHost):
            raise ContradictionError("is a shared host with a port, and those have none", "Remove the port.", *steps)
        if is_login or system is None:
            return
        if isinstance(system, PersonalHost):
            raise ContradictionError(
                "belongs to the new Personal Edition, which grants no temporary tokens",
                "Give the registry identity: {kind: basicAuth, usernameFile: ..., passwordFile: ...}.",
                *steps,
            )
        if isinstance(system, SharedHost) and self.instance_id:
            raise ContradictionError(
                "belongs to the Personal Edition", "Move it to a registry without instanceId.", *steps
            )
        if isinstance(system, EnterpriseHost) and not self.instance_id:
            raise ContradictionError(
                "belongs to an instance of the Enterprise Edition", "Add the instanceId of that instance.", *steps
            )
        if self.region is not None and system.region != self.region:
            raise ContradictionError(
                f"is in {system.region}, not in the registry's region", "Correct one of the two.", *steps
            )


class ProxyModel(Model):
    """The HTTP proxy to the cloud; without it the proxy variables of the environment hold."""

    https: ProxyUrl | None = None
    """Proxy for https:// addresses."""
    no_proxy: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Hosts, domains and networks that are reached without it."""


class EndpointsModel(Model):
    """Other addresses of services that all registries share."""

    metadata: MetadataEndpoint = "http://100.100.100.200"
    """Base URL of the ECS metadata service."""
    sts: StsEndpoint | None = None
    """Base URL of STS, in place of the one that is nearest to the node."""


class ProviderSettingsModel(Model):
    """Settings of aliyun-acr-credential-provider, the same file for every way it runs."""

    api_version: Literal["aliyun-acr-credential-provider/v1"]
    kind: Literal["ProviderSettings"]
    registries: Annotated[tuple[RegistryModel, ...], Field(strict=False, min_length=1, max_length=5000)]
    """The instances whose hosts get tokens. No other host ever gets one."""
    max_cache_duration: MaxCacheDuration = 300.0
    """The longest time that the kubelet may keep an answer; a change here must not wait longer."""
    ca_bundle: AbsolutePath | None = None
    """PEM file with the certificate authorities to trust; without it the system's."""
    proxy: ProxyModel | None = None
    """The HTTP proxy to the cloud."""
    endpoints: EndpointsModel = EndpointsModel()
    """Other addresses of shared services."""
    log: LogLevel = "off"
    """What goes to the system's log (/dev/log): error is failures only, info a line for each answer."""
    pull_secrets: PullSecrets | None = None
    """What the pull-secrets controller keeps; without it the ServiceAccount default of the namespace default."""

    @model_validator(mode="after")
    def _each_host_has_one_registry(self) -> ProviderSettingsModel:
        claimed: set[tuple[str, ...]] = set()
        for index, registry in enumerate(self.registries):
            for claim, steps in _claims(registry):
                if claim in claimed:
                    raise ContradictionError(
                        "is claimed by a registry above too",
                        "Keep one of the two; two accounts on the Personal Edition's shared hosts need namespaces.",
                        "registries",
                        index,
                        *steps,
                    )
                claimed.add(claim)
        return self

    def to_runtime(self) -> ProviderSettings:
        """Return the same settings as plain values."""
        fields = self.model_dump(exclude={"api_version", "kind", "proxy", "endpoints", "pull_secrets"})
        for registry in fields["registries"]:
            registry["acr_endpoint"] = registry.pop("endpoints")["acr"]
        fields |= {
            "https_proxy": None if self.proxy is None else self.proxy.https or "",
            "no_proxy": self.proxy.no_proxy if self.proxy else (),
            "metadata_endpoint": self.endpoints.metadata,
            "sts_endpoint": self.endpoints.sts,
            "pull_secrets": self.pull_secrets,
        }
        return from_dict({"skipped": (), "quarantined_hosts": (), **fields})


def _claims(registry: RegistryModel) -> list[tuple[tuple[str, ...], tuple[str | int, ...]]]:
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
