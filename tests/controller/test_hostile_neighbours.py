"""A real API server asks the webhook while other clients hold its connections, of the shipped controller too."""

import contextlib
import http.client
import itertools
import json
import socket
import ssl
import subprocess
import sys

import pytest
from cluster.loopback_api import free_ports
from cluster.replicas import SECRET, Replicas, create, names, page
from support import harness
from support.hostile_clients import addresses, connect, dripping, get, holding, until_closed
from support.replica import eventually

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


WAYS = {
    "source": (sys.executable, "-m", "acr_credential_provider"),
    "frozen": (str(harness.CONTROLLER),),
}


@pytest.fixture(params=WAYS)
def ports_and_log(request, api, namespace):
    """Return the webhook's port and that of health of a controller that runs, and what reads its log once it ended."""
    if request.param == "frozen":
        assert harness.CONTROLLER.exists(), "run `make freeze-controller` first: what is shipped is what is tested"
    webhook, health = free_ports(2)
    words = ["pull-secrets", "run", f"--namespace={namespace}", f"--config-map={namespace}/acr-configuration"]
    words += [f"--kubeconfig={api.kubeconfig('admin', group='system:masters')}", "--address=127.0.0.1"]
    words += [f"--webhook-port={webhook}", f"--health-port={health}"]
    process = subprocess.Popen([*WAYS[request.param], *words], stderr=subprocess.PIPE, text=True)
    eventually(lambda: answered(health, 1) == 1)

    def log():
        process.kill()
        return [json.loads(line) for line in process.communicate(timeout=20)[1].splitlines()]

    yield webhook, health, log
    if process.poll() is None:
        process.kill()
        process.communicate()


def answered(port, count=20):
    good = 0
    for _ in range(count):
        with contextlib.suppress(OSError):
            good += get(port, "/healthz", timeout=1)[0] == 200
    return good


def test_the_controllers_probes_are_answered_and_strangers_write_no_line_into_its_log(ports_and_log):
    webhook, health, log = ports_and_log
    with dripping(health, [STRANGER] * 100, first=HALF, drop=b"X: y\r\n"), holding(health, addresses(200), HALF):
        assert answered(health) == 20
    for port, sent in itertools.product(
        (webhook, health), (b"GET //[ HTTP/1.1\r\nHost: a\r\n\r\n", b"\xff\xfe\r\n\r\n")
    ):
        # The webhook's port has no certificate yet, and drops each connection.
        with contextlib.closing(connect(port)) as stranger, contextlib.suppress(OSError):
            stranger.sendall(sent)
            stranger.shutdown(socket.SHUT_WR)
            until_closed(stranger)
    name = 'acr_pull_secrets_client_faults_total{reason="bad_request"} '
    (counted,) = (line for line in get(health, "/metrics")[1].splitlines() if line.startswith(name))
    assert float(counted.removeprefix(name)) >= 2
    assert [line for line in log() if line["subject"] in ("http_server", "asyncio", "event_loop")] == []
