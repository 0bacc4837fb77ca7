"""The cloud as this node reaches it: in which region, at which endpoints, through which proxy and authorities."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.cloud.acr import acr_endpoints
from acr_credential_provider.cloud.imds import Imds
from acr_credential_provider.cloud.proxy import ProxySettings
from acr_credential_provider.cloud.transport import Transport
from acr_credential_provider.fastpath.cpython import hexdigest
from acr_credential_provider.model.acr_hosts import are_in_vpc
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import (
    CloudUnreachableError,
    ConfigurationError,
    DeadlineExceededError,
    IdentityUnavailableError,
)
from acr_credential_provider.model.progress import Progress
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.cloud.sts import StsApi
    from acr_credential_provider.model.deadline import Deadlines
    from acr_credential_provider.settings import ProviderSettings, Registry

    from .local_state import LocalState

DAY = 86400.0
UNKNOWN_REGION_LIFE = 30.0
"""Seconds after which a metadata service that did not answer is asked again: it may have been a hiccup."""


@dataclass(frozen=True, slots=True)
class CloudAccess:
    """How the cloud is called: until when, by which transport; *progress* hears of each stage."""

    deadlines: Deadlines
    progress: Progress = field(default_factory=Progress)
    transport: Callable[..., Transport] = Transport


class EndpointResolver:
    """Where the cloud is for the registries of *settings*, and the transports that lead there."""

    def __init__(self, settings: ProviderSettings, state: LocalState, access: CloudAccess) -> None:
        self._settings = settings
        self._state = state
        self._access = access
        self.proxy = (
            ProxySettings.from_environment()
            if settings.https_proxy is None
            else ProxySettings(https_proxy=settings.https_proxy, no_proxy=settings.no_proxy)
        )

    def region(self, registry: Registry) -> str:
        """Return the region of *registry*; raise `ConfigurationError` where neither settings nor node say it."""
        region = registry.region or self._node_region()
        if region:
            return region
        raise ConfigurationError(
            f"the settings name no region for {display_name(registry)}, nor does the metadata service",
            remedy=Remedy("RegionUnknown", "Add region: to that registry, for example region: cn-hangzhou."),
        )

    def acr(self, registry: Registry, region: str) -> tuple[str, ...]:
        """Return the base URLs of ACR's API for *registry* in *region*, in order of trial."""
        if registry.acr_endpoint:
            return (registry.acr_endpoint,)
        if registry.network == "vpc":
            return acr_endpoints(region, vpc_first=True)[:1]
        own = self._node_region() if registry.network == "auto" else ""
        if registry.network == "auto" and not own:  # it could not be found out: the VPC's may still be the only way
            both = acr_endpoints(region, vpc_first=True)
            return both if are_in_vpc(registry.domains) else both[::-1]
        return acr_endpoints(region, vpc_first=own == region)

    def metadata(self, seconds: float, *, allow_v1: bool) -> Imds:
        """Return the metadata service, to be asked for at most *seconds*."""
        return Imds(self.transport(seconds), endpoint=self._settings.metadata_endpoint, allow_v1=allow_v1)

    def sts(self, registry: Registry, named: str, seconds: float) -> StsApi:
        """Return STS: where the settings say, else at *named*, else the nearest; for at most *seconds*."""
        from acr_credential_provider.cloud.sts import StsApi, sts_endpoints  # noqa: PLC0415 - only roles need it

        override = self._settings.sts_endpoint or named
        if override:
            endpoints: tuple[str, ...] = (override,)
        else:
            own = self._node_region()
            near = sts_endpoints(own or registry.region or "", vpc_first=bool(own) and registry.network != "public")
            endpoints = near[:1] if registry.network == "vpc" else near
        self._access.progress.stage(f"asking STS for a role's session for {display_name(registry)}")
        return StsApi(self.transport(seconds), endpoints=endpoints)

    def transport(self, seconds: float) -> Transport:
        """Return a transport that ends after *seconds*, with the proxy and the authorities of the settings."""
        return self._access.transport(
            self._access.deadlines.cloud.within(seconds), proxy=self.proxy, ca_bundle=self._settings.ca_bundle
        )

    def _node_region(self) -> str:
        """Return the region of this node, "" where there is no metadata service."""
        name = f"region/{hexdigest(self._state.machine)}"
        stored = self._state.store.get(name)
        if stored is not None:
            return str(stored["region"])
        self._access.progress.stage("asking the metadata service for this node's region")
        allow_v1 = any(registry.identity.allow_imds_v1 for registry in self._settings.registries)
        try:
            region, life = self.metadata(math.inf, allow_v1=allow_v1).region_id(), DAY
        except DeadlineExceededError:  # says something about us, nothing about the service
            return ""
        except (IdentityUnavailableError, CloudUnreachableError):
            region, life = "", UNKNOWN_REGION_LIFE
        self._state.store.put(name, {"region": region}, until=time.time() + life)
        return region
