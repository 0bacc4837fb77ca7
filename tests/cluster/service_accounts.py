"""What a pod's own identity must be worth on a real node, one function per promise (KEP-4412, KEP-2535).

The API server issues the tokens, NodeRestriction decides whether the kubelet may have them,
the kubelet hands them to the plugin and writes down who pulled what. The roles' trust
policies, the provider's tokenAttributes and the ClusterRole are those of docs/identities.md.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.oidc import OidcProvider, decode
from sandbox.server import ISSUER, PROVIDER_ARN
from sandbox.state import Role
from support import guide

from .cluster import wait_until
from .kube import KubeError
from .scenarios import SAID
from .worker import TOKEN_PLUGIN

if TYPE_CHECKING:
    from .cluster import Cluster

ROLE = "pod-identity.alibabacloud.com/role-name"
AUDIENCE = "sts.aliyuncs.com"
WORKER = "KubernetesWorkerRole-sandbox"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
GRANT = {"clusterroles": guide.document("rules"), "clusterrolebindings": guide.document("roleRef")}
WITHOUT_RECORDS = "--feature-gates=KubeletEnsureSecretPulledImages=false"
IDENTITY = {"kind": "serviceAccount", "oidcProviderArn": PROVIDER_ARN}


@dataclass(frozen=True)
class Team:
    """A ServiceAccount, and the role (of the same name) that it alone may have."""

    account: str

    @property
    def session(self) -> str:
        """What RAM's audit log calls it."""
        return f"acr-sa-default.{self.account}"


class Tenancy:
    """A *cluster* whose pods pull from *shop* as themselves; the node's role has a shop of its own.

    Nodes may ask for the pods' tokens unless the audience is not *granted*.
    """

    def __init__(self, cluster: Cluster, *repositories: str, granted: bool = True) -> None:
        self.cluster = cluster
        self.shop = cluster.open_shop("pods", *repositories)
        self.node_shop = cluster.open_shop("node", "team/app", "team/web")
        cluster.sandbox.state.add_oidc_provider(OidcProvider(PROVIDER_ARN, ISSUER, keys=_keys(cluster)))
        self.write_settings()
        grant_audience(cluster, is_granted=granted)
        cluster.kubelet.use_tokens(*self.shop.hosts)
        self.nodes_asked = cluster.sandbox.calls.count("metadata.credentials")

    def write_settings(self, **identity: Any) -> None:
        node = self.cluster.entry(self.node_shop, *self.node_shop.hosts, identity={"kind": "nodeRole"})
        pods = self.cluster.entry(self.shop, *self.shop.hosts, identity=identity or IDENTITY)
        self.cluster.write_settings(pods, node)

    def team(self, repository: str = "", *, annotated: bool = True) -> Team:
        """Add a ServiceAccount whose role may pull *repository* and nothing else."""
        team = Team(f"app-{self.cluster.next_number()}")
        policies = guide.policies(INSTANCE_ID=self.shop.id)
        trust = guide.with_subjects(policies["trust-service-account"], f"default/{team.account}")
        pull = json.loads(json.dumps(policies["pull"]).replace(f"{self.shop.id}/*", f"{self.shop.id}/{repository}"))
        self.cluster.sandbox.state.add_role(Role(team.account, trust, policies=(pull,)))
        annotations = {ROLE: team.account} if annotated else {}
        metadata = {"name": team.account, "annotations": annotations}
        self.cluster.api.create(ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        return team

    def start(self, team: Team, repository: str, **more: Any) -> str:
        return self.cluster.start_pod(self.shop.image(repository), serviceAccountName=team.account, **more)

    def pulls(self, team: Team, repository: str, **more: Any) -> None:
        """A pod of *team* runs what *repository* holds."""
        found = self.cluster.digest_of(self.start(team, repository, **more))
        assert found == self.shop.digest(repository)

    def is_refused(self, team: Team, repository: str, **more: Any) -> str:
        """A pod of *team* does not get *repository*; return what its events say."""
        return self.cluster.refusal(self.start(team, repository, **more))

    def who_asked(self, operation: str = "GetAuthorizationToken") -> list[tuple[str, str]]:
        """Return role and session of those who asked ACR, or who logged in to the shop's registry, in turn."""
        keys = [call.access_key_id for call in self.cluster.calls(operation, self.shop) if call.access_key_id]
        found = [self.cluster.sandbox.state.find_key(key) for key in keys]
        return [(key.principal.name, key.principal.session_name) for key in found if key]

    def assert_the_node_never_asked(self) -> None:
        """Nobody asked for the shop's tokens but ServiceAccounts, and the node's role was not even looked up."""
        assert {session.partition("-default")[0] for _, session in self.who_asked()} <= {"acr-sa"}
        assert self.cluster.sandbox.calls.count("metadata.credentials") == self.nodes_asked


def _keys(cluster: Cluster) -> dict[str, tuple[int, int]]:
    """Return the API server's public keys, as it publishes them to OIDC providers."""
    keys = cluster.api.get("/openid/v1/jwks")["keys"]
    return {key["kid"]: (int.from_bytes(decode(key["n"])), int.from_bytes(decode(key["e"]))) for key in keys}


def grant_audience(cluster: Cluster, *, is_granted: bool = True) -> None:
    """Create the guide's ClusterRole and its binding, or remove them; wait until the API server goes by it."""
    for kind, document in GRANT.items():
        if is_granted:
            try:
                cluster.api.create(f"{RBAC}/{kind}", document)
            except KubeError as error:
                if error.status != 409:
                    raise
        else:
            cluster.api.delete(f"{RBAC}/{kind}/{document['metadata']['name']}")
    wait_until(lambda: _is_granted(cluster) == is_granted, timeout=10, what="RBAC to notice")


def grant_audience_for(cluster: Cluster, *teams: Team) -> None:
    """Create a Role and its binding with the guide's rule, for the ServiceAccounts of *teams* alone."""
    name = f"tokens-{cluster.next_number()}"
    (rule,) = GRANT["clusterroles"]["rules"]
    role = GRANT["clusterroles"] | {"kind": "Role", "metadata": {"name": name}}
    role["rules"] = [rule | {"resourceNames": [team.account for team in teams]}]
    binding = GRANT["clusterrolebindings"] | {"kind": "RoleBinding", "metadata": {"name": name}}
    binding["roleRef"] = binding["roleRef"] | {"kind": "Role", "name": name}
    for kind, document in (("roles", role), ("rolebindings", binding)):
        cluster.api.create(f"{RBAC}/namespaces/default/{kind}", document)
    wait_until(lambda: all(_is_granted(cluster, team) for team in teams), timeout=10, what="RBAC to notice")


def _is_granted(cluster: Cluster, team: Team | None = None) -> bool:
    attributes = {"verb": "request-serviceaccounts-token-audience", "resource": AUDIENCE}
    if team:
        attributes |= {"namespace": "default", "name": team.account}
    spec = {"user": "system:node:any", "groups": ["system:nodes"], "resourceAttributes": attributes}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    return cluster.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]


def clean_up(cluster: Cluster) -> None:
    """Take the pods' tokens away again."""
    cluster.kubelet.use_tokens()
    grant_audience(cluster, is_granted=False)


# The promises.
def each_service_account_pulls_with_its_own_token(cluster: Cluster) -> None:
    """Two ServiceAccounts, two roles, one node: each logs in as itself, and the other's repository stays closed."""
    tenancy = Tenancy(cluster, "team-a/app", "team-b/app")
    a, b = tenancy.team("team-a/app"), tenancy.team("team-b/app")
    pods = [(tenancy.start(a, "team-a/app"), "team-a/app"), (tenancy.start(b, "team-b/app"), "team-b/app")]
    assert [cluster.digest_of(pod) for pod, _ in pods] == [tenancy.shop.digest(repository) for _, repository in pods]
    assert sorted(tenancy.who_asked()) == sorted((team.account, team.session) for team in (a, b))
    assert sorted(set(tenancy.who_asked("registry.auth"))) == sorted((team.account, team.session) for team in (a, b))
    assert cluster.kubelet.plugin_runs(TOKEN_PLUGIN) >= 2
    tenancy.is_refused(a, "team-b/app")
    tenancy.is_refused(b, "team-a/app")
    tenancy.assert_the_node_never_asked()


def an_image_on_the_node_is_used_by_those_alone_who_may_pull_it(cluster: Cluster) -> None:
    """The second ServiceAccount needs a right of its own to the image that the first one pulled (KEP-2535)."""
    tenancy = Tenancy(cluster, "team-a/app", "team-b/app")
    a, b, also_a = tenancy.team("team-a/app"), tenancy.team("team-b/app"), tenancy.team("team-a/app")
    tenancy.pulls(a, "team-a/app", policy="IfNotPresent")
    image = tenancy.shop.image("team-a/app")
    assert image in cluster.runtime.images()
    served = len(cluster.calls("registry.manifest", tenancy.shop))

    tenancy.pulls(a, "team-a/app", policy="IfNotPresent")
    assert len(cluster.calls("registry.manifest", tenancy.shop)) == served, "the first one's image was here"
    tenancy.is_refused(b, "team-a/app", policy="IfNotPresent")
    assert image in cluster.runtime.images(), "it is refused though the image is here"
    tenancy.pulls(also_a, "team-a/app", policy="IfNotPresent")
    assert (also_a.account, also_a.session) in tenancy.who_asked("registry.auth"), "by its own token, not the first's"
    tenancy.assert_the_node_never_asked()


def a_missing_audience_grant_stops_pods_alone_and_is_found_by_the_doctor(cluster: Cluster) -> None:
    """No token, no pull and no other identity; the node's role pulls on; the doctor names the ClusterRole."""
    tenancy = Tenancy(cluster, "team-a/app", granted=False)
    team = tenancy.team("team-a/app")
    mark = cluster.now_in_kubelet_log
    pod = tenancy.start(team, "team-a/app")
    assert "401" in cluster.refusal(pod)
    # Until 1.36 the API server says "for this audience", since 1.37 which one.
    assert re.search(r"not authorized to request tokens for (this )?audience", cluster.kubelet_log(mark))
    assert cluster.kubelet.plugin_runs(TOKEN_PLUGIN) == 0
    assert tenancy.who_asked() == []
    assert cluster.sandbox.calls.count("metadata.credentials") == tenancy.nodes_asked

    assert cluster.pull(tenancy.node_shop.image("team/app")) == tenancy.node_shop.digest("team/app")

    step = "right to ask for tokens"
    found = examined(cluster, tenancy.shop.image("team-a/app"))
    assert [name for name, each in found.items() if each["status"] == "failed"] == [step], found
    for word in ("ClusterRole", f"resources: [{AUDIENCE}]", "request-serviceaccounts-token-audience", "system:nodes"):
        assert word in found[step]["remedy"]

    grant_audience(cluster)
    assert examined(cluster, tenancy.shop.image("team-a/app"))[step]["status"] == "ok"
    # The kubelet waits 10 s after the first failure, 20 s after the second.
    assert cluster.digest_of(pod, timeout=45, patient=True) == tenancy.shop.digest("team-a/app")
    assert tenancy.who_asked() == [(team.account, team.session)]


def the_right_to_tokens_may_be_given_for_single_service_accounts(cluster: Cluster) -> None:
    """A Role in their namespace is enough for those that it names, and for nobody else."""
    tenancy = Tenancy(cluster, "team-a/app", "team-a/web", granted=False)
    named, other = tenancy.team("team-a/app"), tenancy.team("team-a/web")
    grant_audience_for(cluster, named)
    tenancy.pulls(named, "team-a/app")
    tenancy.is_refused(other, "team-a/web")
    assert tenancy.who_asked() == [(named.account, named.session)]
    step = "right to ask for tokens"
    image = tenancy.shop.image("team-a/app")
    for team, outcome in ((named, "ok"), (other, "failed")):
        found = examined(cluster, image, token=_token(cluster, team), role=team.account)[step]
        assert found["status"] == outcome, found
    assert "try one with --token-file" in examined(cluster, image)[step]["remedy"]


def a_service_account_without_a_role_is_refused_and_told_what_to_do(cluster: Cluster) -> None:
    """No annotation, no role: the default is to deny, and the node's role is not even looked up."""
    tenancy = Tenancy(cluster, "team-a/app")
    team = tenancy.team("team-a/app", annotated=False)
    mark = cluster.now_in_kubelet_log
    tenancy.is_refused(team, "team-a/app")
    said = SAID.findall(cluster.kubelet_log(mark))
    problem = f"ServiceAccount default/{team.account} has no RAM role to pull with"
    assert any(error == problem and f"Annotate it with {ROLE}" in remedy for error, remedy in said), said
    assert tenancy.who_asked() == []
    tenancy.assert_the_node_never_asked()


def a_role_that_does_not_trust_the_pod_is_refused_and_never_becomes_the_node(cluster: Cluster) -> None:
    """Who writes another team's role into its annotation gets nothing by it."""
    tenancy = Tenancy(cluster, "team-a/app")
    a, thief = tenancy.team("team-a/app"), tenancy.team("team-b/app")
    cluster.api.patch(f"{ACCOUNTS}/{thief.account}", {"metadata": {"annotations": {ROLE: a.account}}})
    mark = cluster.now_in_kubelet_log
    tenancy.is_refused(thief, "team-a/app")
    said = SAID.findall(cluster.kubelet_log(mark))
    assert any("AuthenticationFail.NoPermission" in error and "trust policy" in remedy for error, remedy in said), said
    assert tenancy.who_asked() == []
    tenancy.assert_the_node_never_asked()


def static_pods_and_those_without_a_role_get_the_nodes_where_the_settings_say_so(cluster: Cluster) -> None:
    """Each is denied by default, and by itself given the node's role; who has a role that is refused never gets it.

    As the guide has it, no other provider matches these hosts, except where that is what is tried.
    """
    tenancy = Tenancy(cluster, "team-a/app", "team-a/web", "team-a/job")
    cluster.kubelet.use_tokens(*tenancy.shop.hosts, requireServiceAccount=False)
    mark = cluster.now_in_kubelet_log
    cluster.refusal(cluster.start_static_pod(tenancy.shop.image("team-a/app")))
    said = SAID.findall(cluster.kubelet_log(mark))
    assert any("no ServiceAccount token" in error and "staticPods: nodeRole" in remedy for error, remedy in said), said
    tenancy.assert_the_node_never_asked()

    # Two providers match, and neither asks for the refused one as for a static pod.
    nobodys = tenancy.team("nothing")
    cluster.api.patch(f"{ACCOUNTS}/{nobodys.account}", {"metadata": {"annotations": {ROLE: "another-teams"}}})
    tenancy.write_settings(**IDENTITY, withoutRole="nodeRole")
    tenancy.pulls(tenancy.team(annotated=False), "team-a/job")
    tenancy.is_refused(nobodys, "team-a/app")

    tenancy.write_settings(**IDENTITY, staticPods="nodeRole")
    found = examined(cluster, tenancy.shop.image("team-a/app"))["ServiceAccount token"]
    assert (found["status"], "also one that is refused as itself" in found["detail"]) == ("failed", True), found
    cluster.kubelet.use_tokens(*tenancy.shop.hosts, alone=True, requireServiceAccount=False)
    static = cluster.start_static_pod(tenancy.shop.image("team-a/web"))
    assert cluster.digest_of(static, patient=True) == tenancy.shop.digest("team-a/web")
    assert {role for role, _ in tenancy.who_asked()} == {WORKER}
    tenancy.is_refused(nobodys, "team-a/app")
    tenancy.is_refused(tenancy.team(annotated=False), "team-a/app")


def the_doctor_walks_the_way_of_a_pod_with_its_token(cluster: Cluster) -> None:
    """With a token of kubectl create token it says that this ServiceAccount may pull, or why it may not."""
    tenancy = Tenancy(cluster, "team-a/app")
    team, other = tenancy.team("team-a/app"), tenancy.team(annotated=False)
    image = tenancy.shop.image("team-a/app")
    found = examined(cluster, image, token=_token(cluster, team), role=team.account)
    for step in ("ServiceAccount token", "right to ask for tokens", "STS endpoint", "identity", "token"):
        assert found[step]["status"] == "ok", found
    assert found["identity"]["detail"].endswith(f":role/{team.account}")
    assert tenancy.who_asked() == [(team.account, team.session)]
    found = examined(cluster, image, token=_token(cluster, other), role=team.account)
    assert (found["identity"]["status"], "trust policy" in found["identity"]["remedy"]) == ("failed", True), found
    found = examined(cluster, image, token=_token(cluster, team, "another"), role=team.account)
    assert found["ServiceAccount token"]["detail"].endswith(f"is not for the audience {AUDIENCE}")


def a_node_that_was_switched_keeps_its_old_images_open_until_they_are_removed(cluster: Cluster) -> None:
    """What the guide says of the switch: what the node's role pulled stays everybody's until image and record go."""
    tenancy = Tenancy(cluster, "team-a/app")
    stranger = tenancy.team("nothing")
    image = tenancy.shop.image("team-a/app")
    cluster.kubelet.use_tokens()
    tenancy.write_settings(kind="nodeRole")
    tenancy.pulls(stranger, "team-a/app")

    cluster.kubelet.use_tokens(*tenancy.shop.hosts)
    tenancy.write_settings()
    tenancy.pulls(stranger, "team-a/app", policy="IfNotPresent")
    tenancy.is_refused(stranger, "team-a/app", policy="Always")

    cluster.delete_pods()
    cluster.runtime.remove(image)  # and its record is still there
    tenancy.is_refused(stranger, "team-a/app", policy="IfNotPresent")
    owner = tenancy.team("team-a/app")
    tenancy.pulls(owner, "team-a/app", policy="IfNotPresent")
    tenancy.pulls(stranger, "team-a/app", policy="IfNotPresent")

    cluster.delete_pods()
    cluster.kubelet.stop()
    cluster.kubelet.forget_pulls()  # and the image is still there
    cluster.kubelet.start()
    tenancy.pulls(stranger, "team-a/app", policy="IfNotPresent")

    cluster.delete_pods()
    cluster.kubelet.stop()
    cluster.runtime.remove(image)
    cluster.kubelet.forget_pulls()
    cluster.kubelet.start()
    tenancy.is_refused(stranger, "team-a/app", policy="IfNotPresent")
    tenancy.pulls(owner, "team-a/app", policy="IfNotPresent")
    tenancy.is_refused(stranger, "team-a/app", policy="IfNotPresent")


def a_kubelet_that_keeps_no_records_leaves_images_to_everybody_and_so_does_its_successor(cluster: Cluster) -> None:
    """What the guide says of kubelets before 1.35, and of their upgrade: this one, with what is on since then off."""
    tenancy = Tenancy(cluster, "team-a/app")
    owner, stranger = tenancy.team("team-a/app"), tenancy.team("nothing")
    image = tenancy.shop.image("team-a/app")
    cluster.kubelet.restart(WITHOUT_RECORDS)
    tenancy.is_refused(stranger, "team-a/app", policy="IfNotPresent")
    tenancy.pulls(owner, "team-a/app", policy="IfNotPresent")
    served = len(cluster.calls("registry.manifest", tenancy.shop))

    tenancy.pulls(stranger, "team-a/app", policy="IfNotPresent")
    assert len(cluster.calls("registry.manifest", tenancy.shop)) == served, "nobody was asked"
    tenancy.is_refused(stranger, "team-a/app", policy="Always")

    # A pod that is still refused would be tried again, and an image that is just being pulled has a record of that.
    cluster.delete_pods()
    cluster.kubelet.restart()  # as one does that was upgraded
    tenancy.pulls(stranger, "team-a/app", policy="IfNotPresent")

    cluster.delete_pods()
    cluster.kubelet.stop()
    cluster.runtime.remove(image)
    cluster.kubelet.start()
    tenancy.is_refused(stranger, "team-a/app", policy="IfNotPresent")
    tenancy.pulls(owner, "team-a/app", policy="IfNotPresent")
    tenancy.is_refused(stranger, "team-a/app", policy="IfNotPresent")
    assert {session for _, session in tenancy.who_asked("registry.auth")} <= {owner.session, stranger.session}


ALL = (
    each_service_account_pulls_with_its_own_token,
    an_image_on_the_node_is_used_by_those_alone_who_may_pull_it,
    a_missing_audience_grant_stops_pods_alone_and_is_found_by_the_doctor,
    the_right_to_tokens_may_be_given_for_single_service_accounts,
    a_service_account_without_a_role_is_refused_and_told_what_to_do,
    a_role_that_does_not_trust_the_pod_is_refused_and_never_becomes_the_node,
    static_pods_and_those_without_a_role_get_the_nodes_where_the_settings_say_so,
    the_doctor_walks_the_way_of_a_pod_with_its_token,
    a_node_that_was_switched_keeps_its_old_images_open_until_they_are_removed,
    a_kubelet_that_keeps_no_records_leaves_images_to_everybody_and_so_does_its_successor,
)


def _token(cluster: Cluster, team: Team, audience: str = AUDIENCE) -> str:
    """Return what ``kubectl create token --audience`` prints."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": [audience]}}
    return cluster.api.create(f"{ACCOUNTS}/{team.account}/token", request)["status"]["token"]


def examined(cluster: Cluster, image: str, *, token: str = "", role: str = "") -> dict[str, dict[str, Any]]:
    """Return what the doctor, run on the node, says of each step."""
    words = ["doctor", image, "--output", "json"]
    if token:
        words += ["--token-file", "-", "--service-account-annotation", f"{ROLE}={role}"]
    ran = cluster.node.run([str(cluster.plugin), *words], input=token.encode(), capture_output=True)
    assert ran.stderr == b"", ran.stderr
    assert not token or token.encode() not in ran.stdout
    return {each["name"]: each for each in json.loads(ran.stdout)["checks"]}
