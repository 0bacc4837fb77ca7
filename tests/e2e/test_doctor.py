"""The doctor names the step that is broken, whatever is: one break at a time, on a node in miniature."""

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import guide
import harness
import pytest
from api_server import ApiServer
from node import Node
from sandbox.faults import Failure, Grant, Hang, Html, NotSuccess, Redirect, Reset, Throttle
from sandbox.netns import NetworkNamespace
from sandbox.server import PROVIDER_ARN, write_private
from sandbox.state import ACCOUNT, Principal, Role

STEPS = [
    "kubelet",
    "kubelet flags",
    "kubelet config",
    "matchImages",
    "plugin file",
    "kubelet environment",
    "settings",
    "cache folder",
    "entry",
    "ServiceAccount token",
    "right to ask for tokens",
    "metadata service",
    "STS endpoint",
    "identity",
    "proxy",
    "DNS",
    "ACR endpoint",
    "clock",
    "hosts",
    "token",
    "registry login",
    "plugin as the kubelet runs it",
]
BREAKS = {}


def breaks(step, remedy, *, name=""):
    """Note a way to break a node: the step that must be named, and words of its remedy."""

    def note(way):
        BREAKS[(name or way.__name__).replace("_", " ")] = (way, step, remedy)
        return way

    return note


@pytest.fixture
def world(sandbox, tmp_path):
    with ApiServer() as api:
        yield World(sandbox, tmp_path, api)


class World:
    def __init__(self, sandbox, folder, api):
        self.sandbox, self.folder, self.api = sandbox, folder, api
        self.words = []
        self.document = sandbox.settings()
        self.registry = self.document["registries"][0]
        self.settings, self.cache = folder / "settings.yaml", folder / "cache"
        self.image = sandbox.image
        self.node = Node(folder, sandbox.image, self.settings, self.cache)
        self.text = None

    def doctor(self, way=harness.frozen, *words):
        if self.document is not None:
            self.settings.write_text(self.text or json.dumps(self.document))
            self.settings.chmod(0o600)
        self.arrange()
        words = (self.image, *self.words, *words) if self.image else words
        ended = self.node.run(way(self.settings, self.cache), "doctor", "--output", "json", *words)
        assert ended.stderr == b"", ended.stderr
        return ended

    def arrange(self):
        """Do what must be done once the files are written."""


# The kubelet.
@breaks("kubelet", "Stop those")
def two_kubelets(world):
    world.node.kubelets = 2


@breaks("kubelet flags", "Add --image-credential-provider-config=... and --image-credential-provider-bin-dir=...")
def no_flags(world):
    world.node.flags = ["--v=2"]


@breaks("kubelet flags", "Add --image-credential-provider-bin-dir=...")
def one_flag_only(world):
    del world.node.flags[2:]


@breaks("kubelet config", "restart the kubelet")
def no_config_file(world):
    world.node.config = None


@breaks("kubelet config", "restart the kubelet")
def config_with_an_unknown_field(world):
    world.node.provider["matchImage"] = ["*"]


@breaks("kubelet config", "restart the kubelet")
def config_without_cache_duration(world):
    world.node.provider["defaultCacheDuration"] = "1d"


@breaks("kubelet config", "name: aliyun-acr-credential-provider")
def another_provider_only(world):
    world.node.provider["name"] = "ecr-credential-provider"


@breaks("kubelet config", "--settings=/FILE")
def args_that_are_not_understood(world):
    world.node.provider["args"].append("--config=/etc/acr.yaml")


@breaks("matchImages", "to its matchImages")
def too_few_labels(world):
    world.node.provider["matchImages"] = ["*.aliyuncs.com"]


@breaks("matchImages", "to its matchImages")
def a_glob_in_the_path(world):
    world.node.provider["matchImages"] = [f"{world.sandbox.registry.address}/*"]


@breaks("plugin file", "chmod 0755")
def plugin_that_is_not_executable(world):
    world.node.plugin.unlink()
    world.node.plugin.write_bytes(b"\x7fELF")
    world.node.plugin.chmod(0o644)


@breaks("plugin file", "Install the program there again")
def plugin_that_is_gone(world):
    world.node.plugin.unlink()
    world.node.plugin.symlink_to("/nowhere/aliyun-acr-credential-provider")


@breaks("plugin file", "chmod go-w")
def bin_dir_that_others_write(world):
    world.node.bin_dir.chmod(0o777)


# The node.
@breaks("settings", "Install the settings at")
def no_settings(world):
    world.document = None


@breaks("settings", "Check indentation")
def wrong_indentation(world):
    world.text = json.dumps(world.document)[:-20]


@breaks("settings", "Correct its spelling")
def misspelt_field(world):
    world.registry["regionId"] = "cn-hangzhou"


@breaks("settings", "chmod 0600")
def settings_that_others_write(world):
    world.arrange = lambda: world.settings.chmod(0o666)


@breaks("cache folder", "remove it")
def cache_that_others_write(world):
    world.cache.mkdir()
    world.cache.chmod(0o777)


@breaks("cache folder", "--cache")
def cache_that_is_a_file(world):
    world.cache.write_text("")


@breaks("entry", "to domains of registries[0]")
def host_without_entry(world):
    world.node.provider["matchImages"].append("127.0.0.1:1")
    world.image = "127.0.0.1:1/team/app"


@breaks("entry", "Correct region:")
def host_of_another_region(world):
    world.image = "sandbox-registry.cn-beijing.cr.aliyuncs.com/team/app"


@breaks("metadata service", "nodeRole identity needs an ECS instance")
def no_metadata_service(world):
    world.registry["identity"] = {"kind": "nodeRole"}
    world.document["endpoints"] = {"metadata": f"http://127.0.0.1:{free_port()}"}


@breaks("entry", "identity: kind: login")
def new_personal_edition_without_a_login(world):
    world.image = "crpi-a1b2c3.cn-hangzhou.personal.cr.aliyuncs.com/team/app"
    world.node.provider["matchImages"].append("*.*.personal.cr.aliyuncs.com")


@breaks("metadata service", "allow metadata v1")
def metadata_service_static_podss(world):
    world.registry["identity"] = {"kind": "nodeRole"}
    world.sandbox.node.tokens_offered = False


@breaks("metadata service", "Let PUT requests to 100.100.100.200 through")
def hardened_metadata_service_that_is_asked_by_v1(world):
    world.registry["identity"] = {"kind": "nodeRole", "allowMetadataV1": True}
    world.sandbox.node.tokens_offered, world.sandbox.node.hardened = False, True


@breaks("identity", "Attach a RAM role")
def no_role(world):
    world.registry["identity"] = {"kind": "nodeRole"}
    world.sandbox.node.role = None


@breaks("identity", "Write one half of the access key")
def no_key_file(world):
    world.sandbox.key_secret_file.unlink()


@breaks("identity", "chmod 0600")
def key_file_that_others_read(world):
    world.sandbox.key_secret_file.chmod(0o644)


# Roles that are assumed.
ANNOTATION = "pod-identity.alibabacloud.com/role-name"


def by_service_accounts(world, **identity):
    """Let pods' ServiceAccounts ask, and the kubelet hand their tokens over."""
    world.sandbox.add_cluster()
    world.registry["identity"] = {"kind": "serviceAccount", "oidcProviderArn": PROVIDER_ARN, **identity}
    world.node.provider["tokenAttributes"] = {
        "serviceAccountTokenAudience": "sts.aliyuncs.com",
        "cacheType": "ServiceAccount",
        "requireServiceAccount": True,
        "optionalServiceAccountAnnotationKeys": [ANNOTATION],
    }
    return world.node.provider["tokenAttributes"]


def as_a_pod(world, subject="app", text="", staticPods="deny", **claims):  # noqa: N803 - as in the settings
    """Try as team-a/*subject* with the role pull-team-a, on a node that may ask for tokens of team-a/app."""
    attributes = by_service_accounts(world, staticPods=staticPods)
    policies = guide.policies()
    trust = policies["trust-service-account"]
    world.sandbox.state.add_role(Role("pull-team-a", trust, policies=(policies["pull"],)))
    world.api.granted = (("sts.aliyuncs.com", "team-a", "app"),)
    world.node.flags.append(f"--kubeconfig={world.api.kubeconfig(world.folder)}")
    file = world.folder / "pods-token"
    file.write_text((text or world.sandbox.add_cluster().token("team-a", subject, **claims)) + "\n")
    world.words = ["--token-file", str(file), "--service-account-annotation", f"{ANNOTATION}=pull-team-a"]
    return attributes


def by_token_file(world, subject="app"):
    """Let a ServiceAccount ask whose token is in a file, and who may have the role."""
    policies = guide.policies()
    cluster = world.sandbox.add_cluster()
    trust = policies["trust-service-account"]
    role = world.sandbox.state.add_role(Role("pull-team-a", trust, policies=(policies["pull"],)))
    file = world.folder / "token"
    write_private(file, cluster.token("team-a", subject).encode())
    world.registry["identity"] = {
        "kind": "rrsa",
        "roleArn": role.arn,
        "oidcProviderArn": PROVIDER_ARN,
        "tokenFile": str(file),
    }
    return file


def trusting(*principals):
    allowed = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"RAM": list(principals)}}
    return {"Version": "1", "Statement": [allowed]}


EVERYTHING = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def operator(world):
    """Let a key ask that may assume roles; return its user's ARN."""
    key = world.sandbox.state.add_key(Principal("operator", policies=(EVERYTHING,)))
    world.sandbox.key_id_file.write_text(key.id)
    world.sandbox.key_secret_file.write_text(key.secret)
    return key.principal.arn


def assumed(world, name, trusted, **hop):
    """Add a role that trusts *trusted* (an ARN) to the sandbox, and to the entry's chain."""
    role = world.sandbox.state.add_role(Role(name, trusting(trusted), policies=(EVERYTHING,)))
    world.registry.setdefault("assumeRole", []).append({"roleArn": role.arn, **hop})
    return role


def chain_of_two(world):
    first = assumed(world, "first", operator(world))
    return first, assumed(world, "second", first.arn)


@breaks("ServiceAccount token", "Add tokenAttributes to")
def kubelet_that_sends_no_tokens(world):
    by_service_accounts(world)
    del world.node.provider["tokenAttributes"]


@breaks("ServiceAccount token", "to its matchImages")
def provider_with_tokens_that_does_not_match(world):
    by_service_accounts(world)
    attributes = world.node.provider.pop("tokenAttributes")
    other = world.node.provider | {"name": "aliyun-acr-pods", "matchImages": ["a.example.com"]}
    (world.node.bin_dir / "aliyun-acr-pods").symlink_to(world.node.plugin)
    world.node.config["providers"].append(other | {"tokenAttributes": attributes})


@breaks("ServiceAccount token", "; or set staticPods: deny")
def node_role_for_static_pods_with_two_providers(world):
    attributes = as_a_pod(world, staticPods="nodeRole")
    (world.node.bin_dir / "aliyun-acr-pods").symlink_to(world.node.plugin)
    pods = world.node.provider | {"name": "aliyun-acr-pods", "tokenAttributes": attributes}
    del world.node.provider["tokenAttributes"]
    world.node.config["providers"].append(pods)


@breaks("ServiceAccount token", "Ask for tokens of that audience")
def pods_token_for_another_audience(world):
    as_a_pod(world, audience="https://kubernetes.default")


@breaks("ServiceAccount token", "chrony or ntp")
def pods_token_that_has_expired(world):
    as_a_pod(world, life=-5)


@breaks("ServiceAccount token", "Check where it comes from")
def pods_token_that_is_none(world):
    as_a_pod(world, text="no.token")


@breaks("ServiceAccount token", "--service-account-annotation team=VALUE")
def annotation_that_the_kubelet_insists_on(world):
    as_a_pod(world)["requiredServiceAccountAnnotationKeys"] = ["team"]


@breaks("right to ask for tokens", "verbs: [request-serviceaccounts-token-audience], and a ClusterRoleBinding")
def nodes_without_the_audience(world):
    by_service_accounts(world)
    world.node.flags.append(f"--kubeconfig={world.api.kubeconfig(world.folder)}")


@breaks("right to ask for tokens", "ClusterRole with apiGroups")
def nodes_with_the_audience_for_another_pod(world):
    as_a_pod(world)
    world.api.granted = (("sts.aliyuncs.com", "team-a", "other"),)


@breaks("identity", "trust policy of")
def pod_that_its_role_does_not_trust(world):
    as_a_pod(world, "other")
    world.api.granted = (("sts.aliyuncs.com", "", ""),)


@breaks("identity", "Annotate it with")
def pod_without_a_role(world):
    as_a_pod(world)
    del world.words[2:]


@breaks("token", "cr:GetAuthorizationToken")
def pod_whose_role_has_no_policy(world):
    as_a_pod(world)
    world.sandbox.state.add_role(Role("pull-team-a", guide.policies()["trust-service-account"]))


@breaks("ServiceAccount token", "Set serviceAccountTokenAudience: sts.aliyuncs.com")
def tokens_for_another_audience(world):
    by_service_accounts(world)["serviceAccountTokenAudience"] = "acr"


@breaks("ServiceAccount token", f"Add {ANNOTATION} to optionalServiceAccountAnnotationKeys")
def annotation_that_is_not_passed_on(world):
    del by_service_accounts(world)["optionalServiceAccountAnnotationKeys"]


@breaks("kubelet config", "restart the kubelet")
def token_attributes_of_an_older_protocol(world):
    by_service_accounts(world)
    world.node.provider["apiVersion"] = harness.API_VERSIONS[1]


@breaks("ACR endpoint", "security groups")
def endpoint_that_no_pod_would_reach(world):
    by_service_accounts(world)
    endpoint_that_refuses(world)


@breaks("STS endpoint", "security groups")
def sts_that_no_pod_would_reach(world):
    by_service_accounts(world)
    world.document["endpoints"]["sts"] = f"https://127.0.0.1:{free_port()}"


@breaks("STS endpoint", "security groups")
def sts_that_hangs(world):
    chain_of_two(world)
    world.sandbox.faults.add("sts", Hang("connect"))


@breaks("STS endpoint", "captive portal")
def captive_portal_before_sts(world):
    chain_of_two(world)
    world.document["endpoints"]["sts"] = world.sandbox.registry.url
    world.sandbox.faults.add("registry.unknown", Html())


@breaks("STS endpoint", "chrony or ntp")
def clock_behind_stss(world):
    chain_of_two(world)
    world.sandbox.clock.skew = 1200.0


@breaks("identity", "trust policy of")
def role_that_does_not_trust_the_key(world):
    operator(world)
    assumed(world, "first", f"acs:ram::{ACCOUNT}:user/another")


@breaks("identity", "second")
def second_role_that_does_not_trust_the_first(world):
    user = operator(world)
    assumed(world, "first", user)
    assumed(world, "second", user)


@breaks("identity", "Create the role")
def role_that_is_absent(world):
    operator(world)
    world.registry["assumeRole"] = [{"roleArn": f"acs:ram::{ACCOUNT}:role/absent"}]


@breaks("identity", "Raise the maximum session duration of")
def session_longer_than_the_role_allows(world):
    assumed(world, "first", operator(world), sessionDuration="2h")


@breaks("identity", "unknown or disabled")
def removed_key_before_a_role(world):
    chain_of_two(world)
    world.sandbox.state.remove_key(world.sandbox.key_id_file.read_text())


@breaks("identity", "Switch RRSA on")
def token_file_that_is_absent(world):
    by_token_file(world).unlink()


@breaks("identity", "chrony or ntp")
def token_file_that_nobody_renews(world):
    file = by_token_file(world)
    file.write_text(world.sandbox.add_cluster().token("team-a", "app", life=-5))


@breaks("identity", "oidc:sub")
def role_that_does_not_trust_the_service_account(world):
    by_token_file(world, "other")


@breaks("identity", "Wait")
def sts_that_throttles(world):
    chain_of_two(world)
    world.sandbox.faults.add("AssumeRole", Throttle(retry_after_ms=60_000))


@breaks("identity", "client IDs")
def oidc_provider_of_another_audience(world):
    by_token_file(world)
    provider = world.sandbox.state.find_oidc_provider(PROVIDER_ARN)
    world.sandbox.state.add_oidc_provider(replace(provider, client_ids=("another",)))


@breaks("identity", "this very cluster")
def oidc_provider_of_another_issuer(world):
    by_token_file(world)
    provider = world.sandbox.state.find_oidc_provider(PROVIDER_ARN)
    world.sandbox.state.add_oidc_provider(replace(provider, issuer=provider.issuer.replace("hangzhou", "beijing")))


@breaks("identity", "is registered in RAM")
def oidc_provider_that_is_not_registered(world):
    by_token_file(world)
    world.sandbox.state.remove_oidc_provider(PROVIDER_ARN)


# The way to the cloud.
@breaks("proxy", "start it")
def proxy_that_is_down(world):
    to_the_cloud_by_name(world)
    world.document["proxy"] = {"https": f"http://127.0.0.1:{free_port()}"}


@breaks("proxy", "HTTPS_PROXY in the kubelet's environment")
def proxy_of_the_kubelet_that_is_down(world):
    to_the_cloud_by_name(world)
    world.node.environment["HTTPS_PROXY"] = f"http://127.0.0.1:{free_port()}"


@breaks("DNS", "/etc/resolv.conf")
def name_without_address(world):
    world.registry["endpoints"] = {"acr": "https://acr.invalid"}


@breaks("ACR endpoint", "security groups")
def endpoint_that_refuses(world):
    world.registry["endpoints"] = {"acr": f"https://127.0.0.1:{free_port()}"}


@breaks("ACR endpoint", "security groups")
def endpoint_that_hangs(world):
    world.sandbox.faults.add("openapi", Hang("connect"))


@breaks("ACR endpoint", "security groups")
def endpoint_that_resets(world):
    world.sandbox.faults.add("openapi", Reset("request"))


@breaks("ACR endpoint", "captive portal")
def captive_portal(world):
    in_place_of_acr(world, Html())


@breaks("ACR endpoint", "captive portal")
def redirect(world):
    in_place_of_acr(world, Redirect("https://127.0.0.1:1/"))


@breaks("ACR endpoint", "caBundle")
def authority_that_is_not_trusted(world):
    world.document["caBundle"] = "/etc/ssl/certs/ca-certificates.crt"


@breaks("clock", "chrony or ntp")
def clock_behind(world):
    world.sandbox.clock.skew = 1200.0


@breaks("clock", "chrony or ntp")
def clock_ahead(world):
    world.sandbox.clock.skew = -1200.0


@breaks("hosts", "instanceId")
def host_that_acr_does_not_list(world):
    del world.registry["domains"]
    world.image = "other-registry.cn-hangzhou.cr.aliyuncs.com/team/app"


@breaks("hosts", "cr:ListInstanceEndpoint")
def no_right_to_list_hosts(world):
    del world.registry["domains"]
    world.image = "sandbox-registry.cn-hangzhou.cr.aliyuncs.com/team/app"
    key = world.sandbox.state.add_key(Principal("blind", actions=frozenset({"cr:GetAuthorizationToken"})))
    world.sandbox.key_id_file.write_text(key.id)
    world.sandbox.key_secret_file.write_text(key.secret)


# ACR.
@breaks("token", "unknown or disabled")
def key_that_was_removed(world):
    world.sandbox.state.remove_key(world.sandbox.key.id)


@breaks("token", "does not belong to this access key id")
def the_wrong_half(world):
    world.sandbox.key_secret_file.write_text("another")


@breaks("token", "cr:GetAuthorizationToken")
def no_policy(world):
    key = world.sandbox.state.add_key(Principal("nobody", actions=frozenset()))
    world.sandbox.key_id_file.write_text(key.id)
    world.sandbox.key_secret_file.write_text(key.secret)


@breaks("token", "instanceId or region")
def instance_of_another_account(world):
    world.registry["instanceId"] = "cri-nobodys"


@breaks("token", "state Running")
def instance_that_is_stopped(world):
    world.sandbox.faults.add("GetAuthorizationToken", NotSuccess())


@breaks("token", "Wait")
def throttled(world):
    world.sandbox.faults.add("GetAuthorizationToken", Throttle(retry_after_ms=60_000))


@breaks("token", "status page")
def server_failure(world):
    world.sandbox.faults.add("GetAuthorizationToken", Failure(503))


@breaks("token", "support")
def token_that_expired_on_arrival(world):
    world.sandbox.faults.add("GetAuthorizationToken", Grant(expiry="past"))


# The registry.
@breaks("registry login", "one instance only")
def token_service_that_refuses(world):
    world.sandbox.faults.add("registry.auth", Failure(401))


@breaks("registry login", "nothing stands in its place")
def something_else_in_the_registrys_place(world):
    world.sandbox.faults.add("registry.v2", Html())


@breaks("registry login", "cr:PullRepository")
def no_right_to_pull(world):
    key = world.sandbox.state.add_key(Principal("half", actions=frozenset({"cr:GetAuthorizationToken"})))
    world.sandbox.key_id_file.write_text(key.id)
    world.sandbox.key_secret_file.write_text(key.secret)


@breaks("registry login", "Correct the image's name or tag")
def no_such_tag(world):
    world.image = world.image.replace(":latest", ":gone")


@breaks("plugin as the kubelet runs it", "Check this node's routes")
def plugin_that_is_not_ours(world):
    world.node.plugin.unlink()
    world.node.plugin.write_text("#!/bin/sh\necho '{}'\n")
    world.node.plugin.chmod(0o755)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def in_place_of_acr(world, answer):
    """Let another server with the right certificate answer."""
    world.registry["endpoints"] = {"acr": world.sandbox.registry.url}
    world.sandbox.faults.add("registry.unknown", answer)


def to_the_cloud_by_name(world):
    """Loopback is never reached by a proxy."""
    world.registry["endpoints"] = {"acr": "https://cr.example.com"}


@pytest.mark.parametrize("name", BREAKS)
def test_the_first_broken_step_is_named_with_its_remedy(world, name):
    way, step, remedy = BREAKS[name]
    way(world)
    ended = world.doctor()
    found = ended.document["steps"]
    assert [each["name"] for each in found] == STEPS
    failed = [each for each in found if each["outcome"] == "failed"]
    assert [each["name"] for each in failed] == [step], found
    assert remedy in failed[0]["remedy"]
    at = STEPS.index(step)
    assert {each["outcome"] for each in found[:at]} <= {"ok", "skipped"}
    assert {each["outcome"] for each in found[at + 1 :]} <= {"not tried"}
    assert (ended.code, ended.document["healthy"]) == (1, False)
    assert world.sandbox.key.secret.encode() not in ended.stdout


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
    steps = {each["name"]: each for each in ended.document["steps"]}
    assert [name for name, each in steps.items() if each["outcome"] == "failed"] == broken, steps
    assert steps["ACR endpoint"]["problem" if broken else "seen"] == told


WAYS = {"source": harness.source, "frozen": harness.frozen}


@pytest.mark.parametrize("way", WAYS)
def test_on_a_healthy_node_every_step_is_ok(world, way):
    ended = world.doctor(WAYS[way])
    outcomes = {each["name"]: each["outcome"] for each in ended.document["steps"]}
    assert {name for name, outcome in outcomes.items() if outcome == "skipped"} == {
        "ServiceAccount token",
        "right to ask for tokens",
        "metadata service",
        "STS endpoint",
        "proxy",
        "hosts",
    }
    assert set(outcomes.values()) == {"ok", "skipped"}
    assert (ended.code, ended.document["healthy"]) == (0, True)


@pytest.mark.parametrize(
    "name",
    [
        "too few labels",
        "misspelt field",
        "no policy",
        "clock behind",
        "annotation that is not passed on",
        "nodes without the audience",
        "pod without a role",
        "hardened metadata service that is asked by v1",
        "second role that does not trust the first",
        "token file that is absent",
    ],
)
def test_from_source_the_same_step_is_named(world, name):
    way, step, _ = BREAKS[name]
    way(world)
    found = world.doctor(harness.source).document["steps"]
    assert [each["name"] for each in found if each["outcome"] == "failed"] == [step]


def test_the_nodes_role_and_the_hosts_that_acr_lists_are_tried(world):
    world.registry["identity"] = {"kind": "nodeRole"}
    del world.registry["region"]
    ended = world.doctor()
    outcomes = {each["name"]: each["outcome"] for each in ended.document["steps"]}
    assert outcomes["metadata service"] == "ok"
    assert ended.code == 0


def told(ended):
    return {each["name"]: (each["outcome"], each.get("seen", each.get("problem"))) for each in ended.document["steps"]}


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
        assert found[name][1].startswith("a pod's ServiceAccount asks")
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
    assert ended.stderr.startswith(b"error: /nowhere/token cannot be read: No such file or directory\nremedy: Write")


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
    assert "name sandbox-registry.cn-hangzhou.cr.aliyuncs.com in domains" in told(ended)["hosts"][1]
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
    assert ended.document["steps"][0] == {
        "name": "kubelet",
        "outcome": "skipped",
        "seen": "none is to be seen here (in a pod: hostPID and --host-root)",
    }
    assert ended.document["steps"][-2]["outcome"] == "ok"
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
    failed = [each["name"] for each in ended.document["steps"] if each["outcome"] == "failed"]
    assert failed == (["DNS"] if endpoint else []), ended.stdout
    assert (root / "var/cache/acr").is_dir()


def test_a_root_that_cannot_be_entered_is_told(frozen, sandbox):
    ended = frozen.run(b"", "doctor", sandbox.image, "--host-root", "/nowhere")
    assert (ended.code, ended.stdout) == (1, b"")
    assert ended.stderr.decode() == (
        "error: cannot enter /nowhere: No such file or directory\n"
        "remedy: Mount the host's / there, and run as root with CAP_SYS_CHROOT.\n"
    )


def test_a_disk_that_takes_nothing_is_told_and_keeps_nothing_of_the_try(world):
    world.settings.write_text(json.dumps(world.document))
    world.settings.chmod(0o600)
    words = ("--no-kubelet", "--settings", str(world.settings), "--cache", str(world.cache), world.image)
    program = harness.frozen(world.settings, world.cache)
    ended = program.run(b"", "doctor", "--output", "json", *words, under=("prlimit", "--fsize=8"))
    (failed,) = (each for each in ended.document["steps"] if each["outcome"] == "failed")
    assert failed["name"] == "cache folder"
    assert failed["problem"].startswith(f"nothing can be kept in {world.cache}: File too large")
    assert [*(world.cache / "memo").iterdir()] == []


def test_all_that_knows_an_identity_is_loaded_before_this_program_is_out_of_sight():
    code = """
import sys; from pathlib import Path
from acr_credential_provider import doctor, sources
doctor.enter("/")
folder = Path(sources.__file__).parent
files = {each.stem for each in folder.glob("*.py")} - {"__init__", "interface"}  # the latter is types alone
print(*(files - {name.rpartition(".")[2] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
