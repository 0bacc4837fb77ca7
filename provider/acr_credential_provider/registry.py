"""Which hosts are ACR registries: anchored patterns, and nothing else gets a token.

Host forms: facts of ACR's documentation on instance domain names. The user part of a
domain can be chosen by anyone, so a pattern that is not anchored at both ends, or takes
any region label, would hand tokens to somebody's OSS bucket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_REGION = r"(?!oss-|vpc-)[a-z]{2,3}(?:-[a-z0-9]+){1,4}"
"""``cn-hangzhou``, ``us-west-1``, ``cn-shanghai-finance-1``: never ``oss-cn-hangzhou``."""


def is_region(text: str) -> bool:
    """Say whether *text* has the shape of a region's ID."""
    return re.fullmatch(_REGION, text, re.ASCII) is not None


_ENTERPRISE = re.compile(
    rf"(?P<instance>{_LABEL})-registry(?P<vpc>-vpc)?\.(?P<region>{_REGION})\.cr\.aliyuncs\.com", re.ASCII
)


@dataclass(frozen=True, slots=True)
class EnterpriseHost:
    """A system domain of an Enterprise Edition instance.

    >>> EnterpriseHost.recognise("demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com")
    EnterpriseHost(instance_name='demo', region='cn-hangzhou', vpc=True)
    >>> EnterpriseHost.recognise("demo-registry.oss-cn-hangzhou.aliyuncs.com")
    """

    instance_name: str
    region: str
    vpc: bool

    @classmethod
    def recognise(cls, host: str) -> EnterpriseHost | None:
        """Return what *host* (``host[:port]``) is, or None when it has not this shape.

        A port makes it another host: no system domain of this shape has one.
        """
        found = _ENTERPRISE.fullmatch(host)
        if not found:
            return None
        return cls(found["instance"], found["region"], found["vpc"] is not None)
