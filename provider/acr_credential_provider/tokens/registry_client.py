"""ACR's API for one registry entry, as the identity of one request."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from acr_credential_provider.cloud.acr import AcrApi
from acr_credential_provider.cloud.acr_personal_edition import personal_token
from acr_credential_provider.fastpath.cpython import hexdigest
from acr_credential_provider.fastpath.response_cache import file_fingerprint
from acr_credential_provider.model.cloud_credential import FixedCredential
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import IdentityUnavailableError, RegistryRefusedError, RoleRefusedError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.sources.factory import create_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.cloud.imds import Imds
    from acr_credential_provider.cloud.sts import StsApi
    from acr_credential_provider.model.authorization_token import AuthorizationGrant
    from acr_credential_provider.model.cloud_credential import CloudCredential
    from acr_credential_provider.model.protocol import CredentialProviderRequest
    from acr_credential_provider.settings import Registry

    from .endpoints import EndpointResolver
    from .local_state import LocalState
    from .sts_session_cache import StsSessionCache

Result = TypeVar("Result")

HOUR = 3600.0
MOST_HOURS = 24


class RegistryClient:
    """ACR's API for *registry*, as its identity is for *request*; the `CloudServices` of that identity's source.

    `source`, `principal` and `fingerprints` (of the source's files) are made once. Raises `CredentialProviderError`
    where the request must be refused, before any call.
    """

    def __init__(
        self,
        registry: Registry,
        request: CredentialProviderRequest | None,
        *,
        endpoints: EndpointResolver,
        sessions: StsSessionCache,
        state: LocalState,
    ) -> None:
        self.registry = registry
        self._endpoints = endpoints
        self._sessions = sessions
        self._state = state
        self._seconds = math.inf
        self.source = create_source(registry.identity, registry.assume_role, cloud=self, forbidden=state.forbidden)
        principal = self.source.principal(request)
        if principal is None:
            raise IdentityUnavailableError(
                f"the identity of {display_name(registry)} ({registry.identity.kind}) does not apply to this request",
                remedy=Remedy("IdentityDoesNotApply", "Choose another identity for that registry in the settings."),
            )
        self.principal = principal
        self.fingerprints = tuple(file_fingerprint(path) for path in self.source.files())

    def key(self, what: str) -> str:
        """Return the name of *what* this registry gives this identity on this machine."""
        registry = self.registry
        details = repr((registry.token_duration, registry.refresh_before, registry.acr_endpoint, registry.network))
        region = registry.region or "own"
        parts = (what, registry.instance_id, region, details, self.principal.key, self._state.machine)
        return hexdigest("\n".join((*parts, *self.fingerprints)))

    def grant(self, seconds: float = math.inf) -> AuthorizationGrant:
        """Return a new login from ACR, which has *seconds* for each call; raise `CredentialProviderError`."""
        instance = self.registry.instance_id
        if not instance:
            return self._call("token", seconds, lambda: personal_token(**self._options()))
        hours = _hours(self.registry)
        return self._call(
            "token", seconds, lambda: AcrApi(**self._options()).authorization_token(instance, hours=hours)
        )

    def domains(self, seconds: float) -> tuple[str, ...]:
        """Return the hosts that ACR lists for the instance; as `grant`."""
        instance = self.registry.instance_id
        return self._call("domains", seconds, lambda: AcrApi(**self._options()).registry_domains(instance))

    def metadata(self, *, allow_v1: bool) -> Imds:
        """Return the metadata service of this node."""
        return self._endpoints.metadata(self._seconds, allow_v1=allow_v1)

    def sts(self, named: str = "") -> StsApi:
        """Return STS: where the settings say, else at *named*, else the nearest."""
        return self._endpoints.sts(self.registry, named, self._seconds)

    def session(self, key: str, fetch: Callable[[], CloudCredential]) -> CloudCredential:
        """Return the cached session *key*, or the result of *fetch*."""
        return self._sessions.get_or_fetch(key, fetch)

    def _call(self, what: str, seconds: float, call: Callable[[], Result]) -> Result:
        """Return the result of *call* through the failure cache; sessions that were refused are not used again."""
        self._seconds = seconds
        try:
            return self._state.failures.run(self.key(what), call)
        except (RegistryRefusedError, RoleRefusedError):
            self._sessions.invalidate()
            raise

    def _options(self) -> dict[str, Any]:
        """Return the arguments that the APIs of both editions take."""
        region = self._endpoints.region(self.registry)
        credential = self.source.find(self.principal)
        return {
            "transport": self._endpoints.transport(self._seconds),
            "credentials": FixedCredential(credential),
            "region": region,
            "endpoints": self._endpoints.acr(self.registry, region),
        }


def _hours(registry: Registry) -> int:
    """Return the life to ask for in hours: as set, else that of the last session, with which the token ends anyway."""
    session = registry.assume_role[-1] if registry.assume_role else registry.identity
    seconds = registry.token_duration or session.session_duration or HOUR
    return min(math.ceil(seconds / HOUR), MOST_HOURS)
