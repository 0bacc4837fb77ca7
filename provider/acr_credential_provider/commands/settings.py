"""`settings validate|convert|match-images`: checks a settings file, converts one, lists its images for the kubelet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from acr_credential_provider import acr_configuration
from acr_credential_provider.console.command_line import (
    STDIN,
    STDIN_NAME,
    add_allowed_hosts,
    add_output,
    file_or_stdin,
    folder_argument,
    path_argument,
)
from acr_credential_provider.console.output import say, warn, warn_of_all, write_document, write_json
from acr_credential_provider.fastpath.lookup import SETTINGS
from acr_credential_provider.files.atomic_write import write_private_atomically
from acr_credential_provider.files.credentials_folder import FOLDER
from acr_credential_provider.model import exit_codes
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained
from acr_credential_provider.settings.cluster_origin import ClusterOrigin
from acr_credential_provider.settings.edits import lost_logins, mistakes, some
from acr_credential_provider.settings.loader import LARGEST, decoded, read, settings_in
from acr_credential_provider.settings.verdict import judge
from acr_credential_provider.sources.secret_file import read_secret

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from acr_credential_provider.console.command_line import CommandParser
    from acr_credential_provider.model.config_problem import ConfigProblem
    from acr_credential_provider.settings import ProviderSettings
    from acr_credential_provider.settings.verdict import Place, Verdict


def add_to(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add the command to *commands*."""
    settings = commands.add_parser("settings", help="check the settings file").add_subparsers(required=True)
    validate = settings.add_parser("validate", help="report all problems of a settings file")
    _add_file(validate)
    _add_target(validate)
    _add_origin(validate)
    replacing = "also say what these settings take away from those in FILE, and refuse what looks like a mistake"
    validate.add_argument("--replacing", type=path_argument, metavar="FILE", help=replacing)
    add_output(validate)
    validate.set_defaults(run=_validate)
    convert = settings.add_parser("convert", help="write an acr-configuration ConfigMap as native settings to stdout")
    file = "the ConfigMap's manifest or its data, YAML or JSON; - is stdin"
    convert.add_argument("file", type=file_or_stdin, help=file)
    _add_target(convert)
    keys = "write access keys that stand in the file into files in this folder, for root alone"
    convert.add_argument("--keys-directory", type=folder_argument, metavar="DIR", help=keys)
    add_output(convert, is_yaml=True)
    convert.set_defaults(run=_convert)

    match = settings.add_parser("match-images", help="write the kubelet's matchImages for a settings file to stdout")
    _add_file(match)
    add_output(match, is_yaml=True)
    match.set_defaults(run=_match_images)


def _add_file(parser: argparse.ArgumentParser) -> None:
    """Add the settings file, as ``--settings`` like in other commands or without an option."""
    files = parser.add_mutually_exclusive_group()
    files.add_argument("file", nargs="?", type=file_or_stdin, help="as --settings")
    files.add_argument("--settings", type=file_or_stdin, default=SETTINGS, help=f"default: {SETTINGS}; - is stdin")


def _add_target(parser: argparse.ArgumentParser) -> None:
    target = "where they will be used (default: node)"
    parser.add_argument("--target", choices=("node", "controller", "laptop"), default="node", help=target)


def _add_origin(parser: argparse.ArgumentParser) -> None:
    origin = "cluster: under the limits of settings from a ConfigMap (default: root, a file of root's own)"
    parser.add_argument("--from", dest="origin", choices=("root", "cluster"), default="root", help=origin)
    add_allowed_hosts(parser)
    folder = f"where the credentials Secret is mounted (default: {FOLDER})"
    parser.add_argument("--credentials-dir", type=folder_argument, default=FOLDER, metavar="DIR", help=folder)


def _read(file: str) -> tuple[str, str]:
    """Return the text in *file*, and its name for messages."""
    if file != STDIN:
        return read(file), file
    try:
        with open(0, "rb", closefd=False) as stdin:
            return decoded(stdin.read(LARGEST + 1), STDIN_NAME), STDIN_NAME
    except OSError as error:
        reason, remedy = explained(
            error, remedy=Remedy("FileUnusable", "Write the settings to it, or name their file.")
        )
    raise ConfigurationError(f"cannot read {STDIN_NAME}: {reason}", remedy=remedy)


def _validate(options: argparse.Namespace) -> int:
    text, file = _read(options.file or options.settings)
    is_limited = options.origin == "cluster"
    origin = ClusterOrigin(frozenset(options.allow_host), options.credentials_dir) if is_limited else None
    # A controller accepts keys in its ConfigMap, and writes them to memory; validation writes none.
    keys_directory = "/run/keys" if options.target == "controller" else ""
    verdict = judge(text, place=options.target, origin=origin, keys_directory=keys_directory)
    compared = _compare(verdict, options.replacing, options.target) if options.replacing else _Comparison()
    # Key files are looked at where they must be: on the node whose settings these are, or on this laptop.
    is_here = options.target == "laptop" or (options.target == "node" and file == SETTINGS)
    wrong_files = _wrong_files(verdict.settings) if is_here and verdict.settings is not None else []
    if options.output == "json":
        document = _as_document(file, verdict, wrong_files, compared)
        write_json(document)
        return exit_codes.DONE if document["valid"] else exit_codes.FAILED
    _print_verdict(file, verdict)
    warn_of_all("lost", compared.lost)
    for problem in compared.problems:
        warn("error", f"{file}, {problem}", remedy=problem.remedy)
    for error in wrong_files:
        warn("error", f"{file}, {error}", remedy=error.remedy)
    is_right = not (verdict.settings is None or verdict.problems or wrong_files or compared.problems)
    if verdict.settings is not None:
        say(f"{file}: {'valid' if is_right else 'partly usable'}, {len(verdict.settings.registries)} registries")
    return exit_codes.DONE if is_right else exit_codes.FAILED


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What settings take away from those that they replace, and why that is a mistake."""

    lost: tuple[str, ...] = ()
    problems: tuple[ConfigProblem, ...] = ()


def _as_document(
    file: str, verdict: Verdict, wrong_files: Sequence[CredentialProviderError], comparison: _Comparison
) -> dict[str, Any]:
    """Return *verdict* as `settings validate --output json` writes it."""
    problems = [
        {"line": each.line, "field": each.field, "error": each.problem, **_remedy(each.remedy)}
        for each in (*verdict.problems, *comparison.problems)
    ]
    problems += [{"error": error.problem, **_remedy(error.remedy)} for error in wrong_files]
    return {
        "file": file,
        "valid": verdict.settings is not None and not problems,
        "registries": len(verdict.settings.registries) if verdict.settings is not None else 0,
        "errors": problems,
        "lost": list(comparison.lost),
        "changes": [str(change) for change in verdict.changes],
        "notes": [str(note) for note in verdict.notes],
    }


def _remedy(remedy: Remedy) -> dict[str, str]:
    return {"remedy": remedy, "code": remedy.code}


def _compare(after: Verdict, replaced: str, target: Place) -> _Comparison:
    """Compare *after* with the settings in the file *replaced*."""
    before = judge(read(replaced), place=target, keys_directory="/run/keys" if target == "controller" else "")
    if before.settings is None or after.settings is None:
        return _Comparison()
    lost = lost_logins(before.settings.registries, after.settings.registries)
    return _Comparison(tuple(lost), tuple(mistakes(before, after, f"the logins of {some(lost)}" if lost else "")))


def _wrong_files(settings: ProviderSettings) -> list[CredentialProviderError]:
    """Return what is wrong with the key files that *settings* name, each file once."""
    errors = []
    for path in dict.fromkeys(path for registry in settings.registries for path in registry.identity.key_files):
        try:
            read_secret(path, what="the key or password")
        except CredentialProviderError as error:
            errors.append(error)
    return errors


def _convert(options: argparse.Namespace) -> int:
    text, file = _read(options.file)
    if not acr_configuration.is_one(text):
        raise ConfigurationError(
            f"{file} is not an acr-configuration",
            remedy=Remedy("ConfigMapExpected", "Native settings need no conversion: settings validate."),
        )
    verdict = judge(text, place=options.target, keys_directory=options.keys_directory or "")
    _print_verdict(file, verdict)
    if verdict.settings is None:
        return 1
    for path, secret in verdict.key_files.items():
        remedy = Remedy(
            "FileUnusable", "Name a folder with --keys-directory that this user may write, on a disk with space."
        )
        write_private_atomically(path, secret + "\n", remedy=remedy)
    _write(verdict.document, options.output)
    return 1 if verdict.problems else 0


def _match_images(options: argparse.Namespace) -> int:
    from acr_credential_provider.settings.match_images import match_images  # noqa: PLC0415 - for this command alone

    text, file = _read(options.file or options.settings)
    patterns = match_images(settings_in(text, file))
    warn_of_all("note", (f"{file}: {note}" for note in patterns.notes))
    document = patterns.to_dict()
    if options.output != "json" and document["tokenMode"] is None:
        del document["tokenMode"]
    _write(document, options.output)
    return exit_codes.DONE


def _write(document: Any, form: str) -> None:
    if form == "json":
        write_json(document)
    else:
        write_document(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000))


def _print_verdict(file: str, verdict: Verdict) -> None:
    """Write changes, notes and problems to stderr."""
    for label, changes in (("changed", verdict.changes), ("note", verdict.notes)):
        warn_of_all(label, (f"{file}, {change}" for change in changes))
    for problem in verdict.problems:
        warn("error", f"{file}, {problem}", remedy=problem.remedy)
