"""When a kubelet is healthy with its new configuration, and when not."""

from __future__ import annotations

import pytest
from acr_node_config.kubelet.health_gate import BUDGET, STABLE_FOR, Clock, HealthCriteria, HealthGate
from acr_node_config.kubelet.service_manager import ServiceState
from acr_node_config.model.errors import ServiceError
from acr_node_config.model.running_config import RunningConfig


class Kubelet:
    """Says what *at* says for a moment: a state or an error, health, flags."""

    def __init__(self, at, now=lambda _time: None) -> None:
        self._at = at
        self.now = now
        self.time = 0.0
        self.holder = ""

    def state(self):
        state = self._at(self.time)[0]
        if isinstance(state, Exception):
            raise state
        return state

    def is_healthy(self):
        return self._at(self.time)[1]

    def healthz_holder(self):
        return self.holder

    def has_flags(self, _pid):
        return self._at(self.time)[2]

    def running_config(self, _pid):
        return self.now(self.time)

    def clock(self):
        def sleep(seconds):
            self.time += seconds

        return Clock(lambda: self.time, sleep)


UP = ServiceState("active", 10, 0)
DOWN = ServiceState("activating", 0, 0, "exit-code")


def judged(at, now=lambda _time: None, **criteria):
    kubelet = Kubelet(at, now)
    return HealthGate(kubelet.clock()).wait(kubelet, HealthCriteria(**criteria))


def test_one_process_that_is_healthy_for_long_enough_is_good():
    verdict = judged(lambda _now: (UP, True, True))
    assert (verdict.is_good, verdict.reason, verdict.seconds) == (True, "", STABLE_FOR)


def test_a_process_that_comes_late_has_its_whole_time():
    verdict = judged(lambda now: (DOWN if now < 10 else UP, True, True))
    assert (verdict.is_good, verdict.seconds) == (True, STABLE_FOR + 10)


def test_a_crash_loop_is_told_before_the_time_is_up():
    verdict = judged(lambda now: (ServiceState("active", 10 + int(now), int(now)), True, True))
    assert not verdict.is_good
    assert "crash-loops" in verdict.reason
    assert verdict.seconds < STABLE_FOR


@pytest.mark.parametrize("period", [4, 8, 12])
def test_a_slow_crash_loop_is_never_good(period):
    verdict = judged(lambda now: (ServiceState("active", 10 + int(now // period), int(now // period)), True, True))
    assert not verdict.is_good


def test_restarts_from_before_do_not_count():
    verdict = judged(lambda now: (ServiceState("active", 5, 40) if now < 1 else UP, True, True))
    assert verdict.is_good


@pytest.mark.parametrize(
    ("health", "flags", "word"), [(False, True, "healthz"), (True, False, "flags"), (False, False, "flags")]
)
def test_a_kubelet_that_is_up_but_not_well_is_not_good(health, flags, word):
    verdict = judged(lambda _now: (UP, health, flags))
    assert (verdict.is_good, word in verdict.reason) == (False, True)
    assert verdict.seconds <= BUDGET


def test_health_that_did_not_answer_before_either_is_not_asked_for():
    assert judged(lambda _now: (UP, False, True), needs_health=False).is_good


def test_health_that_cannot_be_asked_is_told():
    verdict = judged(lambda _now: (UP, None, None))
    assert (verdict.is_good, verdict.reason) == (True, "its /healthz could not be asked")


def test_who_answers_in_the_kubelets_place_is_named_and_counts_for_nothing():
    kubelet = Kubelet(lambda _now: (UP, None, True))
    kubelet.holder = "127.0.0.1:10248 belongs to a process of user 65534 that is not the kubelet's"
    verdict = HealthGate(kubelet.clock()).wait(kubelet, HealthCriteria())
    assert (verdict.is_good, verdict.reason) == (True, f"its /healthz could not be asked: {kubelet.holder}")


def test_the_process_from_before_the_restart_does_not_count():
    assert "old process" in judged(lambda _now: (UP, True, True), old_pid=10).reason
    new = ServiceState("active", 11, 0)
    assert judged(lambda now: (UP if now < 5 else new, True, True), old_pid=10).is_good


def test_a_service_manager_that_is_busy_for_a_while_is_asked_again():
    trouble = ServiceError("systemd did not do it", remedy="Look.")
    assert judged(lambda now: (trouble if now < 6 else UP, True, True)).is_good
    assert judged(lambda _now: (trouble, True, True)).reason == "systemd did not do it"


HAD = RunningConfig.of(["kubelet", "--node-ip=192.0.2.1", "--v=2"], ["ecr"])


def test_a_kubelet_that_lost_a_flag_or_a_provider_is_not_good():
    now = RunningConfig.of(["kubelet", "--v=2"], [])
    verdict = judged(lambda _now: (UP, True, True), now=lambda _time: now, before=HAD)
    assert (verdict.is_good, verdict.seconds <= BUDGET) == (False, True)
    assert verdict.reason.endswith(": --node-ip, the provider ecr")


def test_a_script_has_its_time_to_start_the_kubelet():
    script = RunningConfig.of(["/bin/sh", "start"], None)
    verdict = judged(lambda _now: (UP, True, True), now=lambda time: script if time < 10 else HAD, before=HAD)
    assert verdict.is_good
    assert STABLE_FOR + 9 <= verdict.seconds <= STABLE_FOR + 10


@pytest.mark.parametrize(("before", "now"), [(None, HAD), (HAD, None)])
def test_what_cannot_be_seen_is_not_compared(before, now):
    assert judged(lambda _now: (UP, True, True), now=lambda _time: now, before=before).is_good


def test_all_of_it_ends_before_a_control_plane_takes_the_node_for_lost():
    assert judged(lambda _now: (DOWN, True, True)).seconds <= BUDGET < 40
