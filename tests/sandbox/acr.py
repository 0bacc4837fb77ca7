"""ACR Enterprise Edition, API version 2018-12-01: the actions that a node needs.

Each region has an OpenAPI of its own, which knows the instances of that region alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .faults import Grant
from .wire import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .state import AccessKey, CloudState, Endpoint, Instance

    Action = Callable[[AccessKey, Mapping[str, str], CloudState, Grant | None, str], dict[str, Any]]

VERSION = "2018-12-01"
USUAL_HOURS = 1


def get_authorization_token(
    key: AccessKey, parameters: Mapping[str, str], state: CloudState, grant: Grant | None, region: str
) -> dict[str, Any]:
    """Mint a registry login; ExpireTime is in milliseconds since the epoch."""
    grant = grant or Grant()
    hours = parameters.get("ExpiresInHours", str(USUAL_HOURS))
    if not (hours.isascii() and hours.isdigit() and 1 <= int(hours) <= 24):
        raise RefusedError(400, "InvalidParameter", "ExpiresInHours must be a whole number from 1 to 24.")
    instance = _instance(key, parameters, state, "cr:GetAuthorizationToken", region)
    if instance is None:
        return _not_there()
    life = int(hours) * 3600.0 if grant.life is None else grant.life
    login = state.mint_login(key, instance.id, life=life)
    expire_time = grant.expire_time(login.expires_at, state.clock.now())
    return {
        "IsSuccess": True,
        "Code": "success",
        "AuthorizationToken": login.password,
        "TempUsername": login.username,
        **({} if expire_time is None else {"ExpireTime": expire_time}),
    }


def list_instance_endpoint(
    key: AccessKey, parameters: Mapping[str, str], state: CloudState, _: Grant | None, region: str
) -> dict[str, Any]:
    """List the network entrances of an instance with their domains."""
    instance = _instance(key, parameters, state, "cr:ListInstanceEndpoint", region)
    if instance is None:
        return _not_there()
    is_registry = parameters.get("ModuleName", "Registry") == "Registry"
    endpoints = [_endpoint(endpoint) for endpoint in instance.endpoints] if is_registry else []
    return {"IsSuccess": True, "Code": "success", "Endpoints": endpoints}


ACTIONS: dict[tuple[str, str], Action] = {
    (VERSION, "GetAuthorizationToken"): get_authorization_token,
    (VERSION, "ListInstanceEndpoint"): list_instance_endpoint,
}


def _instance(
    key: AccessKey, parameters: Mapping[str, str], state: CloudState, action: str, region: str
) -> Instance | None:
    """Return the instance that is asked for, None if the caller's account has no such one in *region*.

    Raises `PlacementRefusedError` when RAM says no.
    """
    instance_id = parameters.get("InstanceId", "")
    if not instance_id:
        raise RefusedError(400, "MissingInstanceId", "InstanceId is mandatory for this action.")
    instance = state.find_instance(instance_id, account=key.principal.account, region=region)
    # Only the list of endpoints is asked of an instance; a token is of the account, as ACR's RAM reference has it.
    resource = "*" if action == "cr:GetAuthorizationToken" or instance is None else instance.arn
    if not key.principal.may(action, instance.id if instance else "", resource=resource):
        raise _denied(key, action)
    return instance


def _denied(key: AccessKey, action: str) -> RefusedError:
    principal = key.principal
    return RefusedError(
        403,
        "NoPermission",
        "You are not authorized to do this action.",
        AccessDeniedDetail={
            "AuthAction": action,
            "AuthPrincipalType": principal.kind,
            "AuthPrincipalOwnerId": principal.account,
            "AuthPrincipalDisplayName": principal.name,
            "NoPermissionType": "ImplicitDeny",
            "PolicyType": "AccountLevelIdentityBasedPolicy",
        },
    )


def _not_there() -> dict[str, Any]:
    # ACR's own way: HTTP 200, and the refusal inside.
    return {"IsSuccess": False, "Code": "INSTANCE_NOT_EXIST"}


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "EndpointType": endpoint.kind,
        "Enable": endpoint.enabled,
        "Status": "RUNNING",
        "AclEnable": False,
        "AclEntries": [],
        "LinkedVpcs": [],
        "Domains": [{"Domain": domain, "Type": kind} for domain, kind in endpoint.domains],
    }
