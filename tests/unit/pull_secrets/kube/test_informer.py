"""Lists and watches as the API server's bytes tell them, and what goes wrong on the way."""

import json
import threading
import time
from contextlib import contextmanager

import pytest
from acr_credential_provider.pull_secrets.kube import informer as informers
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.informer import Informer, Times
from acr_credential_provider.pull_secrets.model.decoding import decode, namespaces, secrets, service_accounts
from acr_credential_provider.pull_secrets.model.objects import ServiceAccount
from acr_credential_provider.pull_secrets.model.telemetry import Telemetry


def account(name, version, *pull_secrets, **metadata):
    wire = {"metadata": {"name": name, "namespace": "team", "resourceVersion": str(version), **metadata}}
    return wire | ({"imagePullSecrets": [{"name": each} for each in pull_secrets]} if pull_secrets else {})


def event(kind, document):
    return json.dumps({"type": kind, "object": document}).encode()


class Api:
    """Each list and each watch is one of a script; a watch whose script is over stays silent."""

    def __init__(self, lists, watches):
        self.telemetry = self
        self.lists = iter(lists)
        self.watches = iter(watches)
        self.since = []
        self.listed = 0
        self.ended = []
        self.over = threading.Event()

    def wait_for_recovery(self, seconds, stop):
        stop.wait(seconds)

    def watch_ended(self, resource, why):
        self.ended.append(why)

    def pages(self, path, *, selector, accept):
        self.listed += 1
        version, *pages = next(self.lists)
        for items in pages:
            yield json.dumps({"metadata": {"resourceVersion": str(version)}, "items": items}).encode()

    @contextmanager
    def watch(self, kind, *, since, seconds, silence):
        self.since.append(since)
        script = next(self.watches, None)
        if script is None:
            self.over.set()
            time.sleep(0.05)
            raise ClusterError("silent", remedy="", reason="IdleTimeout")
        if isinstance(script, Exception):
            raise script
        yield iter(script)


@pytest.fixture
def follow():
    informers = []

    def follow(lists, watches, kind=None, **times):
        api = Api(lists, watches)
        changes = []
        informer = Informer(api, kind or service_accounts(), on_change=changes.append, times=Times(**times))
        informers.append(informer)
        informer.start()
        assert api.over.wait(30)
        return informer, api, changes

    yield follow
    for each in informers:
        each.stop()


def names(informer):
    return sorted(each.name for each in informer.all())


def test_what_is_there_is_listed_in_pages_and_then_followed(follow):
    pages = [[account("a", 1, "x", "y")], [account("b", 2)]]
    events = [
        event("ADDED", account("c", 11)),
        event("MODIFIED", account("b", 12, "z")),
        event("DELETED", account("a", 13)),
    ]
    informer, api, changes = follow([(10, *pages)], [events])
    assert names(informer) == ["b", "c"]
    assert informer.get("team", "b").pull_secrets == ("z",)
    assert informer.get("team", "c").pull_secrets is None
    assert [each.name for each in changes] == ["a", "b", "c", "b", "a"]
    assert api.since[:2] == ["10", "13"]


def test_an_answer_that_comes_after_the_end_of_its_object_brings_it_not_back(follow):
    """A call changes an object, somebody deletes it, and the watch is quicker than the call's answer."""
    kind = service_accounts()
    informer, _, changes = follow([(10, [account("a", 1)])], [[event("DELETED", account("a", 13))]])
    informer.update(decode(account("a", 12, "x"), kind.keep))
    assert names(informer) == []
    informer.update(decode(account("a", 14, "x"), kind.keep))
    assert names(informer) == ["a"], "one that was made anew"
    assert [each.name for each in changes] == ["a", "a"]


def test_nor_does_it_where_a_list_said_that_it_is_gone(follow):
    gone = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
    informer, _, _ = follow([(10, [account("a", 1)]), (50, [])], [[gone]])
    informer.update(decode(account("a", 12, "x"), service_accounts().keep))
    assert names(informer) == []


def test_what_is_remembered_of_objects_that_went_has_an_end(follow, monkeypatch):
    monkeypatch.setattr(informers, "REMEMBERED", 5)
    events = [event("DELETED", account(f"a{number}", 20 + number)) for number in range(20)]
    informer, _, _ = follow([(10, [])], [events])
    assert list(informer._gone.values()) == [35, 36, 37, 38, 39]


def test_a_bookmark_moves_the_place_to_go_on_from(follow):
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "99"}})
    _, api, changes = follow([(10, [])], [[bookmark]])
    assert api.since[:2] == ["10", "99"]
    assert changes == []


@pytest.mark.parametrize(
    "gone",
    [
        [event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})],
        ClusterError("gone", remedy="", status=410, reason="Expired"),
    ],
)
def test_what_went_while_the_history_was_lost_is_noticed(follow, gone):
    informer, api, changes = follow([(10, [account("a", 1), account("b", 2)]), (50, [account("b", 2)])], [gone])
    assert names(informer) == ["b"]
    assert api.listed == 2
    assert [each.name for each in changes] == ["a", "b", "a"]
    assert api.ended[0] == "gone"


def test_silence_and_failures_go_on_from_where_it_was(follow):
    silent = ClusterError("silent", remedy="", reason="IdleTimeout")
    refused = ClusterError("away", remedy="", status=503)
    _, api, _ = follow([(10, [])], [[event("ADDED", account("a", 11))], silent, refused])
    assert api.listed == 1
    assert api.since[:4] == ["10", "11", "11", "11"]
    assert api.ended[:3] == ["timeout", "idle_timeout", "failed"]


def test_what_is_not_the_api_server_is_no_end_of_it(follow):
    informer, api, _ = follow([(10, []), (20, [account("a", 11)])], [[b"<html>welcome to the hotel</html>"]])
    assert names(informer) == ["a"]
    assert api.listed == 2


def test_a_listener_that_fails_over_one_object_does_not_end_the_watch(caplog):
    """What is there is listed anew, and what comes afterwards is told."""
    broken = [True]

    def listen(item):
        if broken and broken.pop():
            raise ValueError("CANARY")

    api = Api([(10, [account("a", 1)]), (20, [account("a", 1), account("b", 2)])], [])
    informer = Informer(api, service_accounts(), on_change=listen, times=Times())
    informer.start()
    assert api.over.wait(30)
    informer.stop()
    assert names(informer) == ["a", "b"]


def test_an_answer_to_our_own_write_counts_before_the_watch_tells_and_old_news_do_not(follow):
    informer, _, changes = follow([(10, [account("a", 1)])], [])
    informer.update(ServiceAccount("team", "a", resource_version="20", pull_secrets=("ours",)))
    assert not informer._put(ServiceAccount("team", "a", resource_version="15"))
    assert informer.get("team", "a").pull_secrets == ("ours",)
    assert len(changes) == 1


def test_what_a_call_of_ours_deleted_is_gone_before_the_watch_tells_and_old_news_bring_it_not_back(follow):
    informer, _, _ = follow([(5, [account("app", 3), account("new", 4)])], [[event("MODIFIED", account("app", 3))]])
    app, new = informer.get("team", "app"), informer.get("team", "new")
    informer.forget(app)
    informer.update(app)  # an answer that comes late
    informer.update(decode(account("new", 7), service_accounts().keep))
    informer.forget(new)  # it was changed meanwhile
    assert [item.key for item in informer.all()] == [("team", "new")]
    informer.update(decode(account("app", 8), service_accounts().keep))  # made anew, or kept by a finalizer
    assert informer.get("team", "app").resource_version == "8"


def test_a_list_is_taken_anew_from_time_to_time(follow):
    _, api, _ = follow([(10, []), (20, []), (30, [])], [[], []], resync=0.0)
    assert api.listed == 3


def test_only_a_little_of_each_object_is_kept(follow):
    annotations = {"short": "kept", "kubectl.kubernetes.io/last-applied-configuration": "x" * 1000}
    informer, _, _ = follow([(10, [account("a", 1, annotations=annotations, labels={"app": "a"})])], [])
    kept = informer.get("team", "a")
    assert (kept.annotations, kept.labels) == ({"short": "kept"}, {"app": "a"})


def test_of_a_secret_nothing_is_kept_that_is_one(follow):
    data = {".dockerconfigjson": "Q0FOQVJZ", "other": "Q0FOQVJZ"}
    label = {"aliyun-acr-credential-provider/pull-secret": "true"}
    wire = {"metadata": {"name": "s", "namespace": "team", "resourceVersion": "1", "labels": label}, "data": data}
    informer, _, _ = follow([(10, [{**wire, "type": "kubernetes.io/dockerconfigjson"}])], [], kind=secrets("s"))
    kept = informer.get("team", "s")
    assert kept.is_ours
    assert "CANARY" not in repr(kept)
    assert "Q0FOQVJZ" not in repr(kept)


def test_a_namespace_that_is_going_is_known_to_be(follow):
    wire = {"metadata": {"name": "team", "resourceVersion": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    informer, _, _ = follow([(10, [wire])], [], kind=namespaces())
    assert informer.get("team", "team").terminating


def test_who_is_told_of_watches_need_not_listen():
    Telemetry().watch_ended("secrets", "gone")
