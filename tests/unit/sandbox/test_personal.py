import hashlib
import http.client
import json
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from sandbox.pull import PullError, pull
from sandbox.signature import acs3_signature
from sandbox.state import Instance, Principal

HOST = "registry.cn-hangzhou.aliyuncs.com"


def get_tokens(sandbox, *, key=None, path="/tokens", secret=None, nonce="n-1", region="cn-hangzhou"):
    """Ask as the documentation says, with a signer of this test's own; return status, body."""
    key = key or sandbox.key
    url = urlsplit(sandbox.acr(region))
    headers = {
        "host": url.netloc,
        "x-acs-action": "GetAuthorizationToken",
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": "2016-06-07",
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join(("GET", path, "", lines, names, headers["x-acs-content-sha256"]))
    signature = acs3_signature(canonical, secret or key.secret)
    headers["authorization"] = f"ACS3-HMAC-SHA256 Credential={key.id},SignedHeaders={names},Signature={signature}"
    connection = http.client.HTTPSConnection(url.netloc, context=sandbox.client_context(), timeout=5)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body


@pytest.fixture
def personal(sandbox):
    return sandbox.state.add_instance(Instance.personal())


def test_a_login_is_minted_as_the_older_api_sends_it(sandbox, personal):
    status, body = get_tokens(sandbox)
    assert (status, set(body), set(body["data"])) == (
        200,
        {"data", "requestId"},
        {"authorizationToken", "tempUserName", "expireDate", "requestId"},
    )
    assert 3500 < body["data"]["expireDate"] / 1000 - time.time() < 3700
    assert sandbox.calls.counts() == {"personal.GetAuthorizationToken": 1}
    at = sandbox.registry.address
    login = body["data"]["tempUserName"], body["data"]["authorizationToken"]
    assert pull(f"{HOST}/team/app", *login, ca_file=sandbox.ca_file, at=at).digest


def test_refusals_have_lower_case_names(sandbox):
    status, body = get_tokens(sandbox, secret="another")
    assert (status, body["code"], set(body)) == (400, "SignatureDoesNotMatch", {"code", "message", "requestId"})
    denied = sandbox.state.add_key(Principal("nobody", actions=frozenset()))
    assert get_tokens(sandbox, key=denied, nonce="n-2")[0] == 403
    assert get_tokens(sandbox, path="/other", nonce="n-3")[0] == 404


def test_public_images_are_for_everyone_but_not_for_a_login_that_is_not_good(sandbox, personal):
    at, ca_file = sandbox.registry.address, sandbox.ca_file
    assert pull(f"{HOST}/acs/pause", "", "", ca_file=ca_file, at=at).digest
    with pytest.raises(PullError):
        pull(f"{HOST}/team/app", "", "", ca_file=ca_file, at=at)
    with pytest.raises(PullError):
        pull(f"{HOST}/acs/pause", "cr_temp_user", "expired", ca_file=ca_file, at=at)


def pulls(sandbox, host, body):
    login = body["data"]["tempUserName"], body["data"]["authorizationToken"]
    return pull(f"{host}/team/app", *login, ca_file=sandbox.ca_file, at=sandbox.registry.address).digest


def test_a_login_is_for_the_registry_of_the_region_that_gave_it(sandbox, personal):
    sandbox.state.add_instance(Instance.personal("cn-beijing"))
    hosts = {region: f"registry.{region}.aliyuncs.com" for region in ("cn-hangzhou", "cn-beijing")}
    for nonce, region in enumerate(hosts):
        _, body = get_tokens(sandbox, region=region, nonce=f"n-{nonce}")
        assert pulls(sandbox, hosts[region], body)
        other = next(host for name, host in hosts.items() if name != region)
        with pytest.raises(PullError):
            pulls(sandbox, other, body)


def test_a_login_does_not_open_another_accounts_namespace(sandbox, personal):
    _, body = get_tokens(sandbox)
    sandbox.state.add_instance(replace(personal, owners={"team": "9999"}))
    with pytest.raises(PullError, match="insufficient_scope"):
        pulls(sandbox, HOST, body)
    sandbox.state.add_instance(replace(personal, owners={"team": sandbox.key.principal.account}))
    assert pulls(sandbox, HOST, body)
