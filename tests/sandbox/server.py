"""The sandbox as a whole: one cloud state, the servers that show it, and the files that lead to them."""

from __future__ import annotations

import json
import os
import ssl
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import trustme

from .calls import CallLog
from .clock import SandboxClock
from .control import Control
from .faults import FaultBook
from .listener import Listener
from .metadata import Metadata
from .oidc import OidcIssuer, OidcProvider
from .openapi import OpenApi
from .registry import Registry
from .state import ACCOUNT, CloudState, Instance, Principal
from .sts import Sts

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .listener import App
    from .netns import NetworkNamespace

LOOPBACK = "127.0.0.1"
METADATA_ADDRESS = ("100.100.100.200", 80)
INSTANCE_ID = "cri-sandbox000000001"
REGION = "cn-hangzhou"
CLUSTER = "c0123456789abcdef0123456789abcdef"
ISSUER = f"https://oidc-ack-{REGION}.oss-{REGION}.aliyuncs.com/{CLUSTER}"
PROVIDER_ARN = f"acs:ram::{ACCOUNT}:oidc-provider/ack-rrsa-{CLUSTER}"


class AcrSandbox:
    """Alibaba Cloud on loopback: ``with AcrSandbox() as sandbox: ...``.

    It starts with one instance (`instance`), one access key that may do everything to it
    (`key`), and a node whose RAM role may do the same. Tests change `state` (keys,
    instances, token_life), `node` (the metadata service's answers), `clock` (skew) and
    `faults`, and read `calls`; all of it may change while the servers run.

    *plain_http* serves the OpenAPI without TLS. *directory* is where the CA, key files and
    settings go (default: a temporary folder that goes with the sandbox). *names* are more
    DNS names for the certificate. *ports* fixes ports by server name; others are free ones.
    """

    def __init__(
        self,
        *,
        directory: Path | str | None = None,
        clock: Callable[[], float] = time.time,
        plain_http: bool = False,
        names: tuple[str, ...] = (),
        ports: dict[str, int] | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="acr-sandbox-") if directory is None else None
        self.directory = Path(self._temporary.name if self._temporary else directory or "").absolute()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.clock = SandboxClock(clock)
        self.state = CloudState(self.clock)
        self.instance = self.state.add_instance(Instance.usual(INSTANCE_ID, region=REGION))
        self.key = self.state.add_key(Principal("sandbox-user"))
        self.calls = CallLog()
        self._ca = trustme.CA()
        self.tls = self._server_context(names)
        self._ports = ports or {}

        # The node and the registry can be adjusted; the gateway shows the state, region by region.
        self.node = Metadata(self.state, region_id=REGION)
        self.registry_app = Registry(self.state)
        control = Control(self)
        self.gateway = OpenApi(self.state, REGION)
        self.sts_app = Sts(self.state)
        apps: tuple[App, ...] = (self.gateway, self.sts_app, self.registry_app, self.node, control)
        self.faults = FaultBook((operation for app in apps for operation in app.operations), (app.name for app in apps))
        self.openapi = self._listener(self.gateway, tls=not plain_http)
        self.sts = self._listener(self.sts_app, tls=not plain_http)
        self.registry = self._listener(self.registry_app, tls=True)
        self.metadata = self._listener(self.node, tls=False)
        # Its own log, so that asking for the calls is not one of them.
        self.control = Listener(control, clock=self.clock, faults=self.faults, calls=CallLog())
        self._listeners = (self.openapi, self.sts, self.registry, self.metadata, self.control)

    def __enter__(self) -> Self:
        try:
            for listener in self._listeners:
                listener.listen(LOOPBACK, self._ports.get(listener.app.name, 0))
            self.state.add_instance(self.instance, self.registry.address)
            self._write_files()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop every server, however many answers hang, and remove the temporary folder."""
        for listener in self._listeners:
            listener.close()
        if self._temporary:
            self._temporary.cleanup()

    def add_cluster(self, url: str = ISSUER, arn: str = PROVIDER_ARN) -> OidcIssuer:
        """Add a cluster with RRSA: an issuer of ServiceAccount tokens, registered as the OIDC provider *arn*."""
        issuer = OidcIssuer(url, now=self.clock.now)
        self.state.add_oidc_provider(OidcProvider(arn, url, keys=issuer.keys))
        return issuer

    def acr(self, region: str) -> str:
        """Return the base URL of ACR's OpenAPI in *region*; other ones than `openapi`'s have addresses of their own."""
        if region == REGION:
            return self.openapi.url
        if region not in self.gateway.regions.values():
            self.openapi.listen(LOOPBACK)
            host, port = self.openapi.addresses[-1]
            self.gateway.regions[f"{host}:{port}"] = region
        address = next(each for each, known in self.gateway.regions.items() if known == region)
        return f"{self.openapi.url.partition(':')[0]}://{address}"

    def add_registry(self, instance: Instance, address: str) -> str:
        """Add *instance* with a registry of its own on another loopback *address*; return its host:port."""
        self.registry.listen(address)
        host, port = self.registry.addresses[-1]
        self.state.add_instance(instance, f"{host}:{port}")
        return f"{host}:{port}"

    def listen_in(self, namespace: NetworkNamespace) -> None:
        """Be reachable inside *namespace* as well: same addresses, and the metadata service where it is in life."""
        for listener in self._listeners:
            for host, port in list(listener.addresses):
                namespace.call(partial(listener.listen, host, port))
        namespace.call(lambda: self.metadata.listen(*METADATA_ADDRESS))

    @property
    def image(self) -> str:
        """An image that can be pulled, as a pod would name it."""
        return f"{self.registry.address}/{self.instance.repositories[0]}:latest"

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def key_id_file(self) -> Path:
        return self.directory / "access-key-id"

    @property
    def key_secret_file(self) -> Path:
        return self.directory / "access-key-secret"

    @property
    def settings_file(self) -> Path:
        return self.directory / "settings.yaml"

    def settings(self) -> dict[str, Any]:
        """Return the plugin's settings that lead here with `key`, in the native form."""
        return {
            "apiVersion": "aliyun-acr-credential-provider/v1",
            "kind": "ProviderSettings",
            "registries": [
                {
                    "instanceId": self.instance.id,
                    "region": self.instance.region,
                    "domains": [self.registry.address],
                    "identity": {
                        "kind": "accessKey",
                        "accessKeyIdFile": str(self.key_id_file),
                        "accessKeySecretFile": str(self.key_secret_file),
                    },
                    "endpoints": {"acr": self.openapi.url},
                }
            ],
            "caBundle": str(self.ca_file),
            "endpoints": {"metadata": self.metadata.url, "sts": self.sts.url},
        }

    @property
    def from_cluster(self) -> list[str]:
        """Return the options with which `settings` may stand in a ConfigMap."""
        return ["--allow-host=127.0.0.1", f"--credentials-dir={self.directory}"]

    def document(self) -> dict[str, Any]:
        """Return where everything is; no secret, but the files that hold them."""
        return {
            "openapi": self.openapi.url,
            "sts": self.sts.url,
            "metadata": self.metadata.url,
            "registry": self.registry.address,
            "control": self.control.url,
            "image": self.image,
            "instanceId": self.instance.id,
            "region": self.instance.region,
            "caFile": str(self.ca_file),
            "accessKeyIdFile": str(self.key_id_file),
            "accessKeySecretFile": str(self.key_secret_file),
            "settingsFile": str(self.settings_file),
        }

    def client_context(self) -> ssl.SSLContext:
        """Return a client's TLS context that trusts this sandbox and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._ca.configure_trust(context)
        return context

    def _listener(self, app: App, *, tls: bool) -> Listener:
        return Listener(app, clock=self.clock, faults=self.faults, calls=self.calls, tls=self.tls if tls else None)

    def _server_context(self, names: tuple[str, ...]) -> ssl.SSLContext:
        domains = {domain for endpoint in self.instance.endpoints for domain, _ in endpoint.domains}
        gateways = {f"{host}.{REGION}.aliyuncs.com" for host in ("cr", "cr-vpc", "sts", "sts-vpc")}
        loopback = {*(f"127.0.0.{last}" for last in range(1, 10)), "::1", "localhost"}
        certificate = self._ca.issue_cert(*sorted({*domains, *gateways, "sts.aliyuncs.com", *loopback, *names}))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context

    def _write_files(self) -> None:
        write_private(self.ca_file, self._ca.cert_pem.bytes())
        write_private(self.key_id_file, self.key.id.encode())
        write_private(self.key_secret_file, self.key.secret.encode())
        # JSON is YAML.
        write_private(self.settings_file, (json.dumps(self.settings(), indent=2) + "\n").encode())


def write_private(path: Path, content: bytes) -> None:
    """Write *content* to a new file that only its owner may read, replacing an older one."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
