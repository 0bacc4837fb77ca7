"""The subject of the checks, and the facts that they find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import CheckSkippedError
from acr_credential_provider.explain.candidates import is_for_pods_only
from acr_credential_provider.explain.context import PullContext
from acr_credential_provider.fastpath.lookup import API_VERSIONS
from acr_credential_provider.model.deadline import Deadline, Deadlines
from acr_credential_provider.model.protocol import CredentialProviderRequest
from acr_credential_provider.tokens.endpoints import CloudAccess
from acr_credential_provider.tokens.local_state import LocalState
from acr_credential_provider.tokens.token_service import TokenService

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_credential_provider.cloud.transport import HttpResponse
    from acr_credential_provider.kubelet.credential_provider_config import Provider
    from acr_credential_provider.kubelet.process import Kubelet
    from acr_credential_provider.tokens.endpoints import EndpointResolver

CHECK_SECONDS = 15.0
"""For the cloud in one check."""
NEEDS_A_POD = (
    "only a pod's ServiceAccount may ask, and its token exists only while the kubelet pulls for that pod; "
    "--token-file takes one from kubectl create token"
)


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """The ServiceAccount that a pull is tried for: its *token*, as the kubelet would request it, and *annotations*."""

    token: str = field(repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict)


class DoctorContext(PullContext):
    """One *image* ("" for the first registry entry), and the facts that the checks find.

    *settings_path* and *cache* hold unless the kubelet gives the plugin other ones. With *use_kubelet* False the
    node's kubelet is left aside. With a *pod* the pull is for its ServiceAccount, else for a static pod.
    """

    # Each is set before the first check that uses it.
    responses: list[HttpResponse]
    """ACR's answers."""
    login: tuple[str, str]

    def __init__(
        self, image: str, *, settings_path: str, cache: str, use_kubelet: bool = True, pod: PodIdentity | None = None
    ) -> None:
        super().__init__(image, settings_path=settings_path, cache=cache)
        self.use_kubelet = use_kubelet
        self.pod = pod
        self.annotations: Mapping[str, str] = pod.annotations if pod else {}
        """Those that the kubelet forwards."""
        self.environment: dict[str, str] = {}
        """Of the plugin, below the kubelet."""
        self.known_kubelet: Kubelet | None = None
        self.known_provider: Provider | None = None
        self.matching_providers: list[Provider] = []
        self.other_providers: list[Provider] = []

    @property
    def kubelet(self) -> Kubelet:
        """The node's kubelet; raises `CheckSkippedError`."""
        if self.known_kubelet is None:
            raise CheckSkippedError("no kubelet")
        return self.known_kubelet

    @property
    def provider(self) -> Provider:
        """The kubelet's provider that is run for the image; raises `CheckSkippedError`."""
        if self.known_provider is None:
            raise CheckSkippedError("no kubelet")
        return self.known_provider

    @property
    def is_pod_missing(self) -> bool:
        """True if only a pod's token gets any further."""
        return is_for_pods_only(self.registry) and self.pod is None

    def skip_without_pod(self, hint: str = "") -> None:
        """Raise `CheckSkippedError` if only a pod's token gets any further."""
        if self.is_pod_missing:
            raise CheckSkippedError(NEEDS_A_POD + hint)

    def token_service(self) -> TokenService:
        """Return a pull's token service with an empty cache and its whole time left."""
        deadline = Deadline(CHECK_SECONDS)
        return TokenService(
            self.settings, self.request(), LocalState.empty(), CloudAccess(Deadlines(deadline, deadline))
        )

    def endpoints(self) -> EndpointResolver:
        """Return a pull's way to the cloud, with its whole time left."""
        return self.token_service().endpoints

    def request(self) -> CredentialProviderRequest:
        """Return the request for the pod, or for a static one: without a ServiceAccount token."""
        image = self.image or f"{self.host}/any"
        if self.pod is None:
            return CredentialProviderRequest(API_VERSIONS[0], image)
        return CredentialProviderRequest(API_VERSIONS[0], image, self.pod.token, dict(self.annotations))
