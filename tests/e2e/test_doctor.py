"""What the doctor does on a node that is well, and how it says what it saw."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.broken_identities import removed_key_before_a_role, second_role_that_does_not_trust_the_first
from e2e.doctor_fixture import ANNOTATION, World, as_a_pod, by_service_accounts, by_token_file, chain_of_two
from sandbox.netns import NetworkNamespace
from sandbox.server import write_private
from sandbox.state import ACCOUNT
from support import harness
from support.api_server import ApiServer


@pytest.fixture
def world(sandbox, tmp_path):
    with ApiServer() as api:
        yield World(sandbox, tmp_path, api)


VPC, PUBLIC = (f"https://{name}.cn-hangzhou.aliyuncs.com" for name in ("cr-vpc", "cr"))
HOSTS = "127.0.0.1 localhost cr.cn-hangzhou.aliyuncs.com\n{vpc} cr-vpc.cn-hangzhou.aliyuncs.com\n"
WITH_HOSTS = 'mount --bind "$1" /etc/hosts; shift; exec "$@"'


@pytest.mark.parametrize(
    "case",
    [
        ("auto", "127.0.0.1", "127.0.0.1", [], f"{VPC} answers; {PUBLIC} answers"),
        ("auto", "127.0.0.9", "127.0.0.1", [], f"connect to {VPC[8:]}:443 was refused; {PUBLIC} answers"),
        (
            *("auto", "127.0.0.9", "127.0.0.8", ["ACR endpoint"]),
            f"connect to {VPC[8:]}:443 was refused; connect to {PUBLIC[8:]}:443 was refused",
        ),
        ("vpc", "127.0.0.9", "127.0.0.1", ["ACR endpoint"], f"connect to {VPC[8:]}:443 was refused"),
    ],
    ids=["both answer", "the public one answers", "neither", "only the VPC may be used"],
)
def test_the_vpc_and_the_public_endpoint_are_both_tried(sandbox, frozen, tmp_path, case):
    network, vpc, address, broken, told = case
    with NetworkNamespace() as namespace:
        sandbox.listen_in(namespace)
        namespace.call(lambda: sandbox.openapi.listen(address, 443))
        document = sandbox.settings()
        document["registries"][0] |= {"identity": {"kind": "nodeRole"}, "endpoints": {}, "network": network}
        document["endpoints"] = {}
        frozen.settings.write_text(json.dumps(document))
        (tmp_path / "hosts").write_text(HOSTS.format(vpc=vpc))
        words = ["unshare", "--mount", "sh", "-ec", WITH_HOSTS, "sh", str(tmp_path / "hosts")]
        paths = ("--settings", str(frozen.settings), "--cache", str(frozen.cache), "--no-kubelet", "--output", "json")
        ended = frozen.run(b"", "doctor", sandbox.image, *paths, under=tuple(namespace.command(words)))
    steps = {each["name"]: each for each in ended.document["checks"]}
    assert [name for name, each in steps.items() if each["status"] == "failed"] == broken, steps
    assert steps["ACR endpoint"]["detail"] == told


WAYS = {"source": harness.source, "frozen": harness.frozen}


@pytest.mark.parametrize("way", WAYS)
def test_on_a_healthy_node_every_step_is_ok(world, way):
    ended = world.doctor(WAYS[way])
    outcomes = {each["name"]: each["status"] for each in ended.document["checks"]}
    assert {name for name, outcome in outcomes.items() if outcome == "skipped"} == {
        "ServiceAccount token",
        "right to ask for tokens",
        "metadata service",
        "STS endpoint",
        "proxy",
        "ACR hosts",
    }
    assert set(outcomes.values()) == {"ok", "skipped"}
    assert (ended.code, ended.document["healthy"]) == (0, True)


def test_the_nodes_role_and_the_hosts_that_acr_lists_are_tried(world):
    world.registry["identity"] = {"kind": "nodeRole"}
    del world.registry["region"]
    ended = world.doctor()
    outcomes = {each["name"]: each["status"] for each in ended.document["checks"]}
    assert outcomes["metadata service"] == "ok"
    assert ended.code == 0


def told(ended):
    return {each["name"]: (each["status"], each.get("detail")) for each in ended.document["checks"]}


def test_each_hop_of_a_chain_is_told_and_asked_for_once_by_its_step(world):
    first, second = chain_of_two(world)
    ended = world.doctor()
    found = told(ended)
    assert found["STS endpoint"] == ("ok", f"{world.sandbox.sts.url} answers")
    outcome, seen = found["identity"]
    assert outcome == "ok"
    assert seen.endswith(f", then of {first.arn}, then of {second.arn}")
    assert ended.code == 0
    # The step "identity", the step "token", and the plugin: each without the others' memory.
    assert world.sandbox.calls.count("AssumeRole") == 6


@pytest.mark.parametrize(
    ("way", "start"),
    [
        (removed_key_before_a_role, "assumeRole[0]: AssumeRole of "),
        (second_role_that_does_not_trust_the_first, "assumeRole[1]: AssumeRole of "),
    ],
)
def test_the_hop_that_fails_is_named(world, way, start):
    way(world)
    outcome, problem = told(world.doctor())["identity"]
    assert (outcome, problem.startswith(start)) == ("failed", True), problem


def test_a_token_in_a_file_is_tried_to_the_end(world):
    by_token_file(world)
    ended = world.doctor()
    assert told(ended)["identity"] == ("ok", "rrsa: a session from STS, for a ServiceAccount token in a file")
    assert (ended.code, ended.document["healthy"]) == (0, True)


@pytest.mark.parametrize("way", WAYS)
def test_what_only_a_pod_can_show_is_skipped_with_that_reason(world, way):
    rules = [{"serviceAccounts": ["team-a/*"], "roleName": "pull-team-a"}]
    by_service_accounts(world, roles=rules)
    ended = world.doctor(WAYS[way])
    found = told(ended)
    assert found["ServiceAccount token"] == ("ok", f"for sts.aliyuncs.com, with the annotation {ANNOTATION}")
    for name in ("STS endpoint", "DNS", "ACR endpoint", "clock"):
        assert found[name][0] == "ok", found
    for name in ("identity", "token", "registry login", "plugin as the kubelet runs it"):
        assert found[name][0] == "skipped"
        assert found[name][1].startswith("only a pod's ServiceAccount may ask")
    assert f"team-a/*: acs:ram::{ACCOUNT}:role/pull-team-a; " in found["identity"][1]
    assert (ended.code, ended.document["healthy"]) == (0, True)
    assert world.sandbox.calls.count("AssumeRoleWithOIDC") == 0


@pytest.mark.parametrize("way", WAYS)
def test_with_a_pods_token_the_whole_path_is_walked_as_that_pod(world, way):
    as_a_pod(world)
    ended = world.doctor(WAYS[way])
    found = told(ended)
    assert found["ServiceAccount token"][1].startswith("of team-a/app, for sts.aliyuncs.com")
    assert found["right to ask for tokens"] == (
        "ok",
        "this node may ask for tokens of ServiceAccount team-a/app for sts.aliyuncs.com",
    )
    assert found["identity"][1] == f"serviceAccount: a session from STS, of acs:ram::{ACCOUNT}:role/pull-team-a"
    for name in ("token", "registry login", "plugin as the kubelet runs it"):
        assert found[name][0] == "ok", found
    assert (ended.code, ended.document["healthy"]) == (0, True)
    asked = world.sandbox.calls.all("GetAuthorizationToken")
    assert {world.sandbox.state.find_key(call.access_key_id).principal.name for call in asked} == {"pull-team-a"}
    token = Path(world.words[1]).read_text().strip()
    assert token.encode() not in ended.stdout


def test_of_two_providers_the_one_with_tokens_is_run_for_a_pod(world):
    attributes = as_a_pod(world)
    del world.node.provider["tokenAttributes"]
    (world.node.bin_dir / "aliyun-acr-pods").symlink_to(world.node.plugin)
    pods = world.node.provider | {"name": "aliyun-acr-pods", "tokenAttributes": attributes}
    world.node.config["providers"].append(pods)
    ended = world.doctor()
    assert told(ended)["kubelet config"][1].startswith("provider aliyun-acr-pods in ")
    assert told(ended)["plugin as the kubelet runs it"][0] == "ok"
    assert ended.code == 0


def test_a_pods_token_comes_from_stdin_too_and_needs_no_kubelet(world):
    as_a_pod(world)
    world.settings.write_text(json.dumps(world.document))
    world.settings.chmod(0o600)
    program = harness.source(world.settings, world.cache)
    paths = ("--settings", str(world.settings), "--cache", str(world.cache))
    words = ("doctor", world.image, "--no-kubelet", "--token-file", "-", *world.words[2:])
    ended = program.run(Path(world.words[1]).read_bytes(), *words, "--output", "json", *paths)
    assert told(ended)["ServiceAccount token"][1].startswith("of team-a/app, for sts.aliyuncs.com; no kubelet")
    assert told(ended)["registry login"][0] == "ok"
    assert ended.code == 0


def test_a_token_file_that_is_absent_is_told(frozen, sandbox):
    ended = frozen.run(b"", "doctor", sandbox.image, "--token-file", "/nowhere/token")
    assert (ended.code, ended.stdout) == (1, b"")
    assert ended.stderr.startswith(
        b"error: /nowhere/token cannot be read: No such file or directory [FileUnusable]\nremedy: Write"
    )


@pytest.mark.parametrize("flags", [[], ["--kubeconfig=/nowhere/kubelet.conf"]], ids=["no kubeconfig", "absent"])
def test_a_right_that_cannot_be_asked_about_is_skipped_with_the_reason(world, flags):
    by_service_accounts(world)
    world.node.flags += flags
    ended = world.doctor()
    outcome, seen = told(ended)["right to ask for tokens"]
    assert outcome == "skipped"
    assert "kubelet's kubeconfig" in seen or seen.startswith("/nowhere/kubelet.conf cannot be read")
    assert ended.code == 0


def test_a_node_that_may_ask_for_all_tokens_is_told_so(world):
    by_service_accounts(world)
    world.api.granted = (("sts.aliyuncs.com", "", ""),)
    world.node.flags.append(f"--kubeconfig={world.api.kubeconfig(world.folder)}")
    assert told(world.doctor())["right to ask for tokens"] == (
        "ok",
        "this node may ask for tokens of every ServiceAccount for sts.aliyuncs.com",
    )


def test_static_pods_are_tried_where_they_get_the_nodes_role(world):
    by_service_accounts(world, staticPods="nodeRole")
    ended = world.doctor()
    found = told(ended)
    assert found["ServiceAccount token"][1].endswith("not for static pods (requireServiceAccount: true)")
    assert found["identity"][1] == "serviceAccount: a session from the metadata service, as pods without a role have it"
    assert found["plugin as the kubelet runs it"][0] == "ok"
    assert ended.code == 0


def test_a_host_that_only_a_pod_may_ask_for_is_skipped(world):
    by_service_accounts(world)
    del world.registry["domains"]
    world.image = "sandbox-registry.cn-hangzhou.cr.aliyuncs.com/team/app"
    ended = world.doctor()
    assert "name sandbox-registry.cn-hangzhou.cr.aliyuncs.com in domains" in told(ended)["ACR hosts"][1]
    assert ended.code == 0


def test_roles_from_the_settings_alone_need_no_annotation(world):
    rules = [{"serviceAccounts": ["team-a/*"], "roleName": "pull-team-a"}]
    del by_service_accounts(world, roles=rules)["optionalServiceAccountAnnotationKeys"]
    assert told(world.doctor())["ServiceAccount token"] == (
        "ok",
        "for sts.aliyuncs.com, without annotations: roles come from the settings alone",
    )


def test_without_an_image_the_first_entry_is_tried(world):
    world.image = ""
    ended = world.doctor()
    assert (ended.code, ended.document["healthy"]) == (0, True)


def test_where_no_kubelet_is_seen_the_rest_is_tried_all_the_same(world):
    world.node.kubelets = 0
    ended = world.doctor(harness.frozen, "--settings", str(world.settings), "--cache", str(world.cache))
    assert ended.document["checks"][0] == {
        "name": "kubelet",
        "status": "skipped",
        "detail": "no kubelet is seen here (in a pod: hostPID and --host-root)",
    }
    assert ended.document["checks"][-2]["status"] == "ok"
    assert ended.code == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("endpoint", [None, "https://acr.invalid"], ids=["healthy", "broken"])
def test_from_a_pod_the_hosts_files_are_what_counts(sandbox, way, tmp_path, endpoint):
    """The program itself is not below the host's root: what it needs it has loaded before it goes there."""
    root, folder = tmp_path / "host", Path("/etc/acr")
    below = root / "etc/acr"
    for name in ("etc/acr", "var/cache", "proc", "dev"):
        (root / name).mkdir(parents=True)
    document = sandbox.settings()
    identity = document["registries"][0]["identity"]
    for key, file in (("accessKeyIdFile", sandbox.key_id_file), ("accessKeySecretFile", sandbox.key_secret_file)):
        write_private(below / file.name, file.read_bytes())
        identity[key] = str(folder / file.name)
    write_private(below / "ca.pem", sandbox.ca_file.read_bytes())
    document["caBundle"] = str(folder / "ca.pem")
    document["registries"][0]["endpoints"]["acr"] = endpoint or sandbox.openapi.url
    write_private(below / "settings.yaml", json.dumps(document).encode())
    program = WAYS[way](folder / "settings.yaml", Path("/var/cache/acr"))
    paths = ("--settings", str(program.settings), "--cache", str(program.cache))
    ended = program.run(b"", "doctor", sandbox.image, "--host-root", str(root), "--output", "json", *paths)
    assert ended.stderr == b""
    failed = [each["name"] for each in ended.document["checks"] if each["status"] == "failed"]
    assert failed == (["DNS"] if endpoint else []), ended.stdout
    assert (root / "var/cache/acr").is_dir()


def test_a_root_that_cannot_be_entered_is_told(frozen, sandbox):
    ended = frozen.run(b"", "doctor", sandbox.image, "--host-root", "/nowhere")
    assert (ended.code, ended.stdout) == (1, b"")
    assert ended.stderr.decode() == (
        "error: cannot enter /nowhere: No such file or directory [FileUnusable]\n"
        "remedy: Mount the host's / there, and run as root with CAP_SYS_CHROOT.\n"
    )


def test_a_disk_that_takes_nothing_is_told_and_keeps_nothing_of_the_try(world):
    world.settings.write_text(json.dumps(world.document))
    world.settings.chmod(0o600)
    words = ("--no-kubelet", "--settings", str(world.settings), "--cache", str(world.cache), world.image)
    program = harness.frozen(world.settings, world.cache)
    ended = program.run(b"", "doctor", "--output", "json", *words, under=("prlimit", "--fsize=8"))
    (failed,) = (each for each in ended.document["checks"] if each["status"] == "failed")
    assert failed["name"] == "cache folder"
    assert failed["detail"].startswith(f"nothing can be kept in {world.cache}: File too large")
    assert [*(world.cache / "memo").iterdir()] == []


def test_all_that_knows_an_identity_is_loaded_before_this_program_is_out_of_sight():
    code = """
import sys; from pathlib import Path
from acr_credential_provider import sources
from acr_credential_provider.doctor import checks
from acr_credential_provider.doctor.chroot import chroot
chroot("/")
folder = Path(sources.__file__).parent
files = {each.stem for each in folder.glob("*.py")} - {"__init__", "interface"}  # the latter is types alone
print(*(files - {name.rpartition(".")[2] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
