"""Image names as the kubelet sends them: a registry host comes first.

Without ``re``, because processes that only wait for another one's answer load this too.
"""

from __future__ import annotations

from acr_credential_provider.fastpath.lookup import cache_scope, repository_of

from .errors import InvalidImageError
from .remedy import Remedy

LONGEST_HOST = 253 + len(":65535")
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_NAMESPACE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")
_DIGITS = frozenset("0123456789")
_IPV6 = frozenset("0123456789abcdefABCDEF:.")


def registry_of(image: str) -> str:
    """Return the registry of *image*, ``host[:port]`` as the kubelet will match it in our answer.

    Raises `InvalidImageError` if it names none, or odd text that must not reach a file name or an answer.

    >>> registry_of("acr.example.com:5000/team/app:1.2@sha256:abc")
    'acr.example.com:5000'
    """
    registry, repository = image.partition("/")[0], repository_of(image)
    # "team/app" is a Docker Hub name: only a dot, a port or "localhost" makes a host.
    is_host = "." in registry or ":" in registry or registry == "localhost"
    if is_host and repository and len(registry) <= LONGEST_HOST and _is_well_formed(registry):
        return registry
    raise InvalidImageError(
        f"the image {_shown(image)} does not start with a registry host",
        remedy=Remedy(
            "ImageInvalid", "Write the image as HOST/NAMESPACE/NAME; the kubelet does so for every image it pulls."
        ),
    )


def scope_of(image: str) -> str:
    """Return the cache scope of *image* (`lookup.cache_scope`); raise `InvalidImageError` unless it is well-formed.

    >>> scope_of("registry.cn-hangzhou.aliyuncs.com/team/app")
    'registry.cn-hangzhou.aliyuncs.com/team'
    """
    registry_of(image)
    scope = cache_scope(image)
    if _NAMESPACE.issuperset(scope.partition("/")[2]):
        return scope
    raise InvalidImageError(
        f"the image {_shown(image)} has a namespace that no registry has",
        remedy=Remedy("ImageInvalid", "Write the image as HOST/NAMESPACE/NAME, in lower case."),
    )


def _is_well_formed(registry: str) -> bool:
    if registry.startswith("["):
        address, bracket, port = registry[1:].partition("]")
        return bool(bracket) and bool(address) and _IPV6.issuperset(address) and (not port or _is_port(port))
    host, colon, digits = registry.partition(":")
    labels = host.split(".")
    return all(label and _LABEL.issuperset(label) for label in labels) and (not colon or _is_port(colon + digits))


def _is_port(text: str) -> bool:
    return text[0] == ":" and 1 <= len(text) - 1 <= 5 and _DIGITS.issuperset(text[1:])


def _shown(image: str) -> str:
    """Return *image* fit for one line of a log."""
    return repr(image if len(image) <= 100 else image[:100] + "...")
