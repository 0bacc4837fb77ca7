"""Each edition's hosts and identities, from a request to the bytes that the kubelet takes."""

import json
import os

import pytest
from conftest import write_settings
from sandbox.faults import Throttle
from sandbox.pull import PullError, pull
from sandbox.state import Instance, Principal
from support.harness import API_VERSIONS, request
from support.kubelet import logins

V1 = API_VERSIONS[0]
SHARED = "registry.cn-hangzhou.aliyuncs.com"
CRPI = "crpi-a1b2c3.cn-hangzhou.personal.cr.aliyuncs.com"
PASSWORD = "CANARY-chosen-password"


@pytest.fixture
def told(program, sandbox, tmp_path):
    """Return a function that gives the program these registries; each key of the sandbox's own can be changed."""

    def tell(*registries, **more):
        own = sandbox.settings()["registries"][0]
        document = sandbox.settings() | {
            "registries": [
                {key: value for key, value in (own | each).items() if value is not None} for each in registries
            ]
        }
        write_settings(tmp_path, document | more)
        return program

    return tell


PERSONAL = {"instanceId": None, "domains": None}


def key_files(tmp_path, key, name):
    files = [tmp_path / f"{name}-id", tmp_path / f"{name}-secret"]
    for file, content in zip(files, (key.id, key.secret), strict=True):
        file.write_text(content)
        file.chmod(0o600)
    return {"kind": "accessKey", "accessKeyIdFile": str(files[0]), "accessKeySecretFile": str(files[1])}


def login_files(tmp_path, username="me@1234567890", password=PASSWORD):
    files = [tmp_path / "username", tmp_path / "password"]
    for file, content in zip(files, (username, password), strict=True):
        file.write_text(content + "\n")
        file.chmod(0o600)
    return {"kind": "basicAuth", "usernameFile": str(files[0]), "passwordFile": str(files[1])}


class TestPersonalEdition:
    @pytest.fixture
    def personal(self, sandbox):
        return sandbox.state.add_instance(Instance.personal())

    def test_an_image_of_the_shared_host_is_pulled_with_a_token_of_the_older_api(self, told, sandbox, personal):
        program = told(PERSONAL)
        for _ in ("from the cloud", "from the memo"):
            ended = program.ask(f"{SHARED}/team/app")
            assert (ended.code, ended.stderr) == (0, b"")
            user, password = ended.login(f"{SHARED}/team/")
            assert ended.stdout == (
                b'{"kind":"CredentialProviderResponse","apiVersion":"%s","cacheKeyType":"Image",'
                b'"cacheDuration":"300s","auth":{"%s/team/":{"username":"%s","password":"%s"}}}\n'
                % (V1.encode(), SHARED.encode(), user.encode(), password.encode())
            )
            taken = logins(ended.stdout, 0, image=f"{SHARED}/team/app", api_version=V1)
            assert taken == [(user, password)]
            image = f"{SHARED}/team/app"
            assert pull(image, user, password, ca_file=sandbox.ca_file, at=sandbox.registry.address).digest
        assert sandbox.calls.counts()["personal.GetAuthorizationToken"] == 1

    @pytest.mark.parametrize("network", ["", "-vpc", "-internal", "-intl", "-intl-vpc"])
    def test_all_its_networks_share_one_token(self, told, sandbox, network):
        program = told(PERSONAL)
        first = program.ask(f"{SHARED}/team/app").login(f"{SHARED}/team/")
        host = f"registry{network}.cn-hangzhou.aliyuncs.com"
        assert program.ask(f"{host}/other/app").login(f"{host}/other/") == first
        assert sandbox.calls.counts() == {"personal.GetAuthorizationToken": 1}

    def test_alibaba_clouds_own_public_images_are_never_given_a_login(self, told, sandbox, personal):
        program = told(PERSONAL)
        assert program.ask(f"{SHARED}/team/app").document["auth"]
        ended = program.ask(f"{SHARED}/acs/pause")
        assert (ended.code, ended.stderr) == (0, b"")
        assert (ended.document["auth"], ended.document["cacheDuration"]) == ({}, "0s")
        image, at = f"{SHARED}/acs/pause", sandbox.registry.address
        assert pull(image, "", "", ca_file=sandbox.ca_file, at=at).digest
        with pytest.raises(PullError):
            pull(image, "cr_temp_user", "a login that died", ca_file=sandbox.ca_file, at=at)

    def test_what_the_kubelet_keeps_for_one_namespace_matches_no_other(self, told):
        ended = told(PERSONAL).ask(f"{SHARED}/team/app")
        for other in ("acs/pause", "team2/app", "team"):
            assert logins(ended.stdout, 0, image=f"{SHARED}/{other}", api_version=V1) == []

    def test_when_acr_fails_nothing_is_answered_so_that_public_images_stay_anonymous(self, told, sandbox):
        sandbox.faults.add("personal.GetAuthorizationToken", Throttle(retry_after_ms=60_000))
        ended = told(PERSONAL).ask(f"{SHARED}/team/app")
        assert (ended.code, ended.stdout) == (1, b"")
        assert b"the Personal Edition in cn-hangzhou was throttled" in ended.stderr

    def test_a_refusal_names_code_and_remedy(self, told, sandbox, tmp_path):
        denied = sandbox.state.add_key(Principal("nobody", actions=frozenset()))
        ended = told(PERSONAL | {"identity": key_files(tmp_path, denied, "denied")}).ask(f"{SHARED}/team/app")
        assert (ended.code, ended.stdout) == (1, b"")
        assert b"GetAuthorizationToken for the Personal Edition in cn-hangzhou was refused" in ended.stderr

    def test_another_region_and_another_edition_get_nothing(self, told, sandbox):
        program = told(PERSONAL)
        for image in ("registry.cn-beijing.aliyuncs.com/team/app", f"{CRPI}/team/app", f"{SHARED}/app"):
            ended = program.ask(image)
            assert (ended.code, ended.document["auth"]) == (0, {})
        assert sandbox.calls.counts() == {}

    def test_namespaces_tell_two_accounts_on_one_host_apart(self, told, sandbox, tmp_path):
        other = sandbox.state.add_key(Principal("other", account="6543210987654321"))
        program = told(
            PERSONAL | {"namespaces": ["shop"]},
            PERSONAL | {"namespaces": ["lab"], "identity": key_files(tmp_path, other, "other")},
        )
        for namespace, key in (("shop", sandbox.key), ("lab", other), ("shop", sandbox.key)):
            login = program.ask(f"{SHARED}/{namespace}/app").login(f"{SHARED}/{namespace}/")
            assert sandbox.state.find_login(*login).access_key_id == key.id
        assert program.ask(f"{SHARED}/else/app").document["auth"] == {}

    def test_regions_accounts_and_editions_live_in_one_file(self, told, sandbox, tmp_path):
        other = sandbox.state.add_key(Principal("other"))
        lab = sandbox.state.add_instance(Instance.usual("cri-lab", "lab"))
        program = told(
            {},
            {"instanceId": lab.id, "domains": None, "identity": key_files(tmp_path, other, "other")},
            PERSONAL,
            PERSONAL
            | {"region": "cn-beijing", "endpoints": {"acr": sandbox.acr("cn-beijing")}}
            | {"identity": key_files(tmp_path, other, "other")},
            {"instanceId": None, "region": None, "domains": [CRPI], "identity": login_files(tmp_path)},
        )
        host = sandbox.registry.address
        assert sandbox.state.find_login(*program.ask(f"{host}/team/app").login(host)).instance_id == sandbox.instance.id
        host = "lab-registry.cn-hangzhou.cr.aliyuncs.com"
        assert sandbox.state.find_login(*program.ask(f"{host}/team/app").login(host)).instance_id == lab.id
        for region, key in (("cn-hangzhou", sandbox.key), ("cn-beijing", other)):
            host = f"registry.{region}.aliyuncs.com"
            login = program.ask(f"{host}/team/app").login(f"{host}/team/")
            found = sandbox.state.find_login(*login)
            assert (found.access_key_id, found.instance_id) == (key.id, f"{region}:26842")
        assert program.ask(f"{CRPI}/team/app").login(CRPI) == ("me@1234567890", PASSWORD)


class TestLogin:
    @pytest.fixture
    def login(self, told, tmp_path):
        return told({"instanceId": None, "region": None, "domains": [CRPI], "identity": login_files(tmp_path)})

    def test_a_chosen_password_is_answered_and_never_written_down(self, login, sandbox):
        for _ in ("first", "again"):
            ended = login.ask(f"{CRPI}/team/app")
            assert (ended.code, ended.stderr) == (0, b"")
            assert ended.stdout == (
                b'{"kind":"CredentialProviderResponse","apiVersion":"%s","cacheKeyType":"Registry",'
                b'"cacheDuration":"300s","auth":{"%s":{"username":"me@1234567890","password":"%s"}}}\n'
                % (V1.encode(), CRPI.encode(), PASSWORD.encode())
            )
        written = [each.read_bytes() for each in login.cache.rglob("*") if each.is_file()]
        assert written
        assert not any(PASSWORD.encode() in each for each in written)
        assert sandbox.calls.counts() == {}

    def test_a_changed_password_holds_at_once(self, login, tmp_path):
        login.ask(f"{CRPI}/team/app")
        (tmp_path / "password").write_text("another")
        assert login.ask(f"{CRPI}/team/app").login(CRPI)[1] == "another"

    @pytest.mark.parametrize(
        ("spoil", "told_so"),
        [
            (lambda file: file.chmod(0o644), "mode 0644"),
            (lambda file: file.write_text(PASSWORD + "\n" + PASSWORD), "one line of text"),
            (lambda file: file.write_bytes(b"\xff" + PASSWORD.encode()), "one line of text"),
            (os.unlink, "does not exist"),
        ],
    )
    def test_a_file_that_is_not_right_is_named_and_not_shown(self, login, tmp_path, spoil, told_so):
        spoil(tmp_path / "password")
        ended = login.ask(f"{CRPI}/team/app")
        assert (ended.code, ended.stdout) == (1, b"")
        assert f"{tmp_path}/password" in ended.stderr.decode()
        assert told_so in ended.stderr.decode()
        assert PASSWORD not in ended.stderr.decode()

    def test_without_a_login_the_settings_say_what_that_host_needs(self, told):
        ended = told({"instanceId": None, "region": None, "domains": [CRPI]}).ask(f"{CRPI}/team/app")
        assert (ended.code, ended.stdout) == (1, b"")
        assert b"domains[0] belongs to the new Personal Edition, which grants no temporary tokens" in ended.stderr
        assert b"kind: basicAuth" in ended.stderr


class TestPeerToPeer:
    HOST = "sandbox-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com:65001"

    @pytest.mark.parametrize("domains", [None, [HOST]], ids=["as ACR lists its VPC door", "named"])
    def test_the_p2p_host_gets_its_instances_token_under_host_and_port(self, told, sandbox, domains):
        ended = told({"domains": domains}).ask(f"{self.HOST}/team/app")
        assert (ended.code, ended.stderr) == (0, b"")
        login = ended.login(self.HOST)
        assert logins(ended.stdout, 0, image=f"{self.HOST}/team/app", api_version=V1) == [login]
        assert sandbox.state.find_login(*login).instance_id == sandbox.instance.id

    @pytest.mark.parametrize(
        "host",
        [
            HOST.replace("65001", "65002"),
            HOST.partition(":")[0],
            HOST.replace("-vpc", ""),
            HOST.replace("sandbox", "other"),
            HOST.replace("hangzhou", "beijing"),
        ],
    )
    def test_no_other_port_form_name_or_region_does(self, told, host):
        ended = told({"domains": None}).ask(f"{host}/team/app")
        assert (ended.code, ended.document["auth"]) == (0, {})


class TestAcrConfiguration:
    CONFIGURATION = """\
data:
  expiring-threshold: 20m
  service-account: default
  acr-registry-info: |
    - instanceId: ""
      regionId: cn-hangzhou
      customAccessKey: {id}
      customAccessKeySecret: {secret} # CANARY
    - instanceId: "cri-xxx"
"""

    @pytest.fixture
    def configuration(self, sandbox, tmp_path):
        path = tmp_path / "acr-configuration.yaml"
        path.write_text(self.CONFIGURATION.format(id=sandbox.key.id, secret=sandbox.key.secret))
        path.chmod(0o600)
        return path

    def test_converted_with_its_keys_in_files_it_pulls(self, program, sandbox, configuration, tmp_path):
        keys = tmp_path / "keys"
        done = program.run(b"", "settings", "convert", str(configuration), "--keys-directory", str(keys))
        assert done.code == 1  # for the placeholder
        assert f"error: {configuration}, line 9: acr-registry-info[1].instanceId still holds the placeholder" in (
            done.stderr.decode()
        )
        assert all(sandbox.key.secret.encode() not in each for each in (done.stdout, done.stderr))
        assert {each.stat().st_mode & 0o777 for each in keys.iterdir()} == {0o600}
        native = configuration.with_name("native.yaml")
        native.write_bytes(done.stdout)
        native.chmod(0o600)
        assert program.run(b"", "settings", "validate", str(native)).code == 0
        import yaml

        document = yaml.safe_load(done.stdout) | {"caBundle": str(sandbox.ca_file)}
        document["registries"][0]["endpoints"] = {"acr": sandbox.openapi.url}
        write_settings(tmp_path, document)
        login = program.ask(f"{SHARED}/team/app").login(f"{SHARED}/team/")
        assert sandbox.state.find_login(*login).access_key_id == sandbox.key.id

    def test_validated_it_tells_all_and_shows_no_secret(self, program, sandbox, configuration):
        done = program.run(b"", "settings", "validate", str(configuration))
        assert (done.code, done.stdout) == (1, b"")
        text = done.stderr.decode()
        assert "line 7: acr-registry-info[0].customAccessKey stands in the file itself" in text
        assert "--keys-directory" in text
        assert sandbox.key.secret not in text

    def test_given_as_settings_it_answers_what_it_can_and_says_why_not_the_rest(self, program, tmp_path):
        path = tmp_path / "configuration.yaml"
        path.write_text(
            'acr-registry-info: |\n  - instanceId: "cri-xxx"\n  - instanceId: ""\n    regionId: cn-beijing\n'
        )
        path.chmod(0o600)
        words = ("--settings", str(path), "--cache", str(program.cache))
        for host in ("other-registry.cn-hangzhou.cr.aliyuncs.com", SHARED):
            ended = program.run(request(f"{host}/team/app"), *words)
            assert (ended.code, ended.stdout) == (1, b"")
            assert ended.stderr.decode() == (
                f"error: {path}, line 2: acr-registry-info[0].instanceId still holds the placeholder of a sample "
                "[SettingsPlaceholder]\n"
                "remedy: Write your own value there, or remove the key or the whole entry.\n"
            )
        ended = program.run(request("registry.cn-beijing.aliyuncs.com/acs/pause"), *words)
        assert (ended.code, json.loads(ended.stdout)["auth"]) == (0, {})

    def test_nothing_of_it_usable_is_told_in_two_lines(self, program, tmp_path):
        path = tmp_path / "configuration.yaml"
        path.write_text("data:\n  acr-registry-info: |\n    - instanceId: cri-abc\n      regionId: Hangzhou\n")
        path.chmod(0o600)
        ended = program.run(request(f"{SHARED}/team/app"), "--settings", str(path), "--cache", str(program.cache))
        assert (ended.code, ended.stdout) == (1, b"")
        assert ended.stderr.decode() == (
            f"error: {path}, line 4: acr-registry-info[0].regionId is not the ID of a region [RegionInvalid]\n"
            "remedy: Did you mean cn-hangzhou? Write the region's ID, for example cn-hangzhou.\n"
        )

    def test_native_settings_are_not_converted(self, program):
        done = program.run(b"", "settings", "convert", str(program.settings))
        assert (done.code, done.stdout) == (1, b"")
        assert b"is not an acr-configuration" in done.stderr
