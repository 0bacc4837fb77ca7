"""The gateway answers as ACR does, to our own signer and to the official SDK alike."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import parsedate_to_datetime

import pytest
from sandbox import AcrSandbox
from sandbox.state import Instance, Principal


def life(answer):
    """Return the seconds that the login lives by the cloud's own clock."""
    return answer.document["ExpireTime"] / 1000 - parsedate_to_datetime(answer.headers["Date"]).timestamp()


@pytest.mark.parametrize(("asked", "seconds"), [({}, 3600), ({"ExpiresInHours": 24}, 86400)])
def test_a_login_lives_as_long_as_was_asked(api, sandbox, asked, seconds):
    answer = api.call(InstanceId=sandbox.instance.id, **asked)

    assert answer.document["IsSuccess"] is True
    assert answer.document["TempUsername"] == "cr_temp_user"
    assert life(answer) == pytest.approx(seconds, abs=2)


@pytest.mark.parametrize("hours", ["0", "25", "1.5", "-1", "many"])
def test_hours_out_of_range_are_refused(api, sandbox, hours):
    assert api.call(InstanceId=sandbox.instance.id, ExpiresInHours=hours).status == 400


def test_a_login_never_outlives_the_session_behind_it(api, sandbox):
    sandbox.state.session_life = 120

    answer = api.call(key=sandbox.node.session(), InstanceId=sandbox.instance.id, ExpiresInHours=24)

    assert life(answer) == pytest.approx(120, abs=2)


def test_the_configured_life_wins_over_the_one_asked_for(api, sandbox):
    sandbox.state.token_life = 4

    assert life(api.call()) == pytest.approx(4, abs=2)


def test_dates_and_expiry_go_by_the_clouds_own_clock(api, sandbox):
    sandbox.clock.skew = 86400

    answer = api.call()

    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == pytest.approx(sandbox.clock.now(), abs=2)
    assert life(answer) == pytest.approx(3600, abs=2)


def test_an_unknown_instance_is_refused_with_http_200(api):
    answer = api.call(InstanceId="cri-unknown")

    assert answer.status == 200
    assert answer.document["IsSuccess"] is False
    assert answer.document["Code"] == "INSTANCE_NOT_EXIST"


def test_an_instance_of_another_account_does_not_exist(api, sandbox):
    sandbox.state.add_instance(replace(Instance.usual("cri-other", name="other"), account="9999"))

    assert api.call(InstanceId="cri-other").document["Code"] == "INSTANCE_NOT_EXIST"


@pytest.mark.parametrize("action", ["GetAuthorizationToken", "ListInstanceEndpoint"])
@pytest.mark.parametrize("host", ["cr.{}.aliyuncs.com", "cr-vpc.{}.aliyuncs.com:443", "an address"])
def test_an_instance_is_known_to_its_own_regions_api_alone(api, sandbox, host, action):
    north = sandbox.state.add_instance(Instance.usual("cri-north", name="north", region="cn-beijing"))
    for region, own, other in (
        ("cn-hangzhou", sandbox.instance.id, north.id),
        ("cn-beijing", north.id, sandbox.instance.id),
    ):
        address = sandbox.acr(region).partition("://")[2] if host == "an address" else host.format(region)
        assert api.call(action, host=address, InstanceId=own).document["IsSuccess"] is True
        refused = api.call(action, host=address, InstanceId=other)
        assert (refused.status, refused.document["Code"]) == (200, "INSTANCE_NOT_EXIST")


def test_the_api_of_a_region_has_one_address(sandbox):
    assert sandbox.acr("cn-hangzhou") == sandbox.openapi.url
    assert sandbox.acr("cn-beijing") == sandbox.acr("cn-beijing") != sandbox.openapi.url


@pytest.mark.parametrize(
    "principal",
    [Principal("poor", actions=frozenset()), Principal("elsewhere", instances=frozenset({"cri-other"}))],
    ids=["action not allowed", "instance not allowed"],
)
def test_what_ram_does_not_allow_is_denied_with_the_reason(api, sandbox, principal):
    answer = api.call(key=sandbox.state.add_key(principal))

    assert (answer.status, answer.document["Code"]) == (403, "NoPermission")
    assert answer.document["AccessDeniedDetail"]["AuthAction"] == "cr:GetAuthorizationToken"
    assert answer.document["AccessDeniedDetail"]["AuthPrincipalDisplayName"] == principal.name


def test_endpoints_are_listed_with_their_domains(api, sandbox):
    sandbox.state.add_custom_domain(sandbox.instance.id, "images.example.com", "vpc")

    answer = api.call("ListInstanceEndpoint", InstanceId=sandbox.instance.id, ModuleName="Registry")

    shown = {
        (endpoint["EndpointType"], endpoint["Enable"], domain["Domain"], domain["Type"])
        for endpoint in answer.document["Endpoints"]
        for domain in endpoint["Domains"]
    }
    assert shown == {
        ("internet", True, "sandbox-registry.cn-hangzhou.cr.aliyuncs.com", "SYSTEM"),
        ("vpc", True, "sandbox-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "SYSTEM"),
        ("vpc", True, "images.example.com", "USER"),
    }


def test_an_unknown_action_is_not_found(api):
    assert api.call("DeleteInstance").status == 404


def test_calls_are_logged_without_secrets(api, sandbox):
    session = sandbox.node.session()
    password = api.call(key=session).document["AuthorizationToken"]
    api.call("ListInstanceEndpoint")

    assert sandbox.calls.counts() == {"GetAuthorizationToken": 1, "ListInstanceEndpoint": 1}
    call = sandbox.calls.all("GetAuthorizationToken")[0]
    assert (call.instance_id, call.access_key_id, call.status) == (sandbox.instance.id, session.id, 200)
    log = json.dumps(sandbox.calls.document())
    assert not [secret for secret in (session.secret, session.security_token, password) if secret in log]


def test_a_hundred_clients_at_once_are_all_answered(api, sandbox):
    api.timeout = 30
    with ThreadPoolExecutor(100) as pool:
        statuses = list(pool.map(lambda _: api.call().status, range(100)))

    assert statuses == [200] * 100
    assert sandbox.calls.count("GetAuthorizationToken") == 100


def sdk_client(sandbox, key, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own affair
        from alibabacloud_cr20181201.client import Client
        from alibabacloud_tea_openapi.models import Config
    return Client(
        Config(
            access_key_id=key.id,
            access_key_secret=key.secret,
            security_token=key.security_token or None,
            endpoint=sandbox.openapi.address,
            ca=str(sandbox.ca_file),
            **options,
        )
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("plain_http", [False, True], ids=["https", "http"])
@pytest.mark.parametrize("with_session", [False, True], ids=["access key", "sts session"])
def test_the_official_sdk_is_let_in(plain_http, with_session):
    from alibabacloud_cr20181201.models import GetAuthorizationTokenRequest, ListInstanceEndpointRequest

    with AcrSandbox(plain_http=plain_http) as sandbox:
        key = sandbox.node.session() if with_session else sandbox.key
        client = sdk_client(sandbox, key, protocol="HTTP" if plain_http else "HTTPS")
        instance_id = sandbox.instance.id

        token = client.get_authorization_token(
            GetAuthorizationTokenRequest(instance_id=instance_id, expires_in_hours=3)
        ).body
        endpoints = client.list_instance_endpoint(
            ListInstanceEndpointRequest(instance_id=instance_id, module_name="Registry")
        ).body

    assert token.is_success
    assert token.temp_username == "cr_temp_user"
    assert endpoints.endpoints[1].domains[0].domain == "sandbox-registry-vpc.cn-hangzhou.cr.aliyuncs.com"


@pytest.mark.filterwarnings("ignore")
def test_the_official_sdk_signs_odd_characters_as_we_read_them(sandbox):
    from alibabacloud_cr20181201.models import GetAuthorizationTokenRequest

    answer = sdk_client(sandbox, sandbox.key).get_authorization_token(
        GetAuthorizationTokenRequest(instance_id="cri-x y*~/+&=é")
    )

    assert answer.body.code == "INSTANCE_NOT_EXIST"
