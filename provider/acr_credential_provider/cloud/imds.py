"""The ECS instance metadata service (IMDS): the node's region, its RAM role, and that role's sessions."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

from acr_credential_provider.model.acr_hosts import is_region
from acr_credential_provider.model.errors import CloudUnreachableError, DeadlineExceededError, IdentityUnavailableError
from acr_credential_provider.model.remedy import Remedy

from .responses import parse_session, server_time
from .retry import call_with_retry
from .transport import METADATA_HOST, HttpRequest
from .transport_errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.model.cloud_credential import CloudCredential

    from .transport import HttpResponse, Transport

_TOKEN_TTL = 300  # seconds; when it is refused, the next one is fetched
_ROLES = "/latest/meta-data/ram/security-credentials/"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CODE = re.compile(r"[A-Za-z]{1,40}")
_TOKEN = re.compile(r"[!-~]{1,4096}")  # printable ASCII without spaces: it goes into a header
_LONGEST_SESSION = 48 * 3600.0

_NOT_ECS = Remedy(
    "MetadataServiceUnusable",
    "The nodeRole identity needs an ECS instance. Elsewhere use another identity (accessKey, serviceAccount); "
    "on ECS check that nothing blocks 100.100.100.200 (network policy, iptables).",
)
_ATTACH = Remedy(
    "NodeRoleMissing",
    "Attach a RAM role to this ECS instance (or to the node pool), or use another identity in the settings. "
    "Console: ECS > Instances > the instance > All Actions > Attach/Detach RAM Role.",
)
_SWITCH_ON = Remedy(
    "MetadataServiceUnusable",
    "Switch instance metadata access on, or use another identity in the settings. Console: ECS > Instances > the "
    "instance > All Actions > Modify Instance Metadata Access Settings.",
)
_TRUST_ECS = Remedy(
    "NodeRoleRefused",
    "Let the role's trust policy allow the service ecs.aliyuncs.com, then attach the role to the instance again. "
    "Console: RAM > Identities > Roles > the role > Trust Policy.",
)
_LET_TOKENS_THROUGH = Remedy(
    "MetadataServiceUnusable",
    "Let PUT requests to 100.100.100.200 through: no proxy, firewall rule or other metadata agent may stand in "
    "between.",
)
_LATER = Remedy(
    "MetadataServiceUnusable",
    "Try again; if it stays, restart the instance's metadata service from the ECS console or ask support.",
)


class Imds:
    """The metadata service of this instance, which is never called through a proxy.

    A session token is fetched first (v2), as hardened instances require. With *allow_v1*, calls go on without one if
    the service has no tokens. *bound* is in seconds for one call. All methods raise `IdentityUnavailableError`.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        endpoint: str = f"http://{METADATA_HOST}",
        allow_v1: bool = False,
        bound: float = 2.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._endpoint = endpoint.rstrip("/")
        self._allow_v1 = allow_v1
        self._bound = bound
        self._clock = clock
        self._token: str | None = None  # "" is v1

    def region_id(self) -> str:
        """Return the region of this instance, such as ``cn-hangzhou``."""
        region = _text(self._get("/latest/meta-data/region-id", missing="the region"))
        if not is_region(region):
            raise IdentityUnavailableError("the metadata service sent an invalid region", remedy=_NOT_ECS)
        return region

    def role_name(self) -> str:
        """Return the name of the RAM role that is attached to this instance."""
        problem = "no RAM role is attached to this ECS instance"
        names = _text(self._get(_ROLES, missing=problem)).split()
        if not names:
            raise IdentityUnavailableError(problem, remedy=_ATTACH)
        if not _NAME.fullmatch(names[0]):
            raise IdentityUnavailableError("the metadata service sent an invalid role name", remedy=_NOT_ECS)
        return names[0]

    def role_credential(self, role: str) -> CloudCredential:
        """Return a session of *role*; its life is by the service's own clock."""
        if not _NAME.fullmatch(role):
            raise IdentityUnavailableError(
                "the RAM role's name has a wrong form", remedy=Remedy("RoleInvalid", "Correct the role's name.")
            )
        problem = f"the RAM role {role} is not attached to this ECS instance"
        response = self._get(_ROLES + role, missing=problem)
        try:
            values = json.loads(response.body)
        except (ValueError, RecursionError):
            values = None
        date = server_time(response)
        now = self._clock() if date is None else date
        code = values.get("Code") if isinstance(values, dict) else None
        if code != "Success" and isinstance(code, str) and _CODE.fullmatch(code):
            raise IdentityUnavailableError(
                f"the metadata service has no session of the RAM role {role} ({code})", remedy=_TRUST_ECS
            )
        credential = parse_session(values, now=now, longest=_LONGEST_SESSION) if code == "Success" else None
        if credential is None:
            raise IdentityUnavailableError(
                f"the metadata service sent no valid session of the RAM role {role}", remedy=_LATER
            )
        return credential

    def _get(self, path: str, *, missing: str) -> HttpResponse:
        """Return the response for *path*, whose status is 200."""
        response = self._with_token(path)
        if response.status == 401 and self._token:  # it ran out, or the service lost it
            self._token = None
            response = self._with_token(path)
        if response.status == 404:
            raise IdentityUnavailableError(missing, remedy=_ATTACH)
        if response.status == 403 and not self._token:  # v1 was tried, and the instance is hardened against it
            raise IdentityUnavailableError(
                "the metadata service is hardened: it answers only requests with a session token, and gave none",
                remedy=_LET_TOKENS_THROUGH,
            )
        if response.status == 403:
            raise IdentityUnavailableError("the metadata service is switched off for this instance", remedy=_SWITCH_ON)
        if response.status != 200:
            raise IdentityUnavailableError(
                f"the metadata service refused {path} (HTTP {response.status})", remedy=_LATER
            )
        return response

    def _with_token(self, path: str) -> HttpResponse:
        if self._token is None:
            self._token = self._new_token()
        headers = {"X-aliyun-ecs-metadata-token": self._token} if self._token else {}
        return self._send(HttpRequest("GET", self._endpoint + path, headers, direct=True, bound=self._bound))

    def _new_token(self) -> str:
        headers = {"X-aliyun-ecs-metadata-token-ttl-seconds": str(_TOKEN_TTL)}
        url = f"{self._endpoint}/latest/api/token"
        response = self._send(HttpRequest("PUT", url, headers, direct=True, bound=self._bound))
        token = _text(response)
        if response.status == 200 and _TOKEN.fullmatch(token):
            return token
        if self._allow_v1:
            return ""
        raise IdentityUnavailableError(
            f"the metadata service gave no session token (HTTP {response.status})",
            remedy=Remedy(
                "MetadataServiceUnusable",
                "If this instance has no tokens, set allowImdsV1 in the settings; else: " + _NOT_ECS,
            ),
        )

    def _send(self, request: HttpRequest) -> HttpResponse:
        try:
            return call_with_retry(
                (self._endpoint,), lambda _: self._once(request), time_left=self._transport.time_left
            )
        except DeadlineExceededError:
            raise
        except CloudUnreachableError as error:
            problem = error.problem
        raise IdentityUnavailableError(f"the metadata service cannot be used: {problem}", remedy=_NOT_ECS)

    def _once(self, request: HttpRequest) -> HttpResponse:
        try:
            response = self._transport.send(request)
        except TransportError as error:
            # It is on the same host: if it cannot be reached, this is not ECS, and waiting does not help.
            failure = TransportError(
                error.problem, remedy=error.remedy, retryable=error.retryable and not error.try_next_endpoint
            )
        else:
            if response.status < 500 and response.status != 429:
                return response
            failure = TransportError(f"it answered with HTTP {response.status}", remedy=_LATER, retryable=True)
        raise failure


def _text(response: HttpResponse) -> str:
    return response.body.decode("ascii", "replace").strip()
