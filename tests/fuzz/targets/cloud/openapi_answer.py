"""Answers of ACR's two OpenAPIs and of STS: the first two bytes choose status and headers, the rest is the body."""

from acr_credential_provider.cloud.acr import AcrApi
from acr_credential_provider.cloud.acr_personal_edition import personal_token
from acr_credential_provider.cloud.sts import StsApi, WantedRole
from acr_credential_provider.cloud.transport import HttpResponse
from acr_credential_provider.model.cloud_credential import CloudCredential, FixedCredential
from acr_credential_provider.model.errors import CloudUnreachableError, RegistryRefusedError, RoleRefusedError
from fuzz.promises import check_error

STATUSES = (200, 200, 200, 400, 403, 404, 429, 500, 503, 302)
NOW = 1767323045.0
DATE = {"date": "Fri, 02 Jan 2026 03:04:05 GMT"}
HEADERS = (
    DATE,
    DATE | {"retry-after": "1"},
    DATE | {"x-acs-retry-after": "100"},
    {},
    {"date": "x\x1b[31m"},
    DATE | {"content-type": "text/html"},
)
KEY = CloudCredential("LTAI-example", "secret")
ROLE = WantedRole("acs:ram::1234567890123456:role/pull", "session")
ENDPOINTS = ("https://one.example.com", "https://two.example.com")


class Answers:
    """Answers each request with one response."""

    def __init__(self, response):
        self._response = response

    def send(self, _request):
        return self._response

    def time_left(self):
        return 0.0


def fuzz(data):
    choice = data[:2].ljust(2, b"\0")
    response = HttpResponse(STATUSES[choice[0] % len(STATUSES)], HEADERS[choice[1] % len(HEADERS)], data[2:])
    transport, provider = Answers(response), FixedCredential(KEY)
    acr = AcrApi(transport, provider, region="cn-hangzhou", endpoints=ENDPOINTS, clock=lambda: NOW)
    sts = StsApi(transport, endpoints=ENDPOINTS, clock=lambda: NOW)
    calls = (
        lambda: acr.authorization_token("cri-0123456789abcdef", hours=1),
        lambda: acr.registry_domains("cri-0123456789abcdef"),
        lambda: personal_token(transport, provider, region="cn-hangzhou", endpoints=ENDPOINTS, clock=lambda: NOW),
        lambda: sts.assume_role(ROLE, caller=KEY),
        lambda: sts.assume_role_with_oidc(ROLE, provider_arn="acs:ram::1:oidc-provider/x", token="a.b.c"),
    )
    for call in calls:
        try:
            call()
        except (RegistryRefusedError, RoleRefusedError, CloudUnreachableError) as error:
            check_error(error)
