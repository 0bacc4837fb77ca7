"""The code of a remedy: it comes to everyone who sees the error, by whatever way."""

import copy
import json
import logging

import pytest
from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.commands.cli import main
from acr_credential_provider.console import checks, output
from acr_credential_provider.exec import watchdog
from acr_credential_provider.fastpath.response_cache import FAILED, ResponseCache
from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.errors import ConfigurationError, RegistryRefusedError
from acr_credential_provider.model.remedy import NONE, Remedy, coded, uncoded
from acr_credential_provider.pull_secrets.serving import json_logging
from acr_node_config.agent.program_run import CompletedRun
from acr_node_config.reporter import node_report
from acr_node_config.rollout.agent_status import FAILED as AGENT_FAILED
from acr_node_config.rollout.agent_status import AgentStatus

REMEDY = Remedy("DiskFull", "Free space\nthere.")
ERROR = ConfigurationError("the disk is full", remedy=REMEDY)
KEY = "d" * 64


@pytest.fixture
def cached(tmp_path):
    (tmp_path / "memo").mkdir(mode=0o700)
    cache = ResponseCache(str(tmp_path / "memo"))
    return CachedAnswer(cache, key=KEY, host="acr.example.com", fingerprints=()), cache


def test_a_code_outlives_what_is_done_with_its_text():
    assert copy.deepcopy(REMEDY).code == "DiskFull"
    assert ERROR.remedy.code == "DiskFull"
    assert ConfigProblem(1, "", "is full", REMEDY).remedy.code == "DiskFull"
    assert checks.failed("full", remedy=REMEDY).remedy.code == "DiskFull"


@pytest.mark.parametrize("problem", ["it is wrong", "it is [odd]", "it ends with [two words]", "it names [a-path]", ""])
def test_what_another_process_printed_is_taken_apart_as_it_was_put_together(problem):
    assert uncoded(coded(problem, REMEDY), "Free space there.") == (problem, "Free space there.")
    assert uncoded(coded(problem, REMEDY), "")[1].code == "DiskFull"
    assert uncoded(coded(problem, NONE), "")[1].code == ""


@pytest.mark.parametrize("length", [1, 100_000])
def test_the_code_stands_at_the_end_of_the_error_on_stderr_however_long_that_is(capfd, length):
    watchdog.report(ConfigurationError("wrong " * length, remedy=REMEDY))
    error, remedy = capfd.readouterr().err.splitlines()
    assert error.endswith(" [DiskFull]")
    assert remedy == "remedy: Free space there."


def test_a_problem_of_a_file_shows_its_code(capsys):
    output.begin(())
    output.warn("error", "settings.yaml, line 3: wrong", remedy=REMEDY)
    assert capsys.readouterr().err.startswith("error: settings.yaml, line 3: wrong [DiskFull]\n")


def test_a_check_shows_its_code_to_people_and_to_programs():
    results = [checks.failed("no space", remedy=REMEDY)]
    assert "no space [DiskFull]\n" in checks.text(results)
    assert checks.to_dict(results)["checks"] == [
        {"status": "failed", "detail": "no space", "remedy": "Free space there.", "code": "DiskFull"}
    ]


def test_the_next_process_has_the_code_of_a_cached_failure(cached):
    answer, _ = cached
    answer.put_failure(RegistryRefusedError("refused", remedy=REMEDY))
    assert answer.failure().coded == "refused [DiskFull]"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("RegistryRefusedError\nrefused\nWait.", ""),
        ("RegistryRefusedError\nrefused\nWait.\nDiskFull\nmore", "DiskFull"),
    ],
    ids=["an earlier version, without codes", "a later one, with more"],
)
def test_a_failure_that_another_version_cached_is_read(cached, lines, code):
    answer, cache = cached
    answer.put_failure(RegistryRefusedError("refused", remedy=REMEDY))
    entry = cache.get(KEY, FAILED)
    entry.answer = lines
    cache.put(entry, FAILED)
    failure = answer.failure()
    assert (failure.problem, failure.remedy, failure.remedy.code) == ("refused", "Wait.", code)


def test_the_controllers_log_has_the_code_as_a_field():
    record = logging.makeLogRecord({"name": "acr_credential_provider.x", "exc_info": (type(ERROR), ERROR, None)})
    assert json.loads(json_logging.JsonLines().format(record))["code"] == "DiskFull"


def test_the_agents_status_keeps_the_code_and_is_read_without():
    status = AgentStatus("1.0", state=AGENT_FAILED, message="the disk is full", remedy=REMEDY)
    document = json.loads(json.dumps(status.to_dict()))
    assert AgentStatus.from_dict(document).remedy.code == "DiskFull"
    assert "the disk is full [DiskFull]. Free space there." in node_report.condition(status, 0.0).message
    del document["code"]  # as earlier versions wrote it
    assert AgentStatus.from_dict(document).remedy.code == ""


def test_the_agent_takes_the_code_from_what_a_program_of_ours_printed():
    ran = CompletedRun(1, b"", b"note: odd\nerror: the disk is full [DiskFull]\nremedy: Free space.\n")
    problem, remedy = ran.error()
    assert (problem, remedy, remedy.code) == ("the disk is full", "Free space.", "DiskFull")


def test_each_problem_of_validated_settings_has_its_code_in_json(tmp_path, capsys):
    path = tmp_path / "settings.yaml"
    path.write_text(json.dumps({"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings"}))
    path.chmod(0o600)
    assert main(["settings", "validate", "--output", "json", str(path)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [each["code"] for each in document["errors"]] == ["SettingsFieldMissing"]
