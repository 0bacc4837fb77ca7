"""ACR's OpenAPI: registry tokens and the domains of an instance, with the official client.

The SDK gives models, parameters and signatures; its public ``call_api`` is overridden, so that our transport sends
every byte.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.acr_hosts import check_region
from acr_credential_provider.model.errors import CloudUnreachableError, CredentialProviderError, RegistryRefusedError
from acr_credential_provider.model.remedy import Remedy

from .responses import REPORT, acr_in, parse, parse_grant, server_time
from .retry import call_with_retry
from .sdk_guard import sdk_import
from .signing import sign

with sdk_import():
    from alibabacloud_cr20181201.client import Client
    from alibabacloud_cr20181201.models._get_authorization_token_request import GetAuthorizationTokenRequest
    from alibabacloud_cr20181201.models._list_instance_endpoint_request import ListInstanceEndpointRequest
    from alibabacloud_tea_openapi.utils_models import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alibabacloud_credentials_api import ICredentialsProvider

    from acr_credential_provider.model.authorization_token import AuthorizationGrant

    from .transport import HttpRequest, HttpResponse, Transport

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?")


def acr_endpoints(region: str, *, vpc_first: bool) -> tuple[str, ...]:
    """Return the base URLs of ACR's OpenAPI in *region*, in the order in which to try them.

    The VPC's is reachable from inside the region only, so *vpc_first* is for the node's own region.

    >>> acr_endpoints("cn-hangzhou", vpc_first=True)
    ('https://cr-vpc.cn-hangzhou.aliyuncs.com', 'https://cr.cn-hangzhou.aliyuncs.com')
    >>> acr_endpoints("cn-beijing", vpc_first=False)
    ('https://cr.cn-beijing.aliyuncs.com',)
    """
    check_region(region)
    public = f"https://cr.{region}.aliyuncs.com"
    return (f"https://cr-vpc.{region}.aliyuncs.com", public) if vpc_first else (public,)


class AcrApi(Client):  # type: ignore[misc]  # the official client is untyped
    """ACR's OpenAPI in one region, as one identity: the official client, sending with our transport.

    *endpoints* are base URLs in the order in which to try them. `authorization_token` and `registry_domains` raise
    `RegistryRefusedError` if ACR refuses, `ThrottledError` if ACR asks for a later call, and `CloudUnreachableError`
    if no usable answer came within the transport's deadline.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: ICredentialsProvider,
        *,
        region: str,
        endpoints: Sequence[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        # With a user agent the client does not read one from the environment; the endpoint is chosen for each try.
        super().__init__(Config(region_id=region, endpoint=endpoints[0], user_agent="-"))
        self._transport = transport
        self._provider = credentials
        self._order = tuple(endpoints)
        self._service = acr_in(region)
        self._clock = clock
        self._date: float | None = None

    def authorization_token(self, instance_id: str, *, hours: int) -> AuthorizationGrant:
        """Return a login to *instance_id* that ACR grants for at most *hours* (1 to 24).

        A session's token ends with the session, if that is earlier.
        """
        request = GetAuthorizationTokenRequest(instance_id=instance_id, expires_in_hours=hours)
        body = self._body_of("get_authorization_token", request)
        login = body.temp_username, body.authorization_token, body.expire_time
        return parse_grant(*login, date=self._date, source=instance_id)

    def registry_domains(self, instance_id: str) -> tuple[str, ...]:
        """Return the enabled hosts that *instance_id* serves images on: its own and custom ones."""
        request = ListInstanceEndpointRequest(instance_id=instance_id, module_name="Registry")
        hosts = [
            domain.domain.lower()
            for endpoint in self._body_of("list_instance_endpoint", request).endpoints or ()
            if endpoint.enable is True
            for domain in endpoint.domains or ()
            if isinstance(domain.domain, str) and str(domain.type).upper() in {"SYSTEM", "USER"}
        ]
        return tuple(dict.fromkeys(host for host in hosts if _HOST.fullmatch(host)))

    def _body_of(self, call: str, request: Any) -> Any:
        """Return the model of the body that the official *call* returns for *request*; `_date` is the answer's Date."""
        try:
            body = getattr(self, f"{call}_with_options")(request, None).body
        except CredentialProviderError as error:
            outcome: CredentialProviderError | None = error
        except Exception:  # noqa: BLE001  # the models fail on odd shapes, with errors that quote them
            outcome = None
        else:
            if body is not None:  # the SDK drops a body that its models cannot hold
                return body
            outcome = None
        if outcome is None:
            outcome = RegistryRefusedError(f"ACR's answer to {call} does not have the documented form", remedy=REPORT)
        outcome.__cause__ = outcome.__context__ = None  # errors of the SDK quote requests
        raise outcome

    def call_api(self, params: Any, request: Any, runtime: Any) -> dict[str, Any]:  # noqa: ARG002  # our transport replaces it
        """Sign and send; called by the official client for each of its methods."""
        call = f"{params.action} for {request.query.get('InstanceId', '')}"

        def attempt(endpoint: str) -> dict[str, Any]:
            now = self._clock()
            response = self._send(
                sign(endpoint, params, request.query, self._provider.get_credentials(), now=now), call
            )
            body = parse(response, call=call, now=now, service=self._service)
            self._date = server_time(response)
            # The endpoint that answered is tried first from now on: no second wait for an absent VPC endpoint.
            self._order = (endpoint, *(other for other in self._order if other != endpoint))
            return {"body": body, "headers": dict(response.headers), "statusCode": response.status}

        return call_with_retry(self._order, attempt, time_left=self._transport.time_left)

    def _send(self, request: HttpRequest, call: str) -> HttpResponse:
        """Send *request*; a failure on this side is not reported as an answer of ACR."""
        try:
            return self._transport.send(request)
        except CredentialProviderError:
            raise
        except Exception as error:  # noqa: BLE001  # its text may hold a secret, so only its type is reported
            problem = f"{call} could not be sent ({type(error).__name__})"
        raise CloudUnreachableError(
            problem,
            remedy=Remedy(
                "UnforeseenError", "Look at this process's limits (open files, memory); if they are wide, report it."
            ),
        )
