"""The host names of ACR registries, as anchored patterns; no other host gets a token unless the settings name it.

Host forms: ACR's documentation on the domain names of each edition. Any customer can choose the first label of most
Alibaba Cloud domains, so a pattern that is not anchored at both ends, or takes any label for a region, would give
tokens to an attacker's OSS bucket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ConfigurationError
from .remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterable

_LABEL = r"(?!xn--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Two letters and a name (cn-hangzhou, us-west-1, cn-shanghai-finance-1, cn-north-2-gov-1), or rus-west-1. Services with
# customers' names before such a label start it with three letters (oss-, img-, vpc-) or end it with -internal.
_REGION = r"(?![a-z0-9-]*-(?:internal|vpc|intl)(?:\.|\Z))(?:[a-z]{2}|rus)(?:-[a-z0-9]+){1,4}"
P2P_PORT = "65001"
"""The one port of a system domain: that of the P2P agent on each node."""
SYSTEM_NAMESPACES = frozenset({"acs"})
"""Namespaces of Alibaba Cloud's own public images, which share their hosts with the Personal Edition."""
PUBLIC_NAMESPACES = SYSTEM_NAMESPACES | {"eci_open", "ehpc", "google_containers"}
"""Those, and namespaces of public images that are Alibaba Cloud's in most regions. An entry may name them."""

_ENTERPRISE = re.compile(
    rf"(?P<instance>{_LABEL})-registry(?P<vpc>-vpc)?\.(?P<region>{_REGION})\.cr\.aliyuncs\.com", re.ASCII
)
_P2P = re.compile(
    rf"(?P<instance>{_LABEL})-registry-vpc\.distributed\.(?P<region>{_REGION})\.cr\.aliyuncs\.com:{P2P_PORT}", re.ASCII
)
_SHARED = re.compile(
    rf"registry(?:-(?P<network>vpc|internal|intl|intl-vpc))?\.(?P<region>{_REGION})\.aliyuncs\.com", re.ASCII
)
_PERSONAL = re.compile(
    rf"(?P<instance>crpi-[a-z0-9]{{1,50}})(?P<vpc>-vpc)?\.(?P<region>{_REGION})\.personal\.cr\.aliyuncs\.com", re.ASCII
)


def is_region(text: str) -> bool:
    """True if *text* has the form of a region's ID.

    >>> is_region("cn-shanghai-finance-1"), is_region("oss-cn-hangzhou")
    (True, False)
    """
    return re.fullmatch(_REGION, text, re.ASCII) is not None


def is_service(host: str, service: str) -> bool:
    """True if *host* is an endpoint of Alibaba Cloud's *service*: of one region or of all, inside a VPC or not.

    >>> is_service("sts-vpc.cn-hangzhou.aliyuncs.com", "sts"), is_service("sts.oss-cn-hangzhou.aliyuncs.com", "sts")
    (True, False)
    """
    return re.fullmatch(rf"{service}(?:(?:-vpc)?\.{_REGION})?\.aliyuncs\.com", host, re.ASCII) is not None


def check_region(text: str) -> None:
    """Raise `ConfigurationError` unless *text* is a region's ID, which becomes a part of host names."""
    if not is_region(text):
        raise ConfigurationError(
            f"{text!r} is not a region",
            remedy=Remedy("RegionInvalid", "Write the region's ID, for example cn-hangzhou."),
        )


@dataclass(frozen=True, slots=True)
class EnterpriseHost:
    """A system domain of an Enterprise Edition instance.

    >>> EnterpriseHost.recognise("demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com")
    EnterpriseHost(instance_name='demo', region='cn-hangzhou', vpc=True, p2p=False)
    >>> EnterpriseHost.recognise("demo-registry.oss-cn-hangzhou.aliyuncs.com")
    """

    instance_name: str
    region: str
    vpc: bool
    p2p: bool = False

    @classmethod
    def recognise(cls, host: str) -> EnterpriseHost | None:
        """Return *host* (``host[:port]``) parsed, or None if it has another form.

        With a port it is another host; only the P2P domain has one, `P2P_PORT`.
        """
        if match := _ENTERPRISE.fullmatch(host):
            return cls(match["instance"], match["region"], vpc=match["vpc"] is not None)
        if match := _P2P.fullmatch(host):
            return cls(match["instance"], match["region"], vpc=True, p2p=True)
        return None

    @property
    def listed_as(self) -> str:
        """The host by which ACR lists the instance: for the P2P domain that of the VPC.

        >>> EnterpriseHost("demo", "cn-hangzhou", vpc=True, p2p=True).listed_as
        'demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com'
        """
        return f"{self.instance_name}-registry{'-vpc' if self.vpc else ''}.{self.region}.cr.aliyuncs.com"


@dataclass(frozen=True, slots=True)
class SharedHost:
    """A domain of the Personal Edition as it was until September 2024: one for all accounts of a region.

    It has public images too, Alibaba Cloud's own among them; a client with a login that does not cover them cannot
    pull them.

    >>> SharedHost.recognise("registry-vpc.cn-hangzhou.aliyuncs.com")
    SharedHost(region='cn-hangzhou', network='vpc')
    """

    region: str
    network: str  # "" (public), vpc, internal, intl or intl-vpc

    @classmethod
    def recognise(cls, host: str) -> SharedHost | None:
        """Return *host* parsed, or None if it has another form."""
        match = _SHARED.fullmatch(host)
        return cls(match["region"], match["network"] or "") if match else None


@dataclass(frozen=True, slots=True)
class PersonalHost:
    """A domain of one account's Personal Edition instance (since September 2024), which grants no temporary tokens.

    >>> PersonalHost.recognise("crpi-a1b2-vpc.cn-hangzhou.personal.cr.aliyuncs.com")
    PersonalHost(instance_id='crpi-a1b2', region='cn-hangzhou', vpc=True)
    """

    instance_id: str
    region: str
    vpc: bool

    @classmethod
    def recognise(cls, host: str) -> PersonalHost | None:
        """Return *host* parsed, or None if it has another form."""
        match = _PERSONAL.fullmatch(host)
        return cls(match["instance"], match["region"], match["vpc"] is not None) if match else None


_SERVICES = ("aliyuncs.com", "aliyun.com")
_SYSTEM_IMAGES = re.compile(r"registry(?:-[a-z0-9-]+)?\.ack\.aliyuncs\.com", re.ASCII)
_ALMOST = re.compile(  # hosts that lack a part of an instance's domain, or have one too many
    rf"(?P<label>{_LABEL})\.(?:oss-)?(?P<region>{_REGION})(?P<cr>\.cr)?\.aliyun(?:cs)?\.com", re.ASCII
)


def is_of_alibaba_cloud(host: str) -> bool:
    """True if *host* is below a domain of Alibaba Cloud's: such a host is no customer's own.

    >>> is_of_alibaba_cloud("demo.oss-cn-hangzhou.aliyuncs.com"), is_of_alibaba_cloud("aliyuncs.com.example.com")
    (True, False)
    """
    bare = host.partition(":")[0].rstrip(".")
    return any(bare == domain or bare.endswith(f".{domain}") for domain in _SERVICES)


def meant_host(host: str) -> str:
    """Return what to do about a *host* of Alibaba Cloud's that is no registry's, by the form that it comes nearest to.

    >>> meant_host("demo.cn-hangzhou.cr.aliyuncs.com")
    'Write demo-registry.cn-hangzhou.cr.aliyuncs.com, if that is the instance.'
    """
    bare = host.partition(":")[0].rstrip(".")
    if bare != host and recognise(bare) is not None:
        return f"Write {bare}: that host has no port."
    if _SYSTEM_IMAGES.fullmatch(bare):
        return "Remove it: those are Alibaba Cloud's own public images, which need no login."
    match = _ALMOST.fullmatch(bare)
    if match and re.fullmatch("registry(-vpc|-internal|-intl|-intl-vpc)?", match["label"]):
        return (
            f"Write {match['label']}.{match['region']}.aliyuncs.com for the Personal Edition, or the instance's domain."
        )
    if match and match["label"] not in ("cr", "cr-vpc", "oss", "www"):
        name, vpc = re.fullmatch("(.+?)(?:-(?:registry|chart))?(-vpc)?", match["label"]).groups()  # type: ignore[union-attr]  # matches any label
        return f"Write {name}-registry{vpc or ''}.{match['region']}.cr.aliyuncs.com, if that is the instance."
    return "Write the domain as the console shows it: NAME-registry[-vpc].REGION.cr.aliyuncs.com."


def are_in_vpc(hosts: Iterable[str]) -> bool:
    """True if *hosts* are some, and each is a system domain that only machines in a VPC reach.

    >>> are_in_vpc(["demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com"]), are_in_vpc([])
    (True, False)
    """
    systems = [recognise(host) for host in hosts]
    return bool(systems) and all(
        system is not None and (system.network not in ("", "intl") if isinstance(system, SharedHost) else system.vpc)
        for system in systems
    )


def region_in_service(host: str) -> str:
    """Return the region in the name of an endpoint of ACR or STS, "" for any other host.

    >>> region_in_service("cr-vpc.cn-hangzou.aliyuncs.com")
    'cn-hangzou'
    """
    match = re.fullmatch(rf"(?:cr|sts)(?:-vpc)?\.({_REGION})\.aliyuncs\.com", host, re.ASCII)
    return match[1] if match else ""


AcrHost = EnterpriseHost | SharedHost | PersonalHost


def recognise(host: str) -> AcrHost | None:
    """Return *host* (``host[:port]``) parsed as a system domain of ACR, or None for any other host."""
    return EnterpriseHost.recognise(host) or SharedHost.recognise(host) or PersonalHost.recognise(host)
