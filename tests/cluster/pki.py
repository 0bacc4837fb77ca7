"""The cluster's certificates and kubeconfigs, from a certificate authority that lives as long as it does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """Files with a certificate and its key."""

    cert: Path
    key: Path


class Pki:
    """Issues certificates into *folder*."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca_file = folder / "ca.crt"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def server(self, name: str, *names: str) -> Pair:
        """Issue a certificate for a server that is known by *names* (host names or addresses)."""
        return self._write(name, self._ca.issue_cert(*names, common_name=name))

    def client(self, user: str, *, group: str | None = None, key_type: trustme.KeyType = trustme.KeyType.ECDSA) -> Pair:
        """Issue a certificate that the API takes for *user*, a member of *group*."""
        # The name says nothing; without one the (critical) list of names is empty, and Go refuses that.
        issued = self._ca.issue_cert("client.invalid", common_name=user, organization_name=group, key_type=key_type)
        return self._write(user.replace(":", "-"), issued)

    def kubeconfig(self, user: str, server: str, *, group: str | None = None) -> Path:
        """Write a kubeconfig for *user* at *server*, a member of *group*."""
        pair = self.client(user, group=group)
        keys = {"client-certificate": str(pair.cert), "client-key": str(pair.key)}
        return self._write_kubeconfig(pair.cert.with_suffix(".kubeconfig"), server, keys)

    def kubeconfig_of(self, account: str, token: str, server: str) -> Path:
        """Write a kubeconfig for the ServiceAccount *account*, whose *token* it is, at *server*."""
        return self._write_kubeconfig(self._folder / f"{account}.kubeconfig", server, {"token": token})

    def _write_kubeconfig(self, path: Path, server: str, user: dict[str, str]) -> Path:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "e2e", "cluster": {"server": server, "certificate-authority": str(self.ca_file)}}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "user"}}],
            "current-context": "e2e",
        }
        path.write_text(json.dumps(document))
        path.chmod(0o600)
        return path

    def _write(self, name: str, issued: trustme.LeafCert) -> Pair:
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        pair.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(pair.key))
        pair.key.chmod(0o600)
        return pair
