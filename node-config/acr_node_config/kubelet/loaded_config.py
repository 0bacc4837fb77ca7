"""Which CredentialProviderConfig a kubelet has read, by its own word: a metric with a digest, from 1.34 on.

Metrics take a login on the kubelet's own port, and nothing that a node's root has can log in there: the kubelet's
certificate is not allowed to (docs/decisions/0015). What is left is the port without one (``readOnlyPort``), which most
nodes have closed: not to be told is the usual case, and no fault.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from . import loopback

if TYPE_CHECKING:
    from collections.abc import Iterable

READ_ONLY_PORT = 10255
SECONDS = 2.0
"""For all of an answer."""
LARGEST = 8 << 20
"""Bytes. A kubelet with many pods says more than a megabyte."""
_METRIC = re.compile(rb'^kubelet_credential_provider_config_info\{hash="(sha256:[0-9a-f]{64})"\} 1$', re.MULTILINE)


def digest(contents: Iterable[bytes]) -> str:
    """Return the kubelet's digest of files with *contents*, in the order in which it reads them.

    >>> digest([b"a", b"b"])[:23] == digest([b"ab"])[:23]
    False
    """
    hashed = hashlib.sha256()
    for content in contents:
        hashed.update(len(content).to_bytes(8, "big") + content)
    return f"sha256:{hashed.hexdigest()}"


def named(metrics: bytes) -> str:
    """Return the digest that a kubelet's *metrics* name, "" if none."""
    found = _METRIC.search(metrics)
    return found[1].decode() if found else ""


def ask(port: int = READ_ONLY_PORT, *, seconds: float = SECONDS) -> str:
    """Return the digest that the kubelet of this network names, "" where it does not say within *seconds*."""
    answer = loopback.get(port, "/metrics", seconds=seconds, largest=LARGEST)
    return named(answer) if loopback.is_ok(answer) else ""
