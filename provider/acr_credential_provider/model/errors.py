"""The errors an operator can act on: each says what failed and what to do about it.

Every module may raise them and the command line prints them, once. Neither text ever
holds a secret or the text of a foreign exception: both end in logs that others read.
"""

from __future__ import annotations


class CredentialProviderError(Exception):
    """What failed (`problem`) and what to change so that it works (`remedy`).

    The subclasses are told apart by what the reader must do next.

    >>> error = RegistryRefusedError("ACR refused cri-1 (NoPermission)", remedy="Attach the policy.")
    >>> str(error), error.remedy
    ('ACR refused cri-1 (NoPermission)', 'Attach the policy.')
    """

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.cool_down: float | None = None
        """Seconds for which it stays cached, if it was read from the cache."""
        self.fingerprints: tuple[str, ...] = ()
        """Of the files whose change may cure it (`response_cache.file_fingerprint`), beside the settings."""


class InvalidRequestError(CredentialProviderError):
    """Stdin did not hold a CredentialProviderRequest that we understand."""


class InvalidImageError(CredentialProviderError):
    """The image of the request has no registry host that credentials could be for."""


class ConfigurationError(CredentialProviderError):
    """Our settings file is absent, unreadable or wrong."""


class CacheUnsafeError(CredentialProviderError):
    """The cache folder could be written by others: nothing is read from it or written to it."""


class IdentityUnavailableError(CredentialProviderError):
    """The identity that the settings ask for cannot be had on this node."""


class TokenRefusedError(IdentityUnavailableError):
    """The request's ServiceAccount token or annotation can't be used, as was seen before any call.

    It costs next to nothing, and whoever starts pods can make any number of different ones,
    so it is not remembered.
    """


class RoleRefusedError(CredentialProviderError):
    """STS would not let the identity assume the role."""


class RegistryRefusedError(CredentialProviderError):
    """ACR answered, and said no."""


class CloudUnreachableError(CredentialProviderError):
    """No usable answer came from the cloud: network, TLS, a server's own failure."""


class ThrottledError(CloudUnreachableError):
    """The cloud asked us to slow down; ``retry_after`` is in seconds, 0 when it did not say."""

    def __init__(self, problem: str, *, remedy: str, retry_after: float = 0.0) -> None:
        super().__init__(problem, remedy=remedy)
        self.retry_after = retry_after


class DeadlineExceededError(CloudUnreachableError):
    """Our own deadline for the whole answer ran out."""


class NodeBusyError(CredentialProviderError):
    """Too many pulls needed the cloud at once; the kubelet will ask again."""

    def __init__(self) -> None:
        super().__init__(
            "too many pulls on this node are waiting for tokens",
            remedy="Nothing, if it passes: the kubelet tries again. If it stays, see which process holds the locks "
            "in the cache folder (lslocks).",
        )


def error_from_cache(kind: str, problem: str, remedy: str) -> CredentialProviderError:
    """Return the error that another process of ours met, from what it wrote down."""
    for known in (RegistryRefusedError, RoleRefusedError, IdentityUnavailableError, ConfigurationError, ThrottledError):
        if known.__name__ == kind:
            return known(problem, remedy=remedy)
    return CloudUnreachableError(problem, remedy=remedy)
