"""Matches an image by a provider's matchImages as a kubelet does (k8s.io/kubernetes pkg/credentialprovider at 1.36)."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence


def strip_tag(image: str) -> str:
    """Return *image* without tag and digest, as the kubelet matches it and sends it to plugins.

    >>> strip_tag("acr.example.com:5000/team/app:1.2@sha256:abc")
    'acr.example.com:5000/team/app'
    """
    host, slash, path = image.partition("@")[0].partition("/")
    return host + slash + re.sub(r":[^:/]*$", "", path)


def explain_mismatch(pattern: str, image: str) -> str:
    """Return the reason why *pattern* does not match *image*, "" if it does.

    >>> explain_mismatch("*.*.cr.aliyuncs.com", "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app")
    ''
    >>> explain_mismatch("*.cr.aliyuncs.com", "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app")
    'it has 4 labels and the host has 5: one "*" is one label'
    """
    try:
        ours, theirs = urlsplit(f"https://{pattern}"), urlsplit(f"https://{image}")
        ports = ours.port, theirs.port
    except ValueError:
        return "it is not HOST[:PORT][/PATH]"
    globs, labels = ours.netloc.partition(":")[0].split("."), theirs.netloc.partition(":")[0].split(".")
    if ports[0] != ports[1]:
        return f"its port is {ports[0] or 'not given'} and the image's is {ports[1] or 'not given'}"
    if len(globs) != len(labels):
        return f'it has {len(globs)} labels and the host has {len(labels)}: one "*" is one label'
    for glob, label in zip(globs, labels, strict=True):
        if not fnmatchcase(label, glob):
            return f"its label {glob} does not match {label}"
    if not theirs.path.startswith(ours.path):
        return 'a "*" in its path is taken literally' if "*" in ours.path else f"the image is not below {ours.path}"
    return ""


def closest(patterns: Sequence[str], image: str) -> tuple[str, str]:
    """Return the pattern that is closest to *image*, and why it does not match ("" if it does)."""
    order = ('a "*" in', "the image is", "its port", "its label", "it has", "it is")

    def distance(pair: tuple[str, str]) -> int:
        return next((index for index, start in enumerate(order, start=1) if pair[1].startswith(start)), 0)

    return min(((pattern, explain_mismatch(pattern, image)) for pattern in patterns), key=distance)
