"""The one function of the slow side, with a fake for each neighbour."""

from contextlib import contextmanager

import pytest
from acr_credential_provider.exec.serve import serve
from acr_credential_provider.model.errors import NodeBusyError, RegistryRefusedError

OLD, NEW = "the living answer", "a new answer"
REFUSED = RegistryRefusedError("ACR refused", remedy="Attach the policy.")


class FakeNotes:
    def __init__(self, *, living=None, due=False, failure=None):
        self.answers, self.due, self.failed, self.kept = [living], due, failure, []

    def valid(self):
        return self.answers[-1]

    def is_due(self, memo):
        return self.due

    def failure(self):
        return self.failed

    def put(self, memo):
        self.kept.append(memo)

    def put_failure(self, error):
        self.kept.append(error)


class FakeQueue:
    """Takes part in the story: *meanwhile* is what others do while we wait."""

    def __init__(self, *, meanwhile=lambda: None, free=True, admitted=True):
        self.meanwhile, self.free, self.admitted, self.steps = meanwhile, free, admitted, []

    @contextmanager
    def wait(self):
        self.steps.append("turn")
        self.meanwhile()
        yield True

    @contextmanager
    def wait_if_free(self):
        self.steps.append("turn if free")
        yield self.free

    @contextmanager
    def take_slot_if_free(self):
        yield self.admitted

    @contextmanager
    def take_slot(self):
        self.steps.append("admission")
        yield self.admitted


class FakeCloud:
    def __init__(self, outcome=NEW):
        self.outcome, self.asked = outcome, 0

    @contextmanager
    def __call__(self, *living):
        self.asked += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        yield self.outcome


def run(notes, *, queue=None, cloud=None, renewal=None):
    said = []
    serve(
        cached=notes,
        single_flight=queue or FakeQueue(),
        acquire=cloud or FakeCloud(),
        refresh=renewal or FakeCloud(),
        respond=said.append,
    )
    return said


def test_a_living_answer_is_given_without_waiting_for_anybody():
    queue, cloud = FakeQueue(), FakeCloud()
    assert run(FakeNotes(living=OLD), queue=queue, cloud=cloud) == [OLD]
    assert (queue.steps, cloud.asked) == ([], 0)


def test_without_an_answer_the_cloud_is_asked_once_and_it_is_remembered():
    notes, cloud = FakeNotes(), FakeCloud()
    assert run(notes, cloud=cloud) == [NEW]
    assert (notes.kept, cloud.asked) == ([NEW], 1)


def test_who_waited_takes_the_answer_that_another_process_got_meanwhile():
    notes, cloud = FakeNotes(), FakeCloud()
    assert run(notes, queue=FakeQueue(meanwhile=lambda: notes.answers.append(OLD)), cloud=cloud) == [OLD]
    assert cloud.asked == 0


def test_who_waited_hears_the_failure_that_another_process_met_meanwhile():
    notes, cloud = FakeNotes(), FakeCloud()

    def fail():
        notes.failed = REFUSED

    with pytest.raises(RegistryRefusedError):
        run(notes, queue=FakeQueue(meanwhile=fail), cloud=cloud)
    assert cloud.asked == 0


def test_a_failure_is_remembered_and_told():
    notes = FakeNotes()
    with pytest.raises(RegistryRefusedError):
        run(notes, cloud=FakeCloud(REFUSED))
    assert notes.kept == [REFUSED]


def test_a_queue_that_is_too_long_is_said_and_not_remembered():
    notes, cloud = FakeNotes(), FakeCloud()
    with pytest.raises(NodeBusyError):
        run(notes, queue=FakeQueue(admitted=False), cloud=cloud)
    assert (notes.kept, cloud.asked) == ([], 0)


def test_a_due_answer_is_renewed_by_the_pull_that_finds_the_turn_free():
    notes = FakeNotes(living=OLD, due=True)
    assert run(notes) == [NEW]
    assert notes.kept == [NEW]


def test_a_due_answer_is_given_at_once_while_another_pull_renews_it():
    renewal = FakeCloud()
    assert run(FakeNotes(living=OLD, due=True), queue=FakeQueue(free=False), renewal=renewal) == [OLD]
    assert renewal.asked == 0


def test_a_due_answer_is_given_at_once_while_this_node_is_busy():
    renewal = FakeCloud()
    assert run(FakeNotes(living=OLD, due=True), queue=FakeQueue(admitted=False), renewal=renewal) == [OLD]
    assert renewal.asked == 0


def test_a_due_answer_is_given_at_once_after_a_failure_of_a_moment_ago():
    renewal = FakeCloud()
    assert run(FakeNotes(living=OLD, due=True, failure=REFUSED), renewal=renewal) == [OLD]
    assert renewal.asked == 0


def test_a_due_answer_is_given_when_its_renewal_fails_and_the_failure_is_remembered():
    notes = FakeNotes(living=OLD, due=True)
    assert run(notes, renewal=FakeCloud(REFUSED)) == [OLD]
    assert notes.kept == [REFUSED]
