import json
import time

import pytest
from acr_credential_provider.cloud.imds import Imds
from acr_credential_provider.cloud.proxy import ProxySettings
from acr_credential_provider.cloud.transport import Bounds, Transport
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import DeadlineExceededError, IdentityUnavailableError
from unit.cloud.fake_metadata import NOW, ROLES, FakeMetadata, serve, session
from unit.cloud.loopback import answer, drip, header, reset, say_nothing, serving
from unit.cloud.safety import CANARY, is_clean


def a_service(server, *, seconds=5.0, proxy=None, **kwargs):
    transport = Transport(Deadline(seconds), proxy=proxy or ProxySettings(), bounds=Bounds(connect=0.3, reserve=0.1))
    return Imds(transport, endpoint=server.url, bound=0.4, **{"clock": lambda: NOW, **kwargs})


def test_a_hardened_instance_tells_region_role_and_session_for_one_token():
    with serve(hardened=True) as server:
        service = a_service(server)
        region, role = service.region_id(), service.role_name()
        credential = service.role_credential(role)

    assert (region, role) == ("cn-hangzhou", "node-role")
    assert (credential.access_key_id, credential.expires_in) == ("STS.id", 21600.0)
    assert (credential.access_key_secret, credential.security_token) == (CANARY, "token-" + CANARY)
    assert [head.split()[0] for head in server.requests] == ["PUT", "GET", "GET", "GET"]


def test_a_lost_token_is_renewed_once():
    service = FakeMetadata()
    with serving(service) as server:
        client = a_service(server)
        client.region_id()
        service.tokens.append("somebody else's")
        assert client.region_id() == "cn-hangzhou"
        assert service.tokens[-1] == header(server.requests[-1], "x-aliyun-ecs-metadata-token")


def test_imds_v1_is_used_only_where_it_is_allowed():
    with serve(hardened=False, knows_tokens=False) as server:
        assert a_service(server, allow_v1=True).role_name() == "node-role"
        with pytest.raises(IdentityUnavailableError, match="session token") as caught:
            a_service(server).role_name()

    assert "allowImdsV1" in caught.value.remedy
    assert is_clean(caught.value)


def test_the_life_of_a_session_is_told_by_the_services_clock():
    with serve() as server:
        assert a_service(server, clock=lambda: NOW + 86400).role_credential("node-role").expires_in == 21600.0


@pytest.mark.parametrize("ask", [lambda s: s.role_name(), lambda s: s.role_credential("node-role")])
def test_an_instance_without_a_role_is_told_to_get_one(ask):
    with serve(role="") as server, pytest.raises(IdentityUnavailableError, match="attached") as caught:
        ask(a_service(server))

    assert "Attach" in caught.value.remedy
    assert is_clean(caught.value)


def test_another_role_than_the_attached_one_is_named():
    with serve() as server, pytest.raises(IdentityUnavailableError, match="RAM role other is not attached"):
        a_service(server).role_credential("other")


@pytest.mark.parametrize("role", ["", "../../user-data", "a/b", "a b", "a\r\nx: y"])
def test_a_role_name_that_is_none_is_not_asked_for(role):
    with serve() as server, pytest.raises(IdentityUnavailableError, match="wrong form"):
        a_service(server).role_credential(role)

    assert server.requests == []


@pytest.mark.parametrize(
    "credential",
    [
        session(Code="Failed"),
        session(Code=...),
        session(AccessKeyId=...),
        session(AccessKeySecret=""),
        session(SecurityToken=CANARY + "\r\nx: y"),
        session(SecurityToken=[CANARY]),
        session(Expiration="2026-01-02T03:00:00Z"),
        session(Expiration="2036-01-02T03:00:00Z"),
        session(Expiration="2026-01-02T06:00:00"),
        session(Expiration=CANARY),
        session(Expiration=7),
        CANARY.encode(),
        json.dumps([CANARY]).encode(),
    ],
)
def test_a_session_that_is_not_whole_or_not_alive_is_refused_and_not_shown(credential):
    with (
        serve(credential=credential) as server,
        pytest.raises(IdentityUnavailableError, match=r"no (valid )?session") as caught,
    ):
        a_service(server).role_credential("node-role")

    assert is_clean(caught.value)


@pytest.mark.parametrize("page", [b"<html>", b"", CANARY.encode(), b"cn-hangzhou\r\nx", "cn-hängzhou".encode()])
def test_a_region_that_is_none_is_refused_and_not_shown(page):
    pages = {"/latest/meta-data/region-id": page, ROLES: b"<html>" + CANARY.encode()}
    with serve(pages=pages) as server:
        for ask in (a_service(server).region_id, a_service(server).role_name):
            with pytest.raises(IdentityUnavailableError) as caught:
                ask()
            assert is_clean(caught.value)


@pytest.mark.alone
@pytest.mark.parametrize(
    "behaviour",
    [say_nothing, drip(b"x"), reset, answer(302, Location="http://127.0.0.1:9/"), answer(200, CANARY.encode() * 9999)],
)
def test_where_there_is_no_usable_service_the_remedy_is_another_identity(behaviour):
    with serving(behaviour) as server:
        begun = time.monotonic()
        with pytest.raises(IdentityUnavailableError, match="cannot be used") as caught:
            a_service(server).role_name()

    assert time.monotonic() - begun < 2.0
    assert "accessKey" in caught.value.remedy
    assert is_clean(caught.value)


@pytest.mark.parametrize("status", [500, 429, 503])
def test_a_fault_that_passes_is_tried_again(status):
    with serving(answer(status), FakeMetadata()) as server:
        assert a_service(server).region_id() == "cn-hangzhou"


def test_no_proxy_ever_sees_it():
    with serve() as server, serving(answer(500)) as proxy:
        settings = ProxySettings(f"http://127.0.0.1:{proxy.port}", include_loopback=True)
        a_service(server, proxy=settings).role_credential("node-role")

    assert proxy.requests == []


def test_no_time_is_not_mistaken_for_no_service():
    with serve() as server, pytest.raises(DeadlineExceededError):
        a_service(server, seconds=0.05).role_name()
