"""Events are few enough to be read, and never hold anybody up."""

import threading

import pytest
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.event_recorder import (
    BURST,
    EVERY,
    KNOWN,
    QUIET,
    REASON_BURST,
    WAITING,
    Event,
    EventFilter,
    EventRecorder,
)
from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef
from acr_credential_provider.pull_secrets.serving.default_telemetry import DefaultTelemetry

ABOUT = ObjectRef("ConfigMap", "kube-system", "acr-configuration", "uid-1")
NOW = 1_800_000_000.0


def event(message="no token", about=ABOUT, reason="NoToken"):
    return Event(about, reason, message, is_warning=True)


def test_the_same_thing_is_sent_once_and_then_counted():
    gate = EventFilter()
    assert gate.admit(event(), NOW) == ("sent", 1)
    assert gate.admit(event(), NOW + 1) == ("repeated", 1)
    assert gate.admit(event(), NOW + QUIET - 1) == ("repeated", 2)
    assert gate.admit(event(), NOW + QUIET) == ("sent", 3)


def test_another_object_reason_or_text_is_another_event():
    gate = EventFilter()
    others = [event("x"), event(reason="Other"), event(about=ObjectRef("Secret", "a", "b"))]
    assert [gate.admit(each, NOW)[0] for each in [event(), *others]] == ["sent"] * 4


def test_one_object_gets_a_handful_in_a_row_and_then_one_in_a_while():
    gate = EventFilter()
    said = [gate.admit(event(str(number)), NOW)[0] for number in range(BURST + 5)]
    assert said == ["sent"] * BURST + ["dropped"] * 5
    assert gate.admit(event("later"), NOW + EVERY)[0] == "sent"
    assert gate.admit(event("soon after"), NOW + EVERY + 1)[0] == "dropped"
    assert gate.admit(event(about=ObjectRef("Secret", "a", "b")), NOW)[0] == "sent", "others are not concerned"


def test_tenants_objects_share_what_one_reason_may_say_and_an_operators_object_does_not():
    gate = EventFilter()
    tenants = [event(about=ObjectRef("ServiceAccount", f"team-{number}", "default")) for number in range(200)]
    assert [gate.admit(each, NOW)[0] for each in tenants].count("sent") == REASON_BURST
    assert gate.admit(event(about=tenants[0].about, reason="Another"), NOW)[0] == "sent"
    assert gate.admit(event(), NOW)[0] == "sent"


def test_a_clock_that_is_set_back_gives_no_event_away():
    gate = EventFilter()
    for number in range(BURST):
        gate.admit(event(str(number)), NOW)
    assert gate.admit(event("earlier"), NOW - 86_400)[0] == "dropped"
    assert gate.admit(event("later"), NOW - 86_400 + EVERY)[0] == "sent"


def test_what_is_remembered_has_an_end():
    gate = EventFilter()
    for number in range(KNOWN + 100):
        gate.admit(event(about=ObjectRef("ConfigMap", "team", str(number))), NOW)
    assert len(gate._last_sent) == len(gate._tokens) == KNOWN


def test_a_name_is_the_same_whoever_says_it_and_short_enough():
    long = event(about=ObjectRef("ServiceAccount", "team", "a" * 253))
    assert event().name == event().name
    assert len(long.name) <= 253


def test_what_has_no_namespace_is_told_in_default():
    told = event(about=ObjectRef("Namespace", "", "team")).manifest("2027-01-15T08:00:00Z")
    assert told["metadata"]["namespace"] == "default"
    assert "namespace" not in told["involvedObject"]


class Api:
    """Takes Events, or does what a test says."""

    def __init__(self, does=None):
        self.does = does
        self.made = []
        self.patched = []

    def create(self, path, body, *, timeout=0.0):
        if self.does is not None:
            self.does()
        self.made.append((path, body))

    def get(self, path):
        return {"count": 4}

    def patch(self, path, operations):
        self.patched.append((path, operations))


class Counted:
    def __init__(self):
        self.outcomes = []
        self.changed = threading.Condition()

    def event_sent(self, outcome):
        with self.changed:
            self.outcomes.append(outcome)
            self.changed.notify_all()

    def await_(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.outcomes) >= count, 20), self.outcomes


@pytest.fixture
def send():
    started = []

    def start(api):
        counted = Counted()
        started.append(EventRecorder(api, counted, clock=lambda: NOW, pause=lambda _: None))
        return started[-1], counted

    yield start
    for each in started:
        each.close()


def test_an_event_is_created_beside_its_object(send):
    events, counted = send(api := Api())
    events.event(ABOUT, "NoToken", "no token")
    counted.await_(1)
    ((path, body),) = api.made
    assert path == "/api/v1/namespaces/kube-system/events"
    assert (body["type"], body["count"], body["firstTimestamp"]) == ("Warning", 1, "2027-01-15T08:00:00Z")


def test_one_that_is_there_is_counted_up(send):
    def exists():
        raise ClusterError("it is there", remedy="Nothing.", status=409)

    events, counted = send(api := Api(exists))
    events.event(ABOUT, "NoToken", "no token", is_warning=False)
    counted.await_(1)
    assert counted.outcomes == ["sent"]
    assert {"op": "add", "path": "/count", "value": 5} in api.patched[0][1]


@pytest.mark.parametrize("error", [ClusterError("refused", remedy="Grant it.", status=403), ValueError("?")])
def test_one_that_fails_is_counted_and_the_next_one_is_sent(send, error):
    def fail():
        if not counted.outcomes:
            raise error

    events, counted = send(Api(fail))
    events.event(ABOUT, "NoToken", "first")
    counted.await_(1)
    events.event(ABOUT, "NoToken", "second")
    counted.await_(2)
    assert counted.outcomes == ["failed", "sent"]


def test_an_api_server_that_hangs_holds_nobody_up_and_what_is_too_much_is_dropped(send):
    leave = threading.Event()
    events, counted = send(Api(lambda: leave.wait(20)))
    for number in range(1000):
        events.event(ObjectRef("Secret", "team", str(number)), "NoToken", "no token")
    assert counted.outcomes.count("dropped") > 700
    leave.set()


def test_what_is_said_about_a_file_is_logged_alone(send, caplog):
    events, counted = send(Api())
    telling = DefaultTelemetry()
    telling.events = events
    telling.event(ObjectRef("File", "", "/etc/settings.yaml"), "Unreadable", "cannot be read")
    assert "cannot be read" in caplog.text
    assert counted.outcomes == []


def test_an_operators_event_does_not_wait_for_those_of_many_tenants(send):
    began, go_on = threading.Event(), threading.Event()

    def wait():
        began.set()
        assert go_on.wait(20)

    events, counted = send(api := Api(wait))
    for number in range(REASON_BURST):
        events.event(ObjectRef("ServiceAccount", f"team-{number}", "default"), "EntryReverted", "again and again")
    assert began.wait(20)
    events.event(ABOUT, "NoToken", "no token")
    go_on.set()
    counted.await_(REASON_BURST + 1)
    assert [body["reason"] for _, body in api.made].index("NoToken") == 1


def test_what_waits_has_an_end(send):
    hold = threading.Event()
    events, counted = send(Api(lambda: hold.wait(20)))
    for number in range(WAITING + 50):
        events.event(ObjectRef("ConfigMap", "own", str(number)), "NoToken", "no token")
    assert 45 <= counted.outcomes.count("dropped") <= 50
    hold.set()


def test_an_api_server_that_is_away_costs_a_line_and_no_traceback(send, caplog):
    def away():
        raise ClusterError("the API server did not answer (POST /events)", remedy="Nothing.")

    events, counted = send(Api(away))
    events.event(ABOUT, "NoToken", "no token")
    counted.await_(1)
    (record,) = [record for record in caplog.records if "not sent" in record.getMessage()]
    assert record.exc_info is None
    assert "did not answer" in record.getMessage()
