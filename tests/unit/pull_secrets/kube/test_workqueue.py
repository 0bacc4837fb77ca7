import threading

from acr_credential_provider.pull_secrets.kube.workqueue import TURN, Priority, RateLimiter, WorkQueue
from hypothesis import given
from hypothesis import strategies as st


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def drained(queue):
    found = []
    while (key := queue.get(0)) is not None:
        found.append(key)
        queue.done(key)
    return found


def test_a_key_waits_once_however_often_it_is_added():
    queue = WorkQueue()
    for _ in range(3):
        queue.add("a")
        queue.add("b")
    assert len(queue) == 2
    assert drained(queue) == ["a", "b"]


def test_a_higher_priority_comes_first_and_moves_what_waits_already():
    queue = WorkQueue()
    for key in ("a", "b", "c"):
        queue.add(key)
    queue.add("d", Priority.NAMESPACE)
    queue.add("c", Priority.ACCOUNT)
    queue.add("c", Priority.RESYNC)
    assert drained(queue) == ["c", "d", "a", "b"]


def test_what_became_urgent_while_it_was_worked_on_keeps_its_priority():
    queue = WorkQueue()
    queue.add("a")
    queue.add("b")
    assert queue.get(0) == "a"
    queue.add("a", Priority.RESYNC)
    queue.add("a", Priority.ACCOUNT)
    queue.done("a")
    assert drained(queue) == ["a", "b"]


def test_no_flood_of_higher_priority_keeps_the_rest_waiting_for_ever():
    queue = WorkQueue()
    queue.add("expiring")
    taken = []
    for number in range(3 * TURN):
        queue.add(f"new {number}", Priority.NAMESPACE)
        queue.add(f"newer {number}", Priority.ACCOUNT)
        taken.append(queue.get(0))
        queue.done(taken[-1])
    assert taken.index("expiring") < TURN
    assert sum(key.startswith("new ") for key in taken) == 2, "every eighth turn is for the lowest that waits"


def test_what_changes_while_it_is_worked_on_comes_again_and_never_to_two_at_once():
    queue = WorkQueue()
    queue.add("a")
    assert queue.get(0) == "a"
    queue.add("a")
    assert queue.get(0) is None
    queue.done("a")
    assert queue.get(0) == "a"


def test_a_failed_one_comes_again_after_pauses_that_grow_to_an_end():
    clock = Clock()
    queue = WorkQueue(monotonic=clock)
    queue.add("a")
    pauses = []
    for _ in range(20):
        assert queue.get(0) == "a"
        queue.done("a", failed=True)
        before = clock.now
        while queue.get(0) is None:
            clock.now += 0.05
        pauses.append(clock.now - before)
        queue.add("a")  # the taken one goes on being worked on
        queue.done("a")
        queue._failures["a"] = len(pauses)
    assert pauses[0] <= 0.15
    assert max(pauses) <= 300.1
    assert pauses[-1] >= 149


def test_a_success_ends_the_growth_of_pauses():
    clock = Clock()
    queue = WorkQueue(monotonic=clock)
    for _ in range(5):
        queue.add("a")
        clock.now += 400
        queue.get(0)
        queue.done("a", failed=True)
    clock.now += 400
    assert queue.get(0) == "a"
    queue.done("a")
    queue.add("a")
    queue.get(0)
    queue.done("a", failed=True)
    clock.now += 0.11
    assert queue.get(0) == "a"


def test_an_asked_for_pause_is_kept():
    clock = Clock()
    queue = WorkQueue(monotonic=clock)
    queue.add("a", requeue_after=5.0)
    clock.now = 4.9
    assert queue.get(0) is None
    clock.now = 5.0
    assert queue.get(0) == "a"


def test_closing_lets_everybody_go():
    queue = WorkQueue()
    threads = [threading.Thread(target=queue.get, args=(60.0,)) for _ in range(3)]
    for each in threads:
        each.start()
    queue.close()
    for each in threads:
        each.join(10)
    assert not any(each.is_alive() for each in threads)


@given(st.lists(st.sampled_from(["a", "b", "c"])), st.lists(st.sampled_from(["a", "b", "c"])))
def test_nothing_that_was_added_is_forgotten(usual, urgent):
    queue = WorkQueue()
    for key in usual:
        queue.add(key)
    for key in urgent:
        queue.add(key, Priority.ACCOUNT)
    assert set(drained(queue)) == {*usual, *urgent}


def test_writes_keep_the_pace_in_the_long_run_and_a_burst_at_first():
    clock = Clock()
    pace = RateLimiter(10.0, 5, monotonic=clock)
    waits = []
    for _ in range(25):
        wait = pace.wait()
        clock.now += wait
        waits.append(wait)
    assert waits[:5] == [0.0] * 5
    assert abs(clock.now - 2.0) < 0.001
