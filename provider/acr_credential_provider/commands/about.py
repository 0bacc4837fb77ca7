"""`version`, `help` and `completion`: what the program says of itself."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from acr_credential_provider.console.build_info import build_info
from acr_credential_provider.console.command_line import add_output
from acr_credential_provider.console.output import say, write_document, write_json
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.version import NAME, VERSION

if TYPE_CHECKING:
    import argparse

    from acr_credential_provider.console.command_line import CommandParser

HELP = "help"
SHELLS = {
    "bash": "share/bash-completion/completions/{}",
    "zsh": "share/zsh/site-functions/_{}",
    "fish": "share/fish/vendor_completions.d/{}.fish",
}
"""Where the completion for each shell is in a bundle; it is made when the program is frozen."""


def add_to(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add the commands to *commands*."""
    version = commands.add_parser("version", help="show the version; with --output json all of its parts")
    add_output(version)
    version.set_defaults(run=print_version)
    commands.add_parser(HELP, help="show the help of a command").add_argument("words", metavar="COMMAND", nargs="*")
    completion = commands.add_parser("completion", help="write the completion for a shell to stdout")
    completion.add_argument("shell", choices=tuple(SHELLS))
    add_output(completion)
    completion.set_defaults(run=_completion)


def print_version(options: argparse.Namespace) -> int:
    """Print the version."""
    if options.output == "json":
        write_json(build_info())
    else:
        say(f"{NAME} {VERSION}")
    return 0


def _completion(options: argparse.Namespace) -> int:
    library = getattr(sys, "_MEIPASS", "")  # of a frozen program
    path = os.path.join(os.path.dirname(library), SHELLS[options.shell].format(options.program))
    if not library or not os.path.isfile(path):
        raise ConfigurationError(
            f"this program has no completion for {options.shell}",
            remedy=Remedy(
                "CommandNotInBuild", f"Use one of a release: it has {SHELLS[options.shell].format(options.program)}."
            ),
        )
    with open(path, encoding="utf-8") as file:
        script = file.read()
    if options.output == "json":
        write_json({"shell": options.shell, "script": script})
    else:
        write_document(script)
    return 0
