"""Enters the root of the host, for a doctor in a pod."""

from __future__ import annotations

import codecs
from importlib import import_module

from acr_credential_provider.files import trusted_files
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained

_LOADED_LATE = (
    "acr_credential_provider.cloud.sts",
    "acr_credential_provider.sources.access_key",
    "acr_credential_provider.sources.assumed_role",
    "acr_credential_provider.sources.managed_role",
    "acr_credential_provider.sources.node_role",
    "acr_credential_provider.sources.oidc_token",
    "acr_credential_provider.sources.secret_file",
    "acr_credential_provider.sources.rrsa",
    "acr_credential_provider.sources.service_account",
    "acr_credential_provider.sources.sts_session",
    "certifi",
)
"""Modules that a pull imports only when it uses them."""


def chroot(root: str) -> None:
    """Enter the host whose root is mounted at *root*: its files, its /proc, its resolv.conf."""
    # This program's own files are out of reach afterwards, so all that it loads late is loaded now.
    for codec in ("ascii", "idna", "latin-1", "unicode_escape", "utf-8-sig"):
        codecs.lookup(codec)
    for module in _LOADED_LATE:
        try:
            import_module(module)
        except ImportError:  # not part of this installation, so no check needs it
            continue
    try:
        trusted_files.chroot(root)
    except OSError as error:
        reason, remedy = explained(
            error, remedy=Remedy("FileUnusable", "Mount the host's / there, and run as root with CAP_SYS_CHROOT.")
        )
    else:
        return
    raise ConfigurationError(f"cannot enter {root}: {reason}", remedy=remedy)
