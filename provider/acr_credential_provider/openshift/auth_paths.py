"""The keys of container auth files, as the paths that a kubelet makes of them. Values alone, no I/O."""

from __future__ import annotations

import re

_PATH = re.compile(
    r"([A-Za-z0-9._*-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"  # a host; kubelets take a * in it
    r"(/[A-Za-z0-9._~/-]*)?",
    re.ASCII,
)
_DOCKER_HUB = "index.docker.io"
"""What docker and kubelets call docker.io in such files."""


def path_of(key: str) -> str | None:
    """Return the path that *key* of such a file means to a kubelet; None if it means none.

    A last slash counts: ``quay.io/team`` is good for ``quay.io/team-b`` too, ``quay.io/team/`` is not.

    >>> [path_of(key) for key in ("https://index.example.com/v1/", "Quay.io/team", "https://acr.example.com/v2/team/")]
    ['index.example.com', 'Quay.io/team', 'acr.example.com/team/']
    >>> [path_of(key) for key in (" acr.example.com ", "user@acr.example.com", "ftp://acr.example.com")]
    [None, None, None]
    """
    for scheme in ("https://", "http://"):
        if key.startswith(scheme):
            key = key[len(scheme) :]
            break
    if not _PATH.fullmatch(key):
        return None
    host, slash, path = key.partition("/")
    if path.startswith(("v1/", "v2/")):
        path = path[3:]
    return f"{host}/{path}" if slash and path else host


def host_of(path: str) -> str:
    """Return the registry, ``host[:port]``, of a *path*.

    >>> host_of("quay.io/team")
    'quay.io'
    """
    return path.partition("/")[0]


def place_of(path: str) -> str:
    """Return what two paths have in common if they are for the same images, but for a last slash.

    >>> place_of("quay.io/team/"), place_of("docker.io")
    ('quay.io/team', 'index.docker.io')
    """
    host, slash, rest = path.rstrip("/").partition("/")
    return (_DOCKER_HUB if host == "docker.io" else host) + slash + rest


def is_below(path: str, wider: str) -> bool:
    """True if *path* is *wider* or a path below it.

    >>> [is_below(path, "quay.io/team") for path in ("quay.io/team/app", "quay.io/team-b", "quay.io")]
    [True, False, False]
    """
    return f"{place_of(path)}/".startswith(f"{place_of(wider)}/")
