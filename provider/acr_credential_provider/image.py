"""Image names, as the kubelet hands them to us: a registry host and a repository."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import InvalidImageError

# One label of a DNS name or an IPv4 part, an IPv6 address in brackets, a port. What does not
# look like a host is refused here, so that no odd text reaches a file name or an answer.
_HOST = re.compile(r"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?", re.ASCII)
LONGEST_HOST = 253 + len(":65535")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """The registry and the repository of an image, its tag and digest dropped.

    >>> ImageReference.parse("acr.example.com:5000/team/app:1.2@sha256:abc")
    ImageReference(registry='acr.example.com:5000', repository='team/app')
    """

    registry: str
    """``host[:port]``, spelled as the kubelet will match it in our answer."""

    repository: str

    @classmethod
    def parse(cls, image: str) -> ImageReference:
        """Split *image*; raise `InvalidImageError` when it names no registry host."""
        registry, _, rest = image.partition("/")
        repository = rest.partition("@")[0].partition(":")[0]
        # "team/app" is a Docker Hub name: only a dot, a port or "localhost" makes a host.
        is_host = "." in registry or ":" in registry or registry == "localhost"
        well_formed = len(registry) <= LONGEST_HOST and _HOST.fullmatch(registry)
        if not (is_host and well_formed and repository):
            raise InvalidImageError(
                f"the image {_shown(image)} does not start with a registry host",
                remedy="Write the image as HOST/NAMESPACE/NAME; the kubelet does so for every image it pulls.",
            )
        return cls(registry, repository)


def _shown(image: str) -> str:
    """Return *image* fit for one line of a log."""
    return repr(image if len(image) <= 100 else image[:100] + "…")
