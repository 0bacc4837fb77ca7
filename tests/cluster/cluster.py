"""The cluster as scenarios use it: instances of the cloud, settings of the plugin, pods, and what became of them."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from sandbox import AcrSandbox
from sandbox.oci import OciImage, runnable_image
from sandbox.server import write_private
from sandbox.state import Instance, Principal
from support import harness

from . import control_plane
from .node import ADDRESS, NAME, Node
from .pki import Pki
from .worker import ContainerRuntime, Kubelet

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from sandbox.state import AccessKey

BUNDLE = harness.FROZEN.parent
REGION = "cn-hangzhou"
REGISTRY_PORT = 5000
ADDRESSES = [f"127.0.1.{last}" for last in range(1, 250)]
PODS = "/api/v1/namespaces/default/pods"
IMAGE_GIVEN_UP = ("ErrImagePull", "ImagePullBackOff")


class NotPulledError(AssertionError):
    """A pod's image did not come; the text is what its events say."""


@dataclass(frozen=True)
class Shop:
    """An Enterprise Edition instance with a registry on the node, and an access key for it."""

    instance: Instance
    key: AccessKey
    key_files: tuple[Path, Path]

    @property
    def id(self) -> str:
        return self.instance.id

    @property
    def hosts(self) -> list[str]:
        """Its system domains, public first."""
        return [domain for endpoint in self.instance.endpoints for domain, _ in endpoint.domains]

    def image(self, repository: str, host: str | None = None) -> str:
        return f"{host or self.hosts[0]}/{repository}:latest"

    def digest(self, repository: str) -> str:
        return self.instance.images[repository].digest


class Cluster:
    """One node with everything on it, up: ``with Cluster(logs=folder) as cluster: ...``.

    What containers wrote and what the services logged is in *logs*. `sandbox` is the cloud.
    """

    def __init__(self, *, logs: Path) -> None:
        self.logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        for old in logs.glob("*.log"):
            old.unlink()

    def __enter__(self) -> Self:
        self._left = contextlib.ExitStack()
        try:
            self._enter()
        except BaseException:
            self._left.close()
            raise
        return self

    def _enter(self) -> None:
        began = time.monotonic()
        self.sandbox = self._left.enter_context(AcrSandbox(names=(ADDRESS, *ADDRESSES)))
        self.node = self._left.enter_context(Node())
        self.sandbox.listen_in(self.node)
        self._addresses = iter(ADDRESSES)
        self._numbers = itertools.count(1)

        self._plugin = self.node.folder / "plugin"
        self._plugin.mkdir(mode=0o700)
        self.settings_file = self._plugin / "settings.yaml"
        self.plugin_cache = self._plugin / "cache"
        arguments = ("--settings", str(self.settings_file), "--cache", str(self.plugin_cache))

        self.pki = pki = Pki(self.node.folder / "pki")
        self.runtime = ContainerRuntime(self.node, self.logs)
        self.api = control_plane.start(self.node, pki, self.logs)
        self.kubelet = Kubelet(self.node, pki, control_plane.SERVER, self.logs, arguments=arguments)
        self.plugin = self.kubelet.install(BUNDLE)
        self.kubelet.use_plugin(self.plugin)
        self.kubelet.start()
        self._await_node()
        self.seconds_to_start = time.monotonic() - began

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.close()

    def _await_node(self, timeout: float = 60.0) -> None:
        def is_ready() -> bool:
            node = self.api.find(f"/api/v1/nodes/{NAME}") or {"status": {}, "spec": {}}
            conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", [])}
            return conditions.get("Ready") == "True" and not node["spec"].get("taints")

        wait_until(is_ready, timeout=timeout, what="the node to be ready")

    def next_number(self) -> int:
        """Return a number that was not used before, for names."""
        return next(self._numbers)

    # The cloud.
    def open_shop(
        self, name: str, *repositories: str, principal: Principal | None = None, public: tuple[str, ...] = ()
    ) -> Shop:
        """Add an instance *name* with runnable images in *repositories*, reachable by its domains."""
        number = self.next_number()
        principal = principal or Principal(f"user-{number}")
        instance = Instance.usual(f"cri-{name}{number}", name=f"{name}{number}", region=REGION)
        images: dict[str, OciImage] = {each: runnable_image(f"{instance.name}/{each}") for each in repositories}
        instance = replace(instance, repositories=tuple(images), images=images, public=public)
        key = self.sandbox.state.add_key(principal)
        shop = Shop(instance, key, self._write_key(f"key-{number}", key))
        address = next(self._addresses)
        self.node.call(lambda: self.sandbox.registry.listen(address, REGISTRY_PORT))
        self.sandbox.state.add_instance(instance, f"{address}:{REGISTRY_PORT}")
        for host in shop.hosts:
            self.map_host(host, shop)
        return shop

    def map_host(self, host: str, shop: Shop) -> None:
        """Let the container runtime find *host* at *shop*'s registry."""
        address = next(known for known in self.sandbox.state.addresses_of(shop.id) if known.startswith("127."))
        self.runtime.map_host(host, f"https://{address}", ca_file=self.sandbox.ca_file)

    def calls(self, operation: str, shop: Shop) -> list[Any]:
        """Return the calls of *operation* about *shop*, oldest first."""
        return [call for call in self.sandbox.calls.all(operation) if call.instance_id == shop.id]

    def tokens_asked(self, shop: Shop) -> int:
        return len(self.calls("GetAuthorizationToken", shop))

    # The plugin.
    def write_settings(self, *registries: dict[str, Any], max_cache_duration: str = "5m", **more: Any) -> None:
        """Write the plugin's settings, as an operator does: whole, by rename."""
        document = self.sandbox.settings()
        document.update(registries=list(registries), maxCacheDuration=max_cache_duration, **more)
        # The metadata service is where it is in life.
        document["endpoints"] = {"sts": self.sandbox.sts.url}
        new = self._plugin / "settings.new"
        write_private(new, json.dumps(document, indent=2).encode())
        new.replace(self.settings_file)

    def entry(self, shop: Shop, *domains: str, **more: Any) -> dict[str, Any]:
        """Return the settings for *shop*; its hosts are those that ACR lists unless *domains* are given."""
        names = ("accessKeyIdFile", "accessKeySecretFile")
        return {
            "instanceId": shop.id,
            "region": REGION,
            "domains": list(domains),
            "identity": {"kind": "accessKey", **dict(zip(names, map(str, shop.key_files), strict=True))},
            "endpoints": {"acr": self.sandbox.openapi.url},
            **more,
        }

    def _write_key(self, name: str, key: AccessKey) -> tuple[Path, Path]:
        files = self._plugin / f"{name}.id", self._plugin / f"{name}.secret"
        for path, content in zip(files, (key.id, key.secret), strict=True):
            write_private(path, content.encode())
        return files

    # Pods.
    def start_pod(self, image: str, *, policy: str = "Always", **spec: Any) -> str:
        """Create a pod of *image* (pulled even if it is here, unless *policy* says otherwise) and return its name."""
        name = f"pod-{self.next_number()}"
        self.api.create(PODS, _pod(name, image, policy, {"automountServiceAccountToken": False, **spec}))
        return name

    def start_static_pod(self, image: str) -> str:
        """Let the kubelet run a pod of *image* by itself, as it runs a control plane; return what the API calls it.

        `delete_pods` ends it too.
        """
        name = f"static-{self.next_number()}"
        manifest = self.kubelet.static_pods / f".{name}"  # the kubelet leaves files with a dot alone
        manifest.write_text(json.dumps(_pod(name, image, "Always", {})))
        manifest.rename(manifest.with_name(f"{name}.yaml"))
        mirror = f"{name}-{NAME}"
        wait_until(lambda: self.api.find(f"{PODS}/{mirror}"), timeout=40, what=f"the kubelet to see {name}")
        return mirror

    def digest_of(self, pod: str, *, timeout: float = 60.0, patient: bool = False) -> str:
        """Wait until *pod* runs; return the digest of what was pulled for it.

        Raises `NotPulledError` when the image does not come; a *patient* caller waits on
        while the kubelet tries again.
        """
        seen: dict[str, Any] = {}

        def runs() -> bool:
            seen.update(self.state(pod))
            if not patient and seen.get("waiting", {}).get("reason") in IMAGE_GIVEN_UP:
                raise NotPulledError(self.events(pod))
            return "running" in seen

        try:
            wait_until(runs, timeout=timeout, what=f"{pod} to run")
        except TimeoutError as error:
            raise NotPulledError(f"{error}; it is {seen}; {self.events(pod)}") from None
        return seen["imageID"].rpartition("@")[2]

    def pull(self, image: str, *, timeout: float = 60.0, **spec: Any) -> str:
        """Start a pod of *image* and return the digest of what was pulled for it; raise `NotPulledError`."""
        return self.digest_of(self.start_pod(image, **spec), timeout=timeout)

    def refusal(self, pod: str, *, timeout: float = 60.0) -> str:
        """Wait until *pod*'s image was refused; return what its events say."""
        try:
            self.digest_of(pod, timeout=timeout)
        except NotPulledError:
            pass
        else:
            raise AssertionError(f"{pod} runs, but its image should have been refused")
        wait_until(lambda: "Failed to pull image" in self.events(pod), timeout=10, what="the event")
        return self.events(pod)

    def state(self, pod: str) -> dict[str, Any]:
        """Return the state of *pod*'s container ({"running": ...}, {"waiting": ...}) and its imageID."""
        statuses = self.api.get(f"{PODS}/{pod}")["status"].get("containerStatuses", [])
        return {**statuses[0]["state"], "imageID": statuses[0].get("imageID", "")} if statuses else {}

    def events(self, pod: str) -> str:
        found = self.api.get("/api/v1/namespaces/default/events", fieldSelector=f"involvedObject.name={pod}")
        return "\n".join(f"{each['reason']}: {each.get('message')}" for each in found["items"])

    def delete_pods(self) -> None:
        """Remove all pods at once, and wait until they are gone."""
        for manifest in self.kubelet.static_pods.iterdir():
            manifest.unlink()
        wait_until(self._no_pod_is_left, timeout=60, what="the pods to go")

    def _no_pod_is_left(self) -> bool:
        left = self.api.get(PODS)["items"]
        for each in left:
            self.api.delete(f"{PODS}/{each['metadata']['name']}", gracePeriodSeconds="0")
        return not left

    # The kubelet.
    def kubelet_log(self, since: int = 0) -> str:
        with self.kubelet.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    @property
    def now_in_kubelet_log(self) -> int:
        """A place in the kubelet's log, for `kubelet_log`."""
        return self.kubelet.log.stat().st_size


def _pod(name: str, image: str, policy: str, spec: dict[str, Any]) -> dict[str, Any]:
    container = {"name": "app", "image": image, "imagePullPolicy": policy}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def wait_until(is_so: Any, *, timeout: float, what: str) -> None:
    """Wait until *is_so* returns true; raise ``TimeoutError`` that names *what* was waited for."""
    end = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout:.0f} s for {what}")
        time.sleep(0.2)
