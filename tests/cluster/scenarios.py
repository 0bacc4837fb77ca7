"""What the plugin must do on a real node, one function per promise; each raises when it is not kept.

They are run against the frozen plugin, and against plugins that are broken on purpose: so
each is a function of a `Cluster` and leaves the choice of the plugin to its caller.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.faults import Failure, Hang
from sandbox.state import EVERY_ACTION, Principal

from .cluster import wait_until

if TYPE_CHECKING:
    from .cluster import Cluster, Shop

DEADLINE = 15.0
"""Seconds that the plugin gives itself for an answer (README)."""
CALLS_OF_A_REFUSED_PULL = 2
"""The kubelet's first try and at most one more while the test looks on."""

SAID = re.compile(r"exit status 1: error: (.+) \[\w+\]\n\s*remedy: (.+)\n")
"""The plugin's two lines as the kubelet logs them."""


@dataclass(frozen=True)
class LongRun:
    """How long pulls go on, with tokens of which life, all in seconds."""

    token_life: float
    pulls_for: float
    between_pulls: float

    @classmethod
    def from_environment(cls) -> LongRun:
        """Return a run a tenth as long as the real one, or with E2E_FULL=1 the real one: 15 minutes."""
        if os.environ.get("E2E_FULL") == "1":
            return cls(token_life=240.0, pulls_for=900.0, between_pulls=20.0)
        return cls(token_life=24.0, pulls_for=90.0, between_pulls=4.0)


# The main job.
def a_node_role_pulls_by_public_and_vpc_host_and_custom_domain(cluster: Cluster) -> None:
    """One token, asked for with the node's own RAM role, serves every name that ACR lists for the instance."""
    shop = cluster.open_shop("demo", "team/app", "team/web", "team/job")
    cluster.sandbox.state.add_custom_domain(shop.id, "images.example.com")
    cluster.map_host("images.example.com", shop)
    cluster.write_settings(cluster.entry(shop, identity={"kind": "nodeRole"}))
    public, vpc = shop.hosts
    for host, repository in ((public, "team/app"), (vpc, "team/web"), ("images.example.com", "team/job")):
        _pulls(cluster, shop, repository, host=host)
    assert cluster.tokens_asked(shop) == 1
    assert len(cluster.calls("ListInstanceEndpoint", shop)) == 1


def two_instances_each_get_a_token_of_their_own_key(cluster: Cluster) -> None:
    """A node may use several instances, each with another key: a token never goes to the wrong one."""
    shops = [cluster.open_shop("two", "team/app"), cluster.open_shop("two", "team/app")]
    cluster.write_settings(*(cluster.entry(shop) for shop in shops))
    for shop in shops:
        _pulls(cluster, shop, "team/app")
        asked = cluster.calls("GetAuthorizationToken", shop)
        assert [call.access_key_id for call in asked] == [shop.key.id]


def thirty_images_at_once_on_a_cold_node_cost_one_token(cluster: Cluster) -> None:
    """A herd of pods of one instance is served by one call."""
    repositories = [f"team/app-{number}" for number in range(30)]
    shop = cluster.open_shop("herd", *repositories)
    cluster.write_settings(cluster.entry(shop, *shop.hosts))
    pods = {repository: cluster.start_pod(shop.image(repository)) for repository in repositories}
    pulled = {repository: cluster.digest_of(pod, timeout=120) for repository, pod in pods.items()}
    assert pulled == {repository: shop.digest(repository) for repository in repositories}
    assert cluster.tokens_asked(shop) == 1


def a_restarted_kubelet_finds_the_token_on_the_node(cluster: Cluster) -> None:
    """What the kubelet forgets, the node still has: the first pull after a restart makes no call."""
    shop = cluster.open_shop("restart", "team/app", "team/web")
    cluster.write_settings(cluster.entry(shop, *shop.hosts))
    _pulls(cluster, shop, "team/app")
    before = cluster.sandbox.calls.count("GetAuthorizationToken")
    cluster.kubelet.restart()
    _pulls(cluster, shop, "team/web")
    assert cluster.kubelet.plugin_runs() == 1, "the kubelet did ask the plugin"
    calls = cluster.sandbox.calls.count("GetAuthorizationToken") - before
    assert calls == 0, f"{calls} calls after the restart"
    assert cluster.tokens_asked(shop) == 1


def pulls_go_on_over_many_token_lives(cluster: Cluster) -> None:
    """Tokens are renewed in time: over many of their lives no login is refused."""
    run = LongRun.from_environment()
    count = int(run.pulls_for / run.between_pulls)
    repositories = [f"team/app-{number}" for number in range(count)]
    shop = cluster.open_shop("long", *repositories)
    cluster.sandbox.state.token_life = run.token_life
    cluster.write_settings(cluster.entry(shop, *shop.hosts))
    began = time.monotonic()
    for number, repository in enumerate(repositories):
        time.sleep(max(0.0, began + number * run.between_pulls - time.monotonic()))
        _pulls(cluster, shop, repository)
    refused = [call for call in cluster.calls("registry.auth", shop) if call.status == 401 and call.access_key_id]
    assert not refused
    # A token is renewed within the second half of its life, so not more often than twice a life.
    lives = run.pulls_for / run.token_life
    assert lives - 1 <= cluster.tokens_asked(shop) <= 2 * lives + 2


# What goes wrong.
def a_missing_permission_is_told_with_its_remedy(cluster: Cluster) -> None:
    """The pod's event says that the login failed; the kubelet's log says which policy to attach."""
    poor = Principal("poor", actions=EVERY_ACTION - {"cr:GetAuthorizationToken"})
    shop = cluster.open_shop("poor", "team/app", principal=poor)
    cluster.write_settings(cluster.entry(shop, *shop.hosts))
    _is_refused(cluster, shop, problem="NoPermission", remedy="cr:GetAuthorizationToken")


def a_wrong_key_is_told_with_its_remedy(cluster: Cluster) -> None:
    """The same for an AccessKey that does not exist any more."""
    shop = cluster.open_shop("key", "team/app")
    cluster.sandbox.state.remove_key(shop.key.id)
    cluster.write_settings(cluster.entry(shop, *shop.hosts))
    _is_refused(cluster, shop, problem="InvalidAccessKeyId", remedy="Correct the access key")


def a_cloud_that_is_down_stops_no_pull_while_a_token_lives(cluster: Cluster) -> None:
    """Pulls go on with the living token, then fail and say why, then recover by themselves."""
    shop = cluster.open_shop("down", "team/app", "team/web", "team/job")
    cluster.sandbox.state.token_life = life = 20.0
    cluster.write_settings(cluster.entry(shop, *shop.hosts))
    _pulls(cluster, shop, "team/app")
    granted = time.monotonic()
    cluster.sandbox.faults.add("GetAuthorizationToken", Failure(503))
    _pulls(cluster, shop, "team/web")

    time.sleep(max(0.0, granted + life - time.monotonic()))
    mark = cluster.now_in_kubelet_log
    pod = cluster.start_pod(shop.image("team/job"))
    assert "401" in cluster.refusal(pod)
    said = SAID.findall(cluster.kubelet_log(mark))
    assert said
    assert all("503" in error for error, _ in said), said

    cluster.sandbox.state.token_life = None
    cluster.sandbox.faults.clear()
    # The kubelet waits 10 s after the first failure, 20 s after the second.
    assert cluster.digest_of(pod, timeout=35, patient=True) == shop.digest("team/job")


def a_hung_cloud_delays_a_pod_with_its_own_secret_by_the_deadline_at_most(cluster: Cluster) -> None:
    """The kubelet runs the plugin even where an imagePullSecret will do; that must not cost a pod its minute."""
    shop = cluster.open_shop("hung", "team/app")
    cluster.write_settings(cluster.entry(shop, *shop.hosts))
    cluster.sandbox.faults.add("GetAuthorizationToken", Hang())
    login = cluster.sandbox.state.mint_login(shop.key, shop.id, life=3600)
    secret = _create_secret(cluster, shop.hosts[0], login.username, login.password)
    pod = cluster.start_pod(shop.image("team/app"), imagePullSecrets=[{"name": secret}])
    assert cluster.digest_of(pod, timeout=60) == shop.digest("team/app")
    hung = cluster.calls("GetAuthorizationToken", shop)[0].time
    pulled = next(call.time for call in cluster.calls("registry.manifest", shop) if call.status == 200)
    assert pulled - hung <= DEADLINE + 1.0, f"the pod was held up for {pulled - hung:.1f} s"
    assert pulled - hung > 1.0, "the plugin did wait for the cloud"


def repaired_settings_count_within_kubelet_cache(cluster: Cluster) -> None:
    """A token that ACR grants but its registry refuses is not kept beyond `maxCacheDuration`, nor past a repair."""
    wrong = Principal("no-pull", actions=EVERY_ACTION - {"cr:PullRepository"})
    shop = cluster.open_shop("repair", "team/app")
    other = cluster.open_shop("repair", "team/app", principal=wrong)
    entry = cluster.entry(shop, *shop.hosts)
    cluster.write_settings({**entry, "identity": cluster.entry(other)["identity"]}, max_cache_duration="5s")
    pod = cluster.start_pod(shop.image("team/app"))
    cluster.refusal(pod)
    started = cluster.kubelet.started

    cluster.write_settings(entry, max_cache_duration="5s")
    # The 5 s end while the kubelet waits its 10 s; the try after that is with the new key.
    assert cluster.digest_of(pod, timeout=20, patient=True) == shop.digest("team/app")
    assert cluster.kubelet.started == started
    assert cluster.calls("GetAuthorizationToken", shop)[-1].access_key_id == shop.key.id


def public_images_come_anonymously_while_the_plugin_fails(cluster: Cluster) -> None:
    """The plugin's failure leaves the list of logins empty, and so the kubelet asks without any."""
    repository = "acs/tool"
    shop = cluster.open_shop("public", repository, "team/app", public=(repository,))
    host = "registry.cn-hangzhou.aliyuncs.com"
    cluster.map_host(host, shop)
    cluster.settings_file.unlink(missing_ok=True)
    mark = cluster.now_in_kubelet_log
    _pulls(cluster, shop, repository, host=host)
    assert cluster.refusal(cluster.start_pod(shop.image("team/app", host)))
    wait_until(lambda: "remedy: Install the settings" in cluster.kubelet_log(mark), timeout=5, what="the remedy")


ALL = (
    a_node_role_pulls_by_public_and_vpc_host_and_custom_domain,
    two_instances_each_get_a_token_of_their_own_key,
    thirty_images_at_once_on_a_cold_node_cost_one_token,
    a_restarted_kubelet_finds_the_token_on_the_node,
    pulls_go_on_over_many_token_lives,
    a_missing_permission_is_told_with_its_remedy,
    a_wrong_key_is_told_with_its_remedy,
    a_cloud_that_is_down_stops_no_pull_while_a_token_lives,
    a_hung_cloud_delays_a_pod_with_its_own_secret_by_the_deadline_at_most,
    repaired_settings_count_within_kubelet_cache,
    public_images_come_anonymously_while_the_plugin_fails,
)


def _pulls(cluster: Cluster, shop: Shop, repository: str, *, host: str | None = None) -> None:
    """A pod of *repository* runs, and what runs was pulled now, from *shop*, whole."""
    image = shop.image(repository, host)
    assert image not in cluster.runtime.images(), "an image that is here already shows nothing"
    before = _served(cluster, shop, repository)
    assert cluster.pull(image) == shop.digest(repository)
    assert cluster.runtime.images()[image] == shop.digest(repository)
    assert _served(cluster, shop, repository) > before


def _served(cluster: Cluster, shop: Shop, repository: str) -> int:
    start = f"/v2/{repository}/"
    return sum(call.path.startswith(start) for call in cluster.calls("registry.manifest", shop) if call.status == 200)


def _is_refused(cluster: Cluster, shop: Shop, *, problem: str, remedy: str) -> None:
    mark = cluster.now_in_kubelet_log
    pod = cluster.start_pod(shop.image("team/app"))
    events = cluster.refusal(pod)
    assert "401" in events, events
    said = SAID.findall(cluster.kubelet_log(mark))
    assert said, "the kubelet's log holds what the plugin said"
    assert all(problem in error and remedy in advice for error, advice in said), said
    assert shop.key.secret not in cluster.kubelet_log(mark)
    assert shop.image("team/app") not in cluster.runtime.images()
    assert cluster.tokens_asked(shop) <= CALLS_OF_A_REFUSED_PULL


def _create_secret(cluster: Cluster, host: str, username: str, password: str) -> str:
    """Create an imagePullSecret and return its name."""
    name = f"login-{cluster.next_number()}"
    auth = base64.b64encode(f"{username}:{password}".encode()).decode()
    config: dict[str, Any] = {"auths": {host: {"auth": auth}}}
    cluster.api.create(
        "/api/v1/namespaces/default/secrets",
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()},
        },
    )
    return name
