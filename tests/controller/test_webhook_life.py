"""What the webhook has in a cluster: configured, switched, changed, unreachable, rotated, gone."""

import json
import logging
import socket
import threading
import time

import pytest
from acr_credential_provider.pull_secrets.commands.uninstall import uninstall
from acr_credential_provider.pull_secrets.config.options import Options
from acr_credential_provider.pull_secrets.kube.client import KubeClient
from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef
from acr_credential_provider.pull_secrets.serving.default_telemetry import DefaultTelemetry
from acr_credential_provider.pull_secrets.webhook import registration
from acr_credential_provider.pull_secrets.webhook.reconciler import WebhookReconciler
from acr_credential_provider.pull_secrets.webhook.registration import ServiceReference
from acr_credential_provider.pull_secrets.webhook.serving_certificates import Lifetimes
from acr_credential_provider.settings.pull_secrets import Admission, PullSecrets
from cluster.kube import KubeError
from cluster.replicas import (
    CERTIFICATES,
    CONFIGURATION,
    SECRET,
    Core,
    Given,
    Replicas,
    create,
    delete,
    find,
    names,
    page,
    wait_until,
)


@pytest.fixture
def own(api, namespace):
    """The namespace of a test's own replicas; nothing of the webhook is there."""
    delete(api, CONFIGURATION)
    return namespace


def test_with_ignore_a_service_account_is_created_while_no_replica_can_be_reached(api, own):
    with Replicas(api, own) as replicas:
        replicas.started(1)
        replicas.service.ports.clear()
        replicas.service.drop()
        assert names(create(api, own_team(api))) == []


def test_with_fail_a_service_account_is_refused_while_no_replica_can_be_reached(api, own):
    with Replicas(api, own, Given(Admission(mode="webhook", failurePolicy="Fail", timeoutSeconds=2))) as replicas:
        replicas.started(1)
        replicas.service.ports.clear()
        replicas.service.drop()
        with pytest.raises(KubeError, match="failed calling webhook"):
            create(api, own_team(api))


@pytest.fixture
def hung():
    """The port of a replica that takes connections and never answers, as one on a node that hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("policy", ["Ignore", "Fail"])
def test_the_failure_policy_decides_once_a_replica_that_hangs_has_had_its_time(api, own, hung, policy):
    with Replicas(api, own, Given(Admission(mode="webhook", failurePolicy=policy, timeoutSeconds=2))) as replicas:
        replicas.started(1)
        replicas.service.ports[:] = [hung]
        replicas.service.drop()
        began = time.monotonic()
        if policy == "Fail":
            with pytest.raises(KubeError, match="failed calling webhook"):
                create(api, own_team(api))
        else:
            assert names(create(api, own_team(api))) == []
        assert 1.5 < time.monotonic() - began < 10


def test_with_fail_an_account_that_the_settings_do_not_select_is_created_all_the_same(api, own):
    given = Given(Admission(mode="webhook", failurePolicy="Fail", timeoutSeconds=2), namespaces=("another-*",))
    with Replicas(api, own, given) as replicas:
        replicas.started(1)
        replicas.service.ports.clear()
        replicas.service.drop()
        create(api, own_team(api))


def test_with_fail_who_cannot_have_a_secret_is_refused_with_the_reason(api, own):
    team = own_team(api)
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/secrets": "0"}}}
    with Replicas(
        api, own, Given(Admission(mode="webhook", failurePolicy="Fail"), content=b"x" * (2 << 20))
    ) as replicas:
        # The API server takes no Secret of this size. (A quota of none needs a controller that counts.)
        replicas.start()
        wait_until(lambda: find(api, CONFIGURATION), "the webhook to be configured")
        api.create(f"/api/v1/namespaces/{team}/resourcequotas", quota)
        wait_until(lambda: _refusal(api, team), "the webhook to be asked")
        assert f"its pull secret {SECRET} could not be made" in _refusal(api, team)
        replicas.given.admission = Admission(mode="webhook")
        wait_until(lambda: not _refusal(api, team), "the change to reach the API server")


def test_switched_off_the_configuration_goes_and_switched_on_it_comes_again(api, own):
    with Replicas(api, own) as replicas:
        replicas.started(2)
        replicas.given.admission = Admission()
        wait_until(lambda: find(api, CONFIGURATION) is None, "the configuration to go")
        replicas.given.admission = Admission(mode="webhook", failurePolicy="Fail", timeoutSeconds=30)
        wait_until(lambda: find(api, CONFIGURATION), "the configuration to come again")
        hook = find(api, CONFIGURATION)["webhooks"][0]
        assert (hook["failurePolicy"], hook["timeoutSeconds"]) == ("Fail", 10)
        reasons = {"WebhookSettings"}
        wait_until(lambda: reasons <= _events(api), "the warning")


def test_what_somebody_changed_in_the_configuration_is_put_right(api, own):
    with Replicas(api, own) as replicas:
        replicas.started(1)
        before = find(api, CONFIGURATION)["webhooks"]
        patch = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]
        api.request("PATCH", CONFIGURATION, patch, "application/json-patch+json")
        wait_until(lambda: find(api, CONFIGURATION)["webhooks"] == before, "it to be put right")


@pytest.mark.parametrize("is_another_releases", [False, True], ids=["its own", "another release's"])
def test_a_replica_whose_release_is_deleted_takes_back_what_leads_to_it_whoever_leads(api, own, is_another_releases):
    given = Given(is_known=False)  # as where it was started a moment ago
    kube = KubeClient.find(kubeconfig=str(api.kubeconfig("admin", group="system:masters")))
    there = ServiceReference("kube-public" if is_another_releases else own, "hook")
    api.create(
        CONFIGURATION.rpartition("/")[0],
        registration.manifest(PullSecrets(admission=Admission(mode="webhook")), there, b""),
    )
    core = Core(given, kube, about=ObjectRef("ConfigMap", own, "acr-configuration"), leads=False, is_leaving=True)
    keeper = WebhookReconciler(kube, core, ServiceReference(own, "hook"), DefaultTelemetry())
    keeper.reconcile_once()
    assert (find(api, CONFIGURATION) is not None) == is_another_releases
    delete(api, CONFIGURATION)
    kube.close()


def test_before_the_configuration_is_known_nothing_is_taken_away(api, own):
    with Replicas(api, own) as replicas:
        replicas.started(1)
        replicas.given.is_known = False
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            assert find(api, CONFIGURATION)
            time.sleep(0.2)


def test_somebody_elses_configuration_of_our_name_is_left_alone_and_told(api, own):
    theirs = {
        "metadata": {"name": CONFIGURATION.rpartition("/")[2]},
        "webhooks": [
            {
                "name": "a.b.example.com",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {"url": "https://127.0.0.1:9/"},
                "rules": [],
            }
        ],
    }
    api.create(CONFIGURATION.rpartition("/")[0], theirs)
    with Replicas(api, own) as replicas:
        replicas.start()
        wait_until(lambda: "WebhookForeign" in _events(api), "the Event")
        assert find(api, CONFIGURATION)["webhooks"][0]["name"] == "a.b.example.com"
        done = list(uninstall(replicas.all[0].kube, Options(own)))
        # Other tests' namespaces may still be on their way out of the cluster.
        assert [each for each in done if f" {own}/" in each] == [f"delete Secret {own}/{CERTIFICATES}"]
        assert not [each for each in done if "Configuration" in each]
        assert find(api, CONFIGURATION)


def test_uninstalled_it_leaves_nothing_behind(api, own):
    with Replicas(api, own) as replicas:
        replicas.started(1)
        kube = replicas.all[0].kube
        replicas.all[0].operations.webhook.stop()
        assert len(list(uninstall(kube, Options(own)))) == 2
        assert find(api, CONFIGURATION) is None
        assert find(api, f"/api/v1/namespaces/{own}/secrets/{CERTIFICATES}") is None
        assert list(uninstall(kube, Options(own))) == []


def test_replicas_that_start_together_agree_on_one_authority(api, own):
    with Replicas(api, own) as replicas:
        for number in range(5):
            replicas.start(is_leader=number == 0)
        wait_until(lambda: all(each.operations.webhook.context() for each in replicas.all), "certificates")
        replicas.await_asked()
        versions = {find(api, f"/api/v1/namespaces/{own}/secrets/{CERTIFICATES}")["metadata"]["resourceVersion"]}
        for _ in range(20):
            assert names(create(api, own_team(api))) == [SECRET]
            replicas.service.drop()
        versions.add(find(api, f"/api/v1/namespaces/{own}/secrets/{CERTIFICATES}")["metadata"]["resourceVersion"])
        assert len(versions) == 1


def test_a_secret_with_certificates_that_somebody_spoilt_is_made_anew(api, own):
    with Replicas(api, own) as replicas:
        replicas.started(2)
        path = f"/api/v1/namespaces/{own}/secrets/{CERTIFICATES}"
        api.request("PATCH", path, {"data": {"tls.crt": "bm90aGluZw=="}}, "application/merge-patch+json")
        wait_until(lambda: find(api, path)["data"]["tls.crt"] != "bm90aGluZw==", "new certificates")
        replicas.service.drop()
        replicas.await_asked()


def test_after_the_api_server_was_away_everything_is_as_before(api, own):
    with Replicas(api, own) as replicas:
        replicas.started(2)
        api.restart("kube-apiserver")
        assert names(create(api, own_team(api))) == [SECRET]
        assert page(replicas.all[1], "/readyz")[0] == 200


def test_the_authority_changes_under_load_and_no_admission_fails(api, own):
    """With Fail, so that an admission that fails is a creation that fails."""
    lives = Lifetimes(authority=36.0, certificate=36.0, overlap=5.0)
    given = Given(Admission(mode="webhook", failurePolicy="Fail"))
    with Replicas(api, own, given, lives=lives) as replicas:
        replicas.started(2)
        first = replicas.all[0].operations.webhook._served.authority
        team, stop = own_team(api), threading.Event()
        made, wrong = [], []

        def make(worker):
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    made.append(names(create(api, team, f"build-{worker}-{number}")))
                except (OSError, KubeError) as error:
                    wrong.append(error)
                time.sleep(0.02)

        workers = [threading.Thread(target=make, args=(number,)) for number in range(4)]
        for each in workers:
            each.start()
        seen = []

        def is_through():
            state = replicas.all[0].operations.webhook._served
            if not seen or (state.authority, state.next, state.previous) != seen[-1]:
                seen.append((state.authority, state.next, state.previous))
            return state.authority != first and not state.previous and state.next is None

        wait_until(is_through, "the old authority to be retired", timeout=120)
        stop.set()
        for each in workers:
            each.join()
    assert wrong == []
    assert len(made) > 100
    assert all(each == [SECRET] for each in made)
    assert len(seen) >= 4, "announced, switched, retired"


def test_an_event_said_again_is_one_object_that_is_counted_up(api, own):
    with Replicas(api, own) as replicas:
        telling = replicas.start().telling
        about = ObjectRef("ServiceAccount", own, "build", "uid-1")
        for _ in range(3):
            telling.event(about, "NoToken", "the token is refused. Attach the policy.")
        another = replicas.start().telling  # as after a restart: what was told is forgotten
        another.event(about, "NoToken", "the token is refused. Attach the policy.")

        def said():
            return [each for each in _events_in(api, own) if each["reason"] == "NoToken"]

        wait_until(lambda: [each.get("count") for each in said()] == [2], "the Event to be counted up")
        (event,) = said()
        assert (event["reason"], event["type"]) == ("NoToken", "Warning")
        assert event["involvedObject"]["name"] == "build"


def test_no_content_of_a_secret_is_in_logs_metrics_or_events(api, own, caplog):
    canary = "canary-3b1f6d"
    content = json.dumps({"auths": {"x": {"auth": canary}}}).encode()
    with caplog.at_level(logging.DEBUG), Replicas(api, own, Given(content=content)) as replicas:
        replicas.started(1)
        create(api, own_team(api))
        replicas.given.content = content * 100_000  # refused by the API server, and too late
        create(api, own_team(api))
        metrics = page(replicas.all[0], "/metrics")[1]
        key = find(api, f"/api/v1/namespaces/{own}/secrets/{CERTIFICATES}")["data"]["tls.key"]
        events = json.dumps(api.get("/api/v1/events"))
    written = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "secret_pending" in metrics.decode()
    for told in (written, metrics.decode(), events):
        assert canary not in told
        assert key not in told
        assert "PRIVATE KEY" not in told


def own_team(api):
    return api.namespace(f"created-{time.monotonic_ns()}")


def _refusal(api, team):
    try:
        create(api, team, f"build-{time.monotonic_ns()}")
    except KubeError as error:
        return str(error)
    return ""


def _events(api):
    return {event["reason"] for event in _events_in(api, "kube-system")}


def _events_in(api, namespace):
    return api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
