import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from acr_credential_provider.cloud.dial import dial
from acr_credential_provider.cloud.proxy import ProxySettings
from acr_credential_provider.cloud.transport import Bounds, HttpRequest, Transport
from acr_credential_provider.cloud.transport_errors import TransportError
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import ConfigurationError, DeadlineExceededError
from support.ports import closed_port
from unit.cloud.loopback import answer, before_request, drip, header, reset, say_nothing, serving
from unit.cloud.safety import CANARY, is_clean

QUICK = Bounds(connect=0.3, hop=0.4, reserve=0.0)
DIRECT = ProxySettings()


def a_transport(seconds=5.0, *, bounds=QUICK, proxy=DIRECT, **kwargs):
    return Transport(Deadline(seconds), proxy=proxy, bounds=bounds, **kwargs)


def get(url, **kwargs):
    return HttpRequest("GET", url, {"x-acs-security-token": CANARY}, **kwargs)


def test_an_answer_comes_back_with_status_lower_case_headers_and_body():
    with serving(answer(404, b"gone", X_Thing="Yes")) as server:
        response = a_transport().send(get(server.url + "/a?b=c%20d"))

    assert (response.status, response.headers["x-thing"], response.body) == (404, "Yes", b"gone")
    assert server.requests[0].startswith("GET /a?b=c%20d HTTP/1.1\r\n")
    assert header(server.requests[0], "host") == f"127.0.0.1:{server.port}"


def test_a_host_that_was_signed_is_sent_once():
    """Two Host headers make two values to the verifier, and another signature."""
    with serving(answer(200, b"")) as server:
        a_transport().send(HttpRequest("GET", server.url, {"host": f"127.0.0.1:{server.port}"}))

    assert server.requests[0].lower().count("\r\nhost:") == 1


def test_a_chunked_answer_is_read():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with serving(chunked) as server:
        assert a_transport().send(get(server.url)).body == b"abcde"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error_and_its_target_sees_nothing(status):
    with serving(answer(200)) as target, serving(answer(status, Location=target.url)) as server:
        with pytest.raises(TransportError, match="redirect") as caught:
            a_transport().send(get(server.url))
        time.sleep(0.05)

    assert target.requests == []
    assert is_clean(caught.value)


HOSTILE = {
    "nothing at all": (say_nothing, "timed out"),
    "no answer after the request": (lambda sock, request: time.sleep(1), "timed out"),
    "a status line byte by byte": (drip(b"x"), "timed out"),
    "headers byte by byte": (drip(b"x: y\r\n", start=b"HTTP/1.1 200 OK\r\n"), "timed out"),
    "a body byte by byte": (drip(b"x", start=b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"), "timed out"),
    "chunks byte by byte": (
        drip(b"1\r\nx\r\n", start=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "timed out",
    ),
    "interim answers for ever": (drip(b"HTTP/1.1 100 Continue\r\n\r\n"), "timed out"),
    "a body without end": (lambda sock, request: flood(sock, b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 8192), "64 KiB"),
    "a body announced as huge": (answer(200, b"x" * 70000), "64 KiB"),
    "a header without end": (lambda sock, request: flood(sock, b"HTTP/1.1 200 OK\r\nx: ", b"y" * 8192), "HTTP"),
    "headers without end": (lambda sock, request: flood(sock, b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 999), "HTTP"),
    "interim answers in a flood": (lambda sock, request: flood(sock, b"", b"HTTP/1.1 100 C\r\n\r\n" * 99), "HTTP"),
    "less than announced": (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", "broke off"),
    "half a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", "broke off"),
    "a reset": (reset, "closed"),
    "an end without answer": (b"", "closed"),
    "another protocol": (b"SSH-2.0-" + CANARY.encode() + b"\r\n", "HTTP"),
    "a status that is none": (b"HTTP/1.1 " + CANARY.encode() + b" OK\r\n\r\n", "HTTP"),
}


def flood(sock, start, more):
    sock.sendall(start)
    until = time.monotonic() + 5
    while time.monotonic() < until:
        sock.sendall(more)


@pytest.mark.alone
@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_server_does_the_hop_ends_in_time_with_the_cause(name):
    behaviour, cause = HOSTILE[name]
    with serving(behaviour) as server:
        begun = time.monotonic()
        with pytest.raises(TransportError) as caught:
            a_transport().send(get(server.url))

    assert time.monotonic() - begun < 1.0
    assert cause in caught.value.problem
    assert f"127.0.0.1:{server.port}" in caught.value.problem
    assert is_clean(caught.value)


def test_a_handshake_that_never_comes_ends_in_time(authority):
    with serving(say_nothing) as server, pytest.raises(TransportError, match=r"TLS handshake .* timed out") as caught:
        a_transport(ca_bundle=authority.bundle).send(get(f"https://127.0.0.1:{server.port}"))

    assert caught.value.try_next_endpoint
    assert is_clean(caught.value)


@pytest.mark.alone
def test_a_handshake_byte_by_byte_ends_in_time(authority):
    @before_request
    def drip_record(sock, over):
        sock.sendall(b"\x16\x03\x03\x40\x00")  # a handshake record of 16 KiB
        while not over.wait(0.03):
            sock.sendall(b"\x02")

    with serving(drip_record) as server:
        begun = time.monotonic()
        with pytest.raises(TransportError, match="timed out") as caught:
            a_transport(ca_bundle=authority.bundle).send(get(f"https://127.0.0.1:{server.port}"))

    assert time.monotonic() - begun < 1.0
    assert is_clean(caught.value)


@pytest.mark.alone
def test_a_body_byte_by_byte_over_tls_ends_in_time(authority):
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"
    with serving(drip(b"x", start=start), tls=authority.context()) as server:
        begun = time.monotonic()
        with pytest.raises(TransportError, match="timed out"):
            a_transport(ca_bundle=authority.bundle).send(get(server.url))

    assert time.monotonic() - begun < 1.0


def test_a_certificate_of_a_known_authority_is_accepted(authority):
    with serving(answer(200, b"ok"), tls=authority.context()) as server:
        assert a_transport(ca_bundle=authority.bundle).send(get(server.url)).body == b"ok"


def long_ago():
    return {
        "not_after": datetime(2001, 1, 1, tzinfo=UTC),
        "not_before": datetime(2000, 1, 1, tzinfo=UTC),
    }


@pytest.mark.parametrize(
    ("names", "dates", "cause", "remedy"),
    [
        (("other.example",), {}, "for another host", "proxy"),
        (("127.0.0.1",), long_ago(), "expired", "chrony"),
    ],
)
def test_a_certificate_that_does_not_fit_is_told_apart(names, dates, cause, remedy, authority):
    with serving(answer(200), tls=authority.context(*names, **dates)) as server:
        with pytest.raises(TransportError, match=cause) as caught:
            a_transport(ca_bundle=authority.bundle).send(get(server.url))

        assert server.requests == []
    assert remedy in caught.value.remedy
    assert is_clean(caught.value)


def test_an_unknown_authority_is_refused_and_the_bundle_named(authority, tmp_path):
    from unit.cloud.loopback import Authority

    stranger = Authority(tmp_path)
    with (
        serving(answer(200), tls=stranger.context()) as server,
        pytest.raises(TransportError, match="not trusted") as caught,
    ):
        a_transport(ca_bundle=authority.bundle).send(get(server.url))

    assert authority.bundle in caught.value.problem
    assert "caBundle" in caught.value.remedy
    assert is_clean(caught.value)


def test_plain_http_where_tls_should_be_is_told(authority):
    @before_request
    def speak_first(sock, over):
        sock.recv(100)
        sock.sendall(answer(400, CANARY.encode()))

    with serving(speak_first) as server, pytest.raises(TransportError, match="does not speak TLS") as caught:
        a_transport(ca_bundle=authority.bundle).send(get(f"https://127.0.0.1:{server.port}"))

    assert is_clean(caught.value)


def test_a_refused_connection_is_told():
    port = closed_port()
    with pytest.raises(TransportError, match=f"connect to 127.0.0.1:{port} was refused") as caught:
        a_transport().send(get(f"http://127.0.0.1:{port}"))

    assert (caught.value.try_next_endpoint, caught.value.retryable) == (True, True)
    assert is_clean(caught.value)


def test_a_name_that_dns_does_not_know_is_told(authority):
    def unknown(*_):
        raise socket.gaierror(socket.EAI_NONAME, CANARY)

    with pytest.raises(TransportError, match=r"DNS knows no address for cr\.example:443") as caught:
        a_transport(resolver=unknown, ca_bundle=authority.bundle).send(get("https://cr.example"))

    assert "resolv.conf" in caught.value.remedy
    assert is_clean(caught.value)


@pytest.mark.alone
def test_dns_that_does_not_answer_is_left_behind_in_time(authority):
    over = threading.Event()

    def black_hole(*_):
        over.wait(5)
        return []

    begun = time.monotonic()
    with pytest.raises(TransportError, match=r"DNS did not answer for cr\.example:443 within 0\.3 s") as caught:
        a_transport(resolver=black_hole, ca_bundle=authority.bundle).send(get("https://cr.example"))
    over.set()

    assert time.monotonic() - begun < 0.8
    assert is_clean(caught.value)


def stream(family, host, port):
    return (family, socket.SOCK_STREAM, 6, "", (host, port))


def test_a_dead_address_does_not_use_up_the_time_of_a_living_one():
    """An address of a full backlog never answers; the next one is tried before it gives up."""
    with socket.socket() as full, serving(answer(200)) as server:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        others = [socket.socket() for _ in range(3)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        addresses = [
            stream(socket.AF_INET, *full.getsockname()),
            stream(socket.AF_INET, "127.0.0.1", server.port),
        ]

        sock = dial("cr.example", 443, Deadline(1.0), resolver=lambda *_: list(addresses))

        assert sock.getpeername()[1] == server.port
        sock.close()
        for other in others:
            other.close()


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this kernel has no IPv6")
def test_both_families_are_tried():
    with serving(answer(200), host="::1") as six, serving(answer(200)) as four:
        closed, closed_six = closed_port(), closed_port("::1")
        for addresses, port in (
            ([stream(socket.AF_INET, "127.0.0.1", closed), stream(socket.AF_INET6, "::1", six.port)], six.port),
            ([stream(socket.AF_INET6, "::1", closed_six), stream(socket.AF_INET, "127.0.0.1", four.port)], four.port),
        ):
            sock = dial("cr.example", 443, Deadline(1.0), resolver=lambda *_, found=addresses: list(found))
            assert sock.getpeername()[1] == port
            sock.close()


@pytest.mark.parametrize(
    "url", ["http://cr.cn-hangzhou.aliyuncs.com/", "ftp://127.0.0.1/", "http://127.0.0.1.evil.example/"]
)
def test_nothing_is_sent_in_the_clear_off_this_machine(url):
    with pytest.raises(ConfigurationError, match="not https") as caught:
        a_transport().send(get(url))

    assert is_clean(caught.value)


@pytest.mark.parametrize("url", ["https://", "https://me:pw@cr.example/", "https://[::1/", "https://cr.example:99999/"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigurationError, match="URL") as caught:
        a_transport().send(get(url))

    assert is_clean(caught.value)


def test_without_time_nothing_is_sent_and_that_is_told():
    with serving(answer(200)) as server, pytest.raises(DeadlineExceededError) as caught:
        a_transport(0.4, bounds=Bounds(reserve=0.5)).send(get(server.url))

    assert server.requests == []
    assert is_clean(caught.value)


def test_a_header_that_would_break_the_request_is_not_sent_and_not_shown():
    with serving(answer(200)) as server, pytest.raises(TransportError) as caught:
        a_transport().send(HttpRequest("GET", server.url, {"x-acs-security-token": CANARY + "\r\nx: y"}))

    assert is_clean(caught.value)


def test_neither_request_nor_response_shows_what_it_carries():
    with serving(answer(200, CANARY.encode(), X_Echo=CANARY)) as server:
        request = get(server.url + "/?Token=" + CANARY)
        response = a_transport().send(request)

    assert CANARY not in repr(request) + repr(response)


class TestProxies:
    def tunnel(self, sock, request):
        """A proxy: connect to where CONNECT says and pass on what comes, both ways."""
        host, port = request.split()[1].split(":")
        with socket.create_connection((host, int(port))) as far:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self.pump, args=(far, sock), daemon=True)
            back.start()
            self.pump(sock, far)
            back.join(2)

    @staticmethod
    def pump(source, sink):
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def through(self, proxy, login="", **kwargs):
        return ProxySettings(f"http://{login}127.0.0.1:{proxy.port}", include_loopback=True, **kwargs)

    def test_https_goes_through_a_tunnel_that_sees_no_header_of_it(self, authority):
        with serving(answer(200, b"ok"), tls=authority.context()) as server, serving(self.tunnel) as proxy:
            transport = a_transport(proxy=self.through(proxy, "me:pa%3Ass@"), ca_bundle=authority.bundle)
            assert transport.send(get(server.url)).body == b"ok"

        assert proxy.requests[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")
        assert header(proxy.requests[0], "proxy-authorization") == "Basic bWU6cGE6c3M="
        assert header(server.requests[0], "proxy-authorization") is None
        assert CANARY not in proxy.requests[0]

    @pytest.mark.parametrize(
        ("status", "remedy"), [(407, "password"), (403, "NO_PROXY"), (502, "NO_PROXY"), (302, "NO_PROXY")]
    )
    def test_a_proxy_that_refuses_is_named_and_its_password_is_not(self, status, remedy, authority):
        with serving(answer(status, CANARY.encode(), Location="http://127.0.0.1/")) as proxy:
            transport = a_transport(proxy=self.through(proxy, f"me:{CANARY}@"), ca_bundle=authority.bundle)
            with pytest.raises(TransportError, match=rf"the proxy 127.0.0.1:{proxy.port} .*HTTP {status}") as caught:
                transport.send(get("https://127.0.0.1:9/"))

        assert remedy in caught.value.remedy
        assert is_clean(caught.value)

    @pytest.mark.alone
    @pytest.mark.parametrize("behaviour", [say_nothing, drip(b"x: y\r\n", start=b"HTTP/1.1 200 OK\r\n")])
    def test_a_proxy_that_hangs_is_left_in_time(self, behaviour, authority):
        with serving(behaviour) as proxy:
            transport = a_transport(proxy=self.through(proxy), ca_bundle=authority.bundle)
            begun = time.monotonic()
            with pytest.raises(TransportError, match=r"tunnel to the proxy .* timed out"):
                transport.send(get("https://127.0.0.1:9/"))

        assert time.monotonic() - begun < 1.0

    def test_plain_http_and_direct_requests_pass_no_proxy(self, authority):
        with (
            serving(answer(200)) as metadata,
            serving(answer(200), tls=authority.context()) as server,
            serving(self.tunnel) as proxy,
        ):
            transport = a_transport(proxy=self.through(proxy), ca_bundle=authority.bundle)
            transport.send(get(metadata.url))
            transport.send(get(server.url, direct=True))

        assert proxy.requests == []
