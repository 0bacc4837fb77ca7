"""The metadata service of a node: its two modes, its role, and the place it has in life."""

import json
import os
import sys
from pathlib import Path

import pytest
from sandbox.metadata import LONGEST_TTL
from sandbox.netns import NetworkNamespace

TOKEN = "X-aliyun-ecs-metadata-token"
TTL = TOKEN + "-ttl-seconds"
ROLES = "/latest/meta-data/ram/security-credentials/"


@pytest.fixture
def get(sandbox, send):
    def get(path, token=None):
        return send(sandbox.metadata.url + path, headers={TOKEN: token} if token is not None else {})

    return get


@pytest.fixture
def put_token(sandbox, send):
    def put(ttl="60", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        ttl_header = {} if ttl is None else {TTL: ttl}
        return send(sandbox.metadata.url + "/latest/api/token", method="PUT", headers={**ttl_header, **headers})

    return put


def test_a_node_says_where_it_is(get):
    said = {
        item: get(f"/latest/meta-data/{item}").body.decode()
        for item in ("region-id", "zone-id", "instance-id", "owner-account-id")
    }

    assert said == {
        "region-id": "cn-hangzhou",
        "zone-id": "cn-hangzhou-k",
        "instance-id": "i-bp1sandbox00000001",
        "owner-account-id": "1234567890123456",
    }


def test_what_is_not_there_is_not_found(get):
    assert [get(path).status for path in ("/latest/meta-data/no-such", "/latest/user-data", ROLES + "other")] == [
        404
    ] * 3


def test_a_hardened_node_answers_only_to_a_living_token(get, put_token, sandbox):
    sandbox.node.hardened = True
    token = put_token("60").body.decode()

    assert get("/latest/meta-data/region-id").status == 403
    assert get("/latest/meta-data/region-id", "made up").status == 401
    assert get("/latest/meta-data/region-id", token).body == b"cn-hangzhou"
    sandbox.clock.skew = 61
    assert get("/latest/meta-data/region-id", token).status == 401


@pytest.mark.parametrize("ttl", [None, "0", str(LONGEST_TTL + 1), "-5", "soon"])
def test_a_token_needs_a_life_of_one_second_to_six_hours(put_token, ttl):
    assert put_token(ttl).status == 400


def test_no_token_goes_through_a_proxy(put_token):
    assert put_token("60", X_Forwarded_For="10.0.0.1").status == 403


def test_a_node_from_before_tokens_has_none(put_token, sandbox):
    sandbox.node.tokens_offered = False

    assert put_token().status in (404, 405)


def test_the_roles_credentials_sign_calls_until_they_expire(get, api, sandbox):
    role = get(ROLES).body.decode()
    credentials = get(ROLES + role).document

    assert credentials["Code"] == "Success"
    assert credentials["AccessKeyId"].startswith("STS.")
    session = sandbox.node.session()
    assert (credentials["AccessKeyId"], credentials["SecurityToken"]) == (session.id, session.security_token)
    assert api.call(key=session).status == 200
    sandbox.clock.skew = 6 * 3600 + 1
    assert api.call(key=session).document["Code"] == "InvalidSecurityToken.Expired"


def test_the_cloud_renews_credentials_ahead_of_their_end(get, sandbox):
    first = get(ROLES + sandbox.node.role.name).document
    again = get(ROLES + sandbox.node.role.name).document
    sandbox.clock.skew = 5 * 3600
    later = get(ROLES + sandbox.node.role.name).document

    assert first == again
    assert later["AccessKeyId"] != first["AccessKeyId"]


def test_without_a_role_there_are_no_credentials(get, sandbox):
    sandbox.node.role = None

    assert get(ROLES).status == 404


ASK_INSIDE = """
import json, os, urllib.request
box = json.loads(os.environ["SANDBOX"])
read = lambda url: urllib.request.urlopen(url, timeout=5).read().decode()
print(read("http://100.100.100.200/latest/meta-data/region-id"), read(box["control"] + "/calls"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root")
def test_inside_a_namespace_the_metadata_service_is_where_it_is_in_life(sandbox):
    with NetworkNamespace() as namespace:
        sandbox.listen_in(namespace)
        environment = {**os.environ, "SANDBOX": json.dumps(sandbox.document()), "NO_PROXY": "*"}
        ran = namespace.run([sys.executable, "-c", ASK_INSIDE], env=environment, capture_output=True, timeout=30)

    assert ran.stderr == b""
    region, _, calls = ran.stdout.decode().partition(" ")
    assert region == "cn-hangzhou"
    assert json.loads(calls)["counts"] == {"metadata.item": 1}
    assert sandbox.calls.count("metadata.item") == 1


def test_the_namespace_leaves_with_its_user():
    if os.geteuid() != 0:
        pytest.skip("network namespaces take root")
    with NetworkNamespace() as namespace:
        path = Path(namespace.path)
        assert path.exists()

    assert not path.exists()
