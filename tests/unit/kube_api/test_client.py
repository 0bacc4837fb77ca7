import socket
import ssl
import threading
import time
from contextlib import contextmanager

import pytest
import trustme
from acr_credential_provider.kube_api.client import MERGE, ApiRefusedError, NodeKubeClient
from acr_credential_provider.kube_api.in_cluster import InCluster
from acr_credential_provider.model.errors import CloudUnreachableError, ConfigurationError
from unit.cloud.loopback import answer, drip, say_nothing, serving

TOKEN = "canary-service-account-token"


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file


@contextmanager
def api_at(token_file, *behaviours, **options):
    with serving(*behaviours) as server:
        yield NodeKubeClient(InCluster("127.0.0.1", server.port, str(token_file), "").find, **options), server


@contextmanager
def tls_server(tls):
    """Take one connection, and keep what was heard once TLS stood: b"" when it never did."""
    heard = []

    def serve():
        sock, _ = listener.accept()
        try:
            with tls.wrap_socket(sock, server_side=True) as wrapped:
                heard.append(wrapped.recv(1 << 16))
        except OSError:
            heard.append(b"")
        finally:
            sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], heard
        thread.join(20)


def test_a_call_carries_the_token_and_gives_the_object(token_file):
    with api_at(token_file, answer(body={"kind": "Lease"})) as (api, server):
        assert api.get("/apis/x") == {"kind": "Lease"}
        (request,) = server.requests
    assert request.startswith("GET /apis/x HTTP/1.1\r\n")
    assert f"Authorization: Bearer {TOKEN}" in request


def test_the_token_is_read_again_for_each_call(token_file):
    with api_at(token_file, answer(body={})) as (api, server):
        api.get("/one")
        token_file.write_text("renewed")
        api.patch("/two", {"a": 1}, MERGE)
        assert "Bearer renewed" in server.requests[1]
        assert "Content-Type: application/merge-patch+json" in server.requests[1]


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "token volume"), (403, "RBAC"), (404, "manifests"), (409, "tried again")]
)
def test_a_refusal_says_what_to_do_and_nothing_that_the_server_wrote(token_file, status, remedy):
    with (
        api_at(token_file, answer(status, {"message": "canary from the server"})) as (api, _),
        pytest.raises(ApiRefusedError) as caught,
    ):
        api.put("/apis/x", {})
    assert caught.value.status == status
    assert remedy in caught.value.remedy
    assert "canary" not in str(caught.value) + caught.value.remedy


@pytest.mark.parametrize(
    "behaviour",
    [
        answer(body=b"<html>"),
        answer(body=b"[]"),
        answer(body=b" " * (1 << 21)),
        answer(body=b"[" * 100_000),
        b"HTTP/1.1 garbage\r\n\r\n",
        b"",
    ],
    ids=["no JSON", "no object", "too large", "too deep", "no HTTP", "nothing"],
)
def test_an_answer_that_is_none_is_an_error_of_ours(token_file, behaviour):
    with api_at(token_file, behaviour) as (api, _), pytest.raises(CloudUnreachableError) as caught:
        api.get("/apis/x")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "behaviour", [say_nothing, drip(b"HTTP/1.1 200 OK\r\n")], ids=["silent", "a byte now and then"]
)
def test_no_server_holds_a_call_up(token_file, behaviour):
    with api_at(token_file, behaviour, seconds=1.0) as (api, _):
        began = time.monotonic()
        with pytest.raises(CloudUnreachableError):
            api.get("/apis/x")
    assert time.monotonic() - began < 20  # never, without a deadline


def test_a_server_with_a_foreign_certificate_gets_no_token(token_file, tmp_path):
    ours, foreign = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    foreign.issue_cert("127.0.0.1").configure_cert(tls)
    with tls_server(tls) as (port, heard):
        api = NodeKubeClient(InCluster("127.0.0.1", port, str(token_file), str(tmp_path / "ca.crt")).find)
        with pytest.raises(CloudUnreachableError, match="TLS"):
            api.get("/apis/x")
    assert heard == [b""]


@pytest.mark.parametrize("content", ["", "two words", "two\nlines"])
def test_what_is_no_token_is_not_sent(token_file, content):
    token_file.write_text(content)
    with api_at(token_file, answer(body={})) as (api, server):
        with pytest.raises(ConfigurationError, match="holds no token"):
            api.get("/apis/x")
        assert server.requests == []


def test_outside_of_a_cluster_that_is_said():
    with pytest.raises(ConfigurationError, match="not a pod"):
        InCluster.of({})
