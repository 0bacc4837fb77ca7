"""What explain and doctor print, word for word, and that explain is offline."""

import json

import pytest
from acr_credential_provider.cache.cache_dirs import MARK

ENTRY = "cri-sandbox000000001 in cn-hangzhou"


def paths(program):
    return ("--settings", str(program.settings), "--cache", str(program.cache))


def explain(program, image, *words):
    return program.run(b"", "explain", image, *words, *paths(program))


def details(ended):
    """Return the details of each check."""
    found = {}
    for each in ended.document["checks"]:
        found.setdefault(each["name"], []).append(each.get("detail", ""))
    return found


def settings(program, **changes):
    document = json.loads(program.settings.read_text())
    document["registries"][0] |= changes
    document["registries"][0] = {name: value for name, value in document["registries"][0].items() if value is not None}
    program.settings.write_text(json.dumps(document))


def test_a_covered_image_is_told_its_entry_and_what_a_pull_would_ask(program, sandbox):
    ended = explain(program, sandbox.image)
    assert (ended.code, ended.stderr) == (0, b"")
    assert ended.stdout.decode() == (
        f"ok         settings: {program.settings}, 1 registries\n"
        f"skipped    cache folder: {program.cache} does not exist yet\n"
        f"ok         registry entry: registries[0] ({ENTRY}) has {sandbox.registry.address}\n"
        f"ok         identity: accessKey from {sandbox.key_id_file}, {sandbox.key_secret_file}\n"
        "skipped    RAM roles: no role is assumed\n"
        f"ok         ACR endpoint: {sandbox.openapi.url} in cn-hangzhou (from settings)\n"
        "ok         response cache: empty\n"
        "ok         token store: empty\n"
        "ok         failure cache\n"
        f"ok         cloud calls: GetAuthorizationToken for {ENTRY} at {sandbox.openapi.url}\n"
        "skipped    pod: not needed by the identity accessKey\n"
    )
    assert sandbox.calls.counts() == {}
    assert not program.cache.exists(), "nothing is written"


def test_after_a_pull_nobody_would_be_asked(program, sandbox):
    host = sandbox.registry.address
    program.ask(f"{host}/team/app")
    found = details(explain(program, sandbox.image, "--output", "json"))
    assert found["response cache"][0].startswith("fresh: a token (")
    assert found["token store"][0].startswith("fresh (")
    assert found["cloud calls"] == ["none"]
    program.settings.write_text(program.settings.read_text() + "\n")
    found = details(explain(program, sandbox.image, "--output", "json"))
    assert found["response cache"] == ["outdated: a file that it depended on has changed"]
    assert found["token store"][0].startswith("fresh (")
    assert sandbox.calls.count("GetAuthorizationToken") == 1


def test_a_due_and_an_expired_token_are_told_apart(program, sandbox):
    sandbox.state.token_life = 3.0
    program.ask(f"{sandbox.registry.address}/team/app")
    seen = set()
    for _ in range(40):
        found = details(explain(program, sandbox.image, "--output", "json"))
        seen.add(found["response cache"][0].partition(":")[0])
        if "expired" in seen:
            break
    assert "expired" in seen
    assert seen <= {"fresh", "due", "expired"}


def test_a_remembered_failure_is_what_a_pull_would_be_told(program, sandbox):
    sandbox.state.remove_key(sandbox.key.id)
    for _ in range(5):  # it lives for three seconds or more, which a slow start may outlast
        assert program.ask(f"{sandbox.registry.address}/team/app").code == 1
        found = details(explain(program, sandbox.image, "--output", "json"))
        (failure,) = found["failure cache"]
        if failure:
            break
    assert "InvalidAccessKeyId" in failure
    assert 0 <= float(failure.partition(" for ")[2].partition(" s ")[0]) <= 7
    assert found["cloud calls"] == ["none"]


def test_a_host_that_only_acr_can_place_is_told_which_call_comes_first(program, sandbox):
    settings(program, domains=None)
    ended = explain(program, "sandbox-registry.cn-hangzhou.cr.aliyuncs.com/team/app")
    assert ended.code == 0
    told = ended.stdout.decode()
    assert (
        "skipped    registry entry: only ACR knows the hosts of registries[0]: no domains are set [HostsUnknown]\n"
        in told
    )
    assert "remedy: Name the hosts in domains" in told
    assert f"cloud calls: ListInstanceEndpoint {sandbox.openapi.url}/\n" in told
    assert sandbox.calls.counts() == {}


PROVIDER = "acs:ram::1111111111111111:oidc-provider/ack-rrsa-c1"
ANNOTATION = "pod-identity.alibabacloud.com/role-name"


def test_an_entry_of_service_accounts_is_told_with_its_roles_and_what_only_a_pod_shows(program, sandbox):
    rules = [{"serviceAccounts": ["team-a/*", "team-b/app"], "roleName": "pull-a"}]
    chain = [{"roleArn": "acs:ram::2222222222222222:role/pull"}]
    identity = {"kind": "serviceAccount", "oidcProviderArn": PROVIDER, "roles": rules}
    settings(program, identity=identity, assumeRole=chain)
    ended = explain(program, sandbox.image)
    assert (ended.code, ended.stderr) == (0, b"")
    assert ended.stdout.decode() == (
        f"ok         settings: {program.settings}, 1 registries\n"
        f"skipped    cache folder: {program.cache} does not exist yet\n"
        f"ok         registry entry: registries[0] ({ENTRY}) has {sandbox.registry.address}\n"
        "ok         identity: serviceAccount\n"
        "ok         RAM roles: team-a/*, team-b/app: acs:ram::1111111111111111:role/pull-a\n"
        "ok         RAM roles: others: acs:ram::1111111111111111:role/NAME, with NAME from their annotation "
        f"{ANNOTATION}\n"
        "ok         RAM roles: without one: refused\n"
        "ok         RAM roles: pods without a token: refused\n"
        "ok         RAM roles: then acs:ram::2222222222222222:role/pull\n"
        f"ok         ACR endpoint: {sandbox.openapi.url} in cn-hangzhou (from settings)\n"
        "skipped    response cache: each ServiceAccount has an entry of its own\n"
        "skipped    token store: each ServiceAccount has a token of its own\n"
        "skipped    failure cache: each ServiceAccount has an entry of its own\n"
        "ok         cloud calls: STS, AssumeRoleWithOIDC of the ServiceAccount's role\n"
        "ok         cloud calls: STS, AssumeRole of acs:ram::2222222222222222:role/pull, unless a session is kept\n"
        f"ok         cloud calls: GetAuthorizationToken for {ENTRY} at {sandbox.openapi.url}\n"
        f"skipped    pod: only a pull for a pod shows its ServiceAccount and annotation {ANNOTATION}, whether the "
        f"role's trust policy accepts its token ({PROVIDER}), and what is cached for it\n"
    )
    assert sandbox.calls.counts() == {}
    assert not program.cache.exists(), "nothing is written"


def test_hosts_that_only_a_service_account_may_ask_for_are_told(program, sandbox):
    settings(program, identity={"kind": "serviceAccount", "oidcProviderArn": PROVIDER}, domains=None)
    ended = explain(program, "sandbox-registry.cn-hangzhou.cr.aliyuncs.com/team/app", "--output", "json")
    (entry,) = (each for each in ended.document["checks"] if each["name"] == "registry entry")
    assert (ended.code, entry["status"]) == (0, "skipped")
    assert "registries[0]: no domains are set, and only a pod's ServiceAccount may ask ACR" in entry["detail"]
    assert "domains" in entry["remedy"]
    assert details(ended)["cloud calls"] == ["ListInstanceEndpoint, as the pod's ServiceAccount"]
    assert sandbox.calls.counts() == {}


def test_the_roles_that_would_be_assumed_are_told(program, sandbox):
    roles = [f"acs:ram::{account}:role/pull" for account in ("1111111111111111", "2222222222222222")]
    settings(program, assumeRole=[{"roleArn": arn} for arn in roles])
    found = details(explain(program, sandbox.image, "--output", "json"))
    assert found["RAM roles"] == [f"then {arn}" for arn in roles]
    assert found["cloud calls"][:2] == [f"STS, AssumeRole of {arn}, unless a session is kept" for arn in roles]


def login_of_its_own(sandbox, program, tmp_path):
    """Let the entry be one with a login in files, good at the registry."""
    login = sandbox.state.mint_login(sandbox.key, sandbox.instance.id, life=3600.0)
    for name, content in (("username", login.username), ("password", login.password)):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    files = {"usernameFile": str(tmp_path / "username"), "passwordFile": str(tmp_path / "password")}
    settings(program, instanceId=None, region=None, endpoints=None, identity={"kind": "basicAuth", **files})
    return login


def test_a_login_in_files_is_explained_and_tried_without_the_cloud(program, sandbox, tmp_path):
    login = login_of_its_own(sandbox, program, tmp_path)
    told = explain(program, sandbox.image).stdout.decode()
    assert f"identity: basicAuth from {tmp_path}/username, {tmp_path}/password\n" in told
    assert "cloud calls: none\n" in told
    ended = program.run(b"", "doctor", sandbox.image, "--no-kubelet", "--output", "json", *paths(program))
    outcomes = {step["name"]: step["status"] for step in ended.document["checks"]}
    assert (outcomes["identity"], outcomes["token"], outcomes["registry login"]) == ("ok", "skipped", "ok")
    assert login.password.encode() not in ended.stdout
    sandbox.state.revoke_logins()
    ended = program.run(b"", "doctor", sandbox.image, "--no-kubelet", "--output", "json", *paths(program))
    assert [step["name"] for step in ended.document["checks"] if step["status"] == "failed"] == ["registry login"]
    assert not [name for name in sandbox.calls.counts() if not name.startswith("registry.")]


def test_a_region_that_only_the_metadata_service_knows_is_told(program, sandbox):
    settings(program, region=None)
    ended = explain(program, sandbox.image)
    assert f"cloud calls: PUT {sandbox.metadata.url}/latest/api/token\n" in ended.stdout.decode()
    assert sandbox.calls.counts() == {}
    program.ask(f"{sandbox.registry.address}/team/app")
    asked = sandbox.calls.counts()
    assert " in cn-hangzhou (from this node)\n" in explain(program, sandbox.image).stdout.decode()
    assert sandbox.calls.counts() == asked


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("docker.io/library/busybox", "docker.io is in no entry's domains"),
        ("demo-registry.cn-beijing.cr.aliyuncs.com/a/b", "no entry is in cn-beijing"),
        ("demo-registry.oss-cn-hangzhou.aliyuncs.com/a/b", "has not the form of a registry"),
        ("docker.io/demo-registry.cn-hangzhou.cr.aliyuncs.com/a", "docker.io is in no entry's domains"),
    ],
)
def test_a_host_that_is_not_covered_ends_with_3_and_why(program, sandbox, image, why):
    ended = explain(program, image)
    assert (ended.code, ended.stderr) == (3, b"")
    assert "no match   registry entry: " in ended.stdout.decode()
    assert why in ended.stdout.decode()
    assert "cloud calls: none\n" in ended.stdout.decode()
    assert sandbox.calls.counts() == {}


@pytest.mark.parametrize("command", ["explain", "doctor"])
def test_what_is_no_image_is_told_in_two_lines(program, command):
    ended = program.run(b"", command, "team/app", *paths(program))
    assert (ended.code, ended.stdout) == (1, b"")
    assert ended.stderr.startswith(
        b"error: the image 'team/app' does not start with a registry host [ImageInvalid]\nremedy: "
    )


def test_the_doctor_says_each_step_in_a_line(program, sandbox):
    ended = program.run(b"", "doctor", sandbox.image, "--no-kubelet", *paths(program))
    assert (ended.code, ended.stderr) == (0, b"")
    host = sandbox.registry.address
    assert ended.stdout.decode() == (
        "skipped    kubelet: left aside (--no-kubelet)\n"
        "skipped    kubelet flags: no kubelet\n"
        "skipped    kubelet config: no kubelet\n"
        "skipped    matchImages: no kubelet\n"
        "skipped    plugin file: no kubelet\n"
        "skipped    kubelet environment: no kubelet\n"
        f"ok         settings: {program.settings}, 1 registries\n"
        f"ok         cache folder: {program.cache}\n"
        f"ok         registry entry: registries[0] ({ENTRY}) has {host}\n"
        "skipped    ServiceAccount token: not needed by the identity accessKey\n"
        "skipped    right to ask for tokens: not needed by the identity accessKey\n"
        "skipped    metadata service: not needed by the identity accessKey, nor for the region\n"
        "skipped    STS endpoint: no role is assumed\n"
        f"ok         identity: accessKey: an access key from {sandbox.key_id_file}, {sandbox.key_secret_file}\n"
        "skipped    proxy: none is set\n"
        "ok         DNS: 127.0.0.1\n"
        f"ok         ACR endpoint: {sandbox.openapi.url} answers\n"
        "ok         clock: right\n"
        "skipped    ACR hosts: the settings name the host\n"
        f"ok         token: of {ENTRY}, usable for 59 min\n"
        f"ok         registry login: {host} accepted the login, and {host} has team/app:latest\n"
        "skipped    plugin as the kubelet runs it: no kubelet\n"
    )
    assert sorted(each.name for each in program.cache.iterdir()) == [MARK, "locks", "memo", "store"]
    assert [each.name for each in program.cache.rglob("*") if each.is_file()] == [MARK], "the token it got is not kept"


def test_a_broken_step_is_told_with_its_remedy_below(program, sandbox):
    sandbox.key_secret_file.unlink()
    ended = program.run(b"", "doctor", "--no-kubelet", *paths(program))
    assert (ended.code, ended.stderr) == (1, b"")
    told = ended.stdout.decode()
    assert (
        f"failed     identity: {sandbox.key_secret_file} does not exist [SecretFileInvalid]\n"
        f"           remedy: Write one half of the access key into {sandbox.key_secret_file}.\n"
        "not run    proxy: identity failed\n"
    ) in told
