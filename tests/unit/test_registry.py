import pytest
from acr_credential_provider.registry import EnterpriseHost, is_region
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("host", "recognised"),
    [
        ("demo-registry.cn-hangzhou.cr.aliyuncs.com", EnterpriseHost("demo", "cn-hangzhou", vpc=False)),
        ("demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com", EnterpriseHost("demo", "cn-hangzhou", vpc=True)),
        ("a-b-c-registry.us-west-1.cr.aliyuncs.com", EnterpriseHost("a-b-c", "us-west-1", vpc=False)),
        ("my-registry-registry.cn-shanghai.cr.aliyuncs.com", EnterpriseHost("my-registry", "cn-shanghai", vpc=False)),
        (
            "x-registry-vpc.cn-shanghai-finance-1.cr.aliyuncs.com",
            EnterpriseHost("x", "cn-shanghai-finance-1", vpc=True),
        ),
    ],
)
def test_enterprise_hosts_are_recognised(host, recognised):
    assert EnterpriseHost.recognise(host) == recognised


LOOK_ALIKES = [
    "demo-registry.oss-cn-hangzhou.aliyuncs.com",  # a bucket that anyone may name so
    "demo-registry.oss-cn-hangzhou.cr.aliyuncs.com",
    "demo-registry.cn-hangzhou.aliyuncs.com",
    "demo-registry.cn-hangzhou.cr.aliyuncs.com.evil.com",
    "demo-registry.cn-hangzhou.cr.aliyuncs.comevil",
    "evil.com.demo-registry.cn-hangzhou.cr.aliyuncs.com",
    "demo-registry.cn-hangzhou.cr.aliyuncs.com.",
    "demo-registry.cn-hangzhou.cr.aliyuncs.com:443",
    "demo-registry.cn-hangzhou.cr.aliyuncs.com:5000",
    "Demo-Registry.cn-hangzhou.cr.aliyuncs.com",
    "demo-registry.cn-hangzhou.CR.aliyuncs.com",
    "user@demo-registry.cn-hangzhou.cr.aliyuncs.com",
    "demo-registry.cn-hangzhou.cr.aliyuncs.com\n",
    "\ndemo-registry.cn-hangzhou.cr.aliyuncs.com",
    "demo-registry.cn-hangzhou.cr.aliyuncs.com%2eevil.com",
    "demo-registry.cn-hangzhou.crxaliyuncs.com",
    "demo-registry.cn-hangzhou.cr.aliyuncsxcom",
    "demo_registry.cn-hangzhou.cr.aliyuncs.com",
    "demoregistry.cn-hangzhou.cr.aliyuncs.com",
    "-registry.cn-hangzhou.cr.aliyuncs.com",
    "registry.cn-hangzhou.cr.aliyuncs.com",
    "demo-chart.cn-hangzhou.cr.aliyuncs.com",
    "demo-registry.hangzhou.cr.aliyuncs.com",
    "demo-registry.vpc-cn-hangzhou.cr.aliyuncs.com",
    "demo-registry.cn--hangzhou.cr.aliyuncs.com",
    "demo-registry.cn-hangzhou..cr.aliyuncs.com",
    "demo-registry..cn-hangzhou.cr.aliyuncs.com",
    "demo-registry.cn-hangzhou.personal.cr.aliyuncs.com",
    "d\u0435mo-registry.cn-hangzhou.cr.aliyuncs.com",  # a Cyrillic letter
    "demo-registry.cn-hangzhou.cr.aliyuncs.com/",
    "100.100.100.200",
    "[::1]",
    "docker.io",
    "",
]


@pytest.mark.parametrize("host", LOOK_ALIKES)
def test_look_alikes_are_not_recognised(host):
    assert EnterpriseHost.recognise(host) is None


@given(st.text(), st.text())
def test_nothing_around_a_host_leaves_it_recognised(before, after):
    host = f"{before}demo-registry.cn-hangzhou.cr.aliyuncs.com{after}"
    found = EnterpriseHost.recognise(host)
    # Only more of a DNS label in front of "demo" can still be an instance's name.
    assert found is None or (after == "" and found.instance_name == before + "demo" and "." not in before)


@given(st.text())
def test_no_text_is_recognised_unless_it_ends_in_acrs_own_domain(text):
    found = EnterpriseHost.recognise(text)
    assert found is None or text.endswith(f".{found.region}.cr.aliyuncs.com")


@pytest.mark.parametrize("text", ["cn-hangzhou", "us-west-1", "cn-shanghai-finance-1", "rus-west-1"])
def test_regions_have_the_shape_of_regions(text):
    assert is_region(text)


@pytest.mark.parametrize(
    "text", ["", "cn", "oss-cn-hangzhou", "vpc-x", "CN-hangzhou", "cn-hangzhou.evil", "cn_hangzhou"]
)
def test_other_words_are_no_regions(text):
    assert not is_region(text)
