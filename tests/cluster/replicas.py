"""Replicas of the controller's webhook on the loopback, behind one Service, for a real API server to ask."""

from __future__ import annotations

import contextlib
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from acr_credential_provider.pull_secrets.commands.servers import ReplicaServers, Serving
from acr_credential_provider.pull_secrets.kube.client import KubeClient
from acr_credential_provider.pull_secrets.kube.release_owner import ReleaseOwner
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret
from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef
from acr_credential_provider.pull_secrets.serving.default_telemetry import DefaultTelemetry
from acr_credential_provider.pull_secrets.webhook.reconciler import WebhookTimes
from acr_credential_provider.pull_secrets.webhook.registration import ServiceReference
from acr_credential_provider.pull_secrets.webhook.serving_certificates import Lifetimes
from acr_credential_provider.settings.pull_secrets import Admission, PullSecrets

from .kube import KubeError
from .service import Service

if TYPE_CHECKING:
    from types import TracebackType

    from .loopback_api import LoopbackApi

SECRET = "acr-credential-aliyun"
ABOUT = ObjectRef("ConfigMap", "kube-system", "acr-configuration")


@dataclass
class Given:
    """A `PullSecretProvider` of values: everyone gets *content*, except ServiceAccounts named other."""

    admission: Admission = field(default_factory=lambda: Admission(mode="webhook"))
    content: bytes = b'{"auths": {}}'
    is_known: bool = True
    namespaces: tuple[str, ...] = ("*",)

    def pull_secret_for(self, namespace: str, service_account: str, **_: Any) -> PullSecret | None:
        return None if service_account == "other" else PullSecret(SECRET, self.content)

    def knows(self, namespace: str) -> bool:
        return True

    def has_secret(self, namespace: str, name: str) -> bool:
        return False

    def spec(self) -> PullSecrets | None:
        selected = {"namespaces": self.namespaces, "serviceAccounts": ("*",)}
        return PullSecrets.model_validate({**selected, "admission": self.admission}) if self.is_known else None

    def is_ready(self) -> bool:
        return self.is_known


class Core:
    """What *given* is, and what a webhook asks its replica beside that."""

    def __init__(
        self, given: Given, kube: KubeClient, *, about: ObjectRef = ABOUT, leads: bool = True, is_leaving: bool = False
    ) -> None:
        self.pull_secret_for, self.knows = given.pull_secret_for, given.knows
        self.has_secret, self.spec, self.is_ready = given.has_secret, given.spec, given.is_ready
        self.owner = ReleaseOwner(kube, "")
        self.about = lambda: about
        self.is_leader = leads
        self.is_leaving = lambda: is_leaving

    def leads(self) -> bool:
        return self.is_leader

    def health_checks(self) -> dict[str, Any]:
        return {}


@dataclass
class Replica:
    """One of them, at work."""

    operations: ReplicaServers
    core: Core
    telling: DefaultTelemetry
    kube: KubeClient
    webhook: int
    health: int


class Replicas:
    """``with Replicas(api, namespace, given) as replicas``: none yet; `start` them, `stop` them."""

    def __init__(
        self, api: LoopbackApi, namespace: str, given: Given | None = None, *, lives: Lifetimes | None = None
    ) -> None:
        self.given = given or Given()
        self._namespace = namespace
        self._api = api
        self._lives = lives
        self.all: list[Replica] = []

    def __enter__(self) -> Self:
        self._left = contextlib.ExitStack()
        self.service = self._left.enter_context(Service(self._api, self._namespace, "hook"))
        self.where = ServiceReference(self._namespace, "hook", self.service.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in list(self.all):
            self.stop(each)
        self._left.close()
        for path in (CONFIGURATION, f"/api/v1/namespaces/{self._namespace}/secrets/{CERTIFICATES}"):
            delete(self._api, path)

    def start(self, *, is_leader: bool = True, user: str = "admin", group: str | None = "system:masters") -> Replica:
        telling = DefaultTelemetry()
        kube = KubeClient.find(kubeconfig=str(self._api.kubeconfig(user, group=group)), telemetry=telling)
        core = Core(self.given, kube, leads=is_leader)
        times = WebhookTimes(self._lives or Lifetimes(), 0.5)
        operations = ReplicaServers(kube, core, telling, Serving(self.where, "127.0.0.1", 0, 0, times))
        replica = Replica(operations, core, telling, kube, *operations.start())
        self.all.append(replica)
        self.service.ports.append(replica.webhook)
        return replica

    def stop(self, replica: Replica) -> None:
        self.all.remove(replica)
        if replica.webhook in self.service.ports:
            self.service.ports.remove(replica.webhook)
        replica.operations.stop(linger=0)
        replica.kube.close()

    def started(self, count: int) -> Self:
        """Start *count* of them, the first one as leader, and wait until the API server asks them."""
        for number in range(count):
            self.start(is_leader=number == 0)
        wait_until(lambda: find(self._api, CONFIGURATION), "the webhook to be configured")
        wait_until(lambda: all(each.operations.webhook.context() for each in self.all), "certificates")
        self.await_asked()
        return self

    def await_asked(self) -> None:
        """Wait until a new ServiceAccount has the entry: API servers hear of a configuration a moment later."""
        namespace = self._api.namespace(f"probe-{time.monotonic_ns()}")

        def is_asked() -> bool:
            path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
            try:
                made = self._api.create(path, {"metadata": {"generateName": "probe-"}})
            except KubeError as error:
                # With Fail, a machine that is busy refuses it: the Secret was not made within the webhook's timeout.
                if error.status != 503 and "failed calling webhook" not in str(error):
                    raise
                return False
            return bool(made.get("imagePullSecrets"))

        wait_until(is_asked, "the webhook to be asked")


CONFIGURATION = (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/aliyun-acr-credential-provider-pull-secrets"
)
CERTIFICATES = "aliyun-acr-credential-provider-webhook"


def find(api: LoopbackApi, path: str) -> dict[str, Any] | None:
    try:
        return api.get(path)
    except KubeError as error:
        if error.status == 404:
            return None
        raise


def delete(api: LoopbackApi, path: str) -> None:
    if find(api, path) is not None:
        api.request("DELETE", path)


def wait_until(is_so: Any, what: str, *, timeout: float = 60.0) -> None:
    """Wait until *is_so* returns true; raise ``TimeoutError`` that names *what* was waited for."""
    end = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout:.0f} s for {what}")
        time.sleep(0.05)


def accounts(namespace):
    return f"/api/v1/namespaces/{namespace}/serviceaccounts"


def create(api, namespace, name="build", query="", **fields):
    """Create a ServiceAccount and return it as the API server answers."""
    return api.create(accounts(namespace) + query, {"metadata": {"name": name, **fields.pop("metadata", {})}, **fields})


def names(account):
    return [entry["name"] for entry in account.get("imagePullSecrets", [])]


def admissions(replica):
    lines = page(replica, "/metrics")[1].decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("acr_pull_secrets_admissions_total{"))


def page(replica, path):
    """Return status and content of what a replica serves on its health port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{replica.health}{path}", timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
