"""Every option of every command: paths are absolute from the start, and an option counts before its command too."""

import argparse
import importlib
import os

import pytest
from acr_credential_provider.commands import cli, subcommands
from acr_credential_provider.console.command_line import (
    CommandLineError,
    CommandParser,
    commands_of,
    file_or_stdin,
    path_argument,
    path_on_node,
)
from acr_node_config.commands import node_cli

GLOBAL = {"--settings": "./s.yaml", "--cache": "./cache", "--output": "json"}
"""The options that the program itself shows, and a value for each."""
NO_PATHS = {
    *(
        "words",
        "--for",
        "--flags-in",
        "image",
        "--image",
        "--within",
        "--config-map",
        "--service-account-annotation",
        "--context",
    ),
    *("--service-arn", "service_account", "secrets", "name", "--wait", "-n", "--secret", "--secret-name"),
    *("--from-secret", "--host", "--docker-server", "--docker-username", "--auth-server", "--from", "--in"),
    *(
        "--namespace",
        "--writes-per-second",
        "--resync",
        "--lease-duration",
        "--webhook-service",
        "--address",
        "--owner",
    ),
    *("--webhook-service-port", "--webhook-port", "--health-port", "--stable-for", "--role", "--kubernetes"),
    *("--allow-host", "--node", "--rollout-window", "--own-image", "installer", "--slots", "--port"),
}
"""What takes a value that is no path. An option that is new belongs here, or takes its value as a path."""
NAMES = {(("node", "render", "openshift"), "--service-account")}
"""Those whose word means a path elsewhere."""
REFUSED = "refused"
NEEDED = {"image": ["images.example.com/a"], "verb": ["get"], "service_account": ["default"], "secrets": ["login"]}
NEEDED |= {"shell": ["bash"], "name": ["login"], "--from": ["--from", "a"], "--in": ["--in", "b"]}


def tree(parser, path=()):
    """Yield each command's words and parser."""
    commands = commands_of(parser)
    if not commands:
        yield path, parser
    for word, command in commands.items():
        yield from tree(command, (*path, word))


COMMANDS = dict(tree(cli.make_parser(is_whole=True)))
VALUES = [
    pytest.param(
        path, action, id=f"{' '.join(path)} {action.option_strings[-1] if action.option_strings else action.dest}"
    )
    for path, parser in COMMANDS.items()
    for action in parser._actions
    if action.nargs != 0 and not action.choices and not isinstance(action, argparse._SubParsersAction)
]


OWN_COMMAND_LINES = {("node", word) for word in node_cli.LAZY_SUBCOMMANDS}
"""What `node` knows no options of."""


def names_of(action):
    return set(action.option_strings or [action.dest])


def test_the_tree_is_whole():
    assert {
        ("explain",),
        ("cache", "refresh"),
        ("node", "bake"),
        ("node", "agent"),
        ("node", "render", "openshift"),
    } <= {*COMMANDS}
    assert {("pull-secrets", "run"), ("openshift", "link"), ("render", "eci"), ("settings", "convert")} <= {*COMMANDS}
    assert all(isinstance(each, CommandParser) and not each.allow_abbrev for each in COMMANDS.values())


@pytest.mark.parametrize(("path", "action"), VALUES)
def test_what_takes_a_path_takes_it_absolute_and_what_does_not_is_known(path, action):
    if names_of(action) & NO_PATHS or (path, *action.option_strings) in NAMES:
        assert action.metavar not in ("FILE", "DIR"), "looks like a path"
        assert not str(action.default).startswith("/"), "looks like a path"
        return
    assert action.type is not None, "is it a path? then take it as one; if not, say so in NO_PATHS"
    assert action.type("/srv/x") == "/srv/x"
    with pytest.raises(argparse.ArgumentTypeError):
        action.type("")
    if action.type is path_on_node:
        with pytest.raises(argparse.ArgumentTypeError):
            action.type("a/b")
    else:
        assert action.type("a/b") == f"{os.getcwd()}/a/b"
        assert action.type("./a") == f"{os.getcwd()}/a"
        assert action.type("-") == "-" if action.type is file_or_stdin else True


def test_no_path_is_made_of_what_only_looks_like_one(tmp_path, monkeypatch):
    for text in ("", "-", "~", "~/settings.yaml", "~root/settings.yaml"):
        with pytest.raises(argparse.ArgumentTypeError):
            path_argument(text)
    assert path_argument("./~") == f"{os.getcwd()}/~"
    assert path_argument("../a") == f"{os.getcwd()}/../a"  # the kernel's to follow: a symlink may be on the way
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(argparse.ArgumentTypeError, match="working directory is gone"):
        path_argument("a")
    assert path_argument("/a") == "/a"


def needed_by(parser):
    """Return the words that *parser* does not do without."""
    found = []
    for action in parser._actions:
        if action.required or (not action.option_strings and action.nargs is None):
            (name,) = list(names_of(action))[:1]
            found += NEEDED.get(name, ["x"])
    return found


def outcome(arguments):
    """Return what *arguments* parse to, through all doors, or REFUSED."""
    parser, doors = cli.make_parser(), {word: each.module for word, each in subcommands.LAZY_SUBCOMMANDS.items()}
    try:
        while True:
            arguments = parser.ordered(arguments)
            if not arguments or arguments[0] not in doors:
                return vars(parser.parse_args(arguments))
            module = importlib.import_module(doors[arguments[0]])
            parser = getattr(module, "_parser", module.whole_parser)()
            doors = {word: module for word, (module, _) in getattr(module, "LAZY_SUBCOMMANDS", {}).items()}
            arguments = arguments[1:]
    except CommandLineError:
        return REFUSED


@pytest.mark.parametrize("option", GLOBAL)
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_global_option_means_the_same_before_and_after_the_command(path, option):
    command = [*path, *needed_by(COMMANDS[path])]
    plain = outcome(command)
    for typed in ([option, GLOBAL[option]], [f"{option}={GLOBAL[option]}"]):
        after = outcome([*path, *typed, *command[len(path) :]])
        for split in range(len(path)):
            assert outcome([*path[:split], *typed, *path[split:], *command[len(path) :]]) == after
        assert after != plain, "it counts, or is refused"


@pytest.mark.parametrize("path", [path for path in COMMANDS if path[:2] not in OWN_COMMAND_LINES], ids=" ".join)
def test_every_option_of_a_command_may_stand_before_it(path):
    parser = COMMANDS[path]
    rest = needed_by(parser)
    for action in parser._actions:
        if not action.option_strings or action.required or isinstance(action, argparse._HelpAction):
            continue
        typed = [action.option_strings[0]]
        if action.nargs is None:
            typed.append(next(iter(action.choices)) if action.choices else "1")
        before, after = [*path[:-1], *typed, path[-1], *rest], [*path, *typed, *rest]
        if len(path) > 1:
            assert outcome(before) == outcome(after)


def test_what_stands_behind_the_command_goes_before_what_stands_before_it():
    asked = ["--settings", "/a", "explain", "--settings", "/b", "images.example.com/a"]
    assert outcome(asked)["settings"] == "/b"


@pytest.mark.parametrize(
    "arguments",
    [["--sett", "/a", "explain", "x"], ["explain", "--sett", "/a", "x"], ["--cache", "/c", "settings", "validate"]],
    ids=" ".join,
)
def test_what_a_command_does_not_take_is_an_error_and_not_ignored(arguments):
    assert outcome(arguments) == REFUSED


@pytest.mark.parametrize("arguments", [["--version", "cache", "clear"], ["--output=json", "--version"], ["--version"]])
def test_who_asks_for_the_version_gets_nothing_else(arguments, capsys):
    assert cli.run(arguments) == 0
    assert "0.1.0" in capsys.readouterr().out


def test_an_option_that_means_different_things_in_two_commands_stays_where_it_is():
    parser = CommandParser(prog="x")
    commands = parser.add_subparsers(required=True)
    commands.add_parser("a").add_argument("--where", action="store_true")
    commands.add_parser("b").add_argument("--where")
    assert parser.ordered(["--where", "a", "b"]) == ["--where", "a", "b"]
