"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler on a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trustme
from sandbox.server import ISSUER

from . import node as machine
from . import parts
from .kube import KubeApi

if TYPE_CHECKING:
    from pathlib import Path

    from .pki import Pki

PORT = 6443
SERVER = f"https://{machine.ADDRESS}:{PORT}"
SERVICES = "10.124.0.0/24"
IN_CLUSTER = "10.124.0.1"
"""Where pods find the API: the first address of the services, which is the Service "kubernetes"."""


def _serve_pods(node: machine.Node) -> None:
    """Do what kube-proxy would do for the one Service that pods need."""
    to = ["--destination", IN_CLUSTER, "--protocol", "tcp", "--dport", "443"]
    to += ["--jump", "DNAT", "--to-destination", f"{machine.ADDRESS}:{PORT}"]
    for chain in ("PREROUTING", "OUTPUT"):
        node.output([str(parts.find("iptables")), "--table", "nat", "--append", chain, *to])


def start(node: machine.Node, pki: Pki, logs: Path) -> KubeApi:
    """Start them; return the API, which is ready and has a default ServiceAccount."""
    data = node.folder / "etcd"
    data.mkdir(mode=0o700)
    # Nothing here has to survive a power cut, and every fsync costs the scenarios.
    etcd = node.start(
        "etcd", [str(parts.find("etcd")), f"--data-dir={data}", "--unsafe-no-fsync"], log=logs / "etcd.log"
    )

    # RS256, as every cluster signs by default.
    tokens = pki.client("service-account-tokens", key_type=trustme.KeyType.RSA)
    serving = pki.server(
        "kube-apiserver", machine.ADDRESS, IN_CLUSTER, "127.0.0.1", "localhost", "kubernetes.default.svc"
    )
    api = KubeApi(node, machine.ADDRESS, PORT, pki=pki)
    apiserver = node.start(
        "kube-apiserver",
        [
            str(parts.find("kube-apiserver")),
            "--etcd-servers=http://127.0.0.1:2379",
            f"--bind-address={machine.ADDRESS}",
            f"--advertise-address={machine.ADDRESS}",
            f"--secure-port={PORT}",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={tokens.cert}",
            f"--service-account-signing-key-file={tokens.key}",
            f"--client-ca-file={pki.ca_file}",
            f"--tls-cert-file={serving.cert}",
            f"--tls-private-key-file={serving.key}",
        ],
        log=logs / "kube-apiserver.log",
    )
    assert etcd.is_up, etcd.tail()
    _serve_pods(node)
    apiserver.await_(api.is_ready)

    common = ["--bind-address=127.0.0.1", "--leader-elect=false"]
    node.start(
        "kube-controller-manager",
        [
            str(parts.find("kube-controller-manager")),
            f"--kubeconfig={pki.kubeconfig('system:kube-controller-manager', SERVER)}",
            f"--service-account-private-key-file={tokens.key}",
            f"--root-ca-file={pki.ca_file}",
            "--use-service-account-credentials=true",
            *common,
        ],
        log=logs / "kube-controller-manager.log",
    )
    scheduler = node.start(
        "kube-scheduler",
        [
            str(parts.find("kube-scheduler")),
            f"--kubeconfig={pki.kubeconfig('system:kube-scheduler', SERVER)}",
            *common,
        ],
        log=logs / "kube-scheduler.log",
    )
    scheduler.await_(lambda: api.find("/api/v1/namespaces/default/serviceaccounts/default"))
    return api
