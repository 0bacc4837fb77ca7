"""The docker configuration in a pull secret: the same bytes for the same logins."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from acr_credential_provider.model.acr_hosts import P2P_PORT, EnterpriseHost
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from acr_credential_provider.settings import Registry

LARGEST = 1 << 20
"""Bytes that the API server takes as a Secret's data."""
EMPTY = b'{"auths":{}}'
_BASE64 = re.compile("([A-Za-z0-9+/]*)(={0,2})", re.ASCII)
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


def encode_login(username: str, password: str) -> str:
    """Return the ``auth`` of a login; raise `ConfigurationError` if readers would find another one in it."""
    if ":" in username:
        raise ConfigurationError(
            "a user name has a colon, and for a registry it would end there",
            remedy=Remedy(
                "SecretFileInvalid",
                "Give the name without it; Basic authentication (RFC 7617) allows no colon in a user name.",
            ),
        )
    return b64encode(f"{username}:{password}".encode()).decode("ascii")


def decode_login(auth: str) -> tuple[str, str]:
    """Return user name and password in an ``auth`` as the kubelet does: wrapped lines, padded or not.

    Raises `ValueError`, with words for what it is not, where a kubelet refuses the whole Secret; and for bytes that
    are not UTF-8, which no kubelet can hand to a container runtime.
    """
    found = _BASE64.fullmatch(auth.replace("\r", "").replace("\n", ""))
    if not found or (len(found[0]) % 4 if found[2] else len(found[0]) % 4 == 1):
        raise ValueError("is not base64")
    try:
        text = b64decode(found[1] + "=" * (-len(found[1]) % 4)).decode()
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None
    username, colon, password = text.partition(":")
    if not colon:
        raise ValueError("is not USER:PASSWORD in base64")
    return username, password


def docker_config(logins: Iterable[tuple[str, str, str]]) -> bytes:
    """Return the configuration for *logins*: (host, user, password) each; the first one for a host wins.

    Raises `ConfigurationError` when it is more than a Secret holds.

    >>> docker_config([("b.example", "u", "p"), ("a.example", "u", "p"), ("b.example", "v", "q")])
    b'{"auths":{"a.example":{"auth":"dTpw"},"b.example":{"auth":"dTpw"}}}'
    """
    auths: dict[str, dict[str, str]] = {}
    for host, username, password in logins:
        if host not in auths:
            auths[host] = {"auth": encode_login(username, password)}
    content = in_bytes(auths)
    if len(content) > LARGEST:
        raise ConfigurationError(
            f"the pull secret for {len(auths)} hosts would have {len(content)} bytes; a Secret holds {LARGEST}",
            remedy=Remedy(
                "PullSecretTooLarge",
                "Give the instances domains: with the hosts that are in use only, or leave out instances.",
            ),
        )
    return content


def in_bytes(auths: Mapping[str, object]) -> bytes:
    """Return the configuration with *auths* by host."""
    return json.dumps({"auths": dict(sorted(auths.items()))}, separators=(",", ":")).encode("ascii")


def has_logins(auths: Mapping[str, object] | bytes) -> bool:
    """True if there is any login in a docker configuration."""
    return auths != EMPTY if isinstance(auths, bytes) else bool(auths)
