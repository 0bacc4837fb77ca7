import pytest
from acr_credential_provider.cloud.proxy import Proxy, ProxySettings
from acr_credential_provider.model.errors import ConfigurationError
from unit.cloud.safety import CANARY, is_clean

HOST = "cr.cn-hangzhou.aliyuncs.com"


@pytest.mark.parametrize(
    ("entry", "host", "port", "covered"),
    [
        ("*", HOST, 443, True),
        ("aliyuncs.com", HOST, 443, True),
        (".aliyuncs.com", HOST, 443, True),
        ("*.aliyuncs.com", HOST, 443, True),
        (HOST.upper(), HOST, 443, True),
        ("uncs.com", HOST, 443, False),
        ("aliyuncs.com.evil.example", HOST, 443, False),
        (HOST + ":443", HOST, 443, True),
        (HOST + ":8443", HOST, 443, False),
        ("10.0.0.0/8", "10.9.8.7", 443, True),
        ("10.0.0.0/8", "11.9.8.7", 443, False),
        ("10.0.0.0/8", HOST, 443, False),
        ("10.0.0.0/99", "10.9.8.7", 443, False),
        ("10.9.8.7", "10.9.8.7", 443, True),
        ("fd00::/8", "fd00::1", 443, True),
        ("fd00::1", "fd00::1", 443, True),
        ("[fd00::1]:443", "fd00::1", 443, True),
        ("[fd00::1]:444", "fd00::1", 443, False),
        ("", HOST, 443, False),
        (".", HOST, 443, False),
    ],
)
def test_no_proxy_is_read_at_dots_ports_and_blocks(entry, host, port, covered):
    way = ProxySettings("http://proxy.example:3128", (entry,)).proxy_for(host, port)

    assert (way is None) is covered


def test_loopback_passes_no_proxy_unless_told():
    assert ProxySettings("proxy.example").proxy_for("127.0.0.1", 443) is None
    assert ProxySettings("proxy.example", include_loopback=True).proxy_for("localhost", 443) is not None


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_environment_is_read_in_both_cases(name):
    settings = ProxySettings.from_environment({name: "http://p.example:3128", "no_proxy": "a.example,b.example"})

    assert settings.proxy_for(HOST, 443) == Proxy("p.example", 3128)
    assert settings.proxy_for("x.b.example", 443) is None


@pytest.mark.parametrize(
    "url",
    ["https://me:{}@p:1", "socks5://me:{}@p", "http://me:{}@", "http://me:{}@p:port", "http://me:{}@p x", "http://[{}"],
)
def test_a_proxy_address_of_another_form_is_refused_and_not_shown(url):
    with pytest.raises(ConfigurationError, match="proxy") as caught:
        Proxy.parse(url.format(CANARY))

    assert is_clean(caught.value)


def test_a_login_is_never_shown():
    settings = ProxySettings(f"http://me:{CANARY}@p.example:1")

    assert CANARY not in repr(settings) + repr(settings.proxy_for(HOST, 443))
