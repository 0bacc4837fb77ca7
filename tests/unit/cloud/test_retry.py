import pytest
from acr_credential_provider.cloud.retry import call_with_retry
from acr_credential_provider.cloud.transport_errors import TransportError
from acr_credential_provider.model.errors import CloudUnreachableError, RegistryRefusedError, ThrottledError

VPC, PUBLIC = "https://vpc", "https://public"
UNREACHED = TransportError("vpc timed out", remedy="a", try_next_endpoint=True, retryable=True)
UNTRUSTED = TransportError("not trusted", remedy="b", try_next_endpoint=True)
BROKEN = TransportError("HTTP 500", remedy="c", retryable=True)
FINAL = TransportError("a web page", remedy="d")
REFUSED = RegistryRefusedError("no", remedy="e")


def throttled(seconds=0.0):
    return ThrottledError("slow down", remedy="f", retry_after=seconds)


class Story:
    """Endpoints that answer as told, on a clock that only sleep moves."""

    def __init__(self, *outcomes, seconds=10.0):
        self.outcomes = list(outcomes)
        self.asked, self.slept, self.seconds = [], [], seconds

    def attempt(self, endpoint):
        self.asked.append(endpoint)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.seconds -= seconds

    def run(self, *endpoints):
        most = lambda low, high: high  # noqa: E731
        return call_with_retry(endpoints, self.attempt, time_left=lambda: self.seconds, sleep=self.sleep, jitter=most)


@pytest.mark.parametrize(
    ("endpoints", "outcomes", "asked", "slept"),
    [
        ((VPC,), ["ok"], [VPC], []),
        ((VPC, PUBLIC), [UNREACHED, "ok"], [VPC, PUBLIC], []),
        ((VPC, PUBLIC), [UNTRUSTED, "ok"], [VPC, PUBLIC], []),
        ((VPC, PUBLIC), [BROKEN, BROKEN, "ok"], [VPC, VPC, VPC], [0.4, 0.8]),
        ((VPC, PUBLIC), [UNREACHED, UNREACHED, "ok"], [VPC, PUBLIC, VPC], [0.4]),
        ((VPC,), [UNREACHED, UNREACHED, "ok"], [VPC] * 3, [0.4, 0.8]),
        ((VPC,), [throttled(1.5), "ok"], [VPC, VPC], [1.9]),
    ],
    ids=[
        "the first answers",
        "unreachable: the next at once",
        "not trusted: the next at once",
        "reached and failing: the same again, later",
        "none reachable: from the start, later",
        "only one: again, later",
        "throttled: as long as asked, and some more",
    ],
)
def test_a_failure_that_may_pass_is_tried_again(endpoints, outcomes, asked, slept):
    story = Story(*outcomes)

    assert story.run(*endpoints) == "ok"
    assert story.asked == asked
    assert story.slept == pytest.approx(slept)


@pytest.mark.parametrize(
    ("endpoints", "outcomes", "tries"),
    [
        ((VPC,), [BROKEN] * 9, 3),
        ((VPC, PUBLIC), [BROKEN] * 9, 3),
        ((VPC, PUBLIC), [UNREACHED] * 9, 4),
        ((VPC,), [UNTRUSTED] * 9, 1),
        ((VPC, PUBLIC), [UNTRUSTED] * 9, 2),
        ((VPC, PUBLIC), [FINAL] * 9, 1),
        ((VPC, PUBLIC), [REFUSED] * 9, 1),
        ((VPC, PUBLIC), [throttled()] * 9, 3),
    ],
)
def test_tries_come_to_an_end(endpoints, outcomes, tries):
    story = Story(*outcomes)

    with pytest.raises((CloudUnreachableError, RegistryRefusedError)):
        story.run(*endpoints)
    assert len(story.asked) == tries


def test_a_wait_that_does_not_fit_is_not_begun():
    story = Story(throttled(30.0))

    with pytest.raises(ThrottledError) as caught:
        story.run(VPC, PUBLIC)
    assert (caught.value.retry_after, story.slept) == (30.0, [])


def test_a_try_without_time_is_not_begun_and_the_true_cause_is_told():
    story = Story(UNREACHED, seconds=0.1)

    with pytest.raises(CloudUnreachableError, match=r"^vpc timed out$"):
        story.run(VPC, PUBLIC)
    assert story.asked == [VPC]


def test_the_cause_at_each_endpoint_is_told_once():
    story = Story(UNTRUSTED, FINAL)

    with pytest.raises(CloudUnreachableError, match=r"^not trusted; a web page$") as caught:
        story.run(VPC, PUBLIC)
    assert type(caught.value) is CloudUnreachableError
    assert caught.value.remedy == "d"
    assert caught.value.__context__ is None
