"""Settings from a ConfigMap: its writer does not become root by them."""

import json
from types import UnionType
from typing import Union, get_args, get_origin

import pytest
from acr_credential_provider.acr_configuration import convert
from acr_credential_provider.files.credentials_folder import FOLDER
from acr_credential_provider.settings import ProviderSettings
from acr_credential_provider.settings.cluster_origin import ClusterOrigin
from acr_credential_provider.settings.models import ProviderSettingsModel
from acr_credential_provider.sources.rrsa import USUAL_FILE
from pydantic import BaseModel, ValidationError, create_model
from pydantic.alias_generators import to_camel
from support.judged import problems_of, validate, validate_conversion

ACCESS_KEY = {"kind": "accessKey", "accessKeyIdFile": f"{FOLDER}/id", "accessKeySecretFile": f"{FOLDER}/secret"}
LOGIN = {"kind": "basicAuth", "usernameFile": f"{FOLDER}/username", "passwordFile": f"{FOLDER}/password"}
HOST = "crpi-a1b2.cn-hangzhou.personal.cr.aliyuncs.com"
ALLOWING = ClusterOrigin(frozenset({"acr.example.com", "127.0.0.1", "::1"}))


def settings(*registries, **fields):
    document = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings", **fields}
    return json.dumps({**document, "registries": registries or [{"instanceId": "cri-a", "identity": ACCESS_KEY}]})


def of(identity, **fields):
    return {"instanceId": "cri-a", "identity": identity, **fields}


def refused(text, origin=None):
    """Return the fields that are refused in *text* from a cluster; it is fine as root's own."""
    assert isinstance(validate(text), ProviderSettings)
    return [problem.field for problem in problems_of(text, "laptop", origin or ClusterOrigin())]


def test_files_of_the_credentials_folder_and_hosts_of_alibaba_cloud_may_be_named():
    acr, sts = "https://cr-vpc.cn-hangzhou.aliyuncs.com", "https://sts.cn-shanghai-finance-1.aliyuncs.com:443/"
    text = settings(
        of(ACCESS_KEY, endpoints={"acr": acr}),
        {"domains": [HOST], "identity": LOGIN},
        caBundle=f"{FOLDER}/ca.pem",
        endpoints={"sts": sts, "metadata": "http://100.100.100.200"},
        proxy={"noProxy": ["example.com"]},
    )
    assert refused(text) == []


@pytest.mark.parametrize(
    "path",
    [
        "/var/lib/rancher/k3s/server/node-token",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
        FOLDER,
        f"{FOLDER}/",
        f"{FOLDER}x/id",
        f"{FOLDER.upper()}/id",
        f"{FOLDER}/../settings.yaml",
        f"{FOLDER}/..data/id",
        f"{FOLDER}/..",
        f"{FOLDER}/.",
        f"{FOLDER}/./id",
        f"{FOLDER}//id",
        f"{FOLDER}/id/",
        f"{FOLDER}/id/../../settings.yaml",
        f"{FOLDER}/sub/id",
        f"/{FOLDER}/id",
        f"/proc/self/root{FOLDER}/id",
        f"{FOLDER}/$HOME",
        f"{FOLDER}/${{HOME}}",
        f"{FOLDER}/~",
        f"{FOLDER}/\uff49\uff44",
        f"{FOLDER}/i\u0307d",
        f"{FOLDER}/id ",
        f"{FOLDER}/{'x' * 254}",
    ],
)
def test_any_other_path_is_refused_in_any_spelling(path):
    text = settings(of({**ACCESS_KEY, "accessKeyIdFile": path}), caBundle=path)
    assert refused(text) == ["registries[0].identity.accessKeyIdFile", "caBundle"]


@pytest.mark.parametrize(
    "host",
    [
        "cr.example.com",
        "cr.cn-hangzhou.aliyuncs.com.example.com",
        "example-aliyuncs.com",
        "sts.oss-cn-hangzhou.aliyuncs.com",  # a bucket that is called sts
        "cr-vpc.oss-cn-hangzhou-internal.aliyuncs.com",
        "1234567890123456.cn-hangzhou.fc.aliyuncs.com",
        "demo-registry.cn-hangzhou.cr.aliyuncs.com",
        "cr.cn-hangzhou.aliyuncs.com.",
        "127.0.0.1",
        "100.100.100.200",
        "[::1]",
        "localhost",
    ],
)
def test_credentials_go_to_no_other_host(host):
    url = f"https://{host}"
    text = settings(of(ACCESS_KEY, endpoints={"acr": url}), endpoints={"sts": url, "metadata": url})
    assert sorted(refused(text)) == ["endpoints.metadata", "endpoints.sts", "registries[0].endpoints.acr"]


def test_each_service_has_its_own_hosts():
    acr, sts = "https://cr.cn-hangzhou.aliyuncs.com", "https://sts.aliyuncs.com"
    swapped = settings(of(ACCESS_KEY, endpoints={"acr": sts}), endpoints={"sts": acr, "metadata": sts})
    assert sorted(refused(swapped)) == ["endpoints.metadata", "endpoints.sts", "registries[0].endpoints.acr"]


@pytest.mark.parametrize(
    "proxy",
    ["http://proxy.example.com:3128", "http://sts.aliyuncs.com", "http://acr.example.com:x@proxy.example.com"],
)
def test_no_proxy_is_alibaba_clouds(proxy):
    assert refused(settings(proxy={"https": proxy}), ALLOWING) == ["proxy.https"]


def test_the_host_that_is_judged_is_the_one_that_is_called():
    from acr_credential_provider.cloud.proxy import Proxy

    for odd in ("http://acr.example.com#@proxy.example.com", "http://acr.example.com?@proxy.example.com:80/"):
        allowed = refused(settings(proxy={"https": odd}), ALLOWING) == []
        assert allowed == (Proxy.parse(odd).host == "acr.example.com")


@pytest.mark.parametrize("host", ["acr.example.com", "ACR.example.com:8443", "127.0.0.1:1", "[::1]:8443"])
def test_a_host_that_the_installation_allows_may_be_named(host):
    url = f"https://{host}"
    text = settings(
        of(ACCESS_KEY, endpoints={"acr": url}),
        endpoints={"sts": url, "metadata": url},
        proxy={"https": "http://me:secret@acr.example.com:3128"},
    )
    assert refused(text, ALLOWING) == []


@pytest.mark.parametrize("host", ["other.acr.example.com", "example.com", "acr.example.com.evil.example"])
def test_an_allowed_host_stands_for_itself_alone(host):
    text = settings(of(ACCESS_KEY, endpoints={"acr": f"https://{host}"}))
    assert refused(text, ALLOWING) == ["registries[0].endpoints.acr"]


def test_a_password_goes_to_registries_of_alibaba_cloud_and_allowed_hosts_only():
    text = settings({"domains": [HOST, "registry.example.com", "acr.example.com:8443"], "identity": LOGIN})
    assert refused(text, ALLOWING) == ["registries[0].domains[1]"]
    text = settings({"domains": [HOST, "acr.example.com:8443"], "identity": LOGIN})
    assert refused(text, ALLOWING) == []
    assert refused(text) == ["registries[0].domains[1]"]


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        ({**ACCESS_KEY, "accessKeySecretFile": f"{FOLDER}/password"}, LOGIN, "passwordFile"),
        ({**ACCESS_KEY, "accessKeyIdFile": f"{FOLDER}/username"}, LOGIN, "usernameFile"),
        (LOGIN, {**ACCESS_KEY, "accessKeySecretFile": f"{FOLDER}/password"}, "accessKeySecretFile"),
        (ACCESS_KEY, {**ACCESS_KEY, "accessKeyIdFile": f"{FOLDER}/secret"}, "accessKeyIdFile"),
        (
            ACCESS_KEY,
            {
                "kind": "stsSession",
                "accessKeyIdFile": f"{FOLDER}/session-id",
                "accessKeySecretFile": f"{FOLDER}/secret",
                "securityTokenFile": f"{FOLDER}/token",
            },
            "accessKeySecretFile",
        ),
    ],
)
def test_a_file_is_one_half_of_one_kind_of_credential(first, second, field):
    entries = [
        {"domains": [f"crpi-{name}.cn-hangzhou.personal.cr.aliyuncs.com"], "identity": identity}
        if identity["kind"] == "basicAuth"
        else {"instanceId": f"cri-{name}", "identity": identity}
        for name, identity in (("a", first), ("b", second))
    ]
    assert refused(settings(*entries)) == [f"registries[1].identity.{field}"]


def test_one_key_may_serve_many_registries():
    assert refused(settings(of(ACCESS_KEY), {"instanceId": "cri-b", "identity": ACCESS_KEY})) == []


def test_only_keys_whose_names_say_so_are_handed_out_as_a_login():
    """Else an edit that replaces the entry with the AccessKey could hand out its secret."""
    identity = {**LOGIN, "usernameFile": f"{FOLDER}/access-key-id", "passwordFile": f"{FOLDER}/access-key-secret"}
    fields = ["registries[0].identity.usernameFile", "registries[0].identity.passwordFile"]
    assert refused(settings({"domains": [HOST], "identity": identity})) == fields


# By construction: what is asked of each field of the models, whatever fields there are.
NAMES_NEITHER = {
    "audience": "of a token, compared",
    "external_id": "told to STS",
    "issuer": "of a token, compared",
    "match_annotations": "of a Namespace or ServiceAccount, compared",
    "no_proxy": "hosts that are reached directly; where a request goes does not change",
}
"""Fields that a path or an address fits into, and which lead nowhere."""


def leaves(model, seen=()):
    for name, field in model.model_fields.items():
        for kind in models_in(field.annotation):
            if kind not in seen:
                yield from leaves(kind, (*seen, kind))
        if not models_in(field.annotation):
            yield model, name, field


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def takes(field, value, judge=None):
    one = create_model("One", it=(field.annotation, field))
    try:
        one.model_validate({field.alias or "it": value}, context=judge)
    except ValidationError:
        return False
    return True


def forms(field, text):
    """Return *text* in the forms that *field* may want: alone, in a list, in a mapping."""
    return [value for value in (text, [text], {text: text}) if takes(field, value)]


@pytest.mark.parametrize(
    "text",
    [
        "/etc/shadow",
        "https://cr.example.com",
        "http://cr.example.com:3128",
        "http://127.0.0.1:80",
        "file:///etc/shadow",
    ],
)
def test_every_field_that_can_name_a_file_or_a_host_refuses_foreign_ones(text):
    found = {
        name
        for _, name, field in leaves(ProviderSettingsModel)
        for value in forms(field, text)
        if takes(field, value, ClusterOrigin().judge())
    }
    assert found <= NAMES_NEITHER.keys()


def test_the_fields_that_are_tried_are_all_there_are():
    tried = {to_camel(name) for _, name, field in leaves(ProviderSettingsModel) if forms(field, "/etc/shadow")}
    assert tried >= {
        *("caBundle", "accessKeyIdFile", "accessKeySecretFile", "securityTokenFile", "usernameFile", "passwordFile"),
        *("tokenFile", "directory"),
    }
    tried = {to_camel(name) for _, name, field in leaves(ProviderSettingsModel) if forms(field, "https://a.example")}
    assert tried >= {"acr", "sts", "metadata"}


def test_what_the_controllers_pod_has_elsewhere_may_be_named_where_it_belongs():
    rrsa = {"kind": "rrsa", "tokenFile": USUAL_FILE}
    managed, addon = {"kind": "managedRole"}, {"kind": "addonSecret"}
    assert refused(settings(of(rrsa))) == refused(settings(of(managed))) == refused(settings(of(addon))) == []
    named = {"kind": "managedRole", "tokenFile": "/var/addon/token-config"}
    assert refused(settings(of(named))) == []
    assert refused(settings(of({**named, "tokenFile": USUAL_FILE}))) == ["registries[0].identity.tokenFile"]


def test_keys_of_an_acr_configuration_go_where_the_controller_puts_them():
    entry = "- instanceId: cri-a\n  customAccessKey: LTAIexample\n  customAccessKeySecret: example\n"
    text = json.dumps({"kind": "ConfigMap", "data": {"acr-registry-info": entry}})
    conversion = convert(text, place="controller", keys_directory="/run/keys")
    judged = validate_conversion(conversion, ClusterOrigin())
    assert isinstance(judged, ProviderSettings)
    assert judged.registries[0].identity.access_key_id_file.startswith("/run/keys/")
    assert judged.skipped == ()


def test_a_union_of_types_is_walked_too():
    """The walk above would miss a field that it does not see."""
    assert models_in(ProviderSettingsModel.model_fields["proxy"].annotation)
    assert get_origin(ProviderSettingsModel.model_fields["proxy"].annotation) in (Union, UnionType)
