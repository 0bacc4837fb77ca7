"""The cloud as this node reaches it: in which region, at which endpoints, through which proxy and authorities."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from acr_credential_provider.cache.trust_anchor_cache import TrustAnchorCache
from acr_credential_provider.cloud.acr import acr_endpoints
from acr_credential_provider.cloud.imds import Imds
from acr_credential_provider.cloud.proxy import ProxySettings
from acr_credential_provider.cloud.transport import Transport
from acr_credential_provider.fastpath.cpython import hexdigest
from acr_credential_provider.model.errors import (
    CloudUnreachableError,
    ConfigurationError,
    DeadlineExceededError,
    IdentityUnavailableError,
)
from acr_credential_provider.sources.secret_file import FOR_OWNER_ALONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.cache.file_locks import FileLocks
    from acr_credential_provider.cache.token_store import KeyValueStore
    from acr_credential_provider.cloud.sts import StsApi
    from acr_credential_provider.fastpath.response_cache import ResponseCache
    from acr_credential_provider.model.deadline import Deadline
    from acr_credential_provider.settings import ProviderSettings, Registry

DAY = 86400.0
UNKNOWN_REGION_LIFE = 30.0
"""Seconds after which a metadata service that did not answer is asked again: it may have been a hiccup."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What the slow path works with; the command line puts it together.

    *deadline* is for the cloud, *patience* for other processes' work on the same token.
    A token that will be due in *ahead* seconds is renewed as if it were due now.
    *say_log_tag* is told what the system's log should know (`syslog.Log`), as far as it is known.
    *forbidden* are the permission bits that a file with a secret must not have.
    """

    settings_path: str
    store_folder: str
    memos: ResponseCache
    locks: FileLocks
    deadline: Deadline
    patience: Deadline
    say_stage: Callable[[str], object]
    ahead: float = 0.0
    say_log_tag: Callable[[str], object] = str
    transport: Callable[..., Transport] = Transport
    forbidden: int = FOR_OWNER_ALONE


class EndpointResolver:
    """Where the cloud is for the registries of *settings*, and the ways there.

    *machine* is the stamp of the file that tells one node from its clones (`acquire.MACHINE_ID`).
    """

    def __init__(self, settings: ProviderSettings, *, store: KeyValueStore, machine: str, tools: Tools) -> None:
        self._settings = settings
        self._store = store
        self._machine = machine
        self._tools = tools
        self.proxy = (
            ProxySettings(https_proxy=settings.proxy.https or "", no_proxy=settings.proxy.no_proxy)
            if settings.proxy
            else ProxySettings.from_environment()
        )

    def region(self, registry: Registry) -> str:
        """Return the region of *registry*; raise `ConfigurationError` where neither settings nor node say it."""
        region = registry.region or self._node_region()
        if region:
            return region
        raise ConfigurationError(
            f"the settings name no region for {display_name(registry)}, nor does the metadata service",
            remedy="Add region: to that registry, for example region: cn-hangzhou.",
        )

    def endpoints(self, registry: Registry, region: str) -> tuple[str, ...]:
        """Return the base URLs of ACR's API for *registry* in *region*, in order of trial."""
        if registry.endpoints.acr:
            return (registry.endpoints.acr,)
        if registry.network == "vpc":
            return acr_endpoints(region, vpc_first=True)[:1]
        own = self._node_region() if registry.network == "auto" else ""
        if registry.network == "auto" and not own:  # it could not be found out: the VPC's may still be the only way
            return acr_endpoints(region, vpc_first=True)[::-1]
        return acr_endpoints(region, vpc_first=own == region)

    def metadata(self, seconds: float, *, allow_v1: bool) -> Imds:
        """Return the metadata service, to be asked for at most *seconds*."""
        transport = self.transport(seconds)
        return Imds(transport, endpoint=self._settings.endpoints.metadata, allow_v1=allow_v1)

    def sts(self, registry: Registry, named: str, seconds: float) -> StsApi:
        """Return STS: where the settings say, else *named*, else the nearest; for at most *seconds*."""
        from acr_credential_provider.cloud.sts import StsApi, sts_endpoints  # noqa: PLC0415 - for those alone who have roles to assume

        override = self._settings.endpoints.sts or named
        if override:
            endpoints: tuple[str, ...] = (override,)
        else:
            own = self._node_region()
            near = sts_endpoints(own or registry.region or "", vpc_first=bool(own) and registry.network != "public")
            endpoints = near[:1] if registry.network == "vpc" else near
        self._tools.say_stage(f"asking STS for a role's session for {display_name(registry)}")
        return StsApi(self.transport(seconds), endpoints=endpoints)

    def transport(self, seconds: float) -> Transport:
        """Return a way out that ends after *seconds*, with the proxy and the authorities of the settings."""
        return self._tools.transport(
            self._tools.deadline.within(seconds),
            proxy=self.proxy,
            ca_bundle=self._settings.ca_bundle,
            roots=partial(TrustAnchorCache, self._tools.memos),
        )

    def _node_region(self) -> str:
        """Return the region of this node, "" where there is no metadata service."""
        name = f"region/{hexdigest(self._machine)}"
        kept = self._store.get(name)
        if kept is not None:
            return str(kept["region"])
        self._tools.say_stage("asking the metadata service for this node's region")
        metadata = self.metadata(math.inf, allow_v1=self._may_use_metadata_v1())
        try:
            region, life = metadata.region_id(), DAY
        except DeadlineExceededError:  # says something about us, nothing about the service
            return ""
        except (IdentityUnavailableError, CloudUnreachableError):
            region, life = "", UNKNOWN_REGION_LIFE
        self._store.put(name, {"region": region}, until=time.time() + life)
        return region

    def _may_use_metadata_v1(self) -> bool:
        return any(getattr(each.identity, "allow_imds_v1", False) for each in self._settings.registries)


def display_name(registry: Registry) -> str:
    """Return what messages call *registry*."""
    return registry.instance_id or f"the Personal Edition in {registry.region or 'the region of this node'}"
