"""Replicas of the pull-secrets controller for tests, and what they work with in place of a cloud."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from acr_credential_provider.model.authorization_token import AuthorizationGrant
from acr_credential_provider.pull_secrets.config.options import Options
from acr_credential_provider.pull_secrets.kube.client import KubeClient
from acr_credential_provider.pull_secrets.kube.informer import Times
from acr_credential_provider.pull_secrets.kube.leader_election import LeaseTimes
from acr_credential_provider.pull_secrets.model.telemetry import Telemetry
from acr_credential_provider.pull_secrets.reconcile.controller import Controller
from acr_credential_provider.pull_secrets.tokens.token_cache import Fetched
from acr_credential_provider.pull_secrets.tokens.token_fetcher import TokenFetcher

from support.own_account import own_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.loopback_api import LoopbackApi
    from sandbox import AcrSandbox

PATIENCE = 60.0
"""Seconds for what takes tenths of one on an idle machine."""
LEASE = LeaseTimes(3.0, 2.0, 0.3)
SILENCE = 3.0
_LEFT: list[KubeClient] = []
"""Connections of controllers that were stopped: their watches end only when they are silent for long enough."""


class Bank:
    """A cloud by count: each login it grants is another one, for *life* seconds, or as `lives` says of the instance.

    `refused` holds the instances that it has an error for instead.
    """

    read_login = staticmethod(TokenFetcher.read_login)

    def __init__(self, life: float = 3600.0) -> None:
        self.life = life
        self.lives: dict[str, float] = {}
        self.granted: Counter[str] = Counter()
        self.refused: dict[str, Exception] = {}
        self._lock = threading.Lock()

    def fetch(self, settings: Any, registry: Any, *, known: tuple[str, ...]) -> Fetched:
        name = registry.instance_id or "personal"
        with self._lock:
            if name in self.refused:
                raise self.refused[name]
            self.granted[name] += 1
            login = f"{name}-{self.granted[name]}"
        host = f"{name}-registry.{registry.region}.cr.aliyuncs.com"
        return Fetched(
            AuthorizationGrant("cr_temp_user", login, self.lives.get(name, self.life)), registry.region, (host,)
        )


class Record(Telemetry):
    """Remembers what a replica tells."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.writes: Counter[tuple[str, str, str]] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.ends: Counter[tuple[str, str]] = Counter()
        self.outcomes: list[str] = []
        self.edits: Counter[tuple[str, str]] = Counter()
        self.looks = 0
        """How many rounds came as far as to tell of the tokens."""
        self.renewals: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def tokens(self, states):
        self.looks += 1

    def renewed(self, entry):
        self.renewals[entry] += 1

    def renewal_failed(self, entry, reason):
        self.failures[entry] += 1

    def event(self, about, reason, message, *, is_warning=True):
        self.events.append((f"{about.kind} {about.namespace}/{about.name}", reason, message))

    def wrote(self, kind, verb, outcome):
        self.writes[kind, verb, outcome] += 1

    def called(self, verb, resource, code, seconds):
        self.calls[verb, resource] += 1

    def watch_ended(self, resource, why):
        self.ends[resource, why] += 1

    def configuration(self, outcome, *, problems):
        self.outcomes.append(outcome)

    def edited(self, outcome, loss):
        self.edits[outcome, loss] += 1

    def reasons(self) -> set[str]:
        return {reason for _, reason, _ in self.events}

    def done(self) -> int:
        """Return how many writes there were."""
        return sum(count for (_, _, outcome), count in self.writes.items() if outcome == "ok")


class Clock:
    """Local time that can be moved."""

    def __init__(self) -> None:
        self.moved = 0.0

    def __call__(self) -> float:
        return time.time() + self.moved


@contextlib.contextmanager
def replica(
    api: LoopbackApi,
    namespace: str,
    *,
    fetch: Any,
    record: Record | None = None,
    name: str = "one",
    times: Times = Times(silence=SILENCE),  # noqa: B008 - a value
    clock: Callable[[], float] = time.time,
    url: str = "",
    user: tuple[str, str | None] | None = None,
    secrets: tuple[str, ...] = (),
    **options: Any,
) -> Iterator[Controller]:
    """Run a controller whose own namespace is *namespace*; its configuration is a ConfigMap there.

    It signs in as *user* (name and group), by default as a ServiceAccount of its own with the rights of the manifests,
    for Secrets of the usual names and those in *secrets*. *url* is where it finds the API server, if that is not where
    it is.
    """
    record = record or Record()
    if user is None:
        names = {f"acr-credential-{namespace.removesuffix('-controller')}", "acr-credential-aliyun", *secrets}
        account = own_account(
            api, namespace, names, take_over=bool(options.get("take_over")), owner=options.get("owner", "")
        )
        kubeconfig = api.kubeconfig_of(namespace, account)
    else:
        kubeconfig = api.kubeconfig(user[0], group=user[1])
    if url:
        document = json.loads(kubeconfig.read_text())
        document["clusters"][0]["cluster"]["server"] = url
        kubeconfig = kubeconfig.with_suffix(f".{name}")
        kubeconfig.write_text(json.dumps(document))
    kube = KubeClient.find(kubeconfig=str(kubeconfig), telemetry=record)
    defaults = {"config_map": (namespace, "acr-configuration"), "tick": 0.5, "lease": LEASE, "token_mode": "workerRole"}
    controller = Controller(
        kube,
        Options(namespace=namespace, watch=times, **{**defaults, **options}),
        identity=name,
        source=fetch,
        clock=clock,
    )
    controller.start()
    try:
        yield controller
    finally:
        controller.stop()
        _LEFT.append(kube)


def reap() -> None:
    """Wait until no thread of a stopped controller is left, and close what they used."""
    for thread in threading.enumerate():
        if thread.name.startswith(("watch ", "worker ", "rounds", "token")):
            thread.join(30.0)
    while _LEFT:
        _LEFT.pop().close()


class Team:
    """What an operator and a team see of the cluster, in namespaces that begin with *prefix*."""

    def __init__(self, api: LoopbackApi, prefix: str) -> None:
        self.api = api
        self.prefix = prefix
        self.own = api.namespace(f"{prefix}-controller")
        # One cluster for all tests: what another test's controller left must not count as left by this one's.
        self.name = f"acr-credential-{prefix}"

    def open(self, name: str, *accounts: str, **labels: str) -> str:
        """Make a namespace with *accounts* (default: the default one)."""
        full = f"{self.prefix}-{name}"
        self.api.create("/api/v1/namespaces", {"metadata": {"name": full, "labels": labels}})
        for each in accounts or ("default",):
            self.account(full, each)
        return full

    def account(self, namespace: str, name: str, *secrets: str, **metadata: Any) -> None:
        body: dict[str, Any] = {"metadata": {"name": name, **metadata}}
        if secrets:
            body["imagePullSecrets"] = [{"name": each} for each in secrets]
        self.api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", body)

    def configure(self, text: str | None = None, **sections: Any) -> None:
        """Write the configuration: *text* as it is, or native settings with two instances."""
        path = f"/api/v1/namespaces/{self.own}/configmaps"
        data = {"settings.yaml": text if text is not None else self.native(**sections)}
        body = {"metadata": {"name": "acr-configuration"}, "data": data}
        if self.find(f"{path}/acr-configuration") is None:
            self.api.create(path, body)
        else:
            self.api.request("PUT", f"{path}/acr-configuration", body)

    def configure_for(self, sandbox: AcrSandbox) -> None:
        """Write native settings with the sandbox's instance."""
        document = json.loads(self.native())
        self.configure(json.dumps({**sandbox.settings(), "pullSecrets": document["pullSecrets"]}))

    def native(self, **sections: Any) -> str:
        """Return native settings for all namespaces but the controller's own."""
        return json.dumps(settings(f"{self.prefix}-*", **{"secretName": self.name, **sections}))

    def find(self, path: str) -> dict[str, Any] | None:
        from cluster.kube import KubeError

        try:
            return self.api.get(path)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def secret(self, namespace: str, name: str = "") -> dict[str, Any] | None:
        return self.find(f"/api/v1/namespaces/{namespace}/secrets/{name or self.name}")

    def passwords(self, namespace: str, name: str = "") -> dict[str, str]:
        """Return the password by host, nothing where there is no Secret."""
        found = self.secret(namespace, name)
        if found is None:
            return {}
        auths = json.loads(base64.b64decode(found["data"][".dockerconfigjson"])).get("auths", {})
        return {host: base64.b64decode(auth["auth"]).decode().partition(":")[2] for host, auth in auths.items()}

    def pull_secrets(self, namespace: str, account: str = "default") -> list[str]:
        found = self.api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}")
        return [each["name"] for each in found.get("imagePullSecrets", [])]

    def shared(self) -> dict[str, Any] | None:
        return self.secret(self.own, "aliyun-acr-credential-provider-tokens")

    def forget_tokens(self) -> None:
        """Delete the Secret with the living tokens, as somebody who tidies up would."""
        self.api.request("DELETE", f"/api/v1/namespaces/{self.own}/secrets/aliyun-acr-credential-provider-tokens")


ONE, TWO = "cri-0000000000000001", "cri-0000000000000002"
HOSTS = {each: f"{each}-registry.cn-hangzhou.cr.aliyuncs.com" for each in (ONE, TWO)}


def settings(*namespaces: str, instances: tuple[str, ...] = (ONE, TWO), **pull_secrets: Any) -> dict[str, Any]:
    """Return native settings for *instances*."""
    role = {"kind": "nodeRole"}
    return {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [{"instanceId": each, "region": "cn-hangzhou", "identity": role} for each in instances],
        "pullSecrets": {
            "namespaces": list(namespaces),
            "excludedNamespaces": ["*-controller"],
            "serviceAccounts": ["*"],
            **pull_secrets,
        },
    }


def eventually(check: Callable[[], Any], *, within: float = PATIENCE) -> Any:
    """Return what *check* returns as soon as it is true; fail after *within* seconds."""
    end = time.monotonic() + within
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"not within {within:.0f} s"
        time.sleep(0.05)


def stays(check: Callable[[], Any], *, seconds: float) -> None:
    """Fail if *check* is not true at any look within *seconds*."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert check()
        time.sleep(0.1)


class Cable:
    """A way to the API server that can be cut as networks are cut: nothing more comes, and nobody says so."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)

    def __enter__(self) -> Self:
        import socket

        self._is_open = True
        self._cut: set[int] = set()
        self._pairs: list[tuple[Any, Any]] = []
        self._count = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        import socket

        self.close()
        self._is_open = False
        for pair in self._pairs:
            for each in pair:  # whoever reads from it wakes up and closes it
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no new connections."""
        import socket

        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Let no byte through any more on the connections there are; new ones work."""
        self._cut = set(range(self._count))

    def _accept(self) -> None:
        import socket

        while self._is_open:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            number, self._count = self._count, self._count + 1
            self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(number, source, sink), daemon=True).start()

    def _carry(self, number: int, source: Any, sink: Any) -> None:
        try:
            while data := source.recv(65536):
                if number in self._cut:
                    continue  # swallowed; neither side learns of it
                sink.sendall(data)
        except OSError:
            pass
        if number not in self._cut or not self._is_open:
            for each in (source, sink):
                with contextlib.suppress(OSError):
                    each.close()
