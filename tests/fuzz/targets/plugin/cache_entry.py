"""An entry of the response cache: whatever has a right checksum is decoded, and encoded again as it was, or refused."""

import json

from acr_credential_provider.fastpath.cpython import checksum
from acr_credential_provider.fastpath.response_cache import FORMAT, CacheEntry
from fuzz.promises import same_number

TIMES = ("written", "uptime", "refresh_at", "expires_at", "max_cache_duration")
V1 = "credentialprovider.kubelet.k8s.io/v1"


def fuzz(data):
    decode(data)
    body = FORMAT.encode() + b"\n" + data
    entry = decode(body + checksum(body).encode())
    if entry is None:
        return
    again = CacheEntry.decode(entry.encode())
    for name in CacheEntry.__slots__:
        one, other = getattr(entry, name), getattr(again, name)
        assert same_number(one, other) if name in TIMES else one == other, name
    try:
        answer = json.loads(entry.response(V1, now=1000.0))
    except ValueError:
        return  # its own text; the checksum says that we wrote it
    assert answer["apiVersion"] == V1 or "apiVersion" in entry.answer


def decode(data):
    try:
        return CacheEntry.decode(data)
    except ValueError:
        return None
