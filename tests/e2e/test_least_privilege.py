"""The guide's policies are enough, and each of their actions is needed: one named case for each."""

import json
from dataclasses import replace

import pytest
import yaml
from acr_credential_provider.model.errors import RegistryRefusedError, RoleRefusedError
from acr_credential_provider.settings import ProviderSettings
from conftest import write_settings
from sandbox.pull import PullError, pull
from sandbox.server import PROVIDER_ARN
from sandbox.state import Instance, Principal, Role
from support import guide, inprocess
from support.harness import request
from support.judged import validate

POLICIES = guide.policies(ROLE_OF_A="kubernetesworkerrole-sandbox")
ROLE = "pod-identity.alibabacloud.com/role-name"


class Scene:
    """Pulls by the guide's policies, one of which may be changed."""

    def __init__(self, sandbox, folder):
        self.sandbox, self.folder = sandbox, folder

    def own_account(self, policies, *, domains=True):
        """Pull with an access key whose user has the policy *pull*; return the image."""
        key = self.sandbox.state.add_key(Principal("puller", policies=(policies["pull"],)))
        self.sandbox.key_id_file.write_text(key.id)
        self.sandbox.key_secret_file.write_text(key.secret)
        settings = self.sandbox.settings()
        host = self.sandbox.registry.address
        if not domains:
            del settings["registries"][0]["domains"]
            host = "sandbox-registry.cn-hangzhou.cr.aliyuncs.com"
        login = self.login(settings, request(f"{host}/team/app"), host)
        return pull(self.sandbox.image, *login, ca_file=self.sandbox.ca_file)

    def other_account(self, policies, repository="team/app", **hop):
        """Pull *repository* from account B through its role, which is asked for by *hop*; return the image."""
        repositories = ("team/app", "team-a/app")
        bee = replace(Instance.usual("cri-bee", name="bee"), account=guide.ACCOUNT_B, repositories=repositories)
        host = self.sandbox.add_registry(bee, "127.0.0.2")
        self.sandbox.node.role = replace(self.sandbox.node.role, policies=(policies["assume"],))
        pulling = json.loads(json.dumps(POLICIES["pull"]).replace(self.sandbox.instance.id, "cri-bee"))
        self.sandbox.state.add_role(
            Role("acr-pull", policies["trust-role"], account=guide.ACCOUNT_B, policies=(pulling,))
        )
        settings = self.sandbox.settings()
        settings["registries"] = [
            {
                "instanceId": "cri-bee",
                "region": "cn-hangzhou",
                "domains": [host],
                "identity": {"kind": "nodeRole"},
                "assumeRole": [{"roleArn": f"acs:ram::{guide.ACCOUNT_B}:role/acr-pull", "externalId": "TICKET", **hop}],
                "endpoints": {"acr": self.sandbox.openapi.url},
            }
        ]
        login = self.login(settings, request(f"{host}/{repository}"), host)
        return pull(f"{host}/{repository}", *login, ca_file=self.sandbox.ca_file)

    def session(self, policies, repository="team-a/app"):
        """Pull from account B with a session that its policy narrows; return the image."""
        policy = json.loads(json.dumps(policies["session"]).replace(self.sandbox.instance.id, "cri-bee"))
        return self.other_account(policies, repository, policy=policy)

    def service_account(self, policies, *, namespace="team-a", name="app"):
        """Pull as a pod; return the image."""
        cluster = self.sandbox.add_cluster()
        self.sandbox.state.add_role(Role("pull-team", policies["trust-service-account"], policies=(policies["pull"],)))
        settings = self.sandbox.settings()
        settings["registries"][0]["identity"] = {"kind": "serviceAccount", "oidcProviderArn": PROVIDER_ARN}
        host = self.sandbox.registry.address
        raw = request(
            f"{host}/team/app",
            serviceAccountToken=cluster.token(namespace, name),
            serviceAccountAnnotations={ROLE: "pull-team"},
        )
        return pull(self.sandbox.image, *self.login(settings, raw, host), ca_file=self.sandbox.ca_file)

    def login(self, settings, raw, host):
        path = write_settings(self.folder, settings)
        answer = json.loads(inprocess.ask(raw, path, self.folder / "cache"))
        return answer["auth"][host]["username"], answer["auth"][host]["password"]


@pytest.fixture
def scene(sandbox, tmp_path):
    return Scene(sandbox, tmp_path)


def less(policy, action):
    return {**POLICIES, policy: guide.without(POLICIES[policy], action)}


def test_the_policies_of_the_guide_are_enough(scene):
    assert scene.own_account(POLICIES)
    assert scene.own_account(POLICIES, domains=False)
    assert scene.other_account(POLICIES)
    assert scene.session(POLICIES)
    assert scene.service_account(POLICIES)


def test_pull_needs_get_authorization_token(scene):
    with pytest.raises(RegistryRefusedError, match="NoPermission"):
        scene.own_account(less("pull", "cr:GetAuthorizationToken"))


def test_pull_needs_list_instance_endpoint_where_no_domains_are_named(scene):
    policies = less("pull", "cr:ListInstanceEndpoint")
    with pytest.raises(RegistryRefusedError, match="ListInstanceEndpoint"):
        scene.own_account(policies, domains=False)
    assert scene.own_account(policies), "and only there"


def test_pull_needs_pull_repository(scene):
    with pytest.raises(PullError, match="insufficient_scope"):
        scene.own_account(less("pull", "cr:PullRepository"))


def test_assume_needs_assume_role(scene):
    with pytest.raises(RoleRefusedError, match="NoPermission"):
        scene.other_account(less("assume", "sts:AssumeRole"))


def test_trust_role_needs_assume_role(scene):
    with pytest.raises(RoleRefusedError, match="NoPermission"):
        scene.other_account(less("trust-role", "sts:AssumeRole"))


def test_trust_service_account_needs_assume_role(scene):
    with pytest.raises(RoleRefusedError, match="NoPermission"):
        scene.service_account(less("trust-service-account", "sts:AssumeRole"))


def test_trust_service_account_lets_in_that_service_account_alone(scene):
    for namespace, name in (("team-a", "other"), ("team-b", "app")):
        with pytest.raises(RoleRefusedError, match="NoPermission"):
            scene.service_account(POLICIES, namespace=namespace, name=name)


def test_session_needs_get_authorization_token(scene):
    with pytest.raises(RegistryRefusedError, match="NoPermission"):
        scene.session(less("session", "cr:GetAuthorizationToken"))


def test_session_needs_pull_repository(scene):
    with pytest.raises(PullError, match="insufficient_scope"):
        scene.session(less("session", "cr:PullRepository"))


def test_session_narrows_to_its_own_namespace(scene):
    with pytest.raises(PullError, match="insufficient_scope"):
        scene.session(POLICIES, "team/app")
    narrowed = Principal("role", policies=(POLICIES["pull"],), session_policy=POLICIES["session"])
    assert not narrowed.may("cr:ListInstanceEndpoint")


def test_each_action_of_the_guide_has_a_case_here():
    named = {name.partition("test_")[2] for name in globals() if name.startswith("test_")}
    words = {"cr:GetAuthorizationToken": "get_authorization_token", "sts:AssumeRole": "assume_role"}
    words |= {"cr:ListInstanceEndpoint": "list_instance_endpoint", "cr:PullRepository": "pull_repository"}
    for policy, document in POLICIES.items():
        for action in guide.actions(document):
            case = f"{policy.replace('-', '_')}_needs_{words[action]}"
            assert any(name.startswith(case) for name in named), f"no case for {action} of {policy}"


def test_the_settings_of_the_guide_are_valid():
    words = {"ACCOUNT_A": "1234", "ACCOUNT_B": "5678", "CLUSTER_ID": "c1", "TICKET": "ticket-1"}
    found = 0
    for text in guide.GUIDE.split("```yaml\n")[1:]:
        block = text.partition("```")[0]
        for word, value in words.items():
            block = block.replace(word, value)
        if not block.startswith("identity:"):
            continue
        document = {
            "apiVersion": "aliyun-acr-credential-provider/v1",
            "kind": "ProviderSettings",
            "registries": [{"instanceId": "cri-1", **yaml.safe_load(block)}],
        }
        assert isinstance(validate(json.dumps(document)), ProviderSettings), block
        found += 1
    assert found == 2
