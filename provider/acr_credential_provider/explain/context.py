"""One image, and the facts about its pull that checks find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import CheckSkippedError
from acr_credential_provider.model.image_reference import registry_of, scope_of
from acr_credential_provider.settings.loader import load

if TYPE_CHECKING:
    from acr_credential_provider.settings import Identity, ProviderSettings, Registry
    from acr_credential_provider.tokens.token_service import TokenRoute


class PullContext:
    """One *image* ("": none); checks set the members ``known_...``, the properties skip the checks that come too early.

    Raises `InvalidImageError`.
    """

    def __init__(self, image: str, *, settings_path: str, cache: str) -> None:
        self.image = image
        self.host = registry_of(image) if image else ""
        self.scope = scope_of(image) if image else ""
        self.settings_path = settings_path
        self.cache = cache
        self.known_settings: ProviderSettings | None = None
        self.known_registry: Registry | None = None
        self.known_route: TokenRoute | None = None

    @property
    def settings(self) -> ProviderSettings:
        """The settings; raises `CheckSkippedError`."""
        if self.known_settings is None:
            raise CheckSkippedError("no usable settings")
        return self.known_settings

    @property
    def registry(self) -> Registry:
        """The registry entry of the image; raises `CheckSkippedError`."""
        if self.known_registry is None:
            raise CheckSkippedError("no registry entry is known")
        return self.known_registry

    @property
    def route(self) -> TokenRoute:
        """How a token is got from ACR; raises `CheckSkippedError`."""
        if not self.registry.identity.traits.asks_cloud:
            raise CheckSkippedError("a login in files needs nothing of ACR's API")
        if self.known_route is None:
            raise CheckSkippedError("the region is not known")
        return self.known_route

    @property
    def pod_identity(self) -> Identity:
        """The identity of the registry entry, if it is pods' own; raises `CheckSkippedError`."""
        identity = self.registry.identity
        if not identity.traits.is_of_pods:
            raise CheckSkippedError(f"not needed by the identity {identity.kind}")
        return identity


def load_settings(context: PullContext) -> str:
    """Load the settings as a pull does."""
    context.known_settings = load(context.settings_path)
    return f"{context.settings_path}, {len(context.settings.registries)} registries"
