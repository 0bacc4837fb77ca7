"""The webhook's certificate changes without a moment at which what is served is not trusted."""

import datetime as dt
import ssl
import time
from base64 import b64encode
from dataclasses import replace
from itertools import pairwise

import pytest
from acr_credential_provider.pull_secrets.webhook import serving_certificates
from acr_credential_provider.pull_secrets.webhook.serving_certificates import (
    Certificates,
    KeyPair,
    Lifetimes,
    first,
    manifest,
    step,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

HOST = "hook.kube-system.svc"
NOW = 1_800_000_000.0
DAY = 86400.0
LIVES = Lifetimes()


def test_everything_in_the_secret_comes_back_as_it_was():
    made = first(HOST, now=NOW, lives=LIVES)
    made = replace(
        made,
        next=first(HOST, now=NOW, lives=LIVES).authority,
        previous=first(HOST, now=NOW, lives=LIVES).authority.certificate,
    )
    assert Certificates.read(manifest("ns", made)["data"]) == made


def test_certificates_reach_back_a_day_for_an_api_server_whose_clock_is_behind():
    made = first(HOST, now=NOW, lives=LIVES)
    for pair in (made.serving, made.authority):
        begin = x509.load_pem_x509_certificate(pair.certificate).not_valid_before_utc.timestamp()
        assert begin == NOW - DAY


def test_a_certificate_never_outlives_its_authority():
    old = first(HOST, now=NOW, lives=LIVES)
    late = NOW + LIVES.authority - DAY
    renewed = step(old, HOST, now=late, lives=replace(LIVES), is_next_trusted=False)
    for _ in range(3):
        renewed = step(renewed, HOST, now=late, lives=LIVES, is_next_trusted=False)
    assert renewed.serving.expiry <= renewed.authority.expiry


def test_what_is_right_is_left_as_it_is():
    made = first(HOST, now=NOW, lives=LIVES)
    assert step(made, HOST, now=NOW + DAY, lives=LIVES, is_next_trusted=False) is made


def test_a_certificate_is_renewed_with_a_third_of_its_life_left_and_trust_does_not_change():
    made = first(HOST, now=NOW, lives=LIVES)
    assert step(made, HOST, now=NOW + 59 * DAY, lives=LIVES, is_next_trusted=False) is made
    renewed = step(made, HOST, now=NOW + 61 * DAY, lives=LIVES, is_next_trusted=False)
    assert renewed.serving != made.serving
    assert renewed.trusted == made.trusted


def test_another_service_name_gets_another_certificate():
    made = first("old.kube-system.svc", now=NOW, lives=LIVES)
    renewed = step(made, HOST, now=NOW, lives=LIVES, is_next_trusted=False)
    assert HOST in serving_certificates.names_of(renewed.serving)


def test_an_authority_changes_in_three_steps_and_each_certificate_served_is_trusted_before_and_after():
    made = first(HOST, now=NOW, lives=LIVES)
    due = NOW + LIVES.authority * 0.7

    announced = step(made, HOST, now=due, lives=LIVES, is_next_trusted=False)
    assert announced.next is not None
    assert announced.serving == made.serving
    assert announced.trusted.startswith(made.trusted)

    held = step(announced, HOST, now=due + LIVES.overlap, lives=LIVES, is_next_trusted=False)
    assert held.authority == made.authority, "not before the API server is seen to trust the next one"
    early = step(announced, HOST, now=due + LIVES.overlap - 1, lives=LIVES, is_next_trusted=True)
    assert early.authority == made.authority, "not before the API servers had time to hear of it"

    switched = step(announced, HOST, now=due + LIVES.overlap, lives=LIVES, is_next_trusted=True)
    assert switched.authority == announced.next
    assert switched.previous == made.authority.certificate, "who still serves the old one is still trusted"

    still = step(switched, HOST, now=due + 2 * LIVES.overlap - 1, lives=LIVES, is_next_trusted=False)
    assert still.previous
    retired = step(switched, HOST, now=due + 2 * LIVES.overlap, lives=LIVES, is_next_trusted=False)
    assert retired.previous == b""
    assert retired.serving == switched.serving
    assert step(retired, HOST, now=due + 3 * LIVES.overlap, lives=LIVES, is_next_trusted=False) is retired


def test_what_is_served_is_trusted_by_a_tls_client_at_each_step(tmp_path):
    now = time.time()
    lives = replace(LIVES, overlap=0.0)
    made = first(HOST, now=now, lives=lives)
    announced = replace(made, next=first(HOST, now=now, lives=lives).authority, since=now)
    switched = step(announced, HOST, now=now, lives=lives, is_next_trusted=True)
    retired = step(switched, HOST, now=now, lives=lives, is_next_trusted=False)
    states = [made, announced, switched, retired]
    for before, after in pairwise(states):
        # Replicas may be one step behind; what they serve is trusted all the same.
        assert handshake(after.trusted, before.serving, tmp_path)
        assert handshake(after.trusted, after.serving, tmp_path)
    assert not handshake(made.trusted, switched.serving, tmp_path), "or else the order would not matter"
    assert not handshake(retired.trusted, made.serving, tmp_path)


@given(st.lists(st.tuples(st.floats(0, 120 * DAY), st.booleans()), max_size=40))
def test_however_time_passes_what_is_served_was_signed_by_someone_trusted(moves):
    lives = Lifetimes(authority=100 * DAY, certificate=30 * DAY)
    now = NOW
    state = first(HOST, now=now, lives=lives)
    told = state.trusted
    for seconds, is_told in moves:
        now += seconds
        if is_told:
            told = state.trusted
        after = step(
            state, HOST, now=now, lives=lives, is_next_trusted=state.next is not None and state.next.certificate in told
        )
        if after.authority != state.authority:
            assert after.authority.certificate in told
        state = after
        assert Certificates.read(state.data()) == state


def test_an_authority_that_has_expired_is_replaced_as_soon_as_the_next_is_trusted():
    made = first(HOST, now=NOW, lives=LIVES)
    later = NOW + 2 * LIVES.authority
    announced = step(made, HOST, now=later, lives=LIVES, is_next_trusted=False)
    assert step(announced, HOST, now=later + 1, lives=LIVES, is_next_trusted=True).authority == announced.next


def edited(**changes):
    data = first(HOST, now=NOW, lives=LIVES).data()
    for name, content in changes.items():
        file = name.replace("_", ".")
        if content is None:
            del data[file]
        else:
            data[file] = content
    return data


OTHER = first(HOST, now=NOW, lives=LIVES).data()


def pair(*extensions):
    """Return the Secret's data with one certificate that has these *extensions* alone, and its key, in both places."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    begin = dt.datetime.fromtimestamp(NOW, dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, begin, begin + dt.timedelta(days=90))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    certificate, text = (b64encode(each).decode() for each in (certificate, text))
    return edited(tls_crt=certificate, ca_crt=certificate, tls_key=text, ca_key=text)


SUBJECT = x509.SubjectAlternativeName([x509.DNSName(HOST)])
IDENTIFIER = x509.SubjectKeyIdentifier(b"x")


def test_a_pair_with_what_ours_have_holds_together():
    assert Certificates.read(pair(SUBJECT, IDENTIFIER))


@pytest.mark.parametrize(
    "data",
    [
        {},
        pair(),
        pair(SUBJECT),
        pair(IDENTIFIER),
        pair(IDENTIFIER, x509.UnrecognizedExtension(SUBJECT.oid, b"not DER")),
        edited(since="bmFu"),
        edited(since="aW5m"),
        edited(since=None),
        edited(since="!"),
        edited(tls_crt="bm90aGluZw=="),
        edited(tls_key=OTHER["tls.key"]),
        edited(tls_key=OTHER["tls.key"], tls_crt=OTHER["tls.crt"]),
        edited(ca_key=OTHER["ca.key"]),
        edited(ca_key=None),
        edited(tls_key="bm90aGluZw=="),
    ],
)
def test_what_does_not_hold_together_is_taken_for_nothing(data):
    assert Certificates.read(data) is None


def test_no_key_is_in_what_can_be_printed():
    made = first(HOST, now=NOW, lives=LIVES)
    assert b"PRIVATE" not in repr(made).encode()


def handshake(trusted: bytes, served: KeyPair, folder) -> bool:
    (folder / "tls.crt").write_bytes(served.certificate)
    (folder / "tls.key").write_bytes(served.key)
    client = ssl.create_default_context(cadata=trusted.decode())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=HOST)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    ended = set()
    for _ in range(10):
        for side in (asking, answering):
            try:
                side.do_handshake()
                ended.add(side)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return ended == {asking, answering}
