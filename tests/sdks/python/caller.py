"""Calls Alibaba Cloud with its official Python SDKs, as tests/sdks asks: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from alibabacloud_cr20160607.client import Client as PersonalClient
from alibabacloud_cr20181201 import models as cr
from alibabacloud_cr20181201.client import Client as CrClient
from alibabacloud_credentials.client import Client as Credential
from alibabacloud_credentials.models import Config as CredentialConfig
from alibabacloud_sts20150401 import models as sts
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi import models as openapi
from alibabacloud_tea_util.models import RuntimeOptions

if TYPE_CHECKING:
    from collections.abc import Callable

Asked = dict[str, Any]
FIELDS = (
    "type",
    "access_key_id",
    "access_key_secret",
    "security_token",
    "role_arn",
    "role_session_name",
    "external_id",
    "oidc_provider_arn",
    "sts_endpoint",
    "role_name",
    "disable_imds_v1",
)


def credential_of(asked: Asked) -> Credential:
    given = asked["credential"]
    fields = {name: given[name] for name in FIELDS if name in given}
    return Credential(CredentialConfig(oidc_token_file_path=given.get("oidc_token"), **fields))


def config(asked: Asked) -> openapi.Config:
    return openapi.Config(credential=credential_of(asked), endpoint=asked["endpoint"])


def token(asked: Asked) -> Any:
    request = cr.GetAuthorizationTokenRequest().from_map(asked["parameters"])
    return CrClient(config(asked)).get_authorization_token(request).body.to_map()


def endpoints(asked: Asked) -> Any:
    request = cr.ListInstanceEndpointRequest().from_map(asked["parameters"])
    return CrClient(config(asked)).list_instance_endpoint(request).body.to_map()


def personal_token(asked: Asked) -> Any:
    """Make the SDK's own call, which throws the body away ("body_type: none"); then ask its client for JSON."""
    client = PersonalClient(config(asked))
    client.get_authorization_token()
    params = openapi.Params(
        action="GetAuthorizationToken",
        version="2016-06-07",
        protocol="HTTPS",
        pathname="/tokens",
        method="GET",
        auth_type="AK",
        style="ROA",
        req_body_type="json",
        body_type="json",
    )
    return client.call_api(params, openapi.OpenApiRequest(), RuntimeOptions())["body"]


def assume_role(asked: Asked) -> Any:
    request = sts.AssumeRoleRequest().from_map(asked["parameters"])
    return StsClient(config(asked)).assume_role(request).body.to_map()


def assume_role_with_oidc(asked: Asked) -> Any:
    request = sts.AssumeRoleWithOIDCRequest().from_map(asked["parameters"])
    client = StsClient(openapi.Config(endpoint=asked["endpoint"]))
    return client.assume_role_with_oidc(request).body.to_map()


def credential(asked: Asked) -> Any:
    found = credential_of(asked).get_credential()
    return {
        "AccessKeyId": found.access_key_id,
        "AccessKeySecret": found.access_key_secret,
        "SecurityToken": found.security_token,
    }


CALLS: dict[str, Callable[[Asked], Any]] = {
    "token": token,
    "endpoints": endpoints,
    "personal-token": personal_token,
    "assume-role": assume_role,
    "assume-role-with-oidc": assume_role_with_oidc,
    "credential": credential,
}


def answer(asked: Asked) -> dict[str, Any]:
    if asked["do"] not in CALLS:
        return {"broken": f"no such call: {asked['do']}"}
    try:
        return {"result": CALLS[asked["do"]](asked)}
    except Exception as error:  # noqa: BLE001 - what an SDK raises is what is asked for
        told = {
            "text": str(error),
            "code": getattr(error, "code", None),
            "message": str(getattr(error, "message", "")),
            "retry_after": getattr(error, "retry_after", None),
            "denied": getattr(error, "accessDeniedDetail", None) or getattr(error, "access_denied_detail", None),
        }
        return {"error": told}


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line)), default=str) + "\n")
        sys.stdout.flush()
