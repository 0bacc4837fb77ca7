"""Promises of every command, also of the next one: they are read from the parsers."""

from __future__ import annotations

import argparse
import io
import json
import os
from typing import TYPE_CHECKING

import pytest
from acr_credential_provider.commands import cli, kubectl
from acr_credential_provider.commands.about import SHELLS
from acr_credential_provider.console import confirmation, output
from acr_credential_provider.console.command_line import CommandParser, commands_of, listed_commands
from acr_credential_provider.model import exit_codes
from acr_credential_provider.version import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    Path = tuple[str, ...]
    Ran = tuple[int, str, str]

PROTOCOLS = {("get-credentials",), ("docker-credential",)}
"""Commands that answer another program, in its own form."""
HELP = ("help",)
DESTROYS = {("cache", "clear"), ("node", "uninstall"), ("pull-secrets", "uninstall")}
"""What takes away what somebody may want to have: it asks, and has a dry run."""
READS = {
    *(("explain",), ("doctor",), ("status",), ("version",), HELP, ("completion",), *PROTOCOLS),
    *(("settings", each) for each in ("validate", "match-images")),
    *(("node", each) for each in ("plan", "status", "verify", "healthz")),
    *(("cache", "show"), ("pull-secrets", "plan"), ("render", "eci"), ("openshift", "grant-image-puller")),
    ("node", "render", "openshift"),
}
ADDS = {
    *(("settings", "convert"), ("cache", "refresh"), ("pull-secrets", "run")),
    *(("node", each) for each in ("install", "bake", "rollback", "agent", "reporter")),
    *(("openshift", each) for each in ("link", "unlink", "pull-secret", "merge-pull-secret")),
}
"""What changes something, and takes nothing away that cannot be had again by the same command."""
UNTIL_SIGTERM = {("node", "agent")}
"""What ends by a signal alone."""
ARGUMENTS = {
    ("explain",): ["images.example.com/a"],
    ("doctor",): ["images.example.com/a", "--no-kubelet"],
    ("completion",): ["bash"],
    ("settings", "convert"): ["none.yaml"],
    ("openshift", "link"): ["default", "login"],
    ("openshift", "unlink"): ["default", "login"],
    ("openshift", "pull-secret"): ["login"],
    ("openshift", "grant-image-puller"): ["--from", "a", "--in", "b"],
}
"""What a command does not do without."""


def every(parser: CommandParser, path: Path = ()) -> Iterator[tuple[Path, CommandParser]]:
    """Yield each command and each group of them, with its parser."""
    yield path, parser
    for word, command in commands_of(parser).items():
        yield from every(command, (*path, word))


ALL = dict(every(cli.make_parser(is_whole=True)))
AS_PLUGIN = dict(every(cli.make_parser(is_kubectl=True, is_whole=True)))
COMMANDS = [path for path, parser in ALL.items() if not commands_of(parser)]
GROUPS = [path for path, parser in ALL.items() if commands_of(parser)]


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A user's folder on a machine without a cluster, settings and a kubelet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    for name in ("KUBERNETES_SERVICE_HOST", "NODE_NAME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def ran(capsys):
    """Return a function that runs a command line: exit code, stdout and stderr."""

    def run(*words: str) -> Ran:
        code = cli.run(list(words))
        return code, *capsys.readouterr()

    return run


def objects(stderr: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in stderr.splitlines()]


def test_it_is_known_of_each_command_what_it_does_to_the_world():
    assert set(COMMANDS) == DESTROYS | READS | ADDS
    assert not DESTROYS & (READS | ADDS)


@pytest.mark.parametrize("path", sorted(set(COMMANDS) - PROTOCOLS - {HELP}), ids=" ".join)
def test_every_command_has_json(path):
    (action,) = [each for each in ALL[path]._actions if "--output" in each.option_strings]
    assert {"text", "json"} <= set(action.choices)
    assert action.default == "text"


def in_the_world(path: Path, folder) -> list[str]:
    """Return the arguments with which *path* touches nothing but *folder*."""
    options = {option for action in ALL[path]._actions for option in action.option_strings}
    more = [f"--cache={folder}/cache"] if "--cache" in options else []
    more += [f"--host-root={folder}"] if "--host-root" in options and path[0] == "node" else []
    more += [f"--settings={folder}/none.yaml"] if "--settings" in options else []
    return [*ARGUMENTS.get(path, ()), *more]


@pytest.mark.parametrize("path", sorted(set(COMMANDS) - PROTOCOLS - {HELP} - UNTIL_SIGTERM), ids=" ".join)
def test_what_a_command_writes_as_json_is_json_on_both_streams(path, nowhere, ran):
    """One document on stdout or nothing; on stderr a line for each error and note, each with its remedy."""
    arguments = in_the_world(path, nowhere)
    for typed in (["--output", "json", *path, *arguments], [*path, *arguments, "--output=json"]):
        code, out, err = ran(*typed)
        assert code in exit_codes.MEANINGS
        assert out == "" or isinstance(json.loads(out), dict | list)
        errors = [each for each in objects(err) if "error" in each]
        assert all(each["remedy"] for each in errors)
        assert code in (exit_codes.DONE, exit_codes.REFUSED) or errors or out


@pytest.mark.parametrize("path", sorted(set(COMMANDS) - {HELP}), ids=" ".join)
def test_an_option_that_a_command_does_not_have_is_an_error_in_the_form_that_was_asked_for(path, ran):
    words = [*path, *ARGUMENTS.get(path, ())]
    if path == ("docker-credential",):
        words.append("get")
    code, out, err = ran(*words, "--no-such-option")
    assert (code, out) == (exit_codes.NOT_UNDERSTOOD, "")
    problem, remedy = err.splitlines()
    assert "there is no option --no-such-option" in problem
    assert problem.startswith("error: ")
    assert remedy.startswith("remedy: ")
    assert remedy.endswith(f"{path[-1]} --help.")
    if path not in PROTOCOLS:
        code, out, err = ran("--output", "json", *words, "--no-such-option")
        assert (code, out) == (exit_codes.NOT_UNDERSTOOD, "")
        (line,) = objects(err)
        assert {f"error: {line['error']} [{line['code']}]", f"remedy: {line['remedy']}"} == {problem, remedy}


@pytest.mark.parametrize("path", sorted(ALL), ids=lambda path: " ".join(path) or NAME)
def test_every_help_ends_with_the_one_table_of_exit_codes(path):
    assert ALL[path].format_help().endswith(f"\n{exit_codes.table()}\n")


@pytest.mark.parametrize("path", sorted(GROUPS), ids=lambda path: " ".join(path) or NAME)
def test_a_misspelt_command_is_answered_with_the_one_that_was_meant_and_with_none_that_is_hidden(path, ran):
    listed = listed_commands(ALL[path])
    for word in listed:
        code, out, err = ran(*path, word + word[-1])
        assert (code, out) == (exit_codes.NOT_UNDERSTOOD, "")
        assert f"Did you mean {word}? " in err
    for hidden in set(commands_of(ALL[path])) - set(listed):
        assert hidden not in err


@pytest.mark.parametrize("path", sorted(set(COMMANDS) - {HELP}), ids=" ".join)
def test_a_misspelt_option_or_choice_is_answered_with_the_one_that_was_meant(path, ran):
    for action in ALL[path]._actions:
        long = [option for option in action.option_strings if option.startswith("--") and action.help != "==SUPPRESS=="]
        if not long or path == ("docker-credential",):
            continue
        words = [*path, *ARGUMENTS.get(path, ())]
        code, _, err = ran(*words, f"{long[0]}q")
        assert code == exit_codes.NOT_UNDERSTOOD
        assert f"Did you mean {long[0]}? " in err
        if action.choices:
            choice = str(max(action.choices, key=len))
            code, _, err = ran(*words, long[0], choice + "q")
            assert code == exit_codes.NOT_UNDERSTOOD
            assert f"Did you mean {choice}? " in err


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=" ".join)
def test_what_destroys_and_nothing_else_asks(path):
    options = {option for action in ALL[path]._actions for option in action.option_strings}
    assert ("--yes" in options) == (path in DESTROYS)
    assert ("--dry-run" in options) >= (path in DESTROYS)


@pytest.mark.parametrize(
    ("is_terminal", "yes", "typed", "expected"),
    [
        (True, False, "y\n", True),
        (True, False, "yes\n", True),
        (True, False, "\n", False),
        (True, False, "nothing\n", False),
        (True, False, "", False),
        (True, True, "", True),
        (False, False, "", True),
    ],
)
def test_a_question_is_asked_of_people_alone(is_terminal, yes, typed, expected, questioned):
    answer, err = questioned(is_terminal, yes, typed)
    assert answer is expected
    assert ("Delete all? [y/N] " in err) == (is_terminal and not yes)


@pytest.fixture
def questioned(monkeypatch, capsys):
    """Return a function that asks once: the answer, and stderr."""

    def ask(is_terminal: bool, yes: bool, typed: str) -> tuple[bool, str]:
        monkeypatch.setattr(os, "isatty", lambda _: is_terminal)
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        answer = confirmation.is_confirmed(argparse.Namespace(yes=yes), "Delete all?")
        return answer, capsys.readouterr().err

    return ask


@pytest.mark.parametrize("path", sorted(set(ALL) - {(), HELP}), ids=" ".join)
def test_help_before_a_command_is_help_behind_it(path, capsys):
    shown = []
    for words in (["help", *path], [*path, "--help"]):
        with pytest.raises(SystemExit) as ended:
            cli.run(words)
        assert ended.value.code == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != ""


def test_the_version_is_a_command_too(ran):
    assert ran("version") == ran("--version") == (0, f"{NAME} 0.1.0\n", "")
    assert json.loads(ran("version", "--output", "json")[1])["version"] == "0.1.0"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_program_without_completion_says_where_there_is_some(shell, ran):
    code, out, err = ran("completion", shell)
    assert (code, out) == (exit_codes.FAILED, "")
    assert f"this program has no completion for {shell}" in err


def test_the_plugin_of_kubectl_has_what_the_controllers_program_has_and_short_words():
    assert set(AS_PLUGIN) == (set(ALL) - PROTOCOLS) | {(word,) for word in kubectl.SHORT}
    for word, (path, _purpose) in kubectl.SHORT.items():
        shown = [AS_PLUGIN[each].format_help().partition("options:")[2] for each in ((word,), path)]
        assert shown[0] == shown[1]


@pytest.mark.parametrize("word", kubectl.SHORT)
def test_a_short_word_is_the_whole_command(word, nowhere, ran):
    path, _purpose = kubectl.SHORT[word]
    rest = [*ARGUMENTS.get(path, ()), "--output", "json"]
    assert ran("kubectl", word, *rest) == ran("kubectl", *path, *rest)


def test_the_plugin_of_kubectl_looks_at_the_cluster_unless_an_image_is_named(nowhere, ran):
    code, out, err = ran("kubectl", "doctor", "--output", "json")
    assert (code, out) == (exit_codes.FAILED, "")
    assert "no cluster to talk to" in objects(err)[0]["error"]
    assert json.loads(ran("kubectl", "doctor", "images.example.com/a", "--output=json")[1])["checks"]


def test_the_last_form_that_is_named_counts_and_a_command_that_follows_begins_anew(capsys):
    for arguments, form in ((["--output", "json"], "{"), (["x"], "n"), (["--output=json", "--output=text"], "n")):
        output.begin(arguments)
        output.warn("note", "it is so")
        assert capsys.readouterr().err.startswith(form)
    output.begin(["--", "--output", "json"])
    output.warn("note", "what comes behind -- is of another program")
    assert capsys.readouterr().err.startswith("note: ")
