"""Each known error code of Alibaba Cloud says its cause, what to do and where; others say what kind they are."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from acr_credential_provider.cloud.acr import AcrApi
from acr_credential_provider.cloud.acr_personal_edition import personal_token
from acr_credential_provider.cloud.imds import Imds
from acr_credential_provider.cloud.proxy import ProxySettings
from acr_credential_provider.cloud.responses import RefusalRules, acr_in, parse
from acr_credential_provider.cloud.sts import StsApi, WantedRole
from acr_credential_provider.cloud.transport import Bounds, HttpResponse, Transport
from acr_credential_provider.cloud.transport_errors import TransportError
from acr_credential_provider.model.cloud_credential import CloudCredential, FixedCredential
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.error_codes import CODES, KINDS, REMEDY_CODES, find, kind_of
from acr_credential_provider.model.errors import (
    CredentialProviderError,
    IdentityUnavailableError,
    RegistryRefusedError,
    RoleRefusedError,
    ThrottledError,
)
from unit.cloud.fake_metadata import FakeMetadata, session
from unit.cloud.loopback import answer, serving
from unit.cloud.safety import CANARY, is_clean

REPOSITORY = Path(__file__).resolve().parents[3]
NOW = 1_767_323_045.0
KEY = CloudCredential("AK", "secret-" + CANARY, "token-" + CANARY, 3600.0)
GRANTED = answer(
    200,
    {"IsSuccess": True, "TempUsername": "u", "AuthorizationToken": "p", "ExpireTime": int((NOW + 3600) * 1000)},
    at=NOW,
)
STS = RefusalRules(RoleRefusedError, "STS")
STATUS = {"permission": 403, "missing": 404, "role": 404, "oidc": 401, "throttling": 429, "server": 503}
PAST = {"throttling": ThrottledError, "server": TransportError}
each_code = pytest.mark.parametrize("row", CODES, ids=lambda row: row.code)


def a_transport():
    return Transport(Deadline(5.0), proxy=ProxySettings(), bounds=Bounds(connect=0.3, hop=0.4, reserve=0.1))


def refusal(code, status=400, *, service=None, **members):
    """Return the error that an answer with *code* becomes."""
    body = json.dumps({"Code": code, "Message": CANARY, "RequestId": "REQ-1", **members}).encode()
    with pytest.raises(CredentialProviderError) as caught:
        parse(
            HttpResponse(status, {}, body),
            call="GetAuthorizationToken for cri-1",
            now=NOW,
            service=service or acr_in(""),
        )
    assert CANARY not in caught.value.problem + caught.value.remedy
    return caught.value


def test_the_table_names_each_code_once_with_cause_remedy_and_a_kind_that_is_one():
    assert len({row.code.lower() for row in CODES}) == len(CODES) >= 86
    assert {row.kind for row in CODES} <= set(KINDS)
    for row in CODES:
        assert row.cause
        assert row.remedy[0].isupper()
        assert row.remedy.endswith(".")
        assert len(row.advice) < 420, "an error is read in one glance"


@each_code
@pytest.mark.parametrize("service", [acr_in("cn-hangzhou"), STS], ids=["ACR", "STS"])
def test_a_known_code_says_its_cause_and_what_to_do(row, service):
    error = refusal(row.code, STATUS.get(row.kind, 400), service=service)
    nonce = row.code == "SignatureNonceUsed"
    assert isinstance(error, PAST.get(row.kind, TransportError if nonce else service.refusal))
    assert f"({row.code}, HTTP " in error.problem
    if row.kind not in PAST:
        assert row.cause in error.problem
        assert error.remedy == row.advice
    if isinstance(error, TransportError):
        assert error.retryable


@each_code
def test_acr_says_the_same_in_an_answer_with_status_200(row):
    error = refusal(row.code, 200, IsSuccess=False)
    assert isinstance(error, PAST.get(row.kind, CredentialProviderError))
    assert row.code in error.problem


@each_code
def test_case_does_not_matter_and_the_personal_edition_writes_code_in_lower_case(row):
    body = json.dumps({"code": row.code.upper(), "message": CANARY}).encode()
    with pytest.raises(CredentialProviderError) as caught:
        parse(HttpResponse(400, {}, body), call="x", now=NOW)
    assert row.kind in PAST or row.code == "SignatureNonceUsed" or caught.value.remedy == row.advice


UNKNOWN = {
    ("OperationDenied.QuotaExceeded", 400): "quota",
    ("NAMESPACE_COUNT_LIMIT", 400): "quota",
    ("EntityLimitOfRole", 409): "quota",
    ("Account.Arrears", 400): "billing",
    ("InstanceOverdue", 403): "billing",
    ("ORDER_NOT_PAID", 400): "billing",
    ("PAYMENT_REQUIRED", 402): "billing",
    ("SERVICE_NOT_OPENED", 404): "activation",
    ("UserNotRegistered", 404): "activation",
    ("Product.Unactivated", 403): "activation",
    ("ServiceNotActivated", 403): "activation",
    ("USER_NOT_ACTIVATED", 404): "activation",
    ("NotEnoughBalance", 400): "billing",
    ("UnauthorizedOperation", 400): "permission",
    ("PARAMETER_ERROR", 400): "request",
    ("INVALID_PARAM_ERROR", 400): "request",
    ("AccessKeyInactive", 403): "key",
    ("SecretNotOpened", 403): "key",
    ("Denied.Ram", 400): "permission",
    ("RAM_REFUSED", 400): "permission",
    ("RequestTimestampTooOld", 400): "time",
    ("SignatureVersionUnknown", 400): "signature",
    ("InvalidNonce", 400): "signature",
    ("AccessKeyExpired", 403): "key",
    ("SecurityTokenTooLong", 400): "session",
    ("AuthenticationFail.SAMLAssertion", 401): "oidc",
    ("OperationForbidden", 403): "permission",
    ("RepoAccessDenied", 401): "permission",
    ("ImplicitPermissionMissing", 403): "permission",
    ("RegionNotOnline", 400): "region",
    ("EndpointUnknown", 404): "region",
    ("RoleNameReserved", 400): "role",
    ("INSTANCE_LOCKED", 400): "instance",
    ("CHART_NOT_EXIST", 404): "missing",
    ("InvalidInstanceSpec", 400): "instance",
    ("MissingModuleName", 400): "request",
    ("Whatever", 401): "key",
    ("Whatever", 403): "permission",
    ("Whatever", 404): "missing",
    ("Whatever", 409): "unknown",
}


@pytest.mark.parametrize(("code", "status"), UNKNOWN)
def test_a_code_that_is_not_known_says_what_kind_it_is(code, status):
    assert find(code) is None
    kind = UNKNOWN[code, status]
    assert kind_of(code, status) == kind
    error = refusal(code, status)
    remedy, where = KINDS[kind]
    assert remedy[:-1] in error.remedy
    assert where in error.remedy
    assert kind == "unknown" or error.remedy.startswith(f"This is about {kind}: ")
    assert "look the code up in the error codes of Container Registry's API" in error.remedy


@pytest.mark.parametrize("code", ["TooManyRequests", "RequestFlowControlled.Api", "OperationTooFrequent"])
def test_a_code_that_is_not_known_and_asks_to_wait_is_waited_out(code):
    assert isinstance(refusal(code, 400), ThrottledError)


@pytest.mark.parametrize("code", ["ServiceUnavailableTemporary", "BackendTimeout", "InternalServerError", "SystemBusy"])
def test_a_fault_of_the_service_that_is_not_known_is_tried_again(code):
    error = refusal(code, 400)
    assert isinstance(error, TransportError)
    assert error.retryable


DENIED = {
    "AuthAction": "cr:GetAuthorizationToken",
    "AuthPrincipalDisplayName": CANARY,
    "EncodedDiagnosticMessage": CANARY,
}


@pytest.mark.parametrize(
    ("detail", "said", "remedy"),
    [
        (
            {"NoPermissionType": "ImplicitDeny", "PolicyType": "AccountLevelIdentityBasedPolicy"},
            "ImplicitDeny by Acc",
            "Attach",
        ),
        (
            {"NoPermissionType": "ExplicitDeny", "PolicyType": "ControlPolicy"},
            "ExplicitDeny by Con",
            "Resource Directory",
        ),
        (
            {"NoPermissionType": "ExplicitDeny", "PolicyType": "SessionPolicy"},
            "ExplicitDeny by Ses",
            "assumeRole.policy",
        ),
        ({"NoPermissionType": "ExplicitDeny", "PolicyType": "AssumeRolePolicy"}, "ExplicitDeny by Ass", "Trust Policy"),
        ({"NoPermissionType": "ExplicitDeny"}, "ExplicitDeny)", "RAM > Permissions > Policies"),
        ({"NoPermissionType": CANARY, "PolicyType": [CANARY]}, "", "Attach"),
        ({"NoPermissionType": "x" * 5000}, "", "Attach"),
    ],
)
def test_a_refusal_of_ram_says_which_call_and_which_policy(detail, said, remedy):
    error = refusal("NoPermission", 403, AccessDeniedDetail=DENIED | detail)
    assert said in error.problem
    assert ("cr:GetAuthorizationToken" in error.problem) == bool(said)
    assert remedy in error.remedy


@pytest.mark.parametrize("detail", [CANARY, [CANARY], None, {}, {"AuthAction": {"x": CANARY}, "NoPermissionType": 7}])
def test_a_detail_of_another_shape_changes_nothing(detail):
    assert refusal("NoPermission", 403, AccessDeniedDetail=detail).problem.endswith(": RAM does not allow it")


def test_an_account_that_never_opened_the_personal_edition_is_told_to():
    reply = answer(404, {"code": "USER_NOT_EXIST", "message": CANARY, "requestId": "REQ-1"})
    with serving(reply) as server, pytest.raises(RegistryRefusedError) as caught:
        personal_token(a_transport(), FixedCredential(KEY), region="cn-hangzhou", endpoints=(server.url,))
    assert "(USER_NOT_EXIST, HTTP 404, request id REQ-1)" in caught.value.problem
    assert "has never opened the Personal Edition" in caught.value.problem
    assert "Sign in to Container Registry's console" in caught.value.remedy
    assert is_clean(caught.value)


def test_a_request_that_a_proxy_sent_twice_is_sent_anew():
    with serving(answer(400, {"Code": "SignatureNonceUsed"}), GRANTED) as server:
        AcrApi(a_transport(), FixedCredential(KEY), region="cn-hangzhou", endpoints=(server.url,)).authorization_token(
            "cri-1", hours=1
        )
    assert len(server.requests) == 2


ROLE = WantedRole("acs:ram::1111:role/pull", "session")
STS_CODES = {
    "EntityNotExist.Role": "Create the role acs:ram::1111:role/pull",
    "InvalidParameter.RoleArn": "acs:ram::ACCOUNT:role/NAME",
    "InvalidParameter.RoleSessionName": "Report this",
    "InvalidParameter.DurationSeconds": "acs:ram::1111:role/pull to 3600 s",
    "InvalidParameter.PolicySize": "2048 bytes",
    "EntityNotExist.OIDCProvider": "Check the OIDC provider of this cluster",
    "AuthenticationFail.OIDCToken.IssuerNotMatch": "acs:ram::1111:oidc-provider/c1 has another issuer",
    "AuthenticationFail.OIDCToken.HttpsUrlInvalid": "public CA",
    "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch": "fingerprints",
    "AuthenticationFail.OIDCToken.Invalid": "its keys did not sign the token",
    "AuthenticationFail.OIDCToken.InvalidSignature": "its keys did not sign the token",
    "AuthenticationFail.OIDCToken.IssuerConfigurationBroken": "openid-configuration",
    "MissingSecurityToken": "starts with STS",
    "Forbidden.RiskControl": "support",
    "Inactive": "Activate RAM",
}


@pytest.mark.parametrize("code", STS_CODES)
def test_sts_says_what_to_do_with_the_role_and_the_provider(code):
    with serving(answer(403, {"Code": code, "Message": CANARY})) as server, pytest.raises(RoleRefusedError) as caught:
        StsApi(a_transport(), endpoints=(server.url,)).assume_role_with_oidc(
            ROLE, provider_arn="acs:ram::1111:oidc-provider/c1", token="a.b.c"
        )
    assert f"({code}, HTTP 403)" in caught.value.problem
    assert STS_CODES[code] in caught.value.remedy
    assert is_clean(caught.value)


@pytest.mark.parametrize(
    ("status", "problem", "remedy"),
    [
        (403, "is switched off for this instance", "Modify Instance Metadata Access Settings"),
        (404, "no RAM role is attached", "Attach/Detach RAM Role"),
        (400, "HTTP 400", "Try again"),
    ],
)
def test_a_status_of_the_metadata_service_says_what_it_means(status, problem, remedy):
    pages = {
        "/latest/meta-data/ram/security-credentials/": f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n".encode()
    }
    with serving(FakeMetadata(pages=pages)) as server, pytest.raises(IdentityUnavailableError) as caught:
        Imds(a_transport(), endpoint=server.url).role_name()
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(("code", "told"), [("Failed", True), (CANARY * 9, False), (7, False)])
def test_a_role_that_does_not_trust_ecs_is_told_with_the_service_s_own_code(code, told):
    with (
        serving(FakeMetadata(credential=session(Code=code))) as server,
        pytest.raises(IdentityUnavailableError) as caught,
    ):
        Imds(a_transport(), endpoint=server.url).role_credential("node-role")
    assert ("(Failed)" in caught.value.problem) == told
    assert ("ecs.aliyuncs.com" in caught.value.remedy) == told
    assert is_clean(caught.value)


def test_a_call_that_succeeds_does_not_load_the_table():
    script = (
        "import sys\nfrom acr_credential_provider.cloud import acr, acr_personal_edition, imds, responses, sts\n"
        "from acr_credential_provider.cloud.transport import HttpResponse\n"
        "responses.parse(HttpResponse(200, {}, b'{}'), call='x', now=0.0)\n"
        "assert not [name for name in sys.modules if 'error_code' in name]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_page_of_remedies_has_each_code():
    page = (REPOSITORY / "docs/remedies.md").read_text()
    assert all(f"| {row.code} | {row.cause} | [{REMEDY_CODES[row.kind]}](#" in page for row in CODES)
