"""ACR Personal Edition, API version 2016-06-07: its one action that a node needs, in the ROA style.

There is no instance to name: whoever asks gets a login to what the account has in the region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .faults import Grant
from .state import personal_id
from .wire import RefusedError, json_response, new_request_id

if TYPE_CHECKING:
    from .state import AccessKey, CloudState
    from .wire import Request, Response

VERSION = "2016-06-07"
OPERATION = "personal.GetAuthorizationToken"
LIFE = 3600.0


def is_meant(request: Request) -> bool:
    """Say whether *request* is for this API."""
    return request.header("x-acs-version") == VERSION


def get_authorization_token(
    request: Request, key: AccessKey, state: CloudState, grant: Grant | None, *, region: str
) -> dict[str, Any]:
    """Mint a login to the registry of *region*; expireDate is in milliseconds since the epoch."""
    if (request.method, request.path, request.query) != ("GET", "/tokens", []):
        raise RefusedError(
            404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method."
        )
    if not key.principal.may("cr:GetAuthorizationToken"):
        raise RefusedError(403, "USER_NOT_AUTHORIZED", "You are not authorized to do this action.")
    grant = grant or Grant()
    login = state.mint_login(key, personal_id(region), life=LIFE if grant.life is None else grant.life)
    expire_date = grant.expire_time(login.expires_at, state.clock.now())
    data = {"authorizationToken": login.password, "tempUserName": login.username, "requestId": new_request_id()}
    return {"data": {**data, **({} if expire_date is None else {"expireDate": expire_date})}}


def refusal(refused: RefusedError) -> Response:
    """Return the error as this API sends it: other names than the gateway's, in lower case."""
    return json_response(
        refused.status, {"code": refused.code, "message": refused.message, "requestId": new_request_id()}
    )
