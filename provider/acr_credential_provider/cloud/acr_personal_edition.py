"""ACR's older OpenAPI (2016-06-07): registry tokens of the Personal Edition.

The official SDK's method for it drops the body of the answer, so the call is described
here, signed by the official signer and sent by our transport.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .responses import parse, parse_grant, server_time
from .retry import call_with_retry
from .sdk_guard import sdk_import
from .signing import sign

with sdk_import():
    from alibabacloud_tea_openapi.utils_models import Params

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alibabacloud_credentials_api import ICredentialsProvider

    from acr_credential_provider.model.authorization_token import AuthorizationGrant

    from .transport import Transport

_CALL = {
    "action": "GetAuthorizationToken",
    "version": "2016-06-07",
    "protocol": "HTTPS",
    "pathname": "/tokens",
    "method": "GET",
    "auth_type": "AK",
    "style": "ROA",
    "req_body_type": "json",
    "body_type": "json",
}


def personal_token(
    transport: Transport,
    credentials: ICredentialsProvider,
    *,
    region: str,
    endpoints: Sequence[str],
    clock: Callable[[], float] = time.time,
) -> AuthorizationGrant:
    """Return a login to the Personal Edition of the caller's account in *region*.

    *endpoints* are base URLs in order of trial. Raises `RegistryRefusedError` when ACR says
    no, `ThrottledError` when it says later, and `CloudUnreachableError` when nothing usable
    came within the transport's deadline.
    """
    where = f"the Personal Edition in {region}"

    def attempt(endpoint: str) -> AuthorizationGrant:
        now = clock()
        response = transport.send(sign(endpoint, Params(**_CALL), {}, credentials.get_credentials(), now=now))
        data = parse(response, call=f"GetAuthorizationToken for {where}", now=now).get("data")
        login = data if isinstance(data, dict) else {}
        return parse_grant(
            login.get("tempUserName"),
            login.get("authorizationToken"),
            login.get("expireDate"),
            date=server_time(response),
            what=where,
        )

    return call_with_retry(endpoints, attempt, time_left=transport.time_left)
