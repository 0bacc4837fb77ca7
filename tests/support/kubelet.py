"""What the kubelet does with an answer: its rules as observed on a real one, strict decoding included.

Sources: k8s.io/kubernetes pkg/credentialprovider/plugin and pkg/util/parsers at 1.36; the
cases in tests/unit/support/test_kubelet.py are what a kubelet 1.36.2 did.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

FIELDS = {"kind", "apiVersion", "cacheKeyType", "cacheDuration", "auth"}
GO_DURATION = re.compile(
    r"-?(?:0|(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)(?:(?:\d+(?:\.\d*)?)(?:ns|us|µs|ms|s|m|h))*)"
)


class DiscardedError(Exception):
    """The kubelet takes nothing from the plugin's run."""


def logins(stdout: bytes, code: int, *, image: str, api_version: str) -> list[tuple[str, str]]:
    """Return the logins that the kubelet would try for *image*, in its order; raise `DiscardedError`."""
    if code != 0:
        raise DiscardedError("exit code")
    answer = _decode(stdout)
    if answer.get("apiVersion") != api_version or answer.get("kind") != "CredentialProviderResponse":
        raise DiscardedError("apiVersion or kind")
    if answer.get("cacheKeyType") not in ("Image", "Registry", "Global"):
        raise DiscardedError("cacheKeyType")
    duration = answer.get("cacheDuration")
    if duration is not None and not (isinstance(duration, str) and GO_DURATION.fullmatch(duration)):
        raise DiscardedError("cacheDuration")
    auth = answer.get("auth") or {}
    if not all(isinstance(each, dict) and set(each) <= {"username", "password"} for each in auth.values()):
        raise DiscardedError("auth")
    keys = sorted((key for key in auth if _matches(key, image)), reverse=True)
    return [(auth[key]["username"], auth[key]["password"]) for key in keys]


def _decode(stdout: bytes) -> dict:
    def no_repeats(pairs: list[tuple[str, object]]) -> dict:
        if len({key for key, _ in pairs}) != len(pairs):
            raise DiscardedError("a field twice")
        return dict(pairs)

    try:
        answer = json.loads(stdout, object_pairs_hook=no_repeats)
    except ValueError:
        raise DiscardedError("not JSON") from None
    if not isinstance(answer, dict) or not set(answer) <= FIELDS:
        raise DiscardedError("an unknown field")
    return answer


def _matches(key: str, image: str) -> bool:
    key = re.sub(r"^https?://", "", key)
    pattern, target = urlsplit("https://" + key), urlsplit("https://" + image)
    path = re.sub(r"^/v[12](?=/|$)", "", pattern.path)
    ours, theirs = (pattern.hostname or "").split("."), (target.hostname or "").split(".")
    return (
        pattern.port == target.port
        and len(ours) == len(theirs)
        and all(fnmatchcase(label, glob) for label, glob in zip(theirs, ours, strict=True))
        and target.path.startswith(path if path != "/" else "")
    )
