"""The settings as a whole: registries, and what they share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from acr_credential_provider.model.acr_hosts import recognise

from .field_types import (
    AbsolutePath,
    AcrEndpoint,
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
)
from .identities import AnyIdentity, AssumedRoleModel
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
    """Region of the instance; without it that of the domains, else the node's own."""
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

    @property
    def effective_region(self) -> str | None:
        """The region: as written, else that of the domains, which their own form names."""
        systems = (recognise(host) for host in self.domains)
        return self.region or next((system.region for system in systems if system is not None), None)


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

    def to_runtime(self) -> ProviderSettings:
        """Return the same settings as plain values."""
        fields = self.model_dump(exclude={"api_version", "kind", "proxy", "endpoints", "pull_secrets"})
        for registry, model in zip(fields["registries"], self.registries, strict=True):
            registry["acr_endpoint"] = registry.pop("endpoints")["acr"]
            registry["region"] = model.effective_region
        fields |= {
            "https_proxy": None if self.proxy is None else self.proxy.https or "",
            "no_proxy": self.proxy.no_proxy if self.proxy else (),
            "metadata_endpoint": self.endpoints.metadata,
            "sts_endpoint": self.endpoints.sts,
            "pull_secrets": self.pull_secrets,
        }
        return from_dict({"skipped": (), "quarantined_hosts": (), **fields})
