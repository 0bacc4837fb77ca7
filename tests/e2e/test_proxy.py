"""Through a proxy, around it, and against it: a real CONNECT proxy between the frozen binary and the cloud."""

import base64
import json

import pytest
from conftest import write_settings
from e2e.assertions import assert_answered, assert_told, files_in, image_of
from e2e.proxy import BROKEN, PAGE, REFUSED, ConnectProxy

ACR = "cr.cn-hangzhou.aliyuncs.com:443"
LOGIN = "kubelet:CANARY%20PROXY%40PASSWORD"
PLAIN = "kubelet:CANARY PROXY@PASSWORD"
SECRETS = (b"CANARY", base64.b64encode(PLAIN.encode())[:20])
QUIET = {"HTTPS_PROXY": "", "https_proxy": "", "NO_PROXY": "", "no_proxy": ""}


@pytest.fixture
def proxied(sandbox):
    """Return what makes a proxy that leads to the sandbox's OpenAPI."""

    def make(**options):
        return ConnectProxy(sandbox.openapi.addresses[0], **options)

    return make


@pytest.fixture
def program(frozen, sandbox):
    """The program with the cloud under its real name, which only the proxy can reach."""
    return _with(frozen, sandbox)


def _with(program, sandbox, **more):
    settings = sandbox.settings()
    del settings["registries"][0]["endpoints"]
    settings["registries"][0]["network"] = "public"
    write_settings(program.settings.parent, {**settings, **more})
    return program


def _ask(program, sandbox, **environment):
    return program.ask(image_of(sandbox), env={**QUIET, **environment})


def assert_no_login(program, *texts):
    for text in (*texts, *files_in(program.cache).values()):
        assert not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_proxy_of_the_environment_is_used(program, sandbox, proxied, name):
    with proxied() as proxy:
        assert_answered(_ask(program, sandbox, **{name: proxy.url()}), sandbox)
        assert proxy.names == [ACR]
        assert_answered(_ask(program, sandbox, **{name: proxy.url()}), sandbox)
        assert proxy.names == [ACR], "a hit asks nobody"


def test_the_proxy_of_the_settings_is_used_and_the_environments_is_not(frozen, sandbox, proxied):
    with proxied() as ours, proxied(behaviour=lambda _: None) as theirs:
        program = _with(frozen, sandbox, proxy={"https": ours.url()})
        assert_answered(_ask(program, sandbox, HTTPS_PROXY=theirs.url()), sandbox)
        assert (ours.names, theirs.names) == ([ACR], [])


@pytest.mark.parametrize("where", ["environment", "settings"])
def test_the_proxy_is_told_its_login_and_nobody_else_is(frozen, sandbox, proxied, where):
    with proxied(login=PLAIN) as proxy:
        url = proxy.url(LOGIN)
        program = _with(frozen, sandbox, **({"proxy": {"https": url}} if where == "settings" else {}))
        ended = _ask(program, sandbox, **({"HTTPS_PROXY": url} if where == "environment" else {}))
        assert_answered(ended, sandbox)
        assert "Proxy-Authorization: Basic " in proxy.requests[0]
        if where == "environment":
            assert_no_login(program, ended.stdout, ended.stderr)


@pytest.mark.parametrize("login", ["", "kubelet:CANARY-WRONG", "CANARY"])
def test_a_proxy_that_wants_another_login_is_named_and_the_login_is_not(program, sandbox, proxied, login):
    with proxied(login=PLAIN) as proxy:
        ended = _ask(program, sandbox, HTTPS_PROXY=proxy.url(login))
        assert_told(ended, f"127.0.0.1:{proxy.port}", "HTTP 407", "user:password")
        assert_no_login(program, ended.stderr)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (REFUSED, ("HTTP 403", "CONNECT", "NO_PROXY")),
        (BROKEN, ("HTTP 502",)),
        (PAGE, ("TLS", "proxy")),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ("did not answer in HTTP",)),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n", ("HTTP 302",)),
        (b"", ("the connection was closed",)),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000, ("did not answer in HTTP",)),
        (b"\x16\x03\x01\x00\x05hello", ("did not answer in HTTP",)),
    ],
    ids=["403", "502", "a page", "ssh", "a redirect", "nothing", "headers without end", "TLS"],
)
def test_a_proxy_that_opens_no_tunnel_is_named(program, sandbox, proxied, answer, words):
    with proxied(behaviour=lambda connection: connection.sendall(answer)) as proxy:
        ended = _ask(program, sandbox, HTTPS_PROXY=proxy.url(LOGIN))
    assert_told(ended, *words)
    assert_no_login(program, ended.stderr)
    assert sandbox.calls.counts() == {}


def test_a_proxy_that_hangs_is_named_before_the_deadline(program, sandbox, proxied):
    with proxied(hangs=True) as proxy:
        ended = _ask(program, sandbox, HTTPS_PROXY=proxy.url(LOGIN))
        assert_told(ended, f"127.0.0.1:{proxy.port}", "timed out")
    assert_no_login(program, ended.stderr)


def test_a_proxy_that_is_not_there_is_named(program, sandbox, proxied):
    with proxied() as proxy:
        pass
    ended = _ask(program, sandbox, HTTPS_PROXY=proxy.url(LOGIN))
    assert_told(ended, f"connect to the proxy 127.0.0.1:{proxy.port} was refused")
    assert_no_login(program, ended.stderr)


FORM = "http://[user:password@]host:port"


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://{}127.0.0.1:1", "http://host:port"),
        ("socks5://{}127.0.0.1:1", FORM),
        ("http://{}", FORM),
        ("http://{}127.0.0.1:1/\nx", FORM),
        ("http://{}[::1", FORM),
    ],
)
def test_a_proxy_address_that_is_none_is_refused_and_not_shown(program, sandbox, url, form):
    ended = _ask(program, sandbox, HTTPS_PROXY=url.format(LOGIN + "@"))
    assert_told(ended, form, "HTTPS_PROXY")
    assert_no_login(program, ended.stderr)


@pytest.mark.parametrize("where", ["environment", "settings"])
@pytest.mark.parametrize("no_proxy", ["*", "aliyuncs.com", ".aliyuncs.com", "cr.cn-hangzhou.aliyuncs.com:443"])
def test_what_no_proxy_lists_is_reached_without_it(frozen, sandbox, proxied, where, no_proxy):
    """Reached means tried: no DNS knows that name here, and the error says whom we did not find."""
    with proxied() as proxy:
        if where == "settings":
            program = _with(frozen, sandbox, proxy={"https": proxy.url(), "noProxy": [no_proxy]})
            ended = _ask(program, sandbox)
        else:
            ended = _ask(_with(frozen, sandbox), sandbox, HTTPS_PROXY=proxy.url(), NO_PROXY=f"a.example, {no_proxy}")
        assert proxy.requests == []
    assert_told(ended, ACR, "DNS")


def test_the_metadata_service_is_never_asked_by_proxy(frozen, sandbox, proxied):
    """Whoever sees those answers can be the node."""
    settings = sandbox.settings()
    registry = settings["registries"][0]
    del registry["endpoints"], registry["region"]
    registry["identity"] = {"kind": "nodeRole"}
    write_settings(frozen.settings.parent, settings)
    with proxied() as proxy:
        environment = {name: proxy.url() for name in ("HTTPS_PROXY", "HTTP_PROXY", "http_proxy", "ALL_PROXY")}
        assert_answered(_ask(frozen, sandbox, **environment), sandbox)
        assert {name.rpartition(":")[2] for name in proxy.names} == {"443"}
        assert all(request.startswith("CONNECT cr") for request in proxy.requests)
        assert not any("security-credentials" in request or "metadata" in request for request in proxy.requests)
    assert sandbox.calls.counts()["GetAuthorizationToken"] == 1


def test_inside_the_tunnel_the_clouds_own_name_is_verified(program, sandbox, proxied):
    """A proxy that leads elsewhere, to a server with a good certificate of another name, gets no request."""
    settings = json.loads(program.settings.read_text())
    settings["registries"][0]["region"] = "cn-beijing"
    write_settings(program.settings.parent, settings)
    with proxied() as proxy:
        assert_told(_ask(program, sandbox, HTTPS_PROXY=proxy.url()), "is for another host")
    assert sandbox.calls.counts() == {}
