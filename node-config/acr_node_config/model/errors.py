"""Errors of the installer; each leaves the node as it is, and has a remedy."""

from __future__ import annotations

from acr_credential_provider.model import exit_codes
from acr_credential_provider.model.errors import CredentialProviderError


class NodeConfigError(CredentialProviderError):
    """The base of them all."""


class UnsafePathError(NodeConfigError):
    """A path leaves the host's root, or others than root could change what is there."""


class NotAsLeftError(NodeConfigError):
    """A file changed between our read and our write."""


class DiskError(NodeConfigError):
    """The node's disk refused: full, read-only, broken."""


class RefusedError(NodeConfigError):
    """This node cannot be patched safely; nothing was changed."""

    exit_code = exit_codes.REFUSED


class RejectedError(NodeConfigError):
    """The kubelet was not healthy with the change (now, or the last time): the node has what it had before."""

    exit_code = exit_codes.REJECTED


class BusyError(NodeConfigError):
    """Another installer is at work on this node."""

    exit_code = exit_codes.BUSY


class ServiceError(NodeConfigError):
    """The service manager did not answer, or refused."""


class BundleError(NodeConfigError):
    """The program to install is incomplete, or does not run on this node."""
