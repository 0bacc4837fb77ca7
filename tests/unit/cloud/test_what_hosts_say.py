"""What a host's own form says: why DNS does not know it, where ACR is reached, and how a proxy is written."""

import socket

import pytest
from acr_credential_provider.cloud.proxy import Proxy, ProxySettings
from acr_credential_provider.cloud.transport import Transport
from acr_credential_provider.cloud.transport_errors import CHECK_DNS, explain
from acr_credential_provider.model.deadline import Deadline, Deadlines
from acr_credential_provider.model.errors import CloudUnreachableError, ConfigurationError
from acr_credential_provider.tokens.endpoints import CloudAccess
from acr_credential_provider.tokens.local_state import LocalState
from acr_credential_provider.tokens.token_service import TokenService
from support.judged import from_document

UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com:443", "link this node's VPC to the instance"),
        (
            "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com:443",
            "the public host demo-registry.cn-hangzhou.cr",
        ),
        ("crpi-a1-vpc.cn-hangzhou.personal.cr.aliyuncs.com:443", "crpi-a1.cn-hangzhou.personal.cr.aliyuncs.com"),
        ("demo-registry.cn-hangzhou.cr.aliyuncs.com:443", "its public entrance is on"),
        ("registry-vpc.cn-hangzhou.aliyuncs.com:443", "elsewhere use registry.cn-hangzhou.aliyuncs.com"),
        ("registry-internal.cn-hangzhou.aliyuncs.com", "elsewhere use registry.cn-hangzhou.aliyuncs.com"),
        ("cr-vpc.cn-hangzou.aliyuncs.com:443", "Did you mean cn-hangzhou?"),
        ("sts.eu-west-9.aliyuncs.com:443", "none of the regions that were known"),
    ],
)
def test_a_host_that_dns_does_not_know_is_explained_by_its_form(host, words):
    error = explain(UNKNOWN, doing="connecting to", peer=host, bundle="", seconds=1.0)
    assert "DNS knows no address" in error.problem
    assert words in error.remedy


@pytest.mark.parametrize("host", ["images.example.com:443", "cr.cn-hangzhou.aliyuncs.com:443", "proxy:3128"])
def test_dns_is_to_be_checked_for_every_other_host(host):
    assert explain(UNKNOWN, doing="x", peer=host, bundle="", seconds=1.0).remedy == CHECK_DNS


def test_dns_that_fails_for_now_is_dns():
    failure = socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
    host = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com:443"
    assert explain(failure, doing="x", peer=host, bundle="", seconds=1.0).remedy == CHECK_DNS


class Laptop(Transport):
    """A machine without a metadata service."""

    def send(self, request):
        raise CloudUnreachableError("no route", remedy="None.")


def endpoints(*domains, **more):
    document = {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [
            {"instanceId": "cri-a", "region": "cn-a", "domains": list(domains), "identity": {"kind": "nodeRole"}} | more
        ],
    }
    settings = from_document(document)
    access = CloudAccess(Deadlines(Deadline(5.0), Deadline(0.0)), transport=Laptop)

    service = TokenService(settings, None, LocalState.empty(), access)
    (registry,) = settings.registries
    return service.endpoints.acr(registry, "cn-a")


VPC, PUBLIC = "https://cr-vpc.cn-a.aliyuncs.com", "https://cr.cn-a.aliyuncs.com"


@pytest.mark.parametrize(
    ("domains", "order"),
    [
        ((), (PUBLIC, VPC)),
        (("a-registry.cn-a.cr.aliyuncs.com",), (PUBLIC, VPC)),
        (("a-registry-vpc.cn-a.cr.aliyuncs.com",), (VPC, PUBLIC)),
        (("a-registry-vpc.cn-a.cr.aliyuncs.com", "a-registry.cn-a.cr.aliyuncs.com"), (PUBLIC, VPC)),
        (("a-registry-vpc.cn-a.cr.aliyuncs.com", "images.example.com"), (PUBLIC, VPC)),
    ],
)
def test_where_no_region_is_known_the_network_of_the_hosts_says_where_acr_is_tried_first(domains, order):
    assert endpoints(*domains) == order


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_around_a_proxy_variable_are_no_part_of_it(quote):
    settings = ProxySettings.from_environment(
        {"HTTPS_PROXY": f"{quote}http://proxy:3128{quote}", "NO_PROXY": f"{quote}a.example{quote}"}
    )
    assert settings.proxy_for("cr.cn-a.aliyuncs.com", 443) == Proxy("proxy", 3128)
    assert settings.proxy_for("a.example", 443) is None


def test_a_proxy_that_is_to_be_spoken_to_over_https_is_told():
    with pytest.raises(ConfigurationError, match="spoken to in http"):
        Proxy.parse("https://proxy:3128")
