"""The docker configuration in a pull secret: the same bytes for the same logins."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING

from acr_credential_provider.model.acr_hosts import P2P_PORT, EnterpriseHost
from acr_credential_provider.model.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from acr_credential_provider.settings import Registry

LARGEST = 1 << 20
"""Bytes that the API server takes as a Secret's data."""
EMPTY = b'{"auths":{}}'
_SHARED = ("registry", "registry-vpc", "registry-internal", "registry-intl", "registry-intl-vpc")


def places(registry: Registry, *, region: str, listed: Sequence[str]) -> list[str]:
    """Return the keys under which the login of *registry* goes: hosts, and HOST/NAMESPACE/ where accounts share a host.

    *listed* is what ACR says the instance has, for an entry without domains; the domain of the P2P agents, which
    ACR does not list, goes with the VPC's. A namespace ends in a slash: the kubelet compares prefixes, and
    ``team`` must not be good for ``team-b``.
    """
    if registry.domains:
        hosts = list(registry.domains)
    elif registry.instance_id:
        hosts = [host for name in listed for host in (name, *_p2p(name))]
    else:
        hosts = [f"{name}.{region}.aliyuncs.com" for name in _SHARED]
    paths = [f"/{namespace}/" for namespace in registry.namespaces] or [""]
    return [host + path for host in dict.fromkeys(hosts) for path in paths]


def _p2p(host: str) -> list[str]:
    system = EnterpriseHost.recognise(host)
    if system is None or not system.vpc:
        return []
    return [f"{system.instance_name}-registry-vpc.distributed.{system.region}.cr.aliyuncs.com:{P2P_PORT}"]


def docker_config(logins: Iterable[tuple[str, str, str]]) -> bytes:
    """Return the configuration for *logins*: (host, user, password) each; the first one for a host wins.

    Raises `ConfigurationError` when it is more than a Secret holds.

    >>> docker_config([("b.example", "u", "p"), ("a.example", "u", "p"), ("b.example", "v", "q")])
    b'{"auths":{"a.example":{"auth":"dTpw"},"b.example":{"auth":"dTpw"}}}'
    """
    auths: dict[str, dict[str, str]] = {}
    for host, username, password in logins:
        if host not in auths:
            auths[host] = {"auth": b64encode(f"{username}:{password}".encode()).decode("ascii")}
    content = in_bytes(auths)
    if len(content) > LARGEST:
        raise ConfigurationError(
            f"the pull secret for {len(auths)} hosts would have {len(content)} bytes; a Secret holds {LARGEST}",
            remedy="Give the instances domains: with the hosts that are in use only, or leave out instances.",
        )
    return content


def in_bytes(auths: Mapping[str, object]) -> bytes:
    """Return the configuration with *auths* by host."""
    return json.dumps({"auths": dict(sorted(auths.items()))}, separators=(",", ":")).encode("ascii")


def has_logins(auths: Mapping[str, object] | bytes) -> bool:
    """True if there is any login in a docker configuration."""
    return auths != EMPTY if isinstance(auths, bytes) else bool(auths)
