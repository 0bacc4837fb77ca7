"""The scenarios are worth something: each way to be broken fails the one that is about it, and for that reason."""

import pytest
from cluster import broken_plugins, scenarios

NO_LOGIN = "401 Unauthorized"
CAUGHT = [
    ("wrong key", scenarios.two_instances_each_get_a_token_of_their_own_key, NO_LOGIN),
    ("extra field", scenarios.two_instances_each_get_a_token_of_their_own_key, NO_LOGIN),
    ("duration as a number", scenarios.two_instances_each_get_a_token_of_their_own_key, NO_LOGIN),
    ("late token", scenarios.pulls_go_on_over_many_token_lives, NO_LOGIN),
    (
        "exit 0 with empty auth",
        scenarios.a_missing_permission_is_told_with_its_remedy,
        "holds what the plugin said",
    ),
    ("no memory", scenarios.a_restarted_kubelet_finds_the_token_on_the_node, "1 calls after the restart"),
    (
        "no deadline",
        scenarios.a_hung_cloud_delays_a_pod_with_its_own_secret_by_the_deadline_at_most,
        "the pod was held up for 2",
    ),
]
NOT_BLAMED = [
    ("wrong key", scenarios.a_missing_permission_is_told_with_its_remedy),
    ("extra field", scenarios.a_missing_permission_is_told_with_its_remedy),
    ("late token", scenarios.two_instances_each_get_a_token_of_their_own_key),
    ("exit 0 with empty auth", scenarios.two_instances_each_get_a_token_of_their_own_key),
    ("no memory", scenarios.two_instances_each_get_a_token_of_their_own_key),
]


def names(cases):
    """Name each case by what is broken and by the scenario."""
    return [f"{name}-{scenario.__name__}" for name, scenario, *_ in cases]


@pytest.mark.parametrize(("name", "scenario", "reason"), CAUGHT, ids=names(CAUGHT))
def test_a_broken_plugin_is_caught(name, scenario, reason, cluster):
    broken_plugins.use(name, cluster)
    with pytest.raises(AssertionError, match=reason):
        scenario(cluster)


@pytest.mark.parametrize(("name", "scenario"), NOT_BLAMED, ids=names(NOT_BLAMED))
def test_a_broken_plugin_is_not_blamed_for_what_it_does_right(name, scenario, cluster):
    broken_plugins.use(name, cluster)
    scenario(cluster)
