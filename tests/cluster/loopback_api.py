"""A real API server and its etcd on the loopback, for what needs no node: up in seconds, and without root."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from . import parts
from .kube import KubeError
from .pki import Pki

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

SECONDS = 90.0
"""In which they must be up, on a busy machine too."""


class LoopbackApi:
    """``with LoopbackApi() as api``: RBAC is on, admission is the usual but for ServiceAccounts' being there.

    `kubeconfig` signs in whoever a test needs; the other methods speak as an administrator.
    """

    def __enter__(self) -> Self:
        self._left = contextlib.ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._arguments: dict[str, tuple[str, ...]] = {}
        try:
            self._start()
        except BaseException:
            self._left.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.close()

    def kubeconfig(self, user: str, *, group: str | None = None) -> Path:
        """Return a kubeconfig that signs in as *user*, a member of *group*."""
        return self._pki.kubeconfig(user, self.url, group=group)

    def kubeconfig_of(self, namespace: str, account: str) -> Path:
        """Return a kubeconfig that signs in with a token of the ServiceAccount *account*, which must exist."""
        return self._pki.kubeconfig_of(account, self.token_of(namespace, account), self.url)

    def token_of(self, namespace: str, account: str, *, pod: dict[str, Any] | None = None) -> str:
        """Return a token of the ServiceAccount *account*, which must exist; with *pod*, as that pod gets it."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        spec: dict[str, Any] = {"audiences": [], "expirationSeconds": 3600}
        if pod is not None:
            metadata = pod["metadata"]
            spec["boundObjectRef"] = {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "uid": metadata["uid"],
            }
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        token: str = self.create(path, request)["status"]["token"]
        return token

    @property
    def ca_file(self) -> Path:
        """Whom to trust."""
        return self._pki.ca_file

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", *, token: str = ""
    ) -> dict[str, Any]:
        """Send one request and return the answer; raise `KubeError`. With a *token* nobody else signs in."""
        tls = ssl.create_default_context(cafile=str(self._pki.ca_file)) if token else self._tls
        headers = {"Content-Type": kind, **({"Authorization": f"Bearer {token}"} if token else {})}
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=tls, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise KubeError(answer.status, content.decode(errors="replace"))
        return json.loads(content)

    def get(self, path: str) -> dict[str, Any]:
        return self.request("GET", path)

    def create(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        return self.request("POST", path, document)

    def namespace(self, name: str) -> str:
        """Create the namespace *name* and return it."""
        self.create("/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    @contextlib.contextmanager
    def controllers(self, *names: str) -> Iterator[None]:
        """Run the controllers called *names* of kube-controller-manager."""
        (port,) = free_ports(1)
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig('controllers', group='system:masters')}",
            f"--controllers={','.join(names)}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
        )
        try:
            yield
        finally:
            _end(self._processes.pop("kube-controller-manager"))

    def restart(self, name: str, *, pause: float = 0.0) -> None:
        """Kill etcd or the API server, and start it again after *pause* seconds; return when all is ready."""
        process, arguments = self._processes[name], self._arguments[name]
        process.kill()
        process.wait()
        time.sleep(pause)
        self._run(name, *arguments)
        self._await()

    def _start(self) -> None:
        self._folder = Path(self._left.enter_context(tempfile.TemporaryDirectory(prefix="acr-api-")))
        self._pki = Pki(self._folder / "pki")
        etcd_port, peer_port, self._port = free_ports(3)
        self.url = f"https://127.0.0.1:{self._port}"
        admin = self._pki.client("admin", group="system:masters")
        self._tls = ssl.create_default_context(cafile=str(self._pki.ca_file))
        self._tls.load_cert_chain(admin.cert, admin.key)
        self._run(
            "etcd",
            f"--data-dir={self._folder}/etcd",
            "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{etcd_port}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd_port}",
            f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        )
        tokens = self._pki.client("service-account-tokens")
        serving = self._pki.server("kube-apiserver", "127.0.0.1", "localhost")
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            # Since 1.37 an API server does not start that would have to publish an address of the loopback.
            "--endpoint-reconciler-type=none",
            f"--secure-port={self._port}",
            # Addresses of this machine: what a test serves at one of them is a Service that this API server reaches.
            "--service-cluster-ip-range=127.124.0.0/24",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            "--disable-admission-plugins=ServiceAccount",
            # As on OpenShift: only somebody who may delete an object may say who owns it.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={tokens.cert}",
            f"--service-account-signing-key-file={tokens.key}",
            f"--client-ca-file={self._pki.ca_file}",
            f"--tls-cert-file={serving.cert}",
            f"--tls-private-key-file={serving.key}",
        )
        self._await()

    def _await(self) -> None:
        end = time.monotonic() + SECONDS
        while not self._is_ready():
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended: {self._log(name)}"
            assert time.monotonic() < end, f"not ready after {SECONDS:.0f} s: {self._log('kube-apiserver')}"
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            return bool(self.get("/api/v1/namespaces/default"))
        except (OSError, KubeError, http.client.HTTPException, ValueError):
            return False

    def _run(self, name: str, *arguments: str) -> None:
        log = self._left.enter_context((self._folder / f"{name}.log").open("ab"))
        # Whoever runs the tests may be killed; what it started must not go on for ever.
        command = ["setpriv", "--pdeathsig", "KILL", str(parts.find(name)), *arguments]
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._processes[name] = process
        self._arguments[name] = arguments
        self._left.callback(_end, process)

    def _log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")[-2000:]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody listened at a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
