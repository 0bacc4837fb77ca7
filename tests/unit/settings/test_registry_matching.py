"""Which registry an image belongs to, as tables: no disk, no cloud, no clock."""

import pytest
from acr_credential_provider.model.errors import CloudUnreachableError, ConfigurationError, IdentityUnavailableError
from acr_credential_provider.settings.registry_matching import Hosts, candidates, match
from support.judged import from_document

SHARED = "registry.cn-hangzhou.aliyuncs.com"
DEMO = "demo-registry.cn-hangzhou.cr.aliyuncs.com"
NODE = {"kind": "nodeRole"}


def settings(*registries, **more):
    valid = from_document(
        {
            "apiVersion": "aliyun-acr-credential-provider/v1",
            "kind": "ProviderSettings",
            "registries": [{"identity": NODE, **each} for each in registries],
        }
    )
    return valid._replace(**more)


class Cloud:
    """What is known of each instance's hosts, and what ACR would say; *asked* keeps the order."""

    def __init__(self, *, own="cn-hangzhou", known=None, lists=None):
        self.own, self.knows, self.lists, self.asked = own, known or {}, lists or {}, []

    def cover(self, where, given):
        coverage = match(where, given, self, path="/s", retry_after=5.0)
        return None if coverage.registry is None else given.registries.index(coverage.registry), coverage.until

    def region_of(self, registry):
        return registry.region or self.own

    def known(self, registry):
        return self.knows.get(registry.instance_id)

    def ask(self, registry, still_to_ask):
        self.asked.append((registry.instance_id, still_to_ask))
        hosts = self.lists.get(registry.instance_id)
        if hosts is None:
            raise CloudUnreachableError("ACR hangs", remedy="Wait.")
        return Hosts(hosts, 100.0)


HERE = {"region": "cn-hangzhou"}
KEY = {"identity": {"kind": "accessKey", "accessKeyIdFile": "/id", "accessKeySecretFile": "/secret"}}


@pytest.mark.parametrize(
    ("registries", "namespace", "winner"),
    [
        ([{"domains": [SHARED]}, {"namespaces": ["team"], **HERE}], "team", 1),
        ([{"domains": [SHARED]}, {"namespaces": ["team"], **HERE}], "other", 0),
        ([{"namespaces": ["team"]}, {"domains": [SHARED]}], "team", 0),
        ([HERE, {"namespaces": ["team"], **HERE}], "team", 1),
        ([HERE, {"namespaces": ["team"], **HERE}], "other", 0),
        ([{"region": "cn-beijing"}, {}], "team", 1),
        ([{"region": "cn-beijing", "namespaces": ["team"]}, HERE], "team", 1),
        ([{"namespaces": ["team"], **HERE}], "other", None),
        ([HERE], "acs", None),
        ([{"instanceId": "cri-a", **HERE}], "team", None),
    ],
    ids=str,
)
def test_on_a_shared_host_who_names_the_namespace_goes_before_who_takes_the_rest(registries, namespace, winner):
    assert Cloud().cover(f"{SHARED}/{namespace}", settings(*registries))[0] == winner


def test_two_accounts_that_could_both_have_a_shared_host_are_refused_once_the_nodes_region_is_known():
    with pytest.raises(ConfigurationError, match="two registries of the Personal Edition"):
        Cloud().cover(f"{SHARED}/team", settings({}, HERE | KEY))
    assert Cloud(own="cn-beijing").cover(f"{SHARED}/team", settings({}, HERE | KEY))[0] == 1


def test_a_hung_look_up_hides_neither_a_known_list_nor_one_that_can_still_be_asked_for():
    given = settings({"instanceId": "cri-hung", **HERE}, {"instanceId": "cri-demo", **HERE})
    known = Cloud(known={"cri-demo": Hosts([DEMO], 100.0)})
    assert (known.cover(DEMO, given)[0], known.asked) == (1, [])
    asked = Cloud(lists={"cri-demo": [DEMO]})
    assert (asked.cover(DEMO, given)[0], asked.asked) == (1, [("cri-hung", 2), ("cri-demo", 1)])


def test_an_entry_whose_identity_this_request_has_not_hides_no_other():
    class Cautious(Cloud):
        def known(self, registry):
            if registry.instance_id == "cri-pods":
                raise IdentityUnavailableError("no ServiceAccount token", remedy="Send one.")
            return super().known(registry)

    given = settings({"instanceId": "cri-pods", **HERE}, {"instanceId": "cri-demo", **HERE})
    assert Cautious(lists={"cri-demo": [DEMO]}).cover(DEMO, given)[0] == 1
    with pytest.raises(IdentityUnavailableError):
        Cautious(lists={"cri-demo": []}).cover(DEMO, given)


def test_nothing_is_asked_about_a_foreign_host():
    cloud = Cloud()
    given = settings({"instanceId": "cri-demo", **HERE})
    assert cloud.cover("images.example.com", given) == (None, 5.0)
    assert cloud.cover("docker.io", given) == (None, 5.0)
    assert cloud.asked == []


def test_a_custom_domain_is_found_in_a_list_that_is_known():
    cloud = Cloud(known={"cri-demo": Hosts(["images.example.com"], 100.0)})
    assert cloud.cover("images.example.com", settings({"instanceId": "cri-demo", **HERE}))[0] == 0


@pytest.mark.parametrize(
    ("doubt", "where"),
    [
        ({"personal_quarantined": True}, f"{SHARED}/team"),
        ({"quarantined_hosts": [SHARED]}, f"{SHARED}/team"),
        ({"quarantined_hosts": ["images.example.com"]}, "images.example.com"),
    ],
    ids=str,
)
def test_no_entry_answers_in_the_place_of_one_that_had_to_be_left_out(doubt, where):
    """Its identity was asked for and can't be had; another entry's must not take its place."""
    left = [HERE, {"instanceId": "cri-a", "domains": ["images.example.com"], **HERE}]
    given = settings(*left, skipped=[("line 9: a key stands in it", "Move it.")], **doubt)
    with pytest.raises(ConfigurationError, match="line 9: a key stands in it"):
        Cloud().cover(where, given)


def test_entries_that_were_left_out_do_not_cost_the_others():
    given = settings(
        {"instanceId": "cri-a", "domains": [DEMO], **HERE},
        skipped=[("line 9", "Move it.")],
        personal_quarantined=True,
    )
    assert Cloud().cover(DEMO, given)[0] == 0


def test_candidates_are_told_without_asking_anybody():
    given = settings({"instanceId": "cri-a", **HERE}, {"domains": [SHARED]}, {"namespaces": ["team"], **HERE})
    found = [given.registries.index(each) for each in candidates(f"{SHARED}/team", given.registries)]
    assert found == [2]
    assert [given.registries.index(each) for each in candidates(DEMO, given.registries)] == [0]
