"""What the webhook answers: our entry and nothing else, the Secret first, and never a cluster held up by us."""

import asyncio
import json
import threading
import time
from base64 import b64decode

import pytest
from acr_credential_provider.model.errors import CloudUnreachableError
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret
from acr_credential_provider.pull_secrets.serving.http_server import Request
from acr_credential_provider.pull_secrets.webhook.admission import PATH, AdmissionHandler, BadReviewError, Review
from acr_credential_provider.settings.pull_secrets import Admission, PullSecrets
from hypothesis import given
from hypothesis import strategies as st

SECRET = "acr-credential-aliyun"
CANARY = b"canary-7f3a"


class Living:
    """Everything lives; ServiceAccounts named other are not meant."""

    def __init__(self, policy="Ignore"):
        self.settings = PullSecrets(admission=Admission(mode="webhook", failurePolicy=policy))
        self.asked = []
        self.looks = self.unheard = 0
        self.secrets = set()

    def pull_secret_for(self, namespace, service_account, *, labels=None, annotations=None):
        self.asked.append((namespace, service_account, labels, annotations))
        return None if service_account == "other" else PullSecret(SECRET, CANARY)

    def knows(self, namespace):
        self.looks += 1
        return self.looks > self.unheard

    def has_secret(self, namespace, name):
        return (namespace, name) in self.secrets

    def spec(self):
        return self.settings

    def is_ready(self):
        return True


class Counted:
    def __init__(self):
        self.outcomes = []

    def admitted(self, outcome, seconds):
        assert seconds >= 0
        self.outcomes.append(outcome)


class Desk:
    """An `Admission` with everything around it that it needs."""

    def __init__(self, ensure=None, policy="Ignore"):
        self.made = []
        self.living = Living(policy)
        self.counted = Counted()
        self.admission = AdmissionHandler(self.living, ensure or self.make, self.counted)

    def make(self, namespace, secret, seconds):
        assert seconds <= 1.0
        self.made.append((namespace, secret.name))

    def ask(self, body, query=None):
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        return asyncio.run(self.admission.answer(Request("POST", PATH, query or {"timeout": "10s"}, body)))

    def response(self, body, query=None):
        answer = self.ask(body, query)
        assert answer.status == 200
        document = json.loads(answer.body)
        assert (document["apiVersion"], document["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        return document["response"]


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.admission.close()


def review(account=None, **request):
    """Return a review as an API server of today sends it."""
    account = {"metadata": {"name": "build", "namespace": "team"}} if account is None else account
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "ServiceAccount"},
            "resource": {"group": "", "version": "v1", "resource": "serviceaccounts"},
            "requestKind": {"group": "", "version": "v1", "kind": "ServiceAccount"},
            "requestResource": {"group": "", "version": "v1", "resource": "serviceaccounts"},
            "name": account["metadata"].get("name", ""),
            "namespace": "team",
            "operation": "CREATE",
            "userInfo": {"username": "kubernetes-admin", "groups": ["system:masters"]},
            "object": {"kind": "ServiceAccount", "apiVersion": "v1", **account},
            "oldObject": None,
            "dryRun": False,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
            **request,
        },
    }


def patch_in(response):
    assert response["patchType"] == "JSONPatch"
    return json.loads(b64decode(response["patch"]))


def applied(pull_secrets, patch):
    """Carry out *patch* (additions to a list alone) as RFC 6902 has it."""
    for step in patch:
        assert step["op"] == "add"
        if step["path"] == "/imagePullSecrets":
            assert pull_secrets is None, "an addition here would take the place of what is there"
            pull_secrets = step["value"]
        else:
            assert step["path"] == "/imagePullSecrets/-"
            pull_secrets = [*pull_secrets, step["value"]]
    return pull_secrets


def test_a_new_service_account_gets_the_entry_and_the_namespace_its_secret_first(desk):
    response = desk.response(review())
    assert response["allowed"] is True
    assert response["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"
    assert patch_in(response) == [{"op": "add", "path": "/imagePullSecrets", "value": [{"name": SECRET}]}]
    assert desk.made == [("team", SECRET)]
    assert desk.counted.outcomes == ["patched"]


@given(st.none() | st.lists(st.sampled_from(["a", "default-dockercfg-x1", SECRET, ""])))
def test_the_entries_of_others_stay_as_they_are_and_in_their_order(names):
    listed = None if names is None else [{"name": name} for name in names]
    account = {"metadata": {"name": "build"}, **({} if listed is None else {"imagePullSecrets": listed})}
    found = Review.decode(json.dumps(review(account)).encode())
    after = applied(listed, found.patch(SECRET))
    assert after[: len(listed or [])] == (listed or [])
    assert [entry["name"] for entry in after].count(SECRET) == max(1, (names or []).count(SECRET))


@pytest.mark.parametrize("entry", [{}, {"name": None}, None], ids=["no name", "null for a name", "null"])
def test_an_entry_that_names_nothing_keeps_nobody_from_getting_ours(desk, entry):
    response = desk.response(review({"metadata": {"name": "build"}, "imagePullSecrets": [entry]}))
    assert patch_in(response) == [{"op": "add", "path": "/imagePullSecrets/-", "value": {"name": SECRET}}]


def test_a_list_that_is_null_is_no_list(desk):
    response = desk.response(review({"metadata": {"name": "build"}, "imagePullSecrets": None}))
    assert patch_in(response)[0]["path"] == "/imagePullSecrets"


def test_who_has_the_entry_already_gets_no_patch_but_the_secret(desk):
    response = desk.response(review({"metadata": {"name": "build"}, "imagePullSecrets": [{"name": SECRET}]}))
    assert "patch" not in response
    assert desk.made == [("team", SECRET)]
    assert desk.counted.outcomes == ["unchanged"]


def test_who_is_not_meant_goes_through_unchanged_and_costs_nothing(desk):
    response = desk.response(review({"metadata": {"name": "other"}}))
    assert response == {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": True}
    assert desk.made == []
    assert desk.counted.outcomes == ["skipped"]


def test_labels_and_annotations_are_what_the_selection_is_asked_with(desk):
    meta = {"name": "build", "labels": {"team": "a"}, "annotations": {"b": "c"}}
    desk.response(review({"metadata": meta}))
    assert desk.living.asked == [("team", "build", {"team": "a"}, {"b": "c"})]


def test_a_name_that_is_yet_to_be_made_up_is_empty(desk):
    desk.response(review({"metadata": {"generateName": "build-"}}))
    assert desk.living.asked[0][1] == ""


def test_a_namespace_that_is_a_moment_old_is_waited_for(desk):
    desk.living.unheard = 5
    assert patch_in(desk.response(review()))
    assert desk.living.looks > 5


def test_a_namespace_that_is_never_heard_of_costs_half_the_budget_and_is_judged_by_its_name(desk):
    desk.living.unheard = 10**9
    assert patch_in(desk.response(review(), query={"timeout": "1s"}))


def test_a_dry_run_gets_the_same_answer_and_makes_nothing(desk):
    assert patch_in(desk.response(review(dryRun=True)))
    assert desk.made == []


@pytest.mark.parametrize(
    "request_",
    [
        {"operation": "UPDATE"},
        {"operation": "DELETE", "object": None},
        {"subResource": "token"},
        {"resource": {"group": "", "version": "v1", "resource": "secrets"}},
        {"resource": {"group": "example.com", "version": "v1", "resource": "serviceaccounts"}},
    ],
)
def test_what_is_not_the_creation_of_a_service_account_goes_through_unchanged(desk, request_):
    assert "patch" not in desk.response(review(**request_))
    assert desk.made == []


REFUSING = CloudUnreachableError("the API server refused POST (403 Forbidden)", remedy="Grant it.")


def refusing(_namespace, _secret, _seconds):
    raise REFUSING


def test_with_ignore_who_must_wait_for_the_secret_is_let_through_with_the_entry_and_a_warning():
    desk = Desk(refusing)
    response = desk.response(review())
    assert response["allowed"] is True
    assert patch_in(response)
    assert "403" in response["warnings"][0]
    assert desk.counted.outcomes == ["secret_pending"]
    desk.admission.close()


def test_with_fail_who_cannot_have_the_secret_is_refused_so_that_callers_try_again():
    desk = Desk(refusing, policy="Fail")
    response = desk.response(review())
    assert response["allowed"] is False
    assert response["status"]["code"] == 503
    assert "403" in response["status"]["message"]
    assert desk.counted.outcomes == ["refused"]
    desk.admission.close()


@pytest.mark.parametrize("policy", ["Ignore", "Fail"])
def test_without_a_living_token_everyone_is_let_through_under_either_policy(policy):
    desk = Desk(policy=policy)
    desk.living.pull_secret_for = lambda *_given, **_named: None
    assert desk.response(review())["allowed"] is True
    desk.admission.close()


def test_an_api_server_that_hangs_costs_the_budget_and_no_more():
    hung = threading.Event()

    def hang(_namespace, _secret, _seconds):
        hung.wait(30)

    desk = Desk(hang)

    async def all_at_once():
        request = Request("POST", PATH, {"timeout": "1s"}, json.dumps(review()).encode())
        return await asyncio.gather(*(desk.admission.answer(request) for _ in range(50)))

    began = time.monotonic()
    answers = asyncio.run(all_at_once())
    took = time.monotonic() - began
    hung.set()
    assert all(json.loads(answer.body)["response"]["allowed"] for answer in answers)
    assert 0.4 < took < 10
    desk.admission.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {}}',
        json.dumps(review(uid=None) | {"request": None}).encode(),
        json.dumps(review({"metadata": {"name": "build", "labels": 3}})).encode(),
        json.dumps(review({"metadata": {"name": "build"}, "imagePullSecrets": ["x"]})).encode(),
    ],
)
def test_what_is_no_review_is_refused_as_a_bad_request(desk, body):
    assert desk.ask(body).status == 400


@pytest.mark.parametrize("namespace", ["", "../kube-system", "a/b", "a?b", "A", "a" * 64, "team\n", "é"])
def test_a_namespace_that_would_lead_elsewhere_is_refused(desk, namespace):
    assert desk.ask(review(namespace=namespace)).status == 400
    assert desk.made == []


def test_what_is_not_posted_is_refused(desk):
    assert asyncio.run(desk.admission.answer(Request("GET", PATH, {}, b""))).status == 405


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda e: st.lists(e) | st.dictionaries(st.text(), e)
    )
)
def test_any_json_is_either_a_review_or_refused(document):
    for whole in (
        document,
        review(document if isinstance(document, dict) and "metadata" in document else None) | {"request": document},
    ):
        try:
            Review.decode(json.dumps(whole).encode())
        except BadReviewError:
            continue


def test_the_secrets_content_is_in_no_answer(desk):
    bodies = [desk.ask(review()).body, desk.ask(review({"metadata": {"name": "other"}})).body, desk.ask(b"{").body]
    assert not any(CANARY in body for body in bodies)
