"""What the API server may answer, and what becomes of it: a status, a cause, its sentence without what we sent."""

import http.server
import json
import threading
import time

import pytest
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.client import KubeClient, Recovery
from acr_credential_provider.pull_secrets.model.decoding import service_accounts
from acr_credential_provider.pull_secrets.model.telemetry import Telemetry
from lightkube import KubeConfig

CANARY = "CANARYSECRET"


def config(port):
    return KubeConfig.from_dict(
        {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "u", "user": {"token": CANARY}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    ).get()


class Calls(Telemetry):
    def __init__(self):
        self.seen = []

    def called(self, verb, resource, code, seconds):
        self.seen.append((verb, resource, code))


class Server(http.server.ThreadingHTTPServer):
    """Answers each request with the next of *answers*: status, headers and body; remembers what was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked = [], []


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.server.asked.append((self.command, self.path, self.headers, self.rfile.read(length)))
        status, headers, body = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def api(server, calls):
    api = KubeClient(config(server.server_address[1]), trust_environment=False, telemetry=calls)
    yield api
    api.close()


def status(code, reason="", **headers):
    body = json.dumps({"kind": "Status", "reason": reason, "message": f"no: {CANARY}"}).encode()
    return code, headers, body


def refusal(api, server, *answer):
    server.answers.append(answer)
    with pytest.raises(ClusterError) as refused:
        api.create("/api/v1/namespaces/team/secrets", {"data": {"x": CANARY}})
    text = f"{refused.value!r} {refused.value} {refused.value.remedy} {vars(refused.value)}"
    assert CANARY not in text
    assert refused.value.__cause__ is None
    return refused.value


@pytest.mark.parametrize(
    ("code", "reason", "is_conflict"),
    [(409, "AlreadyExists", True), (422, "Invalid", False), (404, "NotFound", False), (403, "Forbidden", False)],
)
def test_a_refusal_keeps_its_status_and_its_reason(api, server, code, reason, is_conflict):
    error = refusal(api, server, *status(code, reason))
    assert (error.status, error.reason, error.is_conflict) == (code, reason, is_conflict)
    assert f"({code} {reason})" in error.problem


@pytest.mark.parametrize(
    ("code", "reason", "is_conflict"),
    [(409, "Conflict", True), (422, "Invalid", True), (404, "NotFound", True), (404, "", False), (500, "", False)],
)
def test_a_patch_of_what_changed_or_went_is_a_conflict(api, server, code, reason, is_conflict):
    server.answers.append(status(code, reason))
    with pytest.raises(ClusterError) as refused:
        api.patch("/api/v1/namespaces/team/serviceaccounts/x", [])
    assert refused.value.is_conflict == is_conflict


def test_a_missing_right_names_the_remedy(api, server):
    message = (
        'secrets is forbidden: User "robot" cannot create resource "secrets" in API group "" in the namespace "team"'
    )
    error = refusal(api, server, 403, {}, json.dumps({"reason": "Forbidden", "message": message}).encode())
    assert error.is_forbidden
    assert "does not let this user create secrets in team" in error.problem
    assert "RBAC" in error.remedy
    assert "kubectl auth can-i create secrets -n team" in error.remedy


def test_what_is_created_in_no_namespace_names_the_remedy(api, server):
    error = refusal(api, server, *status(404, "NotFound"))
    assert error.remedy == "Create it: kubectl create namespace team"


@pytest.mark.parametrize("body", [b"<html>" + CANARY.encode(), b"", b"[1]"])
def test_what_a_proxy_says_in_the_servers_place_is_no_answer(api, server, body):
    server.answers += [(200, {}, body)] * 2
    for call in (api.get, api.list):
        with pytest.raises(ClusterError) as refused:
            call("/api/v1/namespaces/team/secrets/x")
        assert (refused.value.status, "did not answer" in refused.value.problem) == (0, True)
        assert CANARY not in f"{refused.value!r}"


def test_patience_that_is_asked_for_is_told_and_bounded(api, server):
    assert refusal(api, server, *status(429, "TooManyRequests", **{"Retry-After": "7"})).retry_after == 7.0
    assert refusal(api, server, *status(429, "TooManyRequests", **{"Retry-After": "999999"})).retry_after == 300.0
    assert refusal(api, server, *status(429, "TooManyRequests", **{"Retry-After": "soon"})).retry_after == 0.0


@pytest.mark.parametrize("body", [b"<html>" + CANARY.encode(), b"", b"[1]", b'{"reason": 5}', b'{"reason": "no way"}'])
def test_what_is_no_status_is_a_refusal_without_a_reason(api, server, body):
    error = refusal(api, server, 502, {}, body)
    assert (error.status, error.reason) == (502, "")


def test_nothing_is_there_is_an_answer(api, server):
    server.answers += [status(404, "NotFound"), status(404, "NotFound")]
    assert api.get("/api/v1/namespaces/team/secrets/x") is None
    assert api.delete("/api/v1/namespaces/team/secrets/x") is False


def test_nobody_there_is_no_answer(calls):
    api = KubeClient(config(1), trust_environment=False, telemetry=calls)
    with pytest.raises(ClusterError) as refused:
        api.get("/api/v1/namespaces/team")
    assert refused.value.status == 0
    assert calls.seen == [("GET", "namespaces", "none")]
    api.close()


def test_a_deletion_is_of_what_was_seen(api, server):
    server.answers.append((200, {}, b"{}"))
    assert api.delete("/api/v1/namespaces/team/secrets/x", uid="u", resource_version="7")
    _, _, _, body = server.asked[0]
    assert json.loads(body)["preconditions"] == {"uid": "u", "resourceVersion": "7"}


def test_a_write_names_us_as_its_author_and_a_patch_is_a_json_patch(api, server):
    server.answers.append((200, {}, b"{}"))
    api.patch("/api/v1/namespaces/team/serviceaccounts/x", [{"op": "test", "path": "/a", "value": 1}])
    verb, path, headers, body = server.asked[0]
    assert (verb, headers["Content-Type"]) == ("PATCH", "application/json-patch+json")
    assert "fieldManager=aliyun-acr-credential-provider-pull-secrets" in path
    assert json.loads(body) == [{"op": "test", "path": "/a", "value": 1}]


def test_a_list_comes_in_pages(api, server, calls):
    first = {"metadata": {"continue": "more", "resourceVersion": "5"}, "items": []}
    server.answers += [(200, {}, json.dumps(each).encode()) for each in (first, {"metadata": {}, "items": []})]
    assert len(list(api.pages("/api/v1/serviceaccounts", selector={"fieldSelector": "metadata.name=x"}))) == 2
    assert ["continue=more" in path for _, path, _, _ in server.asked] == [False, True]
    assert all("limit=500" in path and "fieldSelector=metadata.name" in path for _, path, _, _ in server.asked)
    assert calls.seen == [("LIST", "serviceaccounts", "200")] * 2


def test_of_a_list_only_what_is_wanted_is_kept(api, server):
    pages = [{"metadata": {"continue": "more"}, "items": [{"a": 1}, {"a": 2}]}, {"metadata": {}, "items": None}]
    server.answers += [(200, {}, json.dumps(each).encode()) for each in pages]
    assert api.list("/api/v1/pods", is_wanted=lambda pod: pod["a"] == 2) == [{"a": 2}]


def test_lines_of_a_watch_are_whole_however_they_arrive(api, server):
    server.answers.append((200, {}, b'{"a":1}\n{"b"' + b":2}\n\n" + b'{"c":3}\n'))
    with api.watch(service_accounts(), since="5", seconds=10) as lines:
        assert list(lines) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    assert "allowWatchBookmarks=true" in server.asked[0][1]
    assert "resourceVersion=5" in server.asked[0][1]


def test_a_watch_that_is_refused_says_why(api, server):
    server.answers.append(status(410, "Expired"))
    with (
        pytest.raises(ClusterError) as refused,
        api.watch(service_accounts(), since="5", seconds=10),
    ):
        pass
    assert refused.value.is_gone


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "garbage: [",
        '{"clusters": [], "contexts": [], "users": [], "current-context": "x"}',
        (
            '{"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}], "users": [], '
            '"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}'
        ),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told(tmp_path, document):
    path = tmp_path / "kubeconfig"
    path.write_text(document)
    with pytest.raises(ConfigurationError) as refused:
        KubeClient.find(kubeconfig=str(path))
    assert "--kubeconfig" in refused.value.remedy


def test_all_that_wait_for_the_api_server_go_on_once_it_answers_one():
    recovery, stop, done = Recovery(), threading.Event(), threading.Barrier(4)

    def wait():
        recovery.wait(60, stop)
        done.wait(20)

    recovery.failed()
    for _ in range(3):
        threading.Thread(target=wait, daemon=True).start()
    until = time.monotonic() + 20
    while len(recovery._changed._waiters) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    recovery.answered()
    done.wait(20)


def test_an_answer_wakes_nobody_while_nothing_was_away_and_a_stop_does():
    recovery, stop = Recovery(), threading.Event()
    began = time.monotonic()
    threading.Timer(0.05, recovery.answered).start()
    recovery.wait(0.2, stop)
    assert time.monotonic() - began >= 0.2
    stop.set()
    recovery.wait(60, stop)
