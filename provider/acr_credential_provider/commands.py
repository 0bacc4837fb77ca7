"""What operators type: explain, doctor, settings validate|convert|match-images, cache show|clear|warm, --help.

What a node's installer, the controller and the platforms add has command lines of its own, behind `DOORS`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from . import acr_configuration
from .deadline import Deadline
from .errors import ConfigurationError, CredentialProviderError
from .folders import prepare
from .hit import API_VERSIONS, CACHE, LARGEST_REQUEST, SETTINGS, question
from .locks import Locks
from .memo import FAILED, FOREVER, TOKEN, Memo, Memos, judge_time
from .notes import Notes
from .private_output import write_private
from .protocol import CredentialProviderRequest
from .settings import PartlyUsable, ProviderSettings, judge, judge_conversion, judge_for, load, parse_duration, read
from .version import VERSION
from .watchdog import report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .acr_configuration import Conversion
    from .problem import Problem

NAME = "aliyun-acr-credential-provider"
DESCRIPTION = "Gives the kubelet registry tokens of Alibaba Cloud Container Registry (ACR)."
EXAMPLES = f"""examples:
  # what the kubelet does: a CredentialProviderRequest on stdin, the answer on stdout
  echo '{{"kind":"CredentialProviderRequest","apiVersion":"{API_VERSIONS[0]}",
    "image":"demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app"}}' | {NAME}

  {NAME} doctor demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app:1.0
  {NAME} explain demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app
  {NAME} settings validate {SETTINGS}
  {NAME} cache show
  {NAME} cache warm --ahead 10m
"""
_ELSEWHERE = "Name a folder with --keys-directory that this user may write, on a disk with space."
WARM_DEADLINE = 15.0
"""Seconds for the renewal of one host."""
DOORS = {
    "node": ("acr_node_config.cli", "install the plugin on a node, keep it, undo it"),
    "pull-secrets": ("acr_credential_provider.pull_secrets.cli", "keep ServiceAccounts' pull secrets (the controller)"),
    "openshift": ("acr_credential_provider.platforms.openshift_cli", "link and merge pull secrets as oc does"),
    "render": ("acr_credential_provider.platforms.render_cli", "write what other platforms need of the settings"),
}
"""Words with a command line of their own: its module, whose ``run(arguments)`` returns the exit code; its help.

Imported by name, for a build may leave them out: a node has no controller.
"""


def run(arguments: list[str]) -> int:
    """Carry out the command in *arguments*; return the exit code: 0 done, 1 failed, 2 not understood."""
    try:
        if arguments and arguments[0] in DOORS:
            return _through_the_door(arguments[0], arguments[1:])
        options = _parser().parse_args(arguments)
        code: int = options.run(options)
    except CredentialProviderError as error:
        report(error)
        return 1
    except BrokenPipeError:  # a pager that was closed; Python must not try to flush into it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        report(_of_the_disk(error))
        return 1
    return code


def _through_the_door(word: str, arguments: list[str]) -> int:
    return _behind_the_door(DOORS[word][0], arguments, word=word)


def _behind_the_door(name: str, asked: object, *, word: str) -> int:
    try:
        code: int = importlib.import_module(name).run(asked)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
    else:
        return code
    raise ConfigurationError(
        f"{word} is not part of this build", remedy="Run it from the container image, which has every command."
    )


def _of_the_disk(error: OSError) -> CredentialProviderError:
    """Return what an operator should know of *error*: which path, and what the system said about it."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "this command's output"
    why = os.strerror(error.errno) if error.errno else type(error).__name__
    return ConfigurationError(
        f"cannot work on {where}: {why}",
        remedy="Run it as the user whose file that is (root, on a node), on a disk that is writable and has space.",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=NAME, description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=_from_a_terminal)
    parser.add_argument("--version", dest="run", action="store_const", const=_version, help="show the version and exit")
    parser.add_argument("--output", choices=("text", "json"), default="text", help="with json, --version says it all")
    _add_paths(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    get = commands.add_parser("get-credentials", help="answer a CredentialProviderRequest (the default)")
    _add_paths(get)
    get.set_defaults(run=_from_a_terminal)

    explain = commands.add_parser("explain", help="say which answer an image would get and why; asks nobody")
    explain.add_argument("image", metavar="IMAGE")
    _add_paths(explain)
    explain.add_argument("--output", choices=("text", "json"), default="text")
    explain.set_defaults(run=_explain)

    _add_doctor(commands.add_parser("doctor", help="try a pull's whole path and name the first broken step"))

    helper = commands.add_parser("docker-credential", help="answer docker's credential helper protocol")
    helper.add_argument("verb", choices=("get", "list", "store", "erase", "version"))
    _add_paths(helper)
    helper.set_defaults(run=_docker_credential)

    _add_settings(commands)

    cache = commands.add_parser("cache", help="what this node remembers").add_subparsers(required=True)
    show = cache.add_parser("show", help="list the remembered answers, without their secrets")
    _add_paths(show)
    show.add_argument("--output", choices=("text", "json"), default="text")
    show.set_defaults(run=_show)
    clear = cache.add_parser("clear", help="forget all answers and tokens")
    _add_paths(clear)
    clear.set_defaults(run=_clear)
    warm = cache.add_parser("warm", help="renew the tokens that are due soon and were asked for lately")
    _add_paths(warm)
    warm.add_argument("--ahead", type=_duration, default=300.0, help="renew what is due within this time (default: 5m)")
    warm.set_defaults(run=_warm)

    for word, (_module, purpose) in DOORS.items():
        commands.add_parser(word, help=purpose, add_help=False)
    return parser


def _add_doctor(doctor: argparse.ArgumentParser) -> None:
    doctor.add_argument("image", metavar="IMAGE", nargs="?", default="")
    _add_paths(doctor)
    doctor.add_argument("--output", choices=("text", "json"), default="text")
    doctor.add_argument("--host-root", metavar="DIR", type=_absolute, help="where the node's / is mounted, in a pod")
    doctor.add_argument(
        "--cluster", action="store_true", help="look at a cluster's pull secrets instead; changes nothing"
    )
    doctor.add_argument("--kubeconfig", default="", help="with --cluster; default: as kubectl")
    doctor.add_argument("--context", default="", help="with --cluster")
    doctor.add_argument(
        "--config-map",
        default="kube-system/acr-configuration",
        metavar="NAMESPACE/NAME",
        help="with --cluster: where the controller's configuration is (default: kube-system/acr-configuration)",
    )
    doctor.add_argument("--no-kubelet", action="store_true", help="leave the kubelet of this machine aside")
    doctor.add_argument(
        "--token-file",
        metavar="FILE",
        help="try as the ServiceAccount whose token is in FILE (- is stdin): kubectl create token --audience AUDIENCE",
    )
    doctor.add_argument(
        "--service-account-annotation",
        metavar="KEY=VALUE",
        type=_annotation,
        action="append",
        default=[],
        help="an annotation of that ServiceAccount; may be repeated",
    )
    doctor.set_defaults(run=_doctor)


def _add_settings(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    settings = commands.add_parser("settings", help="check the settings file").add_subparsers(required=True)
    validate = settings.add_parser("validate", help="say all that is wrong with a settings file")
    validate.add_argument("file", nargs="?", default=SETTINGS, help=f"default: {SETTINGS}")
    _add_place(validate)
    validate.set_defaults(run=_validate)
    convert = settings.add_parser("convert", help="write an acr-configuration ConfigMap as native settings to stdout")
    convert.add_argument("file", help="the ConfigMap's manifest or its data, YAML or JSON")
    _add_place(convert)
    convert.add_argument(
        "--keys-directory",
        type=_absolute,
        metavar="DIR",
        help="write access keys that stand in the file into files in this folder, for root alone",
    )
    convert.set_defaults(run=_convert)

    match = settings.add_parser("match-images", help="write the kubelet's matchImages for a settings file to stdout")
    match.add_argument("file", nargs="?", default=SETTINGS, help=f"default: {SETTINGS}")
    match.add_argument("--output", choices=("text", "json"), default="text", help="text is YAML (default)")
    match.set_defaults(run=_match_images)


def _add_paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settings", type=_absolute, default=SETTINGS, help=f"settings file (default: {SETTINGS})")
    parser.add_argument("--cache", type=_absolute, default=CACHE, help=f"cache folder (default: {CACHE})")


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for", dest="place", choices=("node", "controller"), default="node", help="where they are for (default: node)"
    )


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise argparse.ArgumentTypeError("must be an absolute path: the kubelet runs us from anywhere")
    return path


def _annotation(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError("must be KEY=VALUE")
    return key, value


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def _from_a_terminal(_options: argparse.Namespace) -> int:
    sys.stderr.write(f"{NAME}: a CredentialProviderRequest is expected on stdin, not a terminal; see --help\n")
    return 2


def _version(options: argparse.Namespace) -> int:
    from .build_info import build_info  # noqa: PLC0415 - for this command alone

    print(json.dumps(build_info(), indent=2) if options.output == "json" else f"{NAME} {VERSION}")  # noqa: T201
    return 0


def _explain(options: argparse.Namespace) -> int:
    from . import explain  # noqa: PLC0415 - a pull's whole path, for this command alone

    found = explain.explain(options.image, settings_path=options.settings, cache=options.cache)
    as_json = options.output == "json"
    print(json.dumps(explain.document(found), indent=2) if as_json else explain.text(found))  # noqa: T201
    return {explain.FAILURE: 1, explain.NOTHING: 3}.get(found.answer, 0)


def _doctor(options: argparse.Namespace) -> int:
    if options.cluster:
        return _doctor_of_the_cluster(options)
    from . import doctor, findings  # noqa: PLC0415 - a pull's whole path, for this command alone
    from .pod_tokens import Pod  # noqa: PLC0415

    pod = None
    if options.token_file:
        pod = Pod(_token(options.token_file), dict(options.service_account_annotation))
    examination = doctor.Examination(
        options.image, settings=options.settings, cache=options.cache, wants_kubelet=not options.no_kubelet, pod=pod
    )
    if options.host_root:
        doctor.enter(options.host_root)
    found = findings.examine(examination.steps())
    as_json = options.output == "json"
    print(json.dumps(findings.document(found), indent=2) if as_json else findings.text(found))  # noqa: T201
    return 1 if any(each.outcome == findings.FAILED for each in found) else 0


def _token(path: str) -> str:
    """Return the text in *path*, whatever it is: the doctor judges it as a pull would."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            return file.read(LARGEST_REQUEST).decode("utf-8", "replace").strip()
    except OSError as error:
        problem = f"{path} cannot be read: {os.strerror(error.errno or 0)}"
    raise ConfigurationError(
        problem, remedy="Write a token there: kubectl create token NAME -n NAMESPACE --audience sts.aliyuncs.com"
    )


def _doctor_of_the_cluster(options: argparse.Namespace) -> int:
    if options.settings == SETTINGS:  # a node's; the cluster's controller goes by its ConfigMap
        options.settings = ""
    return _behind_the_door("acr_credential_provider.platforms.cluster_doctor_cli", options, word="doctor --cluster")


def _docker_credential(options: argparse.Namespace) -> int:
    from . import docker_helper  # noqa: PLC0415 - for this command alone

    paths = {"--settings": options.settings, "--cache": options.cache}
    return docker_helper.run(options.verb, paths, started=time.monotonic(), seconds=WARM_DEADLINE)


def _validate(options: argparse.Namespace) -> int:
    text = read(options.file)
    if acr_configuration.is_one(text):
        # The controller keeps keys of its ConfigMap in memory by itself; wherever that is, validating writes none.
        keys = "/run/keys" if options.place == "controller" else ""
        conversion = acr_configuration.convert(text, place=options.place, keys_directory=keys)
        judged = judge_conversion(conversion)
        _tell_all(options.file, conversion)
    else:
        judged = judge(text)
        if isinstance(judged, ProviderSettings) and options.place:
            judged = judge_for(options.place, judged, text) or judged
        if not isinstance(judged, ProviderSettings):
            _tell_problems(options.file, judged)
    if not isinstance(judged, ProviderSettings):
        return 1
    usable = "partly usable" if isinstance(judged, PartlyUsable) else "valid"
    print(f"{options.file}: {usable}, {len(judged.registries)} registries")  # noqa: T201 - the command's output
    return 1 if isinstance(judged, PartlyUsable) else 0


def _convert(options: argparse.Namespace) -> int:
    text = read(options.file)
    if not acr_configuration.is_one(text):
        raise ConfigurationError(
            f"{options.file} is not an acr-configuration",
            remedy="Native settings need no conversion: settings validate.",
        )
    conversion = acr_configuration.convert(text, place=options.place, keys_directory=options.keys_directory or "")
    judged = judge_conversion(conversion)
    _tell_all(options.file, conversion)
    if not isinstance(judged, ProviderSettings):
        return 1
    for path, secret in conversion.secrets.items():
        write_private(path, secret + "\n", remedy=_ELSEWHERE)
    sys.stdout.write(yaml.safe_dump(conversion.document, sort_keys=False, allow_unicode=True))
    return 1 if conversion.problems else 0


def _match_images(options: argparse.Namespace) -> int:
    from .match_images import match_images  # noqa: PLC0415 - for this command alone

    found = match_images(load(options.file))
    for note in found.notes:
        sys.stderr.write(f"note: {options.file}: {note}\n")
    document = found.document()
    if options.output == "json":
        print(json.dumps(document, indent=2))  # noqa: T201 - the command's output
        return 0
    if document["tokenMode"] is None:
        del document["tokenMode"]
    sys.stdout.write(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000))
    return 0


def _tell_all(file: str, conversion: Conversion) -> None:
    """Tell on stderr what was read otherwise, what has no place here, and what is wrong."""
    for sort, each in [("changed", each) for each in conversion.changes] + [
        ("note", each) for each in conversion.notes
    ]:
        sys.stderr.write(f"{sort}: {file}, {each}\n")
    _tell_problems(file, conversion.problems)


def _tell_problems(file: str, problems: Iterable[Problem]) -> None:
    for each in problems:
        sys.stderr.write(f"error: {file}, {each}\nremedy: {each.remedy}\n")


def _show(options: argparse.Namespace) -> int:
    rows = [_row(memo, asked, settings=options.settings) for memo, asked in _memos(options.cache)]
    if options.output == "json":
        print(json.dumps(rows, indent=2))  # noqa: T201 - the command's output
        return 0
    for row in rows:
        times = f"due {row['dueIn']}  dead {row['deadIn']}" if row["kind"] == TOKEN else f"until {row['deadIn']}"
        what = f"{row['kind']:<12} {times}  {'current' if row['current'] else 'outdated'}"
        print(f"{row['host'] or '(an instance)'}  {what}  asked {row['askedAgo']} ago")  # noqa: T201
    return 0


def _row(memo: Memo, asked: float, *, settings: str) -> dict[str, object]:
    now = judge_time(memo)
    return {
        "host": memo.host,
        "kind": memo.kind,
        "dueIn": _distance(memo.due, now),
        "deadIn": _distance(memo.dead, now),
        "askedAgo": f"{max(time.time() - asked, 0.0):.0f}s",
        "current": memo.is_true_of(memo.digest) and now < memo.dead,
        "renewable": memo.digest == question(settings, memo.host, "") and _is_worth_renewing(memo, asked, FOREVER),
    }


def _distance(then: float, now: float) -> str:
    return "never" if then >= FOREVER else f"{then - now:+.0f}s"


def _memos(cache: str) -> Iterator[tuple[Memo, float]]:
    """Yield each memo, failures too, with the time it was last asked for."""
    memos = Memos(f"{cache}/memo")
    for path in sorted(Path(memos.folder).glob("*")) if os.path.isdir(memos.folder) else ():
        if path.suffix in (".memo", f".{FAILED}"):
            try:
                yield memos.read(str(path)), path.stat().st_mtime
            except (OSError, ValueError):  # torn, foreign, or replaced meanwhile
                continue


def _clear(options: argparse.Namespace) -> int:
    try:
        os.lstat(options.cache)
    except FileNotFoundError:  # nothing is remembered, and nothing to forget it in has to be made
        return 0
    prepare(options.cache)
    for path in Path(options.cache, "memo").iterdir():
        path.unlink(missing_ok=True)
    from .store import Store  # noqa: PLC0415 - the store's library, for this command alone

    with Store(f"{options.cache}/store") as store:
        store.clear()
    return 0


def _warm(options: argparse.Namespace) -> int:
    from .acquire import Tools, acquired  # noqa: PLC0415 - everything third-party, for this command alone

    prepare(options.cache)
    memos, locks = Memos(f"{options.cache}/memo"), Locks(f"{options.cache}/locks")
    failures = 0
    for memo, asked in list(_memos(options.cache)):
        digest = question(options.settings, memo.host, "")
        if memo.digest != digest or not _is_worth_renewing(memo, asked, options.ahead):
            continue  # a ServiceAccount's, whose token only the kubelet has; or not due; or not asked for
        request = CredentialProviderRequest(API_VERSIONS[0], f"{memo.host}/any")
        deadline = Deadline(WARM_DEADLINE)
        tools = Tools(
            options.settings, f"{options.cache}/store", memos, locks, deadline, deadline, str, ahead=options.ahead
        )
        notes = Notes(memos, digest=digest, host=memo.host, stamps=memo.stamps)
        with locks.try_to_hold(digest) as free:
            if not free:
                continue  # a pull is at it
            try:
                with acquired(request, digest=digest, tools=tools) as fresh:
                    notes.keep(fresh, asked=asked)
            except CredentialProviderError as error:
                report(error)
                failures += 1
    return 1 if failures else 0


def _is_worth_renewing(memo: Memo, asked: float, ahead: float) -> bool:
    """Say whether *memo* is due soon and a pull asked for it within the last token's life."""
    life = memo.dead - memo.written
    return memo.kind == TOKEN and judge_time(memo) >= memo.due - ahead and time.time() - asked < life
