"""Why a node was left as it is, each with what to do about it."""

from __future__ import annotations

from acr_credential_provider.model.errors import CredentialProviderError


class NodeConfigError(CredentialProviderError):
    """Something about this node kept us from doing what was asked for."""

    exit_code = 1


class UnsafePathError(NodeConfigError):
    """A path leaves the host's root, or others than root could change what is there."""


class NotAsLeftError(NodeConfigError):
    """Somebody changed a file between our look at it and our write."""


class DiskError(NodeConfigError):
    """The node's disk refused: full, read-only, broken."""


class RefusedError(NodeConfigError):
    """This node cannot be patched safely; nothing was changed."""

    exit_code = 3


class RejectedError(NodeConfigError):
    """The kubelet was not healthy with the change (now, or the last time): the node has what it had before."""

    exit_code = 4


class BusyError(NodeConfigError):
    """Another installer is at work on this node."""

    exit_code = 5


class ServiceError(NodeConfigError):
    """The service manager did not answer, or would not do what was asked."""


class BundleError(NodeConfigError):
    """The program to install is incomplete, or does not run on this node."""
