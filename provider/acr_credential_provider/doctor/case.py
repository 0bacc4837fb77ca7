"""What is examined, and what the steps have learnt of it so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.asking import Cloud, Way
from acr_credential_provider.cloud.transport import Transport
from acr_credential_provider.deadline import Deadline
from acr_credential_provider.explain import NOWHERE, is_of_pods
from acr_credential_provider.findings import SkippedError
from acr_credential_provider.hit import API_VERSIONS
from acr_credential_provider.image import place_of, registry_of
from acr_credential_provider.locks import Locks
from acr_credential_provider.memo import Memos
from acr_credential_provider.protocol import CredentialProviderRequest
from acr_credential_provider.reach import Tools
from acr_credential_provider.store import Store

if TYPE_CHECKING:
    from acr_credential_provider.cloud.transport import HttpResponse
    from acr_credential_provider.kubelet_flags import Kubelet, Provider
    from acr_credential_provider.settings import ProviderSettings, Registry

    from .pod_tokens import Pod

STEP_SECONDS = 15.0
NEEDS_A_POD = (
    "a pod's ServiceAccount asks, and its token is only there when the kubelet pulls for that pod; "
    "--token-file takes one from kubectl create token"
)


class Case:
    """One *image* ("" for the first entry of the settings), and what the steps have learnt so far.

    *settings* and *cache* hold unless the kubelet gives the plugin other ones. With *wants_kubelet*
    False the node's kubelet is left aside. With a *pod* the pull is for its ServiceAccount, else
    for a static pod. Raises `InvalidImageError`.
    """

    def __init__(
        self, image: str, *, settings: str, cache: str, wants_kubelet: bool = True, pod: Pod | None = None
    ) -> None:
        self.image = image
        self.pod = pod
        self.passed: dict[str, str] = dict(pod.annotations) if pod else {}
        self.settings_path = settings
        self.cache = cache
        self.wants_kubelet = wants_kubelet
        self.kubelet: Kubelet | None = None
        self.provider: Provider | None = None
        self.environment: dict[str, str] = {}
        self.ours: list[Provider] = []
        self.others: list[Provider] = []
        self.host = registry_of(image) if image else ""
        self.where = place_of(image) if image else ""
        # What the steps find; each is set before the first step that uses it.
        self.settings: ProviderSettings
        self.cloud: Cloud
        self.registry: Registry
        self.way: Way | None
        self.answers: list[HttpResponse]
        self.login: tuple[str, str]

    def seen_kubelet(self) -> Kubelet:
        """Return the kubelet, or skip what is of it."""
        if self.kubelet is None:
            raise SkippedError("no kubelet")
        return self.kubelet

    def our_provider(self) -> tuple[Kubelet, Provider]:
        """Return the kubelet and our provider there, or skip what is of them."""
        if self.kubelet is None or self.provider is None:
            raise SkippedError("no kubelet")
        return self.kubelet, self.provider

    def needs_pod(self) -> bool:
        """Say whether only a pod's token could take this step."""
        return is_of_pods(self.registry) and self.pod is None

    def acr(self) -> Way:
        """Return the way to ACR, or skip what is of it."""
        if self.way is None:
            raise SkippedError("a login needs nothing of ACR's OpenAPI")
        return self.way

    def new_cloud(self, transport: type[Transport] = Transport) -> Cloud:
        """Return a pull's cloud that has kept nothing, with its time before it."""
        deadline = Deadline(STEP_SECONDS)
        tools = Tools(
            settings_path=self.settings_path,
            store_folder=NOWHERE,
            memos=Memos(NOWHERE),
            locks=Locks(NOWHERE),
            deadline=deadline,
            patience=deadline,
            say_stage=str,
            transport=transport,
        )
        return Cloud(self.settings, request=self.request(), store=Store(NOWHERE), machine="", tools=tools)

    def request(self) -> CredentialProviderRequest:
        """Return the question of the pod, or that of a static one: without a ServiceAccount token."""
        image = self.image or f"{self.host}/any"
        if self.pod is None:
            return CredentialProviderRequest(API_VERSIONS[0], image)
        return CredentialProviderRequest(API_VERSIONS[0], image, self.pod.token, self.passed)
