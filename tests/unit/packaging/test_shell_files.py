"""Completion and man pages are made from the parsers, and know each command and option that the help lists."""

import re
import shutil
import subprocess

import pytest
from acr_credential_provider.commands import cli
from acr_credential_provider.commands.about import SHELLS
from acr_credential_provider.console.command_line import commands_of, listed_commands

from generate.shell_files import MAN_PAGE, files

PROGRAMS = {"aliyun-acr-credential-provider": False, "kubectl-acr": True}


def listed(parser):
    """Yield each command and group that the help lists, with its parser."""
    for word in listed_commands(parser):
        command = commands_of(parser)[word]
        yield word, command
        yield from listed(command)


@pytest.fixture(scope="module", params=PROGRAMS)
def made(request):
    is_kubectl = PROGRAMS[request.param]
    parser = cli.make_parser(is_kubectl=is_kubectl, is_whole=True, has_hidden=False)
    return request.param, files(is_kubectl=is_kubectl), list(listed(parser))


@pytest.mark.parametrize("shell", [*SHELLS, "man"])
def test_each_file_knows_each_command_and_option(made, shell):
    name, texts, commands = made
    text = texts[(MAN_PAGE if shell == "man" else SHELLS[shell]).format(name)].replace("\\-", "-")
    assert len(commands) > 15
    for word, parser in commands:
        assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text), word
        for action in parser._actions:
            for option in [each for each in action.option_strings if each.startswith("--") and action.help]:
                if action.help != "==SUPPRESS==" and not (shell == "man" and option == "--help"):
                    assert option.removeprefix("--") in text, (word, option)


def test_no_file_has_a_command_that_the_help_does_not_list(made):
    _, texts, _ = made
    for text in texts.values():
        assert not re.search(r"(?<![/\w])healthz", text)  # a path of the reporter is no command
        assert "==SUPPRESS==" not in text


def test_bash_completes_what_is_typed(made, tmp_path):
    """As bash calls it at the second Tab."""
    name, texts, _ = made
    script = tmp_path / "completion"
    script.write_text(texts[SHELLS["bash"].format(name)])
    words = {"aliyun-acr-credential-provider": ("cache s", "show"), "kubectl-acr": ("openshift unl", "unlink")}
    typed, meant = words[name]
    line = [name, *typed.split()]
    ask = f"""
        . {script}
        COMP_WORDS=({" ".join(line)}); COMP_CWORD={len(line) - 1}
        "$(complete -p {name} | sed 's/.*-F \\([^ ]*\\).*/\\1/')" {name} {line[-1]} {line[-2]}
        echo "${{COMPREPLY[*]}}"
    """
    ended = subprocess.run([shutil.which("bash"), "-c", ask], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == (f"{meant}\n", "")


def test_the_files_are_the_same_tomorrow(made, monkeypatch):
    name, texts, _ = made
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert files(is_kubectl=PROGRAMS[name]) == texts
