"""What ECI gets: annotations of a Pod, parameters of APIs, blocks of Terraform, and notes on what cannot come along."""

import json

import pytest
from acr_credential_provider.eci.forms import ROLES, parameters, written
from acr_credential_provider.eci.registry_infos import Roles, render
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.model.eci_annotations import InstanceRequest, annotations_for, requests_of
from acr_credential_provider.sources.basic_auth import BasicAuth
from hypothesis import given
from hypothesis import strategies as st
from support.judged import from_document

PUBLIC = "demo-registry.cn-beijing.cr.aliyuncs.com"
VPC = "demo-registry-vpc.cn-beijing.cr.aliyuncs.com"
ROLE_A, ROLE_B = "acs:ram::1111111111111111:role/eci", "acs:ram::2222222222222222:role/pull"
NODE_ROLE = {"kind": "nodeRole"}
LOGIN = {"kind": "basicAuth", "usernameFile": "/run/user", "passwordFile": "/run/password"}


def settings(*registries):
    document = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings"}
    return from_document(document | {"registries": [{"identity": NODE_ROLE} | each for each in registries]})


def test_one_instance_gets_the_older_annotation_and_the_newer_one():
    found = render(settings({"instanceId": "cri-a", "region": "cn-beijing"}))
    assert found.annotations == {
        "k8s.aliyun.com/acr-instance-id": "cn-beijing:cri-a",
        "k8s.aliyun.com/acr-instance-ids": "cn-beijing:cri-a",
    }
    assert found.notes == ()


def test_an_instance_of_the_clusters_own_region_is_named_without_it():
    assert render(settings({"instanceId": "cri-a"})).annotations["k8s.aliyun.com/acr-instance-id"] == "cri-a"


def test_several_instances_get_the_newer_annotation_alone():
    found = render(settings({"instanceId": "cri-a"}, {"instanceId": "cri-b", "region": "cn-beijing"}))
    assert found.annotations == {"k8s.aliyun.com/acr-instance-ids": "cri-a,cn-beijing:cri-b"}


def test_the_same_instance_in_two_regions_is_two_requests():
    found = render(
        settings({"instanceId": "cri-a", "region": "cn-beijing"}, {"instanceId": "cri-a", "region": "cn-hangzhou"})
    )
    assert found.annotations == {"k8s.aliyun.com/acr-instance-ids": "cn-beijing:cri-a,cn-hangzhou:cri-a"}


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ({"instanceId": "cri-a"}, {"AcrRegistryInfo.1.InstanceId": "cri-a"}),
        (
            {"instanceId": "cri-a", "domains": [PUBLIC]},
            {
                "AcrRegistryInfo.1.InstanceId": "cri-a",
                "AcrRegistryInfo.1.RegionId": "cn-beijing",
                "AcrRegistryInfo.1.InstanceName": "demo",
                "AcrRegistryInfo.1.Domain.1": PUBLIC,
            },
        ),
        (
            {"instanceId": "cri-a", "region": "cn-beijing", "domains": [VPC, PUBLIC, "images.example.com"]},
            {
                "AcrRegistryInfo.1.InstanceId": "cri-a",
                "AcrRegistryInfo.1.RegionId": "cn-beijing",
                "AcrRegistryInfo.1.InstanceName": "demo",
                "AcrRegistryInfo.1.Domain.1": VPC,
                "AcrRegistryInfo.1.Domain.2": PUBLIC,
                "AcrRegistryInfo.1.Domain.3": "images.example.com",
            },
        ),
    ],
    ids=["id only", "id and name", "all fields"],
)
def test_create_container_group_gets_all_that_the_settings_know(registry, expected):
    assert parameters(render(settings(registry))) == expected


def test_several_instances_are_numbered_in_the_api():
    found = render(settings({"instanceId": "cri-a"}, {"instanceId": "cri-b"}))
    assert parameters(found) == {"AcrRegistryInfo.1.InstanceId": "cri-a", "AcrRegistryInfo.2.InstanceId": "cri-b"}


def test_an_image_chooses_the_entries_it_may_belong_to():
    registries = (
        {"instanceId": "cri-a", "region": "cn-beijing"},
        {"instanceId": "cri-b", "region": "cn-hangzhou"},
        {"instanceId": "cri-c", "domains": ["images.example.com"]},
    )
    found = render(settings(*registries), images=[f"{PUBLIC}/team/app:1", "images.example.com/team/app"])
    assert found.annotations == {"k8s.aliyun.com/acr-instance-ids": "cn-beijing:cri-a,cri-c"}


def test_an_image_that_is_not_of_acr_is_told_to_need_a_login():
    found = render(settings({"instanceId": "cri-a", "region": "cn-beijing"}), images=["docker.io/team/app"])
    assert found.annotations == {}
    (note,) = found.notes
    assert "docker.io" in note
    assert "imagePullSecrets" in note


def test_another_accounts_instance_gets_both_roles():
    registry = {"instanceId": "cri-a", "assumeRole": [{"roleArn": ROLE_B}]}
    assert render(settings(registry), service_arn=ROLE_A).annotations == {
        "k8s.aliyun.com/acr-instance-id": "cri-a",
        "k8s.aliyun.com/acr-instance-ids": "cri-a",
        "k8s.aliyun.com/acr-service-arns": ROLE_A,
        "k8s.aliyun.com/acr-user-arns": ROLE_B,
    }


def test_another_accounts_instance_is_left_out_without_a_role_to_start_from():
    found = render(settings({"instanceId": "cri-a", "assumeRole": [{"roleArn": ROLE_B}]}))
    assert (found.annotations, parameters(found)) == ({}, {})
    assert ROLE_B in found.notes[0]
    assert "--service-arn" in found.notes[0]


def test_a_chain_of_roles_cannot_come_along():
    chain = [{"roleArn": "acs:ram::1111111111111111:role/first"}, {"roleArn": ROLE_B}]
    found = render(settings({"instanceId": "cri-a", "assumeRole": chain}), service_arn=ROLE_A)
    assert "cri-a: left out" in found.notes[0]
    assert parameters(found) == {}


def test_instances_of_two_accounts_are_refused_for_one_pod():
    registries = ({"instanceId": "cri-a", "assumeRole": [{"roleArn": ROLE_B}]}, {"instanceId": "cri-b"})
    with pytest.raises(ConfigurationError) as caught:
        render(settings(*registries), service_arn=ROLE_A)
    assert "--image" in caught.value.remedy
    assert "--form api" in caught.value.remedy


def test_the_api_gets_a_pair_of_roles_for_each_instance():
    registries = ({"instanceId": "cri-a", "assumeRole": [{"roleArn": ROLE_B}]}, {"instanceId": "cri-b"})
    found = render(settings(*registries), service_arn=ROLE_A, roles=Roles.EACH)
    assert parameters(found) == {
        "AcrRegistryInfo.1.InstanceId": "cri-a",
        "AcrRegistryInfo.1.ArnService": ROLE_A,
        "AcrRegistryInfo.1.ArnUser": ROLE_B,
        "AcrRegistryInfo.2.InstanceId": "cri-b",
        "AcrRegistryInfo.2.ArnService": ROLE_A,
    }
    assert found.notes == ()


@pytest.mark.parametrize("form", ["ess", "terraform", "terraform-ess"])
def test_a_form_without_room_for_roles_says_what_it_leaves_out(form):
    registries = ({"instanceId": "cri-a", "assumeRole": [{"roleArn": ROLE_B}]}, {"instanceId": "cri-b"})
    found = render(settings(*registries), service_arn=ROLE_A, roles=ROLES[form])
    assert [info.instance_id for info in found.infos] == ["cri-b"]
    assert "--service-arn does not come along" in found.notes[0]
    assert "cri-a: left out" in found.notes[1]
    assert "role/" not in written(found, form, as_json=False)


@pytest.mark.parametrize("roles", [Roles.EACH, Roles.NONE])
def test_more_instances_than_a_request_takes_are_refused(roles):
    registries = [{"instanceId": f"cri-{number}"} for number in range(22)]
    assert len(render(settings(*registries[:21]), roles=roles).infos) == 21
    with pytest.raises(ConfigurationError, match="22 instances, and ECI takes 21") as caught:
        render(settings(*registries), roles=roles)
    assert "--image" in caught.value.remedy
    assert len(render(settings(*registries)).infos) == 22


def test_terraform_gets_blocks_as_its_formatter_writes_them():
    registries = (
        {"instanceId": "cri-a", "domains": [PUBLIC, "images.example.com"]},
        {"domains": ["x.example"], "identity": LOGIN},
    )
    found = render(settings(*registries), login_of=lambda _: BasicAuth("me", 'a"b${c}%{d}'), roles=Roles.NONE)
    assert (
        written(found, "terraform-ess", as_json=False)
        == f"""\
acr_registry_infos {{
  instance_id   = "cri-a"
  region_id     = "cn-beijing"
  instance_name = "demo"
  domains       = ["{PUBLIC}", "images.example.com"]
}}
image_registry_credentials {{
  server   = "x.example"
  username = "me"
  password = "a\\"b$${{c}}%%{{d}}"
}}
"""
    )
    assert json.loads(written(found, "terraform", as_json=True)) == {
        "acr_registry_info": [
            {
                "instance_id": "cri-a",
                "region_id": "cn-beijing",
                "instance_name": "demo",
                "domains": [PUBLIC, "images.example.com"],
            }
        ],
        "image_registry_credential": [{"server": "x.example", "user_name": "me", "password": 'a"b$${c}%%{d}'}],
    }


def test_the_own_personal_edition_needs_nothing():
    found = render(settings({"region": "cn-beijing"}))
    assert (found.annotations, parameters(found)) == ({}, {})
    assert "needs nothing" in found.notes[0]


def test_an_identity_is_told_to_stay_behind():
    key = {"kind": "accessKey", "accessKeyIdFile": "/run/id", "accessKeySecretFile": "/run/secret"}
    (note,) = render(settings({"instanceId": "cri-a", "identity": key})).notes
    assert "accessKey" in note
    assert "does not come along" in note


def test_a_login_becomes_a_registry_credential_only_where_passwords_are_asked_for():
    host = "crpi-a1b2.cn-beijing.personal.cr.aliyuncs.com"
    registry = {"domains": [host], "identity": LOGIN}
    found = render(settings(registry))
    assert parameters(found) == {}
    assert "--with-passwords" in found.notes[0]
    found = render(settings(registry), login_of=lambda _: BasicAuth("me", "CANARYSECRET"))
    assert parameters(found) == {
        "ImageRegistryCredential.1.Server": host,
        "ImageRegistryCredential.1.UserName": "me",
        "ImageRegistryCredential.1.Password": "CANARYSECRET",
    }
    assert "CANARYSECRET" not in repr(found)
    assert found.annotations == {}


def test_both_annotations_ask_and_each_instance_once():
    found = requests_of(
        {"k8s.aliyun.com/acr-instance-id": "cri-a", "k8s.aliyun.com/acr-instance-ids": " cn-beijing:cri-b ,cri-a,, "}
    )
    assert found.instances == (InstanceRequest("", "cri-a"), InstanceRequest("cn-beijing", "cri-b"))
    assert found.problems == ()


@pytest.mark.parametrize("value", ["<cri-instanceId>", "cri-A", ":cri-a", "moon:cri-a", "crpi-a1b2", "cri-a;cri-b"])
def test_what_is_no_instance_is_named_by_its_place_and_never_quoted(value):
    found = requests_of({"k8s.aliyun.com/acr-instance-ids": f"cri-ok,{value}"})
    assert found.instances == (InstanceRequest("", "cri-ok"),)
    assert found.problems == ("k8s.aliyun.com/acr-instance-ids, item 2, is not cri-... or REGION:cri-...",)


def test_a_pod_without_annotations_asks_for_nothing_and_a_huge_one_costs_nothing():
    assert requests_of({}).instances == ()
    found = requests_of({"k8s.aliyun.com/acr-instance-ids": "cri-a," * 100_000})
    assert found.instances == ()
    assert "longer than" in found.problems[0]


@given(
    st.dictionaries(st.sampled_from(["k8s.aliyun.com/acr-instance-id", "k8s.aliyun.com/acr-instance-ids"]), st.text())
)
def test_no_value_of_an_annotation_raises(annotations):
    requests_of(annotations)


@given(
    st.lists(
        st.builds(
            InstanceRequest, st.sampled_from(["", "cn-beijing"]), st.from_regex(r"cri-[a-z0-9]{1,20}", fullmatch=True)
        ),
        unique=True,
    )
)
def test_what_is_written_for_eci_is_read_back_as_the_same_request(instances):
    assert list(requests_of(annotations_for(instances)).instances) == instances
