"""Any Pod that reaches the controller's ports, and who has the webhook's serving key."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import socket
import ssl
import time

import pytest
from hostile.attacks import Attacks
from hostile.seats.cluster import BYSTANDER, CONTROLLER, HOOKS, NAME, OWN, SECRET, names

ATTACKS = Attacks("Any Pod")
HOLDER = Attacks("Webhook's serving key")
PATH = "/admit/serviceaccounts"
REVIEWS = "send forged reviews to the webhook"
STARVE = "starve the webhook, the metrics or the health pages"
REFUSED = "it is refused, or allowed without a change; no Secret is made and none is said"


def review(namespace="default", **change):
    request = {
        "uid": "1",
        "resource": {"group": "", "version": "v1", "resource": "serviceaccounts"},
        "operation": "CREATE",
        "namespace": namespace,
        "name": "x",
        "object": {"metadata": {"name": "x", "namespace": namespace}},
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**request, **change}}


BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "JSON nested a hundred thousand deep": b"[" * 100_000,
    "a number of a hundred thousand digits": b"1" * 100_000,
    "NaN": b"NaN",
    "a list": b"[]",
    "a string": b'"x"',
    "no UTF-8": b"\xff\xfe\x00",
    "a megabyte of blanks": b" " * (1 << 20),
    "another version": json.dumps({**review(), "apiVersion": "admission.k8s.io/v1beta1"}).encode(),
    "no request": b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
    "a namespace that is a path": review("../../api/v1/secrets"),
    "a namespace with a query": review("team-b?dryRun=All"),
    "a namespace with a line break": review("team-b\nerror: x"),
    "a namespace of a megabyte": review("x" * (1 << 20)),
    "a namespace that is a number": review(1),
    "a namespace that is not selected": review("default"),
    "kube-system": review("kube-system"),
    "an update": review(BYSTANDER, operation="UPDATE"),
    "a deletion": review(BYSTANDER, operation="DELETE", object=None),
    "a Pod": review(BYSTANDER, resource={"group": "", "version": "v1", "resource": "pods"}),
    "a subresource": review(BYSTANDER, subResource="token"),
    "an object that is a list": review(BYSTANDER, object=[]),
    "labels that are a number": review(BYSTANDER, object={"metadata": {"labels": 1}}),
    "entries that are no names": review(
        BYSTANDER, object={"metadata": {}, "imagePullSecrets": [1, None, {"name": []}]}
    ),
    "a uid of a megabyte": review("default", uid="u" * (1 << 20)),
    "a uid with lines of a log's": review("default", uid='\n{"level":"error","message":"x"}\x1b[2J'),
}


class Pod:
    """What a Pod without any right can do: connect to the ports."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        self.sockets = []

    def post(self, body, path=PATH, headers=None, method="POST"):
        """Return the status and the text of the answer, 0 and "" for none."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.cluster.webhook_port, context=self.tls, timeout=15)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()
        self.cluster.heard.append(text)
        return answer.status, text

    def connect(self, port, *, tls=False):
        """Return a connection that stays open until the end."""
        plain = socket.create_connection(("127.0.0.1", port), timeout=15)
        self.sockets.append(self.tls.wrap_socket(plain) if tls else plain)
        return self.sockets[-1]

    def raw(self, port, data, *, tls=False):
        """Send *data* and return what comes until the end, or until nothing comes for a while."""
        connection = self.connect(port, tls=tls)
        connection.settimeout(8)
        heard = b""
        with contextlib.suppress(OSError):
            connection.sendall(data)
            while piece := connection.recv(65536):
                heard += piece
        self.cluster.heard.append(heard.decode(errors="replace"))
        return heard

    def prove(self):
        for each in self.sockets:
            each.close()
        self.cluster.prove()


@pytest.fixture
def pod(cluster):
    return Pod(cluster)


@ATTACKS.tries(REVIEWS, "a review that is or has {}", must=REFUSED, each=BODIES)
def a_forged_review(pod, body):
    before = pod.cluster.api.get(f"/api/v1/secrets?fieldSelector=metadata.name={SECRET}")["items"]
    status, text = pod.post(body if isinstance(body, bytes) else json.dumps(body))
    assert status in (200, 400, 413), (status, text)
    if status == 200:
        answer = json.loads(text)["response"]
        assert answer["allowed"] is True
        patch = base64.b64decode(answer.get("patch", "")).decode()
        assert not patch or SECRET in patch
        assert len(patch) < 1000
    after = pod.cluster.api.get(f"/api/v1/secrets?fieldSelector=metadata.name={SECRET}")["items"]
    assert [each["metadata"]["namespace"] for each in after] == [each["metadata"]["namespace"] for each in before]
    return f"{status} {text[:100]}"


@ATTACKS.tries(
    REVIEWS,
    "the webhook is asked {}",
    must=REFUSED,
    each={
        "by GET": ("GET", PATH, {}),
        "by PUT": ("PUT", PATH, {}),
        "by TRACE": ("TRACE", PATH, {}),
        "for another path": ("POST", "/", {}),
        "for a path with dots": ("POST", f"/x/..{PATH}", {}),
        "for a path with a NUL": ("POST", f"{PATH}%00", {}),
        "for a path of a megabyte": ("POST", "/" + "x" * (1 << 20), {}),
        "for its metrics": ("GET", "/metrics", {}),
        "for its memory": ("GET", "/debug/pprof/heap", {}),
        "in gzip": ("POST", PATH, {"Content-Encoding": "gzip"}),
        "with a header of a megabyte": ("POST", PATH, {"X": "y" * (1 << 20)}),
        "with a thousand headers": ("POST", PATH, {f"X-{number}": "y" for number in range(1000)}),
        "with two lengths": ("POST", PATH, {"Content-Length": "1", "content-length": "2"}),
    },
)
def an_odd_request(pod, given):
    method, path, headers = given
    body = gzip.compress(b" " * (1 << 24)) if "Content-Encoding" in headers else json.dumps(review())
    status, text = pod.post(body, path, headers, method)
    assert status == 0 or 400 <= status < 600 or (status, "patch" in text) == (200, False), (status, text)
    assert "Traceback" not in text
    return f"{status} {text[:100]}"


OK = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\n"
RAW = {
    "half a request line": b"POST /adm",
    "a request line of a host that cannot be parsed": b"GET //[ HTTP/1.1\r\n\r\n",
    "another protocol": b"SSH-2.0-x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n",
    "a length of a terabyte": OK + b"Content-Length: 1099511627776\r\n\r\nx",
    "both kinds of length": OK
    + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    "a chunk of 2^64 bytes": OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nx",
    "chunks that never end": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000,
    "NULs": bytes(100_000),
    "line ends alone": b"\r\n" * 100_000,
    "a header without a name": OK + b": x\r\n\r\n",
    "a header on two lines": OK + b"X: y\r\n z\r\n\r\n",
    "a switch of protocols": OK + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "a hundred requests at once": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") * 100,
}


@ATTACKS.tries(
    STARVE,
    "to the webhook's port, behind TLS, goes {}",
    must="it is refused or ends within seconds; others are answered",
    each=RAW,
)
def an_odd_request_to_the_webhook(pod, data):
    began = time.monotonic()
    heard = pod.raw(pod.cluster.webhook_port, data, tls=True)
    return f"{heard[:60]!r} after {time.monotonic() - began:.1f} s"


@ATTACKS.tries(
    STARVE,
    "to the port of metrics and health goes {}",
    must="it is refused or ends within seconds; others are answered",
    each=RAW,
)
def an_odd_request_to_the_pages(pod, data):
    began = time.monotonic()
    heard = pod.raw(pod.cluster.health_port, data)
    return f"{heard[:60]!r} after {time.monotonic() - began:.1f} s"


@ATTACKS.tries(
    STARVE,
    "in the place of a TLS handshake goes {}",
    must="it ends within seconds; others are answered",
    each={
        "plain HTTP": OK + b"\r\n",
        "a record that is as long as can be": b"\x16\x03\x03\xff\xff" + b"\x01" * 70_000,
        "NULs": bytes(100_000),
        "alerts": b"\x15\x03\x03\x00\x02\x01\x00" * 10_000,
        "SSLv2": b"\x80\x2e\x01\x00\x02" + bytes(40),
        "nothing": b"",
    },
)
def an_odd_handshake(pod, data):
    began = time.monotonic()
    pod.raw(pod.cluster.webhook_port, data)
    return f"hung up after {time.monotonic() - began:.1f} s"


@ATTACKS.tries(
    STARVE,
    "three hundred connections {}",
    must="team-b's new ServiceAccount has its entry, and health is answered",
    each=[
        "to the webhook that say nothing",
        "to the webhook with half a request each",
        "to the pages that say nothing",
        "to the pages with half a request each",
    ],
)
def a_crowd(pod, case):
    port = pod.cluster.webhook_port if "webhook" in case else pod.cluster.health_port
    for _ in range(300):
        with contextlib.suppress(OSError):
            connection = pod.connect(port, tls="half" in case and "webhook" in case)
            if "half" in case:
                connection.sendall(OK + b"Content-Length: 1000\r\n\r\n{")
    began = time.monotonic()
    assert names(pod.cluster.new_account()) == [SECRET]
    assert pod.cluster.page("/healthz")[0] == 200
    return f"answered in {time.monotonic() - began:.1f} s beside {len(pod.sockets)} of them"


@ATTACKS.tries(
    "learn from metrics",
    "he reads {}",
    must="no secret is in it",
    each=["/metrics", "/healthz", "/readyz", "/", "/debug", "/metrics?x=%00", "/../etc/passwd"],
)
def a_page(pod, path):
    status, text = pod.cluster.page(path)
    pod.cluster.heard.append(text)
    assert status in (200, 400, 404)
    return f"{status}, {len(text)} characters"


# Who has the webhook's key and its authority's.
class KeyHolder(Pod):
    def __init__(self, cluster):
        super().__init__(cluster)
        data = cluster.api.get(f"/api/v1/namespaces/{OWN}/secrets/{NAME}-webhook")["data"]
        self.texts = {name: base64.b64decode(text) for name, text in data.items()}
        self.folder = cluster.folder / "key-holder"
        self.folder.mkdir(exist_ok=True)

    def pair(self):
        """Return files with a certificate and its key from that Secret."""
        certificate = next(text for text in self.texts.values() if text.startswith(b"-----BEGIN CERT"))
        for text in self.texts.values():
            if b"PRIVATE KEY" in text:
                for each in self.texts.values():
                    if each.startswith(b"-----BEGIN CERT"):
                        certificate = each
                        (self.folder / "cert").write_bytes(certificate)
                        (self.folder / "key").write_bytes(text)
                        tls = ssl.create_default_context(cafile=str(self.cluster.api.ca_file))
                        with contextlib.suppress(ssl.SSLError):
                            tls.load_cert_chain(self.folder / "cert", self.folder / "key")
                            yield tls


@pytest.fixture
def holder(cluster):
    return KeyHolder(cluster)


@HOLDER.tries(
    "answer the API server in the webhook's place",
    "he signs in to the API server with the key and certificate",
    must="the API server knows nobody by it",
)
def a_client_with_the_serving_key(holder):
    statuses = []
    for tls in holder.pair():
        connection = http.client.HTTPSConnection(
            "127.0.0.1", int(holder.cluster.api.url.rpartition(":")[2]), context=tls, timeout=15
        )
        with contextlib.suppress(OSError):
            connection.request("GET", f"/api/v1/namespaces/{OWN}/secrets")
            statuses.append(connection.getresponse().status)
        connection.close()
    assert set(statuses) <= {401, 403}
    return f"{statuses or 'no connection'}"


@HOLDER.tries(
    "answer the API server in the webhook's place",
    "he answers at another address, with the right certificate",
    must="the API server does not come there",
)
def another_address(holder):
    with socket.create_server(("127.0.0.67", 0)) as server:
        server.setblocking(False)
        hook = holder.cluster.api.get(f"{HOOKS}/{CONTROLLER}")["webhooks"][0]["clientConfig"]
        assert "url" not in hook
        assert hook["service"]["namespace"] == OWN
        assert names(holder.cluster.new_account()) == [SECRET]
        with pytest.raises(BlockingIOError):
            server.accept()
    return "it asked the Service"


@HOLDER.tries(
    "find the key in a log or metric",
    "he looks for it in the log, in metrics and in Events",
    must="it is in none of them",
)
def the_key_in_a_text(holder):
    events = json.dumps(holder.cluster.api.get("/api/v1/events"))
    text = holder.cluster.log + holder.cluster.page("/metrics")[1] + events
    for secret in holder.texts.values():
        for line in secret.decode().splitlines():
            assert len(line) < 40 or line not in text
    return f"{len(text)} characters without it"


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_pod_gets_nothing_and_keeps_nobody_out(attack, pod):
    attack.carry_out(pod)


@pytest.mark.parametrize("attack", HOLDER, ids=str)
def test_the_holder_of_the_serving_key_gets_no_further(attack, holder):
    attack.carry_out(holder)
