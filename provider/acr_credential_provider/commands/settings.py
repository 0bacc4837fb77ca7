"""`settings validate|convert|match-images`: what operators ask about a settings file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

import yaml

from acr_credential_provider import acr_configuration
from acr_credential_provider.console.command_line import STDIN, STDIN_NAME, file_or_stdin, folder_argument
from acr_credential_provider.fastpath.lookup import SETTINGS
from acr_credential_provider.files.atomic_write import write_private_atomically
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.settings import (
    LARGEST,
    DegradedSettings,
    ProviderSettings,
    decoded,
    read,
    settings_in,
    validate,
    validate_conversion,
    validate_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from acr_credential_provider.acr_configuration import Conversion
    from acr_credential_provider.console.command_line import CommandParser
    from acr_credential_provider.model.config_problem import ConfigProblem

_ELSEWHERE = "Name a folder with --keys-directory that this user may write, on a disk with space."


def add_to(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add the word to *commands*."""
    settings = commands.add_parser("settings", help="check the settings file").add_subparsers(required=True)
    validate = settings.add_parser("validate", help="say all that is wrong with a settings file")
    _add_file(validate)
    _add_target(validate)
    validate.set_defaults(run=_validate)
    convert = settings.add_parser("convert", help="write an acr-configuration ConfigMap as native settings to stdout")
    convert.add_argument(
        "file", type=file_or_stdin, help="the ConfigMap's manifest or its data, YAML or JSON; - is stdin"
    )
    _add_target(convert)
    convert.add_argument(
        "--keys-directory",
        type=folder_argument,
        metavar="DIR",
        help="write access keys that stand in the file into files in this folder, for root alone",
    )
    convert.set_defaults(run=_convert)

    match = settings.add_parser("match-images", help="write the kubelet's matchImages for a settings file to stdout")
    _add_file(match)
    match.add_argument("--output", choices=("text", "json"), default="text", help="text is YAML (default)")
    match.set_defaults(run=_match_images)


def _add_file(parser: argparse.ArgumentParser) -> None:
    """Let the settings file be named as other commands have it named, or with no option before it."""
    files = parser.add_mutually_exclusive_group()
    files.add_argument("file", nargs="?", type=file_or_stdin, help=f"default: {SETTINGS}; - is stdin")
    files.add_argument("--settings", type=file_or_stdin, help=argparse.SUPPRESS)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        choices=("node", "controller"),
        default="node",
        help="where they will be used (default: node)",
    )


def _read(file: str) -> tuple[str, str]:
    """Return the text in *file*, and what to call it."""
    if file != STDIN:
        return read(file), file
    try:
        with open(0, "rb", closefd=False) as stdin:
            return decoded(stdin.read(LARGEST + 1), STDIN_NAME), STDIN_NAME
    except OSError as error:
        problem = f"cannot read {STDIN_NAME}: {os.strerror(error.errno or 0)}"
    raise ConfigurationError(problem, remedy="Write the settings to it, or name their file.")


def _validate(options: argparse.Namespace) -> int:
    text, file = _read(options.file or options.settings or SETTINGS)
    if acr_configuration.is_one(text):
        # The controller keeps keys of its ConfigMap in memory by itself; wherever that is, validating writes none.
        keys = "/run/keys" if options.target == "controller" else ""
        conversion = acr_configuration.convert(text, place=options.target, keys_directory=keys)
        judged = validate_conversion(conversion)
        _print_conversion(file, conversion)
    else:
        judged = validate(text)
        if isinstance(judged, ProviderSettings) and options.target:
            judged = validate_for(options.target, judged, text) or judged
        if not isinstance(judged, ProviderSettings):
            _print_problems(file, judged)
    if not isinstance(judged, ProviderSettings):
        return 1
    usable = "partly usable" if isinstance(judged, DegradedSettings) else "valid"
    print(f"{file}: {usable}, {len(judged.registries)} registries")  # noqa: T201 - the command's output
    return 1 if isinstance(judged, DegradedSettings) else 0


def _convert(options: argparse.Namespace) -> int:
    text, file = _read(options.file)
    if not acr_configuration.is_one(text):
        raise ConfigurationError(
            f"{file} is not an acr-configuration",
            remedy="Native settings need no conversion: settings validate.",
        )
    conversion = acr_configuration.convert(text, place=options.target, keys_directory=options.keys_directory or "")
    judged = validate_conversion(conversion)
    _print_conversion(file, conversion)
    if not isinstance(judged, ProviderSettings):
        return 1
    for path, secret in conversion.secrets.items():
        write_private_atomically(path, secret + "\n", remedy=_ELSEWHERE)
    sys.stdout.write(yaml.safe_dump(conversion.document, sort_keys=False, allow_unicode=True))
    return 1 if conversion.problems else 0


def _match_images(options: argparse.Namespace) -> int:
    from acr_credential_provider.settings.match_images import match_images  # noqa: PLC0415 - for this command alone

    text, file = _read(options.file or options.settings or SETTINGS)
    found = match_images(settings_in(text, file))
    for note in found.notes:
        sys.stderr.write(f"note: {file}: {note}\n")
    document = found.to_dict()
    if options.output == "json":
        print(json.dumps(document, indent=2))  # noqa: T201 - the command's output
        return 0
    if document["tokenMode"] is None:
        del document["tokenMode"]
    sys.stdout.write(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000))
    return 0


def _print_conversion(file: str, conversion: Conversion) -> None:
    """Tell on stderr what was read otherwise, what has no place here, and what is wrong."""
    for sort, each in [("changed", each) for each in conversion.changes] + [
        ("note", each) for each in conversion.notes
    ]:
        sys.stderr.write(f"{sort}: {file}, {each}\n")
    _print_problems(file, conversion.problems)


def _print_problems(file: str, problems: Iterable[ConfigProblem]) -> None:
    for each in problems:
        sys.stderr.write(f"error: {file}, {each}\nremedy: {each.remedy}\n")
