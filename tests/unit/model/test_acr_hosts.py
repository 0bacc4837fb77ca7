import pytest
from acr_credential_provider.fastpath.lookup import cache_scope
from acr_credential_provider.model.acr_hosts import EnterpriseHost, PersonalHost, SharedHost, is_region, recognise
from acr_credential_provider.model.image_reference import scope_of
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
    assert recognise(host) == recognised
    assert recognised.listed_as == host


REGIONS = [
    "cn-hangzhou",
    "cn-wulanchabu",
    "cn-hongkong",
    "ap-southeast-1",
    "us-west-1",
    "eu-central-1",
    "me-central-1",
    "na-south-1",
    "cn-hangzhou-finance",
    "cn-shanghai-finance-1",
    "cn-north-2-gov-1",
    "cn-heyuan-acdr-1",
    "rus-west-1",
]


@pytest.mark.parametrize("region", REGIONS)
def test_every_form_of_host_is_recognised_in_every_kind_of_region(region):
    assert is_region(region)
    forms = {
        f"a-registry.{region}.cr.aliyuncs.com": EnterpriseHost("a", region, vpc=False),
        f"a-registry-vpc.{region}.cr.aliyuncs.com": EnterpriseHost("a", region, vpc=True),
        f"a-registry-vpc.distributed.{region}.cr.aliyuncs.com:65001": EnterpriseHost("a", region, vpc=True, p2p=True),
        f"registry.{region}.aliyuncs.com": SharedHost(region, ""),
        f"registry-vpc.{region}.aliyuncs.com": SharedHost(region, "vpc"),
        f"registry-internal.{region}.aliyuncs.com": SharedHost(region, "internal"),
        f"registry-intl.{region}.aliyuncs.com": SharedHost(region, "intl"),
        f"registry-intl-vpc.{region}.aliyuncs.com": SharedHost(region, "intl-vpc"),
        f"crpi-a1b2.{region}.personal.cr.aliyuncs.com": PersonalHost("crpi-a1b2", region, vpc=False),
        f"crpi-a1b2-vpc.{region}.personal.cr.aliyuncs.com": PersonalHost("crpi-a1b2", region, vpc=True),
    }
    assert {host: recognise(host) for host in forms} == forms


def test_the_p2p_host_is_another_door_of_the_vpcs():
    host = EnterpriseHost.recognise("a-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com:65001")
    assert host.listed_as == "a-registry-vpc.cn-hangzhou.cr.aliyuncs.com"


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
    assert recognise(host) is None


SYSTEM = [
    "a-registry.cn-hangzhou.cr.aliyuncs.com",
    "a-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
    "a-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com:65001",
    "registry.cn-hangzhou.aliyuncs.com",
    "registry-intl-vpc.ap-southeast-1.aliyuncs.com",
    "crpi-a1b2.cn-hangzhou.personal.cr.aliyuncs.com",
    "crpi-a1b2-vpc.cn-hangzhou.personal.cr.aliyuncs.com",
]
GAMES = {
    "another domain behind it": lambda host: host.replace(".aliyuncs.com", ".aliyuncs.com.evil.example"),
    "a longer top domain": lambda host: host.replace("aliyuncs.com", "aliyuncs.company"),
    "a shorter one": lambda host: host.replace("aliyuncs.com", "aliyuncs.co"),
    "another dot": lambda host: host.replace("aliyuncs.com", "aliyuncs-com"),
    "a label before it": lambda host: "evil." + host,
    "a trailing dot": lambda host: host.replace(".com", ".com."),
    "upper case": str.upper,
    "a capital": lambda host: host.replace("aliyuncs", "Aliyuncs"),
    "userinfo": lambda host: "user@" + host,
    "userinfo with a password": lambda host: "user:password@" + host,
    "the usual port": lambda host: host.partition(":")[0] + ":443",
    "another port": lambda host: host.partition(":")[0] + ":65002",
    "a port with zeros": lambda host: host.partition(":")[0] + ":065001",
    "no port but its colon": lambda host: host.partition(":")[0] + ":",
    "a line end": lambda host: host + "\n",
    "a NUL": lambda host: host + "\0",
    "a space": lambda host: " " + host,
    "a scheme": lambda host: "https://" + host,
    "a path": lambda host: host + "/x",
    "an empty label": lambda host: host.replace(".", "..", 1),
    "a Cyrillic letter": lambda host: host.replace("a", "\u0430"),
    "full-width letters": lambda host: host.replace("cn", "\uff43\uff4e").replace("ap-", "\uff41p-"),
    "punycode": lambda host: "xn--" + host,
    "a bucket": lambda host: host.replace("cn-hangzhou", "oss-cn-hangzhou").replace("ap-", "oss-ap-"),
    "a bucket's internal host": lambda host: host.replace("-hangzhou", "-hangzhou-internal").replace("-1.", "-1-vpc."),
    "an image service's bucket": lambda host: host.replace("cn-hangzhou", "img-cn-hangzhou").replace("ap-", "img-ap-"),
    "no region": lambda host: host.replace(".cn-hangzhou", "").replace(".ap-southeast-1", ""),
    "percent encoding": lambda host: host.replace(".", "%2e", 1),
}


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("host", SYSTEM)
def test_no_game_with_a_system_domain_is_taken_for_one(host, game):
    assert recognise(host) is not None
    played = GAMES[game](host)
    assert played != host
    assert recognise(played) is None


@pytest.mark.parametrize(
    "host",
    [
        "registry-cn-hangzhou.ack.aliyuncs.com",
        "registry-cn-hangzhou-vpc.ack.aliyuncs.com",
        "registry.aliyuncs.com",
        "registry.cr.aliyuncs.com",
        "registry.cn-hangzhou.cr.aliyuncs.com",
        "myregistry.cn-hangzhou.aliyuncs.com",
        "registry-vpc-intl.cn-hangzhou.aliyuncs.com",
        "registry.cn-hangzhou.oss.aliyuncs.com",
        "registry.cn-hangzhou.log.aliyuncs.com",
        "dockerauth.cn-hangzhou.aliyuncs.com",
        "cr.cn-hangzhou.aliyuncs.com",
        "crpi-.cn-hangzhou.personal.cr.aliyuncs.com",
        "crpi-a-b.cn-hangzhou.personal.cr.aliyuncs.com",
        "a.cn-hangzhou.personal.cr.aliyuncs.com",
        "crpi-a.cn-hangzhou.cr.aliyuncs.com",
        "a-registry.distributed.cn-hangzhou.cr.aliyuncs.com:65001",
        "a-registry-vpc.cn-hangzhou.cr.aliyuncs.com:65001",
        "1.2.3.4",
        "[::1]:65001",
    ],
)
def test_other_hosts_of_alibaba_cloud_and_elsewhere_are_none_of_acrs(host):
    assert recognise(host) is None


@pytest.mark.parametrize("host", SYSTEM)
def test_a_system_domain_inside_the_path_of_an_image_leads_nowhere(host):
    assert recognise(scope_of(f"docker.io/{host.partition(':')[0]}/team/app").partition("/")[0]) is None


NETWORKS = st.sampled_from(["", "-vpc", "-internal", "-intl", "-intl-vpc"])
NAMESPACES = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=20)


@given(NETWORKS, st.sampled_from(REGIONS), NAMESPACES)
def test_an_answer_for_a_shared_host_is_for_one_namespace(network, region, namespace):
    """The fast lane's rule must cover all that the full rule calls shared."""
    host = f"registry{network}.{region}.aliyuncs.com"
    assert isinstance(recognise(host), SharedHost)
    assert cache_scope(f"{host}/{namespace}/app") == scope_of(f"{host}/{namespace}/app") == f"{host}/{namespace}"


@given(st.text("abcr.-egisty", max_size=40), NAMESPACES)
def test_any_host_that_is_shared_has_places(start, namespace):
    host = start + ".aliyuncs.com"
    if isinstance(recognise(host), SharedHost):
        assert cache_scope(f"{host}/{namespace}/app") == f"{host}/{namespace}"


def test_an_enterprise_host_has_one_place_for_all():
    assert cache_scope("a-registry.cn-hangzhou.cr.aliyuncs.com/team/app") == "a-registry.cn-hangzhou.cr.aliyuncs.com"


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
    "text",
    [
        "",
        "cn",
        "oss-cn-hangzhou",
        "img-cn-hangzhou",
        "cn-hangzhou-internal",
        "cn-hangzhou\n",
        "vpc-x",
        "CN-hangzhou",
        "cn-hangzhou.evil",
        "cn_hangzhou",
    ],
)
def test_other_words_are_no_regions(text):
    assert not is_region(text)
