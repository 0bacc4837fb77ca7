"""What the forge runs and asks: workflows that are pinned and need few rights, forms that ask for what helps."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
BY_NAME = {path.stem: path for path in WORKFLOWS}


def _jobs(path):
    return yaml.safe_load(path.read_text())["jobs"]


def _steps(path):
    return [step for job in _jobs(path).values() for step in job["steps"]]


def _commands(path):
    return [step["run"] for step in _steps(path) if "run" in step]


def test_there_are_workflows_for_a_change_a_night_and_a_release():
    assert set(BY_NAME) == {"check", "nightly", "release"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit_and_says_which_version_that_is(path):
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    for line in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_workflow_may_write_but_the_job_that_publishes(path):
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
    writers = {name: job["permissions"] for name, job in _jobs(path).items() if "permissions" in job}
    assert writers == ({"publish": {"contents": "write", "id-token": "write"}} if path.stem == "release" else {})


def test_the_job_that_may_sign_builds_nothing():
    steps = _jobs(BY_NAME["release"])["publish"]["steps"]
    assert not any("checkout" in step.get("uses", "") or "make" in step.get("run", "") for step in steps)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_job_has_an_end_and_no_checkout_keeps_its_token(path):
    assert all(job["timeout-minutes"] <= 180 for job in _jobs(path).values())
    checkouts = [step for step in _steps(path) if "actions/checkout" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_types_exists(path):
    commands = "\n".join(_commands(path))
    makefile = (ROOT / "Makefile").read_text()
    targets = [word for words in re.findall(r"\bmake ([^&|\n]*)", commands) for word in words.split()]
    targets = [target for target in targets if re.fullmatch(r"[a-z][a-z-]*", target)]
    assert targets or ".ci/run" in commands
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_no_text_of_an_event_is_part_of_a_command():
    commands = "\n".join(command for path in WORKFLOWS for command in _commands(path))
    assert "${{" not in commands.replace("${{ matrix.python }}", "")


def test_unit_tests_run_on_every_python_that_the_project_supports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = _jobs(BY_NAME["check"])["unit"]["strategy"]["matrix"]["python"]
    assert project["requires-python"] == ">=" + versions[0]
    assert versions == [f"3.{minor}" for minor in range(11, 15)]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_has_fields_with_names_of_their_own(path):
    form = yaml.safe_load(path.read_text())
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    ids = [field["id"] for field in fields]
    assert len(ids) == len(set(ids))
    assert all(field["type"] in {"textarea", "input", "dropdown"} and field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


@pytest.mark.parametrize("path", [form for form in FORMS if "bug" in form.read_text()], ids=lambda path: path.stem)
def test_a_report_of_a_mistake_has_the_output_of_doctor(path):
    doctor = next(field for field in yaml.safe_load(path.read_text())["body"] if field.get("id") == "doctor")
    assert "--output json" in doctor["attributes"]["description"]
    assert doctor["validations"]["required"]


def test_what_runs_before_a_commit_is_what_lint_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    recipe = (ROOT / "Makefile").read_text().partition("lint: venv")[2].partition("\n\n")[0]
    linted = {line.split()[0].removeprefix("$(VENV)/bin/") for line in recipe.splitlines()[1:]}
    assert {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks} == linted
