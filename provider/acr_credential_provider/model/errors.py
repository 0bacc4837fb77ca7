"""The errors that an operator can act on: each has a problem and a remedy, whose code stays.

Every module may raise them; the command line prints them, once. Neither text ever holds a secret or the text of a
foreign exception, because both end in logs that others read. Names of others in them are made printable here, so that
no place that raises an error can forget it.
"""

from __future__ import annotations

from acr_credential_provider.fastpath.plain_text import plain_text

from .remedy import Remedy, coded, printable


class CredentialProviderError(Exception):
    """A failure (`problem`) and the change that makes it work (`remedy`, which has a code).

    The subclasses differ in what the reader must do next.

    >>> remedy = Remedy("CloudPermissionMissing", "Attach the policy.")
    >>> error = RegistryRefusedError("ACR refused cri-1 (NoPermission)", remedy=remedy)
    >>> str(error), error.remedy, error.remedy.code
    ('ACR refused cri-1 (NoPermission)', 'Attach the policy.', 'CloudPermissionMissing')
    """

    exit_code = 1
    """Of a command that ends with it (`exit_codes`)."""

    def __init__(self, problem: str, *, remedy: Remedy) -> None:
        self.problem = plain_text(problem)
        self.remedy = printable(remedy)
        super().__init__(self.problem)
        self.cool_down: float | None = None
        """Seconds for which a failure stays cached, if it was read from the cache."""
        self.fingerprints: tuple[str, ...] = ()
        """Fingerprints (`response_cache.file_fingerprint`) of files, beside the settings, whose change may cure it."""

    @property
    def coded(self) -> str:
        """The problem with the remedy's code behind it, as people see it."""
        return coded(self.problem, self.remedy)


class InvalidRequestError(CredentialProviderError):
    """Stdin holds no CredentialProviderRequest that we understand."""


class InvalidImageError(CredentialProviderError):
    """The image of the request names no registry host."""


class ConfigurationError(CredentialProviderError):
    """Our settings file is absent, unreadable or wrong."""


class CacheUnsafeError(CredentialProviderError):
    """Other users could write into the cache folder, so it is not used."""


class IdentityUnavailableError(CredentialProviderError):
    """The identity in the settings is not available on this node."""


class ServiceAccountTokenRefusedError(IdentityUnavailableError):
    """The request's ServiceAccount token or annotation cannot be used, which was found before any call.

    It is not cached: it costs next to nothing, and a user who starts pods can cause any number of different ones.
    """


class RoleRefusedError(CredentialProviderError):
    """STS refused to let the identity assume the role."""


class RegistryRefusedError(CredentialProviderError):
    """ACR refused the call."""


class CloudUnreachableError(CredentialProviderError):
    """No usable answer came from the cloud: a failure of the network, of TLS or of a server."""


class ThrottledError(CloudUnreachableError):
    """The cloud asked for fewer calls; ``retry_after`` is in seconds, 0 if unspecified."""

    def __init__(self, problem: str, *, remedy: Remedy, retry_after: float = 0.0) -> None:
        super().__init__(problem, remedy=remedy)
        self.retry_after = retry_after


class DeadlineExceededError(CloudUnreachableError):
    """The deadline for the whole answer has passed."""


class NodeBusyError(CredentialProviderError):
    """Too many pulls needed the cloud at once; the kubelet tries again."""

    def __init__(self) -> None:
        super().__init__(
            "too many pulls on this node are waiting for tokens",
            remedy=Remedy(
                "NodeBusy",
                "Wait: the kubelet tries again. If it stays, see which process holds the locks in the cache folder "
                "(lslocks).",
            ),
        )


def error_from_cache(kind: str, problem: str, remedy: Remedy) -> CredentialProviderError:
    """Return the error that another process of ours cached: its class name, problem and remedy."""
    for known in (RegistryRefusedError, RoleRefusedError, IdentityUnavailableError, ConfigurationError, ThrottledError):
        if known.__name__ == kind:
            return known(problem, remedy=remedy)
    return CloudUnreachableError(problem, remedy=remedy)
