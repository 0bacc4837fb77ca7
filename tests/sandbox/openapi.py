"""The OpenAPI gateway: recognises the caller, finds the action, and refuses as Alibaba Cloud refuses.

An action is a function of (caller, parameters, state, grant, region). Each API version keeps
its actions in a file of its own and is joined in here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import acr, personal
from .calls import Subject
from .signature import AUTHORIZATION, verify_acs3
from .wire import RefusedError, json_response, new_request_id

if TYPE_CHECKING:
    from .acr import Action
    from .faults import Drawn
    from .state import CloudState
    from .wire import Request, Response

ACTIONS: dict[tuple[str, str], Action] = {**acr.ACTIONS}
"""By x-acs-version and x-acs-action."""

UNKNOWN = "openapi.unknown"
GATEWAY = re.compile(r"cr(?:-vpc)?\.([a-z0-9-]+)\.aliyuncs\.com(?::\d+)?")


@dataclass
class OpenApi:
    """The app behind cr[-vpc].<region>.aliyuncs.com, the one of each region.

    The host that is asked says which: by its name, or by *regions*, the region of each host:port
    without such a name. Other hosts are *region*'s.
    """

    state: CloudState
    region: str
    regions: dict[str, str] = field(default_factory=dict)
    name: str = "openapi"
    operations: frozenset[str] = field(
        default=frozenset({UNKNOWN, personal.OPERATION, *(action for _, action in ACTIONS)})
    )

    def subject(self, request: Request) -> Subject:
        authorization = AUTHORIZATION.fullmatch(request.header("authorization"))
        action = request.header("x-acs-action")
        if personal.is_meant(request):
            action = f"personal.{action}"
        return Subject(
            action if action in self.operations else UNKNOWN,
            request.parameters.get("InstanceId", ""),
            authorization["key"] if authorization else "",
        )

    def region_of(self, request: Request) -> str:
        """Return the region whose OpenAPI *request* is for."""
        host = request.header("host")
        named = GATEWAY.fullmatch(host)
        return named[1] if named else self.regions.get(host, self.region)

    def respond(self, request: Request, drawn: Drawn) -> Response:
        try:
            key = verify_acs3(request, self.state)
            # A fault replaces an answer, not the check: a client that signs wrongly shows at once.
            if drawn.answer is not None:
                return drawn.answer.response(request)
            region = self.region_of(request)
            if personal.is_meant(request):
                document = personal.get_authorization_token(request, key, self.state, drawn.grant, region=region)
            else:
                action = find_action(request)
                document = action(key, request.parameters, self.state, drawn.grant, region)
        except RefusedError as refused:
            if personal.is_meant(request):
                return personal.refusal(refused)
            return refused.response(request.header("host"))
        request_id = "requestId" if personal.is_meant(request) else "RequestId"
        return json_response(200, {request_id: new_request_id(), **document})


def find_action(request: Request) -> Action:
    action = ACTIONS.get((request.header("x-acs-version"), request.header("x-acs-action")))
    if action is None:
        raise RefusedError(
            404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method."
        )
    return action
