"""The API server of the cluster that a pod runs in, with the token and CA of its ServiceAccount."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

from .client import ApiServer

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True, slots=True)
class InCluster:
    """Its address and files; *ca_file* "" speaks HTTP, for tests on loopback."""

    host: str
    port: int
    token_file: str
    ca_file: str

    @classmethod
    def of(cls, environment: Mapping[str, str], folder: str = SERVICE_ACCOUNT) -> InCluster:
        """Return what a pod's *environment* says; raise `ConfigurationError` outside of a cluster."""
        host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "")
        if not host or not port.isdigit():
            raise ConfigurationError(
                "this is not a pod of a cluster: KUBERNETES_SERVICE_HOST or KUBERNETES_SERVICE_PORT is not set",
                remedy=Remedy(
                    "NotInCluster",
                    "The reporter runs in the DaemonSet's pods; on a node alone, `node status` says the same.",
                ),
            )
        return cls(host, int(port), f"{folder}/token", f"{folder}/ca.crt")

    def find(self) -> ApiServer:
        """Read token and CA; raise `ConfigurationError`."""
        token = _read(self.token_file)
        if not token or not token.isprintable() or " " in token:
            raise ConfigurationError(
                f"{self.token_file} holds no token",
                remedy=Remedy("PodTokenMissing", "See the projected token volume in the DaemonSet."),
            )
        authority = _read(self.ca_file) if self.ca_file else ""
        if self.ca_file and not authority:
            raise ConfigurationError(
                f"{self.ca_file} holds no CA",
                remedy=Remedy("PodTokenMissing", "See the projected token volume in the DaemonSet."),
            )
        return ApiServer(self.host, self.port, authority=authority, token=token, is_plain=not self.ca_file)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(1 << 20).strip()
    except (OSError, ValueError):
        return ""
