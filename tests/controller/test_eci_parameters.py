"""What `render eci` writes, judged by Alibaba Cloud's official SDKs: their requests are built of it and read back."""

import sys

import pytest
from acr_credential_provider.eci.forms import parameters
from acr_credential_provider.eci.registry_infos import RegistryInfo, Rendered
from acr_credential_provider.sources.basic_auth import BasicAuth
from alibabacloud_tea_openapi.utils import Utils
from cluster import sdks
from hypothesis import given, settings
from hypothesis import strategies as st

REQUESTS = {
    "api": ("alibabacloud_eci20180808.models", "CreateContainerGroupRequest"),
    "ess": ("alibabacloud_ess20220222.models", "CreateEciScalingConfigurationRequest"),
}
ARN = st.from_regex(r"acs:ram::[0-9]{16}:role/[a-z]{1,8}", fullmatch=True)
HOST = st.from_regex(r"[a-z]{1,8}\.example\.com", fullmatch=True)


def infos(form):
    arn = ARN | st.just("") if form == "api" else st.just("")
    info = st.builds(
        RegistryInfo,
        st.from_regex(r"cri-[a-z0-9]{1,20}", fullmatch=True),
        st.sampled_from(["", "cn-beijing"]),
        st.sampled_from(["", "demo"]),
        st.lists(HOST, max_size=3).map(tuple),
        arn,
        arn,
    )
    return st.lists(info, max_size=4).map(tuple)


@pytest.fixture(params=REQUESTS)
def form(request):
    if not sdks.folder().exists():
        pytest.skip("the SDKs are not fetched: run `make sdks`")
    return request.param


def request_of(form):
    """Return the class of a request to the API that *form* names."""
    module, name = REQUESTS[form]
    folder = str(sdks.folder())
    if folder not in sys.path:
        sys.path.append(folder)
    return getattr(__import__(module, fromlist=[name]), name)


def nested(flat):
    """Return the lists and objects whose parameters *flat* are, as the API's gateway reads them."""
    root = {}
    for name, value in flat.items():
        *steps, last = name.split(".")
        place = root
        for step in steps:
            place = place.setdefault(step, {})
        place[last] = value
    return listed(root)


def listed(value):
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        assert [int(key) for key in value] == list(range(1, len(value) + 1))
        return [listed(each) for each in value.values()]
    return {key: listed(each) for key, each in value.items()}


def test_a_request_of_the_official_sdk_has_each_of_our_parameters_and_nothing_else(form):
    model = request_of(form)

    @given(infos(form), st.lists(st.tuples(HOST, st.builds(BasicAuth, st.just("me"), st.text(min_size=1))), max_size=3))
    @settings(max_examples=100, deadline=None)
    def check(found, logins):
        written = parameters(Rendered(found, tuple(logins), ()), form)
        request = model().from_map(nested(written))
        assert Utils.query(request.to_map()) == written

    check()


def test_the_official_sdk_reads_what_the_settings_know_of_an_instance(form):
    info = RegistryInfo(
        "cri-a", "cn-beijing", "demo", ("a.example", "b.example"), *(["s", "u"] if form == "api" else [])
    )
    request = request_of(form)().from_map(
        nested(parameters(Rendered((info,), (("x.example", BasicAuth("me", "p")),), ()), form))
    )
    read = request.acr_registry_info if form == "api" else request.acr_registry_infos
    assert [vars(each) for each in read] == [
        {
            "instance_id": "cri-a",
            "region_id": "cn-beijing",
            "instance_name": "demo",
            "domain" if form == "api" else "domains": ["a.example", "b.example"],
        }
        | ({"arn_service": "s", "arn_user": "u"} if form == "api" else {})
    ]
    (login,) = request.image_registry_credential if form == "api" else request.image_registry_credentials
    assert (login.server, login.user_name, login.password) == ("x.example", "me", "p")


def test_each_field_that_the_official_sdk_has_for_an_instance_is_one_that_we_write(form):
    """So that one which a later SDK adds, as it did with the roles, is looked at."""
    module, name = REQUESTS[form]
    request_of(form)
    entry = getattr(sys.modules[module], f"{name}AcrRegistryInfo{'' if form == 'api' else 's'}")
    info = RegistryInfo("cri-a", "cn-beijing", "demo", ("a.example",), "s", "u")
    written = {key.split(".")[2] for key in parameters(Rendered((info,), (), ()), form)}
    every_field = entry(**dict.fromkeys(vars(entry()), "x"))
    assert written == set(every_field.to_map())
