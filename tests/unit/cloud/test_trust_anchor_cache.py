"""One remembered root instead of the whole bundle, and never a certificate that the bundle has not got."""

import os
import ssl

import pytest
import trustme
from acr_credential_provider.cache.trust_anchor_cache import TrustAnchorCache
from acr_credential_provider.cloud.ca_bundle import CaBundle
from acr_credential_provider.cloud.transport import HttpRequest, Transport
from acr_credential_provider.cloud.transport_errors import TransportError
from acr_credential_provider.fastpath.response_cache import ResponseCache
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import ConfigurationError
from unit.cloud.loopback import answer, serving


class CountingContexts:
    """A `TrustAnchorCache` that notes what it is asked and told."""

    def __init__(self, roots):
        self._roots = roots
        self.recalled, self.remembered = [], []

    def get(self, host):
        found = self._roots.get(host)
        self.recalled.append(found)
        return found

    def put(self, host, certificate):
        self.remembered.append(certificate)
        self._roots.put(host, certificate)


class Node:
    """A bundle with many roots, a memo folder, and the transports of one process after another."""

    def __init__(self, folder):
        self.bundle = folder / "bundle.pem"
        (folder / "memo").mkdir(mode=0o700)
        self.memos = ResponseCache(str(folder / "memo"))
        self.cas = [trustme.CA(organization_name=f"CA {number}") for number in range(30)]
        self.trust(*self.cas)

    def trust(self, *cas):
        self.bundle.write_bytes(b"".join(ca.cert_pem.bytes() for ca in cas))
        assert self.bundle.stat().st_size > 16 * 1024

    def server(self, ca):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        return serving(answer(body=b"x"), tls=context)

    def process(self):
        seen = []

        def roots(bundle):
            seen.append(CountingContexts(TrustAnchorCache(self.memos, bundle)))
            return seen[-1]

        return Transport(Deadline(20), ca_bundle=str(self.bundle), roots=roots), seen


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    return Node(tmp_path_factory.mktemp("node"))


@pytest.fixture(autouse=True)
def _forgotten(node):
    node.trust(*node.cas)
    for name in os.listdir(node.memos.folder):
        os.unlink(f"{node.memos.folder}/{name}")


def _der(pem):
    return ssl.PEM_cert_to_DER_cert(pem)


def ask(transport, server):
    return transport.send(HttpRequest("GET", server.url + "/")).body


def test_the_next_process_verifies_by_the_one_root_that_was_needed(node):
    with node.server(node.cas[7]) as server:
        for turn in ("first", "next"):
            transport, seen = node.process()
            assert ask(transport, server) == b"x", turn
        roots = seen[0]
    assert ssl.PEM_cert_to_DER_cert(roots.recalled[0]) == ssl.PEM_cert_to_DER_cert(
        node.cas[7].cert_pem.bytes().decode()
    )
    assert roots.remembered == [], "it was enough, so nothing else was loaded"
    assert len(server.requests) == 2


def test_another_root_than_last_time_takes_the_whole_bundle_and_is_remembered(node):
    transport, _ = node.process()
    with node.server(node.cas[7]) as server:
        ask(transport, server)
    transport, seen = node.process()
    with node.server(node.cas[9]) as server:
        assert ask(transport, server) == b"x"
    assert len(seen[0].remembered) == 1
    transport, seen = node.process()
    with node.server(node.cas[9]) as server:
        assert ask(transport, server) == b"x"
    assert seen[0].remembered == []


def test_a_root_that_was_taken_out_of_the_bundle_is_not_trusted_any_more(node):
    with node.server(node.cas[7]) as server:
        ask(node.process()[0], server)
        node.trust(*(ca for ca in node.cas if ca is not node.cas[7]))
        with pytest.raises(TransportError, match="is not trusted") as caught:
            ask(node.process()[0], server)
    assert str(node.bundle) in caught.value.problem


def test_a_root_that_is_not_in_the_bundle_is_not_trusted_however_often_it_is_shown(node):
    stranger = trustme.CA()
    with node.server(node.cas[7]) as server:
        ask(node.process()[0], server)
    for _ in range(2):
        transport, seen = node.process()
        with node.server(stranger) as server, pytest.raises(TransportError, match="is not trusted"):
            ask(transport, server)
        assert seen[0].remembered == []
        assert server.requests == []


def test_a_certificate_for_another_name_is_refused_at_the_first_try(node):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    node.cas[7].issue_cert("evil.example").configure_cert(context)
    with node.server(node.cas[7]) as server:
        ask(node.process()[0], server)
    connections = []
    with serving(lambda *_: connections.append(1), tls=context) as server:
        with pytest.raises(TransportError, match="another host"):
            ask(node.process()[0], server)
        assert connections == []


@pytest.mark.parametrize(
    "content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"]
)
def test_a_spoilt_memory_is_no_memory(node, content):
    with node.server(node.cas[7]) as server:
        TrustAnchorCache(node.memos, str(node.bundle)).put("127.0.0.1", content)
        assert ask(node.process()[0], server) == b"x"


def test_a_small_bundle_is_loaded_as_it_is(authority, node):
    asked = CountingContexts(TrustAnchorCache(node.memos, authority.bundle))
    CaBundle(authority.bundle, asked).context_for("127.0.0.1")
    assert asked.recalled == []


def test_a_bundle_that_is_spoilt_is_named_whatever_is_remembered(node, tmp_path):
    spoilt = tmp_path / "spoilt.pem"
    spoilt.write_bytes(b"x" * 20_000)
    with pytest.raises(ConfigurationError, match=r"spoilt\.pem"):
        CaBundle(str(spoilt), TrustAnchorCache(node.memos, str(spoilt))).context_for("127.0.0.1")


def test_without_a_folder_the_whole_bundle_serves(node, tmp_path):
    node.memos, kept = ResponseCache(str(tmp_path / "absent/memo")), node.memos
    try:
        with node.server(node.cas[7]) as server:
            assert ask(node.process()[0], server) == b"x"
    finally:
        node.memos = kept
