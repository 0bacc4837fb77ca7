"""The MutatingAdmissionPolicy of the chart on the real API server: it selects as the controller does."""

import itertools
import random
import time

import pytest
from acr_credential_provider.pull_secrets.model.objects import Namespace, ServiceAccount
from acr_credential_provider.pull_secrets.model.resources import SELECTIONS
from acr_credential_provider.pull_secrets.model.selection import selects_account, selects_namespace
from acr_credential_provider.pull_secrets.webhook.admission_policy import NAME, parameters
from acr_credential_provider.settings.pull_secrets import Admission, PullSecrets
from cluster.kube import KubeError
from cluster.replicas import SECRET, Given, Replicas, find, wait_until
from support.admission_policy import BINDING, POLICY, Release
from support.replica import eventually
from support.selections import ACCOUNTS, NAMESPACES, SPECS

WEBHOOK = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{NAME}"
SWITCH = "aliyun-acr-credential-provider/pull-secrets"
MORE_NAMESPACES = {
    "noted": {"annotations": {"pull": "line one\nline two, with = and ,"}},
    "noted-off": {"annotations": {SWITCH: "disabled"}, "labels": {"team": "a"}},
    "noted-on": {"annotations": {SWITCH: "enabled"}, "labels": {"team": "", "tier": "x"}},
}
MORE_ACCOUNTS = {
    "noted-off": {"annotations": {SWITCH: "disabled"}},
    "noted": {"annotations": {"pull": "", "a.b/c": "é"}, "labels": {"team": ""}},
}
MORE_SPECS = [
    {"namespaceSelector": {"matchAnnotations": {"pull": "line one\nline two, with = and ,"}}, "serviceAccounts": ["*"]},
    {"namespaces": ["*"], "serviceAccountSelector": {"matchAnnotations": {"pull": "", "a.b/c": "é"}}},
    {"namespaces": ["*"], "serviceAccountSelector": {"matchLabels": {"team": ""}}},
    {"namespaces": ["{}team", "{}noted*"], "serviceAccounts": ["*"], "secretName": "another.name"},
    {},
]


@pytest.fixture
def release(api, namespace):
    with Release(api, namespace) as release:
        yield release


@pytest.fixture
def spaces(api, namespace):
    made = {}
    for name, metadata in (NAMESPACES | MORE_NAMESPACES).items():
        full = f"{namespace}-{name.replace('.', '-')}"
        api.create("/api/v1/namespaces", {"metadata": {"name": full, **(metadata or {})}})
        made_of = api.get(f"/api/v1/namespaces/{full}")["metadata"]
        made[full] = Namespace(full, labels=made_of["labels"], annotations=made_of.get("annotations", {}))
    return made


def filled(words, prefix):
    return {
        key: [pattern.format(f"{prefix}-") for pattern in value] if isinstance(value, list) else value
        for key, value in words.items()
    }


def random_words(random):
    """Return a selection of random parts."""

    def some(choices, most=2):
        return random.sample(choices, random.randint(0, most))

    def selector():
        labels = dict(some([("team", "a"), ("team", ""), ("tier", "x"), ("none", "y")], 1))
        expressions = []
        for key in some(["team", "tier", "none"]):
            operator = random.choice(["In", "NotIn", "Exists", "DoesNotExist"])
            values = {"values": some(["a", "b", "x", ""], 3) or ["y"]} if operator.endswith("In") else {}
            expressions.append({"key": key, "operator": operator, **values})
        annotations = dict(some([("pull", "no"), ("pull", ""), ("pull", 'say "yes"'), ("a.b/c", "é")], 1))
        return {"matchLabels": labels, "matchExpressions": expressions, "matchAnnotations": annotations}

    words = {
        "namespaces": some(["*", "{}team", "{}team-*", "{}o*s", "{}noted*", "{}*-b-c"]),
        "excludedNamespaces": some(["kube-*", "{}*-a", "{}ops", "{}noted"]),
        "serviceAccounts": some(["*", "default", "robot", "robot-*", "*o*"]),
    }
    for key in ("namespaceSelector", "serviceAccountSelector"):
        if random.random() < 0.5:
            words[key] = selector()
    return words


SAMPLES = [*SPECS, *MORE_SPECS, *(random_words(random.Random(seed)) for seed in range(20))]


def test_it_selects_whom_the_controller_selects(release, spaces):
    accounts = ACCOUNTS | MORE_ACCOUNTS
    seen = set()
    for words in SAMPLES:
        spec = PullSecrets.model_validate(filled(words, release.namespace))
        expected = {
            (space, name): selects_namespace(spec, spaces[space])
            and selects_account(
                spec,
                ServiceAccount(space, name, labels=each.get("labels", {}), annotations=each.get("annotations", {})),
            )
            for space, (name, each) in itertools.product(spaces, accounts.items())
        }
        # A name that no other sample has: the API server takes some time to learn new parameters.
        wanted = parameters(spec) | {"secretName": f"secret-{len(seen)}"}
        seen.add(wanted["secretName"])
        release.select(wanted)

        def is_as_expected(secret=wanted["secretName"], expected=expected):
            found = {
                (space, name): release.has_entry(space, name, secret, metadata={"name": name, **accounts[name]})
                for space, name in expected
            }
            return found == expected

        eventually(is_as_expected)


def test_what_is_in_the_list_stays_and_comes_first_and_ours_is_there_once(release, spaces):
    release.select(parameters(PullSecrets(namespaces=["*"], serviceAccounts=["*"], excludedNamespaces=[])))
    space = next(iter(spaces))
    eventually(lambda: release.entries(space, "new") == [SECRET])
    assert release.entries(space, "new", imagePullSecrets=[]) == [SECRET]
    assert release.entries(space, "new", imagePullSecrets=[{"name": "b"}, {}, {"name": "a"}]) == ["b", "", "a", SECRET]
    assert release.entries(space, "new", imagePullSecrets=[{"name": SECRET}, {"name": "z"}]) == [SECRET, "z"]
    assert release.entries("kube-system", "new") == []
    assert release.entries(release.namespace, "new") == []


def test_a_name_that_is_yet_to_be_generated_fits_a_pattern_alone(release, spaces):
    space = next(iter(spaces))
    unnamed = {"generateName": "robot-"}
    release.select(parameters(PullSecrets(namespaces=["*"], serviceAccounts=["*"])))
    eventually(lambda: release.entries(space, "", metadata=unnamed) == [SECRET])
    release.select(parameters(PullSecrets(namespaces=["*"], serviceAccounts=["robot-1"])))
    eventually(lambda: release.entries(space, "", metadata=unnamed) == [])
    assert release.entries(space, "robot-1") == [SECRET]


@pytest.mark.parametrize("where", ["namespaces", "excludedNamespaces", "serviceAccounts"])
def test_a_pattern_that_somebody_spoilt_stops_no_service_account(release, spaces, where):
    space = next(iter(spaces))
    selected = parameters(PullSecrets(namespaces=["*"], serviceAccounts=["*"]))
    release.select(selected)
    eventually(lambda: release.entries(space, "new") == [SECRET])
    release.select(selected | {where: selected[where] | {"names": [], "pattern": "^(["}})
    eventually(lambda: SECRET not in release.entries(space, "new"))


def test_a_release_that_comes_after_another_was_deleted_works_too(api, release, spaces):
    space = next(iter(spaces))
    selected = parameters(PullSecrets(namespaces=["*"], serviceAccounts=["*"]))
    release.select(selected)
    eventually(lambda: release.entries(space, "new") == [SECRET])
    release.__exit__()
    time.sleep(3)  # the API server forgets the last policy of a kind within a second or two
    release.__enter__()
    release.select(selected)
    eventually(lambda: release.entries(space, "new") == [SECRET])


def test_a_thousand_names_are_within_the_api_servers_limit_of_cost(release, spaces):
    space = next(iter(spaces))
    names = [f"a-namespace-whose-name-is-as-long-as-a-name-may-be-{number:012}" for number in range(1000)]
    patterns = [f"team-{number}-*" for number in range(200)]
    release.select(parameters(PullSecrets(namespaces=[*names, *patterns, space], serviceAccounts=["*"])))
    eventually(lambda: release.entries(space, "new") == [SECRET])


def test_auto_means_the_policy_and_without_any_replica_each_new_account_has_the_entry(api, release, spaces):
    space = next(iter(spaces))
    with Replicas(api, release.namespace, Given(Admission(mode="webhook"))) as replicas:
        replicas.started(2)
        replicas.given.admission = Admission(mode="auto", failurePolicy="Fail")
        wait_until(lambda: find(api, WEBHOOK) is None, "the webhook to go")
        assert release.selected() == parameters(replicas.given.spec())
        wait_until(lambda: release.entries(space, "new") == [SECRET], "the policy to work")
        assert [each.operations.webhook.check() for each in replicas.all] == ["", ""]
    assert release.entries(space, "new") == [SECRET]


@pytest.mark.parametrize("mode", ["webhook", "none"])
def test_when_the_settings_want_no_policy_any_more_it_is_emptied(api, release, mode):
    with Replicas(api, release.namespace, Given(Admission(mode="policy"))) as replicas:
        replicas.start()
        wait_until(release.selected, "its parameters")
        assert find(api, WEBHOOK) is None
        replicas.given.admission = Admission(mode=mode)
        wait_until(lambda: not release.selected(), "them to go")
        wait_until(lambda: (find(api, WEBHOOK) is not None) == (mode == "webhook"), "the webhook")


def test_before_the_configuration_is_known_the_policy_stays_as_it_is(api, release):
    kept = parameters(PullSecrets(secretName="kept"))
    release.select(kept)
    with Replicas(api, release.namespace, Given(Admission(mode="policy"), is_known=False)) as replicas:
        replicas.start()
        looks = replicas.all[0].operations.webhook
        for _ in range(3):
            looks.reconcile_once()
        assert release.selected() == kept


def test_what_somebody_wrote_into_its_parameters_is_put_right(api, release):
    with Replicas(api, release.namespace, Given(Admission(mode="policy"))) as replicas:
        replicas.start()
        wait_until(release.selected, "its parameters")
        before = release.selected()
        release.select(parameters(PullSecrets(secretName="somebody-elses")))
        wait_until(lambda: release.selected() == before, "it to be put right")


def test_where_there_is_no_policy_auto_means_the_webhook_and_policy_is_an_event(api, namespace):
    with Replicas(api, namespace, Given(Admission(mode="auto"))) as replicas:
        replicas.started(1)
        replicas.given.admission = Admission(mode="policy")
        wait_until(lambda: find(api, WEBHOOK) is None, "the webhook to go")
        wait_until(lambda: "AdmissionPolicyMissing" in reasons(api), "the Event")


def test_the_policy_of_another_release_is_not_taken_for_ours(api, release):
    elsewhere = api.namespace(f"{release.namespace}-elsewhere")
    with Replicas(api, elsewhere, Given(Admission(mode="auto"))) as replicas:
        replicas.start()
        wait_until(lambda: find(api, WEBHOOK), "the webhook, for want of a policy")
        assert release.selected() == {}


def reasons(api):
    return {each["reason"] for each in api.get("/api/v1/events")["items"]}


def test_the_controller_may_write_the_policys_parameter_and_no_policy(api, release):
    account = "aliyun-acr-credential-provider-pull-secrets"
    api.create(f"/api/v1/namespaces/{release.namespace}/serviceaccounts", {"metadata": {"name": account}})
    for each in release.rights:
        api.create(collection(each), each)
    token = api.token_of(release.namespace, account)
    release.select(parameters(PullSecrets()))
    written = api.get(release.selection)

    def may(method, path, body=None):
        try:
            api.request(method, path, body, token=token)
        except KubeError as error:
            if error.status != 403:
                raise
            return False
        return True

    try:
        wait_until(lambda: may("GET", f"{POLICY}/{NAME}"), "the rights to be granted")
        assert may("GET", f"{BINDING}/{NAME}")
        assert may("PUT", release.selection, written)
        assert may("DELETE", release.selection)
        elsewhere = SELECTIONS.path("default")
        for path, body in ((POLICY, api.get(f"{POLICY}/{NAME}")), (BINDING, api.get(f"{BINDING}/{NAME}"))):
            assert not may("PUT", f"{path}/{NAME}", body)
            assert not may("DELETE", f"{path}/{NAME}")
            body["metadata"] = {"name": "another"}
            assert not may("POST", path, body)
            assert not may("GET", f"{path}/another")
        written["metadata"] = {"name": NAME}
        assert not may("POST", elsewhere, written)
        assert may("POST", release.selections, written)
    finally:
        for each in release.rights:
            api.request("DELETE", f"{collection(each)}/{each['metadata']['name']}")


def collection(right):
    namespace = right["metadata"].get("namespace", "")
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{right['apiVersion']}{scope}/{right['kind'].lower()}s"
