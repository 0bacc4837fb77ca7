"""What `render eci` prints, byte for byte, and where a password goes. The node's build does not have it."""

import json

import pytest
from support import harness

HOST = "crpi-a1b2.cn-beijing.personal.cr.aliyuncs.com"
SECRET = "CANARYSECRET"


@pytest.fixture
def program(tmp_path):
    settings = tmp_path / "settings.yaml"
    for name, content in (("user", "me"), ("password", SECRET)):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    login = {"kind": "basicAuth", "usernameFile": f"{tmp_path}/user", "passwordFile": f"{tmp_path}/password"}
    document = {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [
            {"instanceId": "cri-a", "region": "cn-beijing", "identity": {"kind": "nodeRole"}},
            {"domains": [HOST], "identity": login},
        ],
    }
    settings.write_text(json.dumps(document))
    settings.chmod(0o600)
    return harness.source(settings, tmp_path / "cache")


def eci(program, *words):
    return program.run(b"", "render", "eci", "--settings", str(program.settings), *words)


def test_a_pods_annotations_can_be_pasted_into_its_manifest(program):
    ended = eci(program)
    assert ended.code == 0
    assert ended.stdout.decode() == (
        "metadata:\n"
        "  annotations:\n"
        "    k8s.aliyun.com/acr-instance-id: cn-beijing:cri-a\n"
        "    k8s.aliyun.com/acr-instance-ids: cn-beijing:cri-a\n"
    )
    assert ended.stderr.decode() == (
        f"note: {HOST}: needs a login: in a Pod by imagePullSecrets, in the API by ImageRegistryCredential, "
        "which --with-passwords FILE writes\n"
    )


def test_the_api_gets_its_parameters_by_name(program):
    ended = eci(program, "--form", "api", "--output", "json", "--image", "demo-registry.cn-beijing.cr.aliyuncs.com/a/b")
    assert ended.document == {"AcrRegistryInfo.1.InstanceId": "cri-a", "AcrRegistryInfo.1.RegionId": "cn-beijing"}
    assert ended.stderr == b""


def test_another_accounts_instance_has_both_roles_in_the_api(program):
    document = json.loads(program.settings.read_text())
    document["registries"][0]["assumeRole"] = [{"roleArn": "acs:ram::2222222222222222:role/pull"}]
    program.settings.write_text(json.dumps(document))
    role = "acs:ram::1111111111111111:role/eci"
    ended = eci(program, "--form", "api", "--output", "json", "--service-arn", role)
    assert ended.document == {
        "AcrRegistryInfo.1.InstanceId": "cri-a",
        "AcrRegistryInfo.1.RegionId": "cn-beijing",
        "AcrRegistryInfo.1.ArnService": role,
        "AcrRegistryInfo.1.ArnUser": "acs:ram::2222222222222222:role/pull",
    }


def test_terraform_gets_blocks_that_can_be_pasted_into_the_resource(program):
    ended = eci(program, "--form", "terraform-ess")
    assert ended.stdout.decode() == ('acr_registry_infos {\n  instance_id = "cri-a"\n  region_id   = "cn-beijing"\n}\n')


def test_a_password_goes_into_a_file_for_its_owner_alone_and_nowhere_else(program, tmp_path):
    written = tmp_path / "parameters.json"
    ended = eci(program, "--form", "api", "--output", "json", "--with-passwords", str(written))
    assert ended.code == 0
    assert ended.stdout == b""
    assert SECRET.encode() not in ended.stderr
    assert json.loads(written.read_text())["ImageRegistryCredential.1.Password"] == SECRET
    assert written.stat().st_mode & 0o777 == 0o600


def test_a_pod_takes_no_password_this_way(program, tmp_path):
    ended = eci(program, "--with-passwords", str(tmp_path / "file"))
    assert ended.code == 1
    assert b"remedy: Add --form api" in ended.stderr
    assert not (tmp_path / "file").exists()


def test_an_acr_configuration_is_rendered_and_what_is_wrong_in_it_is_told(program):
    program.settings.write_text(
        "data:\n"
        "  acr-registry-info: |\n"
        '    - instanceId: "cri-b"\n'
        '      regionId: "cn-shanghai"\n'
        '      customAccessKey: "LTAI5tExample0000000"\n'
        f'      customAccessKeySecret: "{SECRET}"\n'
        '    - instanceId: "<cri-instanceId>"\n'
    )
    ended = eci(program, "--form", "api", "--output", "json")
    assert ended.code == 1
    assert ended.document == {"AcrRegistryInfo.1.InstanceId": "cri-b", "AcrRegistryInfo.1.RegionId": "cn-shanghai"}
    assert b"placeholder" in ended.stderr
    assert b"its identity (accessKey) does not come along" in ended.stderr
    assert SECRET.encode() not in ended.stderr


def test_the_nodes_build_says_that_it_is_not_in_it(program):
    frozen = harness.frozen(program.settings, program.cache)
    ended = eci(frozen)
    assert ended.code == 1
    assert b"this program does not have the command render" in ended.stderr
