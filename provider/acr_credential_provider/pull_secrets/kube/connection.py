"""How commands get their client: with an error of its own where the program was installed without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from .client import KubeClient


def connect(kubeconfig: str | None, context: str) -> KubeClient:
    """Return the client that *kubeconfig* and *context* name, as `KubeClient.find`; raise `ConfigurationError`."""
    try:
        # An extra that a node's installation does without.
        from .client import KubeClient  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigurationError(
            "this installation has no Kubernetes client",
            remedy=Remedy("CommandNotInBuild", "Use kubectl acr of a release, or install the extra: controller."),
        ) from None
    return KubeClient.find(kubeconfig=kubeconfig or "", context=context)
