"""Parsing of all command lines: paths are made absolute at once, and options may stand before their command.

What is not understood is a `CommandLineError`, which is reported as every other error is, as JSON too.
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from acr_credential_provider.fastpath.lookup import absolute
from acr_credential_provider.model import exit_codes
from acr_credential_provider.model.config_problem import did_you_mean
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN = "-"
STDIN_NAME = "stdin"
"""Its name in errors."""


class CommandLineError(CredentialProviderError):
    """The command line was not understood."""

    exit_code = exit_codes.NOT_UNDERSTOOD


class CommandParser(argparse.ArgumentParser):
    """A parser whose commands take their options before their name too.

    argparse alone overwrites options before a command with the command's own defaults. There are no abbreviations,
    because the meaning of one changes with each option that is added.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse *args*, whose options may stand before the command that they belong to."""
        arguments = self.ordered(sys.argv[1:] if args is None else args)
        options, unknown = self.parse_known_args(arguments, namespace)
        if unknown:
            self._named_in(arguments)._refuse(unknown)  # noqa: SLF001 - of this very class
        return options

    def error(self, message: str) -> NoReturn:
        """Raise `CommandLineError` with argparse's *message*, which quotes what was typed."""
        raise CommandLineError(message, remedy=self._usage(""))

    def format_help(self) -> str:
        """Return the help, with the exit codes at its end."""
        return f"{super().format_help()}\n{exit_codes.table()}\n"

    def _usage(self, meant: str) -> Remedy:
        return Remedy("CommandLineInvalid", f"{meant}Run {self.prog} --help.")

    def _named_in(self, arguments: Sequence[str]) -> CommandParser:
        """Return the parser of the command that *arguments* name, as far as there is one."""
        parser = self
        for word in arguments:
            parser = commands_of(parser).get(word, parser)
        return parser

    def _refuse(self, unknown: Sequence[str]) -> NoReturn:
        word = next((each for each in unknown if each.startswith("-")), unknown[0])
        name = word.partition("=")[0]
        what = f"there is no option {name}" if word.startswith("-") else f"{word!r} is one argument too many"
        options = [option for action in self._actions for option in action.option_strings]
        raise CommandLineError(f"{self.prog}: {what}", remedy=self._usage(did_you_mean(name, options)))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a *value* that is none of the choices, without the names of commands that the help does not list.

        argparse has no other place for what it says then.
        """
        if action.choices is None or value in action.choices:
            return
        is_command = isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
        words = listed_commands(self) if is_command else [str(choice) for choice in action.choices]
        name = "command" if is_command else "/".join(action.option_strings) or action.dest
        problem = f"{self.prog}: there is no {name} {str(value)!r}"
        known = f"It can be {', '.join(words)}. "
        raise CommandLineError(problem, remedy=self._usage(did_you_mean(str(value), words) + known))

    def ordered(self, arguments: Sequence[str]) -> list[str]:
        """Return *arguments* with the options before a command moved behind it; unchanged if one is not understood."""
        words: list[str] = []
        moved: list[str] = []
        rest = list(arguments)
        parser = self
        while commands := commands_of(parser):
            values = _numbers_of_values(parser)
            while rest and rest[0].startswith("-"):
                name, equals, _ = rest[0].partition("=")
                if name not in values:
                    return list(arguments)
                end = 1 if equals else 1 + values[name]
                moved += rest[:end]
                rest = rest[end:]
            if not rest or rest[0] not in commands:
                return list(arguments)
            parser = commands[rest[0]]
            words.append(rest.pop(0))
        return [*words, *moved, *rest]


def commands_of(parser: argparse.ArgumentParser) -> dict[str, CommandParser]:
    """Return the parsers of the commands of *parser*, by name."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to its own tree
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def listed_commands(parser: argparse.ArgumentParser) -> list[str]:
    """Return the commands of *parser* that its help lists."""
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return [choice.dest for choice in action._choices_actions]  # noqa: SLF001
    return []


def add_output(parser: argparse.ArgumentParser, *, is_yaml: bool = False, text: str = "") -> None:
    """Give *parser* the form of what it writes; every command has it. *is_yaml*: its text is YAML.

    *text* says what else it may be.
    """
    forms = ("text", "yaml", "json") if is_yaml else ("text", "json")
    what = (
        text or "text is YAML" if is_yaml else "json: the result on stdout, and errors and notes on stderr, a line each"
    )
    parser.add_argument("--output", choices=forms, default="text", help=what)


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Give a *parser* of what destroys the options not to be asked, and to destroy nothing."""
    parser.add_argument("--yes", action="store_true", help="do not ask; without a terminal nothing is asked")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")


def _numbers_of_values(parser: argparse.ArgumentParser) -> dict[str, int]:
    """Return how many values each option of the commands below *parser* takes: none or one.

    An option that takes other numbers of them in other commands is left out.
    """
    numbers: dict[str, set[int]] = {}
    for command in commands_of(parser).values():
        for action in command._actions:  # noqa: SLF001
            for name in () if isinstance(action, argparse._HelpAction) else action.option_strings:  # noqa: SLF001
                numbers.setdefault(name, set()).add(1 if action.nargs is None else 0 if action.nargs == 0 else -1)
        for name, number in _numbers_of_values(command).items():
            numbers.setdefault(name, set()).add(number)
    return {name: number for name, (number, *others) in numbers.items() if not others and number >= 0}


def path_argument(text: str) -> str:
    """Take the path of a file or folder, relative to the working directory or absolute; return it absolute.

    All paths are taken here, before anything enters another directory or is run in one.
    """
    if not text:
        raise argparse.ArgumentTypeError("is empty: write a path, or leave the option out")
    try:
        return absolute(text)
    except ValueError:
        reason = (
            "a shell replaces ~ only where a word starts with it" if text[0] == "~" else "stdin and stdout do not fit"
        )
        raise argparse.ArgumentTypeError(f"{text!r}: {reason}; a file of this name is ./{text}") from None
    except OSError:
        raise argparse.ArgumentTypeError("is relative, and the working directory is gone: write it from / on") from None


def folder_argument(text: str) -> str:
    """Take the path of a folder; return it absolute and without slashes at its end."""
    return path_argument(text).rstrip("/") or "/"


def add_allowed_hosts(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the hosts that settings from a cluster may name besides those of Alibaba Cloud."""
    hosts = "a host that settings from a ConfigMap may send credentials to, besides Alibaba Cloud's; more than once"
    parser.add_argument("--allow-host", type=_host, action="append", default=[], metavar="HOST", help=hosts)


def _host(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*|[0-9a-f]*:[0-9a-f:.]+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a host: write its name in lower case, without port and path")
    return text


def file_or_stdin(text: str) -> str:
    """Take the path of an input file, as `path_argument`; ``-`` is stdin and stays."""
    return text if text == STDIN else path_argument(text)


def path_on_node(path: str) -> str:
    """Take a path below the node's root, which the working directory has no part in."""
    if not path.startswith("/") or {"'", "\n"} & set(path):
        raise argparse.ArgumentTypeError("must be a plain absolute path")
    return path.rstrip("/") or "/"
