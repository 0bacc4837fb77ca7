"""The rights in the manifests are enough for all that the controller does under their policy, and each is needed.

A replica runs with exactly these rights while a busy cluster makes it do everything it can do. What an API server
refuses it is known by verb and resource.
"""

import contextlib
import itertools
import json
import threading
import time
from base64 import b64encode

import pytest
import yaml
from acr_credential_provider.model.authorization_token import AuthorizationGrant
from acr_credential_provider.pull_secrets.commands.servers import ReplicaServers, Serving
from acr_credential_provider.pull_secrets.config.options import Options
from acr_credential_provider.pull_secrets.kube.client import KubeClient
from acr_credential_provider.pull_secrets.kube.event_recorder import EventFilter
from acr_credential_provider.pull_secrets.kube.informer import Times
from acr_credential_provider.pull_secrets.kube.leader_election import LeaseTimes
from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef
from acr_credential_provider.pull_secrets.reconcile.controller import Controller
from acr_credential_provider.pull_secrets.serving.default_telemetry import DefaultTelemetry
from acr_credential_provider.pull_secrets.tokens.token_cache import Fetched
from acr_credential_provider.pull_secrets.tokens.token_fetcher import TokenFetcher
from acr_credential_provider.pull_secrets.webhook.reconciler import WebhookTimes
from acr_credential_provider.pull_secrets.webhook.registration import SERVICE, ServiceReference
from acr_credential_provider.pull_secrets.webhook.serving_certificates import Lifetimes
from cluster.daemonset import collection
from cluster.kube import KubeError
from cluster.replicas import CONFIGURATION, delete, find, wait_until
from cluster.service import Service
from support.harness import ROOT

OWN = "kube-system"
NAME = "aliyun-acr-credential-provider-pull-secrets"
SECRET = "acr-credential-aliyun"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases/aliyun-acr-credential-provider-pull-secrets"
VERBS = {"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH"}
VERBS["delete"] = "DELETE"
MANIFESTS = ROOT / "packaging/manifests"
ACCOUNT, *DOCUMENTS = yaml.safe_load_all((MANIFESTS / "pull-secrets/rbac.yaml").read_text())
DOCUMENTS += yaml.safe_load_all((MANIFESTS / "components/webhook/rights.yaml").read_text())
POLICY = list(yaml.safe_load_all((MANIFESTS / "pull-secrets/own-objects-only.yaml").read_text()))
TAKE_OVER = list(yaml.safe_load_all((MANIFESTS / "pull-secrets/take-over.yaml").read_text()))
THEIRS = "acr-credential-secret-aggregation"
RIGHTS = [
    (place, number, verb)
    for place, document in enumerate(DOCUMENTS)
    for number, rule in enumerate(document.get("rules", []))
    for verb in rule["verbs"]
]


def _rule(place, number):
    return DOCUMENTS[place]["rules"][number]


def _named(right):
    place, number, verb = right
    rule = _rule(place, number)
    return f"{verb}-{rule['resources'][0]}-{'-'.join(rule.get('resourceNames', ['any']))}"


class Refusals(DefaultTelemetry):
    """Remembers what the API server refused, for want of a right or by the policy."""

    def __init__(self):
        super().__init__()
        self.refused = set()
        self.done = set()

    def called(self, verb, resource, code, seconds):
        super().called(verb, resource, code, seconds)
        (self.refused if code == "403" else self.done).add((verb, resource))


class Coins:
    """A cloud whose every login is another one, for a few seconds."""

    read_login = staticmethod(TokenFetcher.read_login)

    def __init__(self):
        self._count = itertools.count()

    def fetch(self, settings, registry, *, known):
        grant = AuthorizationGrant("cr_temp_user", f"coin-{next(self._count)}", 6.0)
        return Fetched(grant, "cn-hangzhou", ("demo-registry.cn-hangzhou.cr.aliyuncs.com",))


@pytest.fixture(scope="module")
def hook(api):
    """The Service that the API server asks; the ServiceAccount that the replica signs in as is bound by its policy."""
    for document in (ACCOUNT, *POLICY):
        api.create(collection(document), document)
    with Service(api, OWN, SERVICE) as service:
        yield service
    for document in (*POLICY, *DOCUMENTS, ACCOUNT):
        delete(api, f"{collection(document)}/{document['metadata']['name']}")


def grant(api, without=None, also=()):
    """Give the user the rights of the manifests, but for the one *without*, and those in *also*."""
    for document in [*DOCUMENTS, *also]:
        copy = json.loads(json.dumps(document))
        if without and document is DOCUMENTS[without[0]]:
            rule = copy["rules"][without[1]]
            rule["verbs"].remove(without[2])
            if not rule["verbs"]:
                copy["rules"].remove(rule)
        plural = copy["kind"].lower() + "s"
        where = f"/namespaces/{copy['metadata']['namespace']}" if "namespace" in copy["metadata"] else ""
        collection = f"/apis/rbac.authorization.k8s.io/v1{where}/{plural}"
        path = f"{collection}/{copy['metadata']['name']}"
        if find(api, path) is None:
            api.create(collection, copy)
        else:
            api.request("PUT", path, copy)


@contextlib.contextmanager
def at_work(api, hook, teams, *, live=None, take_over=False):
    """Run a replica that may do what was granted, in the middle of everything; yield what it was refused."""
    for each in ("configmaps/acr-configuration", "secrets/aliyun-acr-credential-provider-tokens"):
        delete(api, f"/api/v1/namespaces/{OWN}/{each}")
    delete(api, f"/api/v1/namespaces/{OWN}/secrets/aliyun-acr-credential-provider-webhook")
    delete(api, LEASE)
    delete(api, CONFIGURATION)
    telling = Refusals()
    kube = KubeClient.find(kubeconfig=str(api.kubeconfig_of(OWN, ACCOUNT["metadata"]["name"])), telemetry=telling)
    controller = Controller(
        kube,
        Options(
            OWN,
            tick=0.3,
            resync=1.0,
            lease=LeaseTimes(3.0, 2.0, 0.3),
            watch=Times(watch=1, resync=2),
            take_over=take_over,
            owner=NAME,
        ),
        identity="one",
        source=Coins(),
    )
    times = WebhookTimes(Lifetimes(certificate=6.0), 0.3)
    serving = Serving(ServiceReference(OWN, SERVICE, hook.port), "127.0.0.1", 0, 0, times)
    operations = ReplicaServers(kube, controller, telling, serving)
    hook.ports[:] = [operations.start()[0]]
    controller.start()
    stop = threading.Event()
    cluster = threading.Thread(target=live or _live, args=(api, teams, telling, stop))
    cluster.start()
    try:
        yield telling
    finally:
        stop.set()
        cluster.join()
        controller.stop()
        operations.stop(linger=0)
        kube.close()
        delete(api, CONFIGURATION)


def _live(api, teams, telling, stop):
    """What happens in a cluster, over and over: teams come and go, operators change their minds, others write too."""
    for number in itertools.count():
        with contextlib.suppress(KubeError, OSError):
            hooked = {
                "mode": ("webhook", "auto", "none")[number % 3],
                "failurePolicy": "Ignore",
                "timeoutSeconds": 1 + number % 5,
            }
            _configure(api, teams if number % 4 else teams[:1], hooked, f"host-{number}.example.com")
            for team in teams:
                _stir(api, team, number)
            about = ObjectRef("ServiceAccount", teams[0], "default")
            telling.event(about, "Tried", f"round {number // 4}", is_warning=False)
            telling.events._filter = EventFilter()  # as after a restart: what was told is forgotten
            if number % 4 == 3:
                delete(
                    api,
                    f"/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases/aliyun-acr-credential-provider-pull-secrets",
                )
            if number % 4 == 1:
                for name in ("tokens", "webhook"):
                    _touch(api, f"/api/v1/namespaces/{OWN}/secrets/aliyun-acr-credential-provider-{name}", number)
        if stop.wait(0.3):
            return


def _configure(api, teams, hooked, host):
    registry = {"instanceId": "cri-0000000000000001", "region": "cn-hangzhou", "domains": [host]}
    settings = {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [{**registry, "identity": {"kind": "nodeRole"}}],
        "pullSecrets": {"namespaces": teams, "serviceAccounts": ["*"], "admission": hooked},
    }
    path = f"/api/v1/namespaces/{OWN}/configmaps"
    body = {"metadata": {"name": "acr-configuration"}, "data": {"settings.yaml": json.dumps(settings)}}
    if find(api, f"{path}/acr-configuration") is None:
        api.create(path, body)
    else:
        api.request("PUT", f"{path}/acr-configuration", body)


def _stir(api, team, number):
    """Create an account, and write accounts and Secret again and again, so that others' writes meet conflicts."""
    accounts = f"/api/v1/namespaces/{team}/serviceaccounts"
    fresh = f"build-{time.monotonic_ns()}"
    api.create(accounts, {"metadata": {"name": fresh}})
    api.request("PATCH", f"{accounts}/{fresh}", {"imagePullSecrets": None}, "application/merge-patch+json")
    for turn in range(20):  # the controller puts the entry back meanwhile
        _touch(api, f"{accounts}/{fresh}", f"{number}-{turn}")
    for turn in range(30):  # the controller writes a new content meanwhile
        _touch(api, f"/api/v1/namespaces/{team}/secrets/{SECRET}", f"{number}-{turn}")
    if number % 5 == 4:
        delete(api, f"/api/v1/namespaces/{team}/secrets/{SECRET}")


def _touch(api, path, number):
    """Write something of no matter, and take the owner away, as if a version without owners had made the object."""
    patch = {"metadata": {"annotations": {"touched": str(number)}, "ownerReferences": None}}
    api.request("PATCH", path, patch, "application/merge-patch+json")


@pytest.fixture
def teams(api, namespace):
    return [namespace, api.namespace(f"{namespace}-b")]


def test_the_rights_are_enough_for_everything_and_everything_was_done(api, hook, teams):
    grant(api)
    needed = {(VERBS[verb], rule["resources"][0]) for place, number, verb in RIGHTS for rule in [_rule(place, number)]}
    with at_work(api, hook, teams) as telling:
        wait_until(lambda: needed <= telling.done or telling.refused, f"all of {needed}", timeout=120)
        assert telling.refused == set()


@pytest.mark.parametrize("right", RIGHTS, ids=_named)
def test_without_this_right_something_is_refused(api, hook, teams, right):
    place, number, verb = right
    grant(api, without=right)
    try:
        with at_work(api, hook, teams) as telling:
            # Of what it keeps for itself it deletes nothing; to be deleted by it is what saying who owns it takes.
            is_for_owners = DOCUMENTS[place]["kind"] == "Role" and verb == "delete"
            expected = (VERBS["update" if is_for_owners else verb], _rule(place, number)["resources"][0])
            wait_until(lambda: telling.refused, f"a refusal of {expected}", timeout=120)
            assert telling.refused == {expected}
    finally:
        grant(api)


def test_the_rights_for_taking_over_are_enough(api, hook, teams):
    """Another helper's Secret lives on for the Pods that refer to it."""
    grant(api, also=TAKE_OVER)  # whose Secrets are to go with the release too
    secrets, accounts = (f"/api/v1/namespaces/{teams[0]}/{plural}" for plural in ("secrets", "serviceaccounts"))
    content = {".dockerconfigjson": b64encode(b'{"auths": {"old.example": {"auth": "eDp5"}}}').decode()}
    api.create(secrets, {"metadata": {"name": THEIRS}, "type": "kubernetes.io/dockerconfigjson", "data": content})
    api.create(accounts, {"metadata": {"name": "default"}, "imagePullSecrets": [{"name": THEIRS}]})

    def live(api, teams, telling, stop):
        _configure(api, teams, {"mode": "none"}, "demo-registry.cn-hangzhou.cr.aliyuncs.com")
        stop.wait()

    with at_work(api, hook, teams[:1], live=live, take_over=True) as telling:
        wait_until(
            lambda: api.get(f"{accounts}/default")["imagePullSecrets"] == [{"name": SECRET}] or telling.refused,
            "its entry to be replaced",
        )
        wait_until(
            lambda: api.get(f"{secrets}/{THEIRS}")["data"] != content or telling.refused, "its Secret to be ours"
        )
        assert telling.refused == set()
    for document in TAKE_OVER:
        delete(api, f"/apis/rbac.authorization.k8s.io/v1/{document['kind'].lower()}s/{document['metadata']['name']}")
