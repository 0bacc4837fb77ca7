"""ACR's OpenAPI: registry tokens and the domains of an instance, over the official client.

The SDK gives models, parameters and signatures; its public ``call_api`` is overridden, so
that every byte is sent by our transport.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.errors import (
    CloudUnreachableError,
    ConfigurationError,
    CredentialProviderError,
    RegistryRefusedError,
)

from .responses import REPORT, acr_of, parse, parse_grant, server_time
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

_REGION = re.compile(r"[a-z]{2,3}(-[a-z0-9]+)+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?")


def acr_endpoints(region: str, *, vpc_first: bool) -> tuple[str, ...]:
    """Return the base URLs of ACR's OpenAPI in *region*, in order of trial.

    The VPC's is reachable from inside the region only, so *vpc_first* is for the node's own.

    >>> acr_endpoints("cn-hangzhou", vpc_first=True)
    ('https://cr-vpc.cn-hangzhou.aliyuncs.com', 'https://cr.cn-hangzhou.aliyuncs.com')
    >>> acr_endpoints("cn-beijing", vpc_first=False)
    ('https://cr.cn-beijing.aliyuncs.com',)
    """
    if not _REGION.fullmatch(region):
        raise ConfigurationError(
            f"{region!r} is not a region", remedy="Write the region's id, for example cn-hangzhou."
        )
    public = f"https://cr.{region}.aliyuncs.com"
    return (f"https://cr-vpc.{region}.aliyuncs.com", public) if vpc_first else (public,)


class AcrApi:
    """ACR's OpenAPI in one region, as one identity.

    *endpoints* are base URLs in order of trial. All calls raise `RegistryRefusedError` when
    ACR says no, `ThrottledError` when it says later, and `CloudUnreachableError` when
    nothing usable came within the transport's deadline.
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
        self._client = _SigningClient(transport, credentials, region=region, endpoints=endpoints, clock=clock)

    def authorization_token(self, instance_id: str, *, hours: int) -> AuthorizationGrant:
        """Return a login to *instance_id* that ACR grants for at most *hours* (1 to 24).

        A session's token lives no longer than the session, whatever was asked for.
        """
        request = GetAuthorizationTokenRequest(instance_id=instance_id, expires_in_hours=hours)
        body, date = self._client.answer_to("get_authorization_token", request)
        login = body.temp_username, body.authorization_token, body.expire_time
        return parse_grant(*login, date=date, what=instance_id)

    def registry_domains(self, instance_id: str) -> tuple[str, ...]:
        """Return the hosts that *instance_id* serves images on: its own and custom ones, enabled only."""
        request = ListInstanceEndpointRequest(instance_id=instance_id, module_name="Registry")
        body, _ = self._client.answer_to("list_instance_endpoint", request)
        hosts = [
            domain.domain.lower()
            for endpoint in body.endpoints or ()
            if endpoint.enable is True
            for domain in endpoint.domains or ()
            if isinstance(domain.domain, str) and str(domain.type).upper() in {"SYSTEM", "USER"}
        ]
        return tuple(dict.fromkeys(host for host in hosts if _HOST.fullmatch(host)))


class _SigningClient(Client):  # type: ignore[misc]  # the official client is untyped
    """The official client with our own way out."""

    def __init__(
        self,
        transport: Transport,
        credentials: ICredentialsProvider,
        *,
        region: str,
        endpoints: Sequence[str],
        clock: Callable[[], float],
    ) -> None:
        # The user agent is given so that the environment is not asked for one; the endpoint is chosen per try.
        super().__init__(Config(region_id=region, endpoint=endpoints[0], user_agent="-"))
        self._transport = transport
        self._provider = credentials
        self._order = tuple(endpoints)
        self._service = acr_of(region)
        self._clock = clock
        self._date: float | None = None

    def answer_to(self, call: str, request: Any) -> tuple[Any, float | None]:
        """Make the official *call*; return the body's model and the answer's Date (seconds)."""
        problem = f"ACR's answer to {call} does not have the documented form"
        try:
            body = getattr(self, f"{call}_with_options")(request, None).body
        except CredentialProviderError as error:
            outcome: CredentialProviderError = error
        except Exception:  # noqa: BLE001  # the models trip over odd shapes, and quote them
            outcome = RegistryRefusedError(problem, remedy=REPORT)
        else:
            if body is not None:  # the SDK drops a body that its models cannot hold
                return body, self._date
            outcome = RegistryRefusedError(problem, remedy=REPORT)
        raise _bare(outcome)

    def call_api(self, params: Any, request: Any, runtime: Any) -> dict[str, Any]:  # noqa: ARG002  # runtime: ours is the transport
        """Sign and send; called by the official client for each of its methods."""
        call = f"{params.action} for {request.query.get('InstanceId', '')}"

        def attempt(endpoint: str) -> dict[str, Any]:
            now = self._clock()
            signed = sign(endpoint, params, request.query, self._provider.get_credentials(), now=now)
            response = self._sent(signed, call)
            body = parse(response, call=call, now=now, service=self._service)
            self._date = server_time(response)
            # Who answered once is asked first from then on: no second wait for a VPC endpoint that is not there.
            self._order = (endpoint, *(other for other in self._order if other != endpoint))
            return {"body": body, "headers": dict(response.headers), "statusCode": response.status}

        return call_with_retry(self._order, attempt, time_left=self._transport.time_left)

    def _sent(self, signed: HttpRequest, call: str) -> HttpResponse:
        """Send *signed*; what fails on this side is not told as an answer of the other one."""
        try:
            return self._transport.send(signed)
        except CredentialProviderError:
            raise
        except Exception as error:  # noqa: BLE001  # its text may hold anything, so only its type is told
            problem = f"{call} could not be sent ({type(error).__name__})"
        raise CloudUnreachableError(
            problem, remedy="Look at this process's limits (open files, memory); if they are wide, report it."
        )


def _bare(error: CredentialProviderError) -> CredentialProviderError:
    """Return *error* without what it was raised in the midst of."""
    error.__cause__ = error.__context__ = None
    return error
