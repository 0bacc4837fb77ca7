"""The models of the two operations that we call; the SDK's own index imports 370 modules for 180 operations."""

from left_out import LeftOutError

from ._get_authorization_token_request import GetAuthorizationTokenRequest
from ._get_authorization_token_response import GetAuthorizationTokenResponse
from ._get_authorization_token_response_body import GetAuthorizationTokenResponseBody
from ._list_instance_endpoint_request import ListInstanceEndpointRequest
from ._list_instance_endpoint_response import ListInstanceEndpointResponse
from ._list_instance_endpoint_response_body import (
    ListInstanceEndpointResponseBody,
    ListInstanceEndpointResponseBodyEndpoints,
    ListInstanceEndpointResponseBodyEndpointsAclEntries,
    ListInstanceEndpointResponseBodyEndpointsDomains,
    ListInstanceEndpointResponseBodyEndpointsLinkedVpcs,
)

__all__ = [
    "GetAuthorizationTokenRequest",
    "GetAuthorizationTokenResponse",
    "GetAuthorizationTokenResponseBody",
    "ListInstanceEndpointRequest",
    "ListInstanceEndpointResponse",
    "ListInstanceEndpointResponseBody",
    "ListInstanceEndpointResponseBodyEndpoints",
    "ListInstanceEndpointResponseBodyEndpointsAclEntries",
    "ListInstanceEndpointResponseBodyEndpointsDomains",
    "ListInstanceEndpointResponseBodyEndpointsLinkedVpcs",
]


def __getattr__(name):
    if name.startswith("__"):  # what Python itself asks modules for
        raise AttributeError(name)
    raise LeftOutError(f"alibabacloud_cr20181201.models.{name}")
