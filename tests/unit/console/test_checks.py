"""Every command that checks something has the same results, exit codes and output."""

import json

import pytest
from acr_credential_provider.console.checks import (
    CheckResult,
    CheckSkippedError,
    NoMatchError,
    exit_code,
    failed,
    report,
    run_checks,
    text,
    warning,
)
from acr_credential_provider.model.errors import ConfigurationError

SECRET = "CANARYSECRET"


def skip(_):
    raise CheckSkippedError("no kubelet", remedy="Start one.")


def fail(_):
    raise ConfigurationError("it is wrong", remedy="Correct it.")


def miss(_):
    raise NoMatchError("no entry has it", remedy="Add one.")


def crash(_):
    raise RuntimeError(SECRET)


def several(_):
    yield warning("it is odd", remedy="Look at it.", location="line 1")
    yield failed("it is wrong", remedy="Correct it.", location="line 2")


def quiet(_):
    return ()


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (str, CheckResult("it", "ok", "subject")),
        (quiet, CheckResult("it", "ok")),
        (skip, CheckResult("it", "skipped", "no kubelet", "Start one.")),
        (fail, CheckResult("it", "failed", "it is wrong", "Correct it.")),
        (miss, CheckResult("it", "no match", "no entry has it", "Add one.")),
        (crash, CheckResult("it", "failed", "unforeseen RuntimeError", "Report it, with this version.")),
    ],
)
def test_what_a_check_returns_or_raises_is_its_result(check, expected):
    assert run_checks([("it", check)], "subject") == [expected]


def test_a_check_may_have_several_results_each_with_its_place():
    assert [(each.name, each.status, each.location) for each in run_checks([("it", several)], "")] == [
        ("it", "warning", "line 1"),
        ("it", "failed", "line 2"),
    ]


@pytest.mark.parametrize("check", [fail, miss, crash, several])
def test_after_a_failure_the_others_are_not_run_and_say_why(check):
    results = run_checks([("first", check), ("second", str)], "subject")
    assert results[-1] == CheckResult("second", "not run", "first failed")


def test_independent_checks_all_run():
    results = run_checks([("first", fail), ("second", crash), ("third", str)], "subject", keep_going=True)
    assert [each.status for each in results] == ["failed", "failed", "ok"]


@pytest.mark.parametrize("keep_going", [False, True])
def test_no_check_begins_when_the_time_is_over(keep_going):
    results = run_checks([("first", str), ("second", str)], "subject", keep_going=keep_going, seconds=0.0)
    assert [each.status for each in results] == ["failed", "not run"]
    assert results[0].detail == "0 s were over before it began"
    assert exit_code(results) == 1


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["ok", "skipped", "warning"], 0),
        (["ok", "no match", "skipped"], 3),
        (["failed", "not run"], 1),
        (["no match", "failed"], 1),
    ],
)
def test_one_rule_makes_the_exit_code(statuses, code, capsys):
    results = [CheckResult("it", status) for status in statuses]
    assert report(results, as_json=True) == exit_code(results) == code
    assert json.loads(capsys.readouterr().out)["healthy"] == (code == 0)


def test_both_outputs_have_status_name_place_detail_and_remedy(capsys):
    results = [CheckResult("it", "failed", "it is wrong", "Correct it.", "line 2"), CheckResult("other", "ok")]
    assert text(results) == ("failed     it: line 2: it is wrong\n           remedy: Correct it.\nok         other")
    report(results, as_json=True)
    whole = {"name": "it", "status": "failed", "detail": "it is wrong", "remedy": "Correct it.", "location": "line 2"}
    assert json.loads(capsys.readouterr().out)["checks"] == [whole, {"name": "other", "status": "ok"}]
