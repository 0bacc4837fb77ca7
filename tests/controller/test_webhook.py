"""A real API server asks the webhook: what a ServiceAccount is the moment it exists."""

import threading
import time

import pytest
from cluster.kube import KubeError
from cluster.replicas import SECRET, Replicas, accounts, admissions, create, find, names, page, wait_until


@pytest.fixture(scope="module")
def served(api):
    """Two replicas that the API server asks."""
    with Replicas(api, api.namespace("hook-system")) as replicas:
        yield replicas.started(2)


def test_a_new_service_account_has_the_entry_at_once_and_its_secret_was_there_before(api, served, namespace):
    account = create(api, namespace)
    secret = api.get(f"/api/v1/namespaces/{namespace}/secrets/{SECRET}")
    assert names(account) == [SECRET]
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    # One counter for all objects: what has the lower number was written first.
    assert int(secret["metadata"]["resourceVersion"]) < int(account["metadata"]["resourceVersion"])


def test_the_entries_that_it_came_with_stay_in_front(api, served, namespace):
    account = create(api, namespace, imagePullSecrets=[{"name": "b"}, {"name": "a"}], secrets=[{"name": "mounted"}])
    assert names(account) == ["b", "a", SECRET]
    assert account["secrets"] == [{"name": "mounted"}]


def test_who_brings_the_entry_along_has_it_once(api, served, namespace):
    assert names(create(api, namespace, imagePullSecrets=[{"name": SECRET}])) == [SECRET]


def test_a_generated_name_is_no_obstacle(api, served, namespace):
    made = api.create(accounts(namespace), {"metadata": {"generateName": "build-"}})
    assert names(made) == [SECRET]


def test_a_dry_run_shows_the_entry_and_leaves_nothing(api, served, namespace):
    assert names(create(api, namespace, query="?dryRun=All")) == [SECRET]
    assert find(api, f"/api/v1/namespaces/{namespace}/secrets/{SECRET}") is None


def test_who_is_not_meant_and_who_opted_out_stay_as_they_are(api, served, namespace):
    label = {"aliyun-acr-credential-provider/pull-secrets": "disabled"}
    assert names(create(api, namespace, "other")) == []
    assert names(create(api, namespace, "opted-out", metadata={"labels": label})) == []


@pytest.mark.parametrize("left_out", ["kube-system", "hook-system"])
def test_system_namespaces_and_our_own_are_not_asked_about(api, served, left_out):
    before = _asked(served)
    create(api, left_out, f"outside-{time.monotonic_ns()}")
    assert _asked(served) == before


def test_creations_all_at_once_in_one_new_namespace_each_have_entry_and_secret(api, served, namespace):
    made, wrong = [], []

    def make(number):
        try:
            made.append(names(create(api, namespace, f"build-{number}")))
        except (OSError, KubeError) as error:
            wrong.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(50)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []
    assert made == [[SECRET]] * 50


def test_both_replicas_are_asked_and_when_one_goes_the_other_goes_on(api, served, namespace):
    gone = served.start(is_leader=False)
    wait_until(gone.operations.webhook.context, "its certificate")
    served.service.drop()
    for number in range(12):
        assert names(create(api, namespace, f"before-{number}")) == [SECRET]
        served.service.drop()
    assert all(admissions(each) for each in served.all)
    served.stop(gone)
    for number in range(6):
        assert names(create(api, namespace, f"after-{number}")) == [SECRET]


def test_a_replica_is_ready_only_while_its_certificate_is_confirmed(served):
    replica = served.all[0]
    assert page(replica, "/readyz") == (200, b"[+] staying ok\n[+] informed ok\n[+] certificate ok\n")
    assert page(replica, "/healthz")[0] == 200
    served.given.is_known = False
    try:
        assert page(replica, "/readyz")[0] == 503
        assert page(replica, "/healthz")[0] == 200
    finally:
        served.given.is_known = True


def _asked(replicas):
    return sum(admissions(each) for each in replicas.all)
