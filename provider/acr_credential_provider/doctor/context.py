"""What is examined, and what the steps have learnt of it so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.cloud.transport import Transport
from acr_credential_provider.console.checks import SkippedError
from acr_credential_provider.explain import is_of_pods
from acr_credential_provider.fastpath.lookup import API_VERSIONS
from acr_credential_provider.model.deadline import Deadline, Deadlines
from acr_credential_provider.model.image_reference import registry_of, scope_of
from acr_credential_provider.model.protocol import CredentialProviderRequest
from acr_credential_provider.tokens.endpoints import CloudAccess
from acr_credential_provider.tokens.local_state import LocalState
from acr_credential_provider.tokens.token_service import TokenRoute, TokenService

if TYPE_CHECKING:
    from acr_credential_provider.cloud.transport import HttpResponse
    from acr_credential_provider.kubelet.credential_provider_config import Provider
    from acr_credential_provider.kubelet.process import Kubelet
    from acr_credential_provider.settings import ProviderSettings, Registry

    from .token_attributes import PodIdentity

STEP_SECONDS = 15.0
NEEDS_A_POD = (
    "a pod's ServiceAccount asks, and its token is only there when the kubelet pulls for that pod; "
    "--token-file takes one from kubectl create token"
)


class DoctorContext:
    """One *image* ("" for the first entry of the settings), and what the steps have learnt so far.

    *settings* and *cache* hold unless the kubelet gives the plugin other ones. With *wants_kubelet*
    False the node's kubelet is left aside. With a *pod* the pull is for its ServiceAccount, else
    for a static pod. Raises `InvalidImageError`.
    """

    def __init__(
        self, image: str, *, settings: str, cache: str, wants_kubelet: bool = True, pod: PodIdentity | None = None
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
        self.where = scope_of(image) if image else ""
        # What the steps find; each is set before the first step that uses it.
        self.settings: ProviderSettings
        self.cloud: TokenService
        self.registry: Registry
        self.way: TokenRoute | None
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

    def acr(self) -> TokenRoute:
        """Return the way to ACR, or skip what is of it."""
        if self.way is None:
            raise SkippedError("a login needs nothing of ACR's OpenAPI")
        return self.way

    def new_cloud(self, transport: type[Transport] = Transport) -> TokenService:
        """Return a pull's cloud that has kept nothing, with its time before it."""
        deadline = Deadline(STEP_SECONDS)
        access = CloudAccess(Deadlines(deadline, deadline), transport=transport)
        return TokenService(self.settings, self.request(), LocalState.empty(), access)

    def request(self) -> CredentialProviderRequest:
        """Return the question of the pod, or that of a static one: without a ServiceAccount token."""
        image = self.image or f"{self.host}/any"
        if self.pod is None:
            return CredentialProviderRequest(API_VERSIONS[0], image)
        return CredentialProviderRequest(API_VERSIONS[0], image, self.pod.token, self.passed)
