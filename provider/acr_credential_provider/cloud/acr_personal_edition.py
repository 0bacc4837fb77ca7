"""ACR's older OpenAPI (2016-06-07): registry tokens of the Personal Edition.

The official SDK's method for it drops the body of the answer, so the call is described here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .responses import parse, parse_grant, server_time
from .retry import call_with_retry
from .signing import ApiCall, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alibabacloud_credentials_api import ICredentialsProvider

    from acr_credential_provider.model.authorization_token import AuthorizationGrant

    from .transport import Transport

_CALL = ApiCall("GetAuthorizationToken", "2016-06-07", "GET", "/tokens")


def personal_token(
    transport: Transport,
    credentials: ICredentialsProvider,
    *,
    region: str,
    endpoints: Sequence[str],
    clock: Callable[[], float] = time.time,
) -> AuthorizationGrant:
    """Return a login to the Personal Edition of the caller's account in *region*.

    *endpoints* are base URLs in the order in which to try them. Raises as `AcrApi` does.
    """
    source = f"the Personal Edition in {region}"

    def attempt(endpoint: str) -> AuthorizationGrant:
        now = clock()
        response = transport.send(sign(endpoint, _CALL, {}, credentials.get_credentials(), now=now))
        data = parse(response, call=f"{_CALL.action} for {source}", now=now).get("data")
        login = data if isinstance(data, dict) else {}
        parts = (login.get(name) for name in ("tempUserName", "authorizationToken", "expireDate"))
        return parse_grant(*parts, date=server_time(response), source=source)

    return call_with_retry(endpoints, attempt, time_left=transport.time_left)
