"""The documented samples of acr-configuration pull for real, across accounts, regions and editions.

Each sample is taken as pages show it, the values of a user in place of its placeholders.
What cannot be parsed as it stands (a missing space after a colon, // comments) the
conversion repairs itself, and says so: those lines are asserted too.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from sandbox.pull import pull
from sandbox.server import PROVIDER_ARN, REGION
from sandbox.state import ACCOUNT, Instance, Principal, Role
from support import guide
from support.harness import HERE_ONLY, ROOT

SAMPLES = ROOT / "tests/unit/acr_configuration/samples"
WORKER = "KubernetesWorkerRole-sandbox"
ROLE_A, ROLE_B = f"acs:ram::{ACCOUNT}:role/rrsa-a", f"acs:ram::{guide.ACCOUNT_B}:role/acr-pull"
HELPER = "kube-system/aliyun-acr-credential-helper"
BEIJING, HANGZHOU = (f"registry.cn-{city}.aliyuncs.com" for city in ("beijing", "hangzhou"))
PULL = {  # the three actions, as the documentation has them for every way
    "Version": "1",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["cr:GetAuthorizationToken", "cr:ListInstanceEndpoint", "cr:PullRepository"],
            "Resource": "*",
        }
    ],
}
NO_SPACE, COMMENT = "a space was added after the colon", "a // comment was left out"


class Cloud:
    """Two accounts, A with the cluster and B with instances of its own, and the program between them."""

    def __init__(self, program, sandbox, folder):
        self.program, self.sandbox, self.folder = program, sandbox, folder
        self.environment = {**os.environ, **HERE_ONLY}
        for city in ("beijing", "hangzhou"):
            sandbox.state.add_instance(Instance.personal(f"cn-{city}"))

    def trust(self, asking):
        """Let the role *asking* of A assume the role of B."""
        policies = guide.policies(ROLE_OF_A=asking.lower())
        trust = guide.without_condition(policies["trust-role"])
        role = Role("acr-pull", trust, account=guide.ACCOUNT_B, policies=(PULL,), max_session_duration=43200)
        self.sandbox.state.add_role(role)

    def let_the_worker_role_assume(self):
        self.trust(WORKER)
        policies = (guide.policies()["assume"],)
        self.sandbox.node.role = replace(self.sandbox.node.role, policies=policies)

    def instance_of_b(self):
        """Open an Enterprise Edition instance of B; return its default and its custom domain."""
        instance = replace(Instance.usual("cri-ofaccountb", name="bee"), account=guide.ACCOUNT_B)
        first = self.sandbox.add_registry(instance, "127.0.0.2")
        return first, self.sandbox.add_registry(instance, "127.0.0.3")

    def convert(self, sample, values, place="node"):
        """Convert *sample* with the *values* of a user; return what was told to have been read otherwise."""
        text = (SAMPLES / f"{sample}.yaml").read_text(encoding="utf-8")
        for placeholder, value in values:
            assert placeholder in text
            text = text.replace(placeholder, value, 1)
        file = self.folder / "acr-configuration.yaml"
        file.write_text(text)
        file.chmod(0o600)
        words = ("--target", place, "--keys-directory", str(self.folder / "keys"))
        ended = self.program.run(b"", "settings", "convert", *words, str(file))
        assert ended.code == 0, ended.stderr
        registries = yaml.safe_load(ended.stdout)["registries"]
        for each in registries:
            each["endpoints"] = {"acr": self.sandbox.acr(each.get("region", REGION))}
        settings = {**self.sandbox.settings(), "registries": registries}
        self.program.settings.write_text(json.dumps(settings))
        return [line for line in ended.stderr.decode().splitlines() if line.startswith("changed:")]

    def pulls(self, host, repository="team/app"):
        """Pull an image from *host* with what the program answers; return whose login that was, and its life."""
        ended = self.program.ask(f"{host}/{repository}", env=self.environment)
        assert (ended.code, ended.stderr) == (0, b"")
        (login,) = ended.document["auth"].values()
        user, password = login["username"], login["password"]
        at = "" if ":" in host else self.sandbox.registry.address
        assert pull(f"{host}/{repository}", user, password, ca_file=self.sandbox.ca_file, at=at).digest
        found = self.sandbox.state.find_login(user, password)
        return found.principal, found.expires_at - self.sandbox.clock.now()

    def calls(self, *names):
        return [self.sandbox.calls.count(name) for name in names]


@pytest.fixture
def cloud(program, sandbox, tmp_path):
    return Cloud(program, sandbox, tmp_path)


def is_of_b(principal):
    return (principal.name, principal.account) == ("acr-pull", guide.ACCOUNT_B)


@pytest.mark.parametrize("sample", ["03-rrsa-as-text", "09-rrsa-as-native-map"])
def test_rrsa_of_account_a_pulls_from_account_b_by_both_domains(cloud, sample):
    cloud.trust("rrsa-a")
    trust = guide.with_subjects(guide.policies()["trust-service-account"], HELPER)
    cloud.sandbox.state.add_role(Role("rrsa-a", trust, policies=(guide.policies()["assume"],)))
    token = cloud.folder / "token"
    token.write_text(cloud.sandbox.add_cluster().token(*HELPER.split("/")) + "\n")
    cloud.environment["ALIBABA_CLOUD_OIDC_TOKEN_FILE"] = str(token)  # the webhook's part
    default, custom = cloud.instance_of_b()
    values = [
        ("cri-xxx", "cri-ofaccountb"),
        ("instance.default.domain.com,instance.custom.domain.com", f"{default},{custom}"),
        ("aUserRoleARN", ROLE_A),
        ("aUserClusterOIDCProviderRoleARN", PROVIDER_ARN),
        ("bUserRoleARN", ROLE_B),
    ]
    assert cloud.convert(sample, values, place="controller") == []
    for host in (default, custom):
        principal, life = cloud.pulls(host)
        assert is_of_b(principal)
        assert principal.session_name == "acr-sa-kube-system.aliyun-acr-credential-helper"
        assert 3500 < life <= 3600, "expireDuration: 3600"
    assert cloud.calls("AssumeRoleWithOIDC", "AssumeRole", "GetAuthorizationToken") == [1, 1, 1]


@pytest.mark.parametrize(
    ("sample", "changed"),
    [
        ("04-personal-cross-account", [NO_SPACE]),
        ("10-personal-cross-account-no-space", [NO_SPACE]),
        ("20-personal-cross-account-quoted", []),
    ],
)
def test_the_worker_role_pulls_from_the_personal_edition_of_account_b(cloud, sample, changed):
    cloud.let_the_worker_role_assume()
    told = cloud.convert(sample, [("acs:ram::.*:role/kubernetesworkerrole-test", ROLE_B)])
    assert [word in line for word, line in zip(changed, told, strict=True)] == [True] * len(changed)
    principal, _ = cloud.pulls(BEIJING)
    assert is_of_b(principal)
    assert principal.session_name.startswith("acr-node-")
    assert cloud.calls("AssumeRole", "personal.GetAuthorizationToken", "GetAuthorizationToken") == [1, 1, 0]


def test_the_worker_role_pulls_from_the_enterprise_edition_of_account_b(cloud):
    """No page shows this one whole: the Personal Edition's sample, with an instance's ID, region and domain."""
    cloud.let_the_worker_role_assume()
    default, _ = cloud.instance_of_b()
    values = [
        ('instanceId: ""', 'instanceId: "cri-ofaccountb"'),
        ("cn-beijing", "cn-hangzhou"),
        ("registry.cn-beijing.aliyuncs.com", default),
        ("acs:ram::.*:role/kubernetesworkerrole-test", ROLE_B),
    ]
    assert cloud.convert("20-personal-cross-account-quoted", values) == []
    principal, _ = cloud.pulls(default)
    assert is_of_b(principal)
    assert cloud.calls("AssumeRole", "GetAuthorizationToken") == [1, 1]


@pytest.mark.parametrize(
    ("sample", "changed"),
    [
        ("05-access-key-with-slashes", [NO_SPACE, COMMENT]),
        ("11-access-key-slashes-no-space", [NO_SPACE, COMMENT]),
        ("21-access-key-with-slashes-english", [COMMENT]),
    ],
)
def test_the_access_key_of_account_bs_user_pulls_from_there(cloud, sample, changed):
    key = cloud.sandbox.state.add_key(Principal("puller", account=guide.ACCOUNT_B))
    *told, moved = cloud.convert(sample, [('"xxxxx"', f'"{key.id}"'), ('"xxxxxx"', f'"{key.secret}"')])
    assert [word in line for word, line in zip(changed, told, strict=True)] == [True] * len(changed)
    assert "the access key moved into files" in moved
    assert key.secret not in cloud.program.settings.read_text()
    kept = list((cloud.folder / "keys").iterdir())
    assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}
    principal, _ = cloud.pulls(HANGZHOU)  # the cluster's own region, since the sample names none
    assert (principal.name, principal.account) == ("puller", guide.ACCOUNT_B)
    assert cloud.calls("AssumeRole", "metadata.credentials") == [0, 0]


@pytest.mark.parametrize("sample", ["01-two-regions-of-one-id", "08-two-regions-no-space"])
def test_instances_of_two_regions_each_give_the_token_for_their_own_hosts(cloud, sample):
    regions = {"north": "cn-beijing", "south": "cn-hangzhou"}
    for name, region in regions.items():
        cloud.sandbox.state.add_instance(Instance.usual(f"cri-{name}", name=name, region=region))
    cloud.convert(sample, [("cri-instanceId", "cri-north"), ("cri-instanceId", "cri-south")])
    for name, region in regions.items():
        principal, _ = cloud.pulls(f"{name}-registry.{region}.cr.aliyuncs.com")
        assert principal.name == WORKER
    asked = cloud.sandbox.calls.all("GetAuthorizationToken")
    assert [call.instance_id for call in asked] == ["cri-north", "cri-south"]


def test_a_list_with_both_editions_serves_both(cloud):
    cloud.convert("18-both-editions", [("cri-xxxx", cloud.sandbox.instance.id)])
    for host in (HANGZHOU, "sandbox-registry.cn-hangzhou.cr.aliyuncs.com"):
        assert cloud.pulls(host)[0].name == WORKER
    assert cloud.calls("personal.GetAuthorizationToken", "GetAuthorizationToken") == [1, 1]


def test_the_personal_edition_of_two_regions_is_asked_once_for_each(cloud):
    cloud.convert("19-personal-of-two-regions", [])
    for host in (BEIJING, HANGZHOU):
        assert cloud.pulls(host)[0].name == WORKER
    assert cloud.calls("personal.GetAuthorizationToken") == [2]


def test_what_a_mixed_list_says_of_each_account_holds_for_its_own_hosts_alone(cloud):
    """One ConfigMap: A's own instance, B's by role, and the Personal Edition by the key of another user of B."""
    cloud.let_the_worker_role_assume()
    policies = (PULL, guide.policies()["assume"])
    cloud.sandbox.node.role = replace(cloud.sandbox.node.role, policies=policies)
    default, _ = cloud.instance_of_b()
    key = cloud.sandbox.state.add_key(Principal("puller", account=guide.ACCOUNT_B))
    entries = [
        {"instanceId": cloud.sandbox.instance.id, "domains": cloud.sandbox.registry.address},
        {"instanceId": "cri-ofaccountb", "regionId": "cn-hangzhou", "domains": default, "assumeRoleARN": ROLE_B},
        {"instanceId": "", "regionId": "cn-beijing", "customAccessKey": key.id, "customAccessKeySecret": key.secret},
    ]
    values = [('- instanceId: ""\n          - instanceId: "cri-xxxx"', json.dumps(entries))]
    cloud.convert("18-both-editions", values)
    own, _ = cloud.pulls(cloud.sandbox.registry.address)
    by_role, _ = cloud.pulls(default)
    by_key, _ = cloud.pulls(BEIJING)
    assert (own.name, own.account) == (WORKER, ACCOUNT)
    assert is_of_b(by_role)
    assert (by_key.name, by_key.account) == ("puller", guide.ACCOUNT_B)


def test_no_sample_with_another_account_is_left_out():
    """Whatever page gets a role or a key into a sample must show up here."""
    crossing = ("assumeRoleARN", "customAccessKey", "rrsaRoleARN")
    found = {path.stem for path in SAMPLES.glob("*.yaml") if any(word in path.read_text() for word in crossing)}
    text = Path(__file__).read_text()
    assert found
    assert [name for name in sorted(found) if f'"{name}"' not in text] == []
