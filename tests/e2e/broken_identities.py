"""Ways in which who should ask cannot: no role, no right, no trust, the wrong account."""

from dataclasses import replace

from e2e.doctor_fixture import (
    ANNOTATION,
    as_a_pod,
    assumed,
    by_service_accounts,
    by_token_file,
    catalogue,
    chain_of_two,
    operator,
)
from sandbox.faults import Throttle
from sandbox.server import PROVIDER_ARN
from sandbox.state import ACCOUNT, Principal, Role
from support import guide
from support.ports import closed_port

BREAKS, breaks = catalogue()


# The node itself.
@breaks("metadata service", "nodeRole identity needs an ECS instance")
def no_metadata_service(world):
    world.registry["identity"] = {"kind": "nodeRole"}
    world.document["endpoints"] = {"metadata": f"http://127.0.0.1:{closed_port()}"}


@breaks("settings", "kind: basicAuth")
def new_personal_edition_asked_for_tokens(world):
    new_personal_edition_without_a_login(world)
    world.registry |= {"instanceId": "", "domains": [world.image.partition("/")[0]]}


@breaks("registry entry", "identity: kind: basicAuth")
def new_personal_edition_without_a_login(world):
    world.image = "crpi-a1b2c3.cn-hangzhou.personal.cr.aliyuncs.com/team/app"
    world.node.provider["matchImages"].append("*.*.personal.cr.aliyuncs.com")


@breaks("metadata service", "set allowImdsV1")
def metadata_service_without_tokens(world):
    world.registry["identity"] = {"kind": "nodeRole"}
    world.sandbox.node.tokens_offered = False


@breaks("metadata service", "Let PUT requests to 100.100.100.200 through")
def hardened_metadata_service_that_is_asked_by_v1(world):
    world.registry["identity"] = {"kind": "nodeRole", "allowImdsV1": True}
    world.sandbox.node.tokens_offered, world.sandbox.node.hardened = False, True


@breaks("identity", "Attach a RAM role")
def no_role(world):
    world.registry["identity"] = {"kind": "nodeRole"}
    world.sandbox.node.role = None


@breaks("identity", "Write one half of the access key")
def no_key_file(world):
    world.sandbox.key_secret_file.unlink()


@breaks("identity", "new file of root's with mode 0600")
def key_file_that_others_read(world):
    world.sandbox.key_secret_file.chmod(0o644)


# Pods.
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


# Roles that are assumed.
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


@breaks("identity", "OIDC provider of this cluster")
def oidc_provider_of_another_issuer(world):
    by_token_file(world)
    provider = world.sandbox.state.find_oidc_provider(PROVIDER_ARN)
    world.sandbox.state.add_oidc_provider(replace(provider, issuer=provider.issuer.replace("hangzhou", "beijing")))


@breaks("identity", "is registered in RAM")
def oidc_provider_that_is_not_registered(world):
    by_token_file(world)
    world.sandbox.state.remove_oidc_provider(PROVIDER_ARN)


# What ACR and its registry think of who asks.
@breaks("ACR hosts", "cr:ListInstanceEndpoint")
def no_right_to_list_hosts(world):
    del world.registry["domains"]
    world.image = "sandbox-registry.cn-hangzhou.cr.aliyuncs.com/team/app"
    key = world.sandbox.state.add_key(Principal("blind", actions=frozenset({"cr:GetAuthorizationToken"})))
    world.sandbox.key_id_file.write_text(key.id)
    world.sandbox.key_secret_file.write_text(key.secret)


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
def instance_that_is_nobodys(world):
    world.registry["instanceId"] = "cri-nobodys"


@breaks("token", "use a role of that account (assumeRole)")
def instance_of_another_account(world):
    world.sandbox.state.add_instance(replace(world.sandbox.instance, account=guide.ACCOUNT_B))


@breaks("token", "instanceId or region")
def instance_of_another_region(world):
    in_beijing(world)


@breaks("ACR hosts", "instanceId or region")
def hosts_asked_for_in_another_region(world):
    in_beijing(world)
    del world.registry["domains"]
    world.image = "sandbox-registry.cn-beijing.cr.aliyuncs.com/team/app"


def in_beijing(world):
    """Have the settings say that the instance is there, where it is not."""
    world.registry |= {"region": "cn-beijing", "endpoints": {"acr": world.sandbox.acr("cn-beijing")}}


@breaks("token", "use a role of that account (assumeRole)")
def instance_of_another_account_than_the_chains_end(world):
    chain_of_two(world)
    world.sandbox.state.add_instance(replace(world.sandbox.instance, account=guide.ACCOUNT_B))


@breaks("identity", "name and account")
def role_of_another_account_than_the_settings_say(world):
    role = assumed(world, "first", operator(world))
    world.registry["assumeRole"] = [{"roleArn": role.arn.replace(ACCOUNT, guide.ACCOUNT_B)}]


@breaks("identity", f"Use a role of account {ACCOUNT}")
def role_of_another_account_than_the_clusters_provider(world):
    by_token_file(world)
    trust = guide.policies()["trust-service-account"]
    role = world.sandbox.state.add_role(Role("pull-team-a", trust, account=guide.ACCOUNT_B))
    world.registry["identity"]["roleArn"] = role.arn


@breaks("registry login", "another account's")
def namespace_of_another_account(world):
    repositories = world.sandbox.instance.repositories
    owners = {each.partition("/")[0]: guide.ACCOUNT_B for each in repositories}
    world.sandbox.state.add_instance(replace(world.sandbox.instance, owners=owners))


@breaks("registry login", "cr:PullRepository")
def no_right_to_pull(world):
    key = world.sandbox.state.add_key(Principal("half", actions=frozenset({"cr:GetAuthorizationToken"})))
    world.sandbox.key_id_file.write_text(key.id)
    world.sandbox.key_secret_file.write_text(key.secret)
