"""One request of the kubelet as the slow path handles it: parsed, scoped and keyed once."""

from __future__ import annotations

from acr_credential_provider.fastpath.lookup import API_VERSIONS, cache_key

from .image_reference import scope_of
from .protocol import CredentialProviderRequest


class Question:
    """A *request* under the settings at *settings_path*.

    `scope` is its cache scope, and `key` the digest under which its answer is cached. Raises `InvalidImageError`.
    (Not a dataclass: processes that only wait would pay for `inspect`.)
    """

    __slots__ = ("key", "request", "scope", "settings_path")

    def __init__(self, request: CredentialProviderRequest, settings_path: str) -> None:
        self.request = request
        self.settings_path = settings_path
        self.scope = scope_of(request.image)
        self.key = cache_key(settings_path, self.scope, request.subject)

    @classmethod
    def of_node(cls, scope: str, settings_path: str) -> Question:
        """Return the question for any image of *scope*, without a ServiceAccount.

        >>> Question.of_node("a.example.com", "/etc/settings.yaml").request.image
        'a.example.com/any'
        """
        return cls(CredentialProviderRequest(API_VERSIONS[0], f"{scope}/any"), settings_path)
