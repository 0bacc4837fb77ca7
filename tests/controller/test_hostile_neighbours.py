"""A real API server asks the webhook while other clients hold its connections, of the shipped controller too."""

import http.client
import json
import ssl

import pytest
from cluster.replicas import SECRET, Replicas, create, names, page
from support.hostile_clients import addresses, dripping, holding

HALF = b"POST /admit/serviceaccounts HTTP/1.1\r\nHost: a\r\n"
STRANGER = "127.0.0.2"


@pytest.fixture(scope="module")
def served(api):
    with Replicas(api, api.namespace("hostile-system")) as replicas:
        yield replicas.started(1)


def made(api, namespace, label, count=20):
    """Return how many of *count* new ServiceAccounts have the entry."""
    return sum(names(create(api, namespace, f"{label}-{number}")) == [SECRET] for number in range(count))


@pytest.mark.parametrize(
    "sources", [[STRANGER] * 256, ["127.0.0.1"] * 256, addresses(300)], ids=["one", "the-api-servers", "hundreds"]
)
def test_each_new_service_account_has_the_entry_while_connections_are_held(api, served, namespace, sources):
    (replica,) = served.all
    with holding(replica.webhook, sources, b"\x16\x03\x01\x02\x00\x01"), holding(replica.health, sources[:100]):
        assert made(api, namespace, "held") == 20
        assert page(replica, "/readyz")[0] == 200
    with dripping(replica.webhook, sources[:200], first=b"\x16", drop=b"\x03", every=0.05):
        assert made(api, namespace, "dripped") == 20


def test_forged_reviews_cost_the_api_server_next_to_nothing(api, served, namespace):
    create(api, namespace)
    (replica,) = served.all

    def posts():
        name = "acr_pull_secrets_api_call_duration_seconds_count"
        lines = page(replica, "/metrics")[1].decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and 'resource="secrets"' in line)

    before = posts()
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "operation": "CREATE",
            "namespace": namespace,
            "resource": {"group": "", "resource": "serviceaccounts"},
            "object": {"metadata": {"name": "x"}},
        },
    }

    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", replica.webhook, context=context, timeout=20)
    for _ in range(100):
        connection.request("POST", "/admit/serviceaccounts?timeout=10s", json.dumps(review))
        answer = connection.getresponse()
        assert json.loads(answer.read())["response"]["allowed"] is True
    connection.close()
    assert posts() - before <= 3
