"""Commands with a command line of their own, which are loaded by name, because a bundle may leave them out."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, NamedTuple

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.version import KUBECTL_PLUGIN, NAME

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from acr_credential_provider.console.command_line import CommandParser

PLUGIN = Remedy(
    "CommandNotInBuild",
    f"Use {NAME}, the plugin's program: it is on each node, and in {NAME}-VERSION-linux-ARCH.tar.gz of a release.",
)
CONTROLLER = Remedy(
    "CommandNotInBuild",
    f"Use {KUBECTL_PLUGIN}: its program kubectl-acr is in {NAME}-controller-VERSION-linux-ARCH.tar.gz of a release.",
)


class LazySubcommand(NamedTuple):
    """A command: the *module* whose ``run(arguments)`` returns the exit code, its help, and who has it."""

    module: str
    purpose: str
    elsewhere: Remedy


LAZY_SUBCOMMANDS = {
    "node": LazySubcommand(
        "acr_node_config.commands.node_cli", "install the plugin on a node, keep it, undo it", PLUGIN
    ),
    "pull-secrets": LazySubcommand(
        "acr_credential_provider.pull_secrets.commands.cli", "run the pull-secrets controller", CONTROLLER
    ),
    "openshift": LazySubcommand(
        "acr_credential_provider.openshift.cli", "link and merge pull secrets as oc does", CONTROLLER
    ),
    "render": LazySubcommand(
        "acr_credential_provider.eci.cli", "write what other platforms need of the settings", CONTROLLER
    ),
    "status": LazySubcommand(
        "acr_credential_provider.cluster_doctor.status", "say what of this project runs in a cluster", CONTROLLER
    ),
}


def add_to(
    commands: argparse._SubParsersAction[CommandParser],
    *,
    is_kubectl: bool = False,
    is_whole: bool = False,
    has_hidden: bool = True,
) -> None:
    """Add all of them to *commands*; the help lists those for a node or those for a cluster, as *is_kubectl* says.

    *is_whole*: with their own options and commands, which loads them. *has_hidden*: also those that are not listed.
    """
    for word, command in LAZY_SUBCOMMANDS.items():
        is_listed = (command.elsewhere == CONTROLLER) == is_kubectl
        if (is_whole and not is_here(command.module)) or not (is_listed or has_hidden):
            continue
        if is_listed:
            commands.add_parser(word, help=command.purpose, add_help=False)
        else:  # what has no help is not listed
            commands.add_parser(word, add_help=False)
        if is_whole:
            commands.choices[word] = importlib.import_module(command.module).whole_parser()


def run(word: str, arguments: list[str]) -> int:
    """Carry out the command *word*; return the exit code."""
    command = LAZY_SUBCOMMANDS[word]
    code: int = load(command.module, word, elsewhere=command.elsewhere)(arguments)
    return code


def load(module: str, name: str, *, elsewhere: Remedy) -> Callable[..., int]:
    """Return ``run`` of *module*; raise `ConfigurationError` if this program was built without it."""
    if not is_here(module):
        raise ConfigurationError(f"this program does not have the command {name}", remedy=elsewhere)
    found: Callable[..., int] = importlib.import_module(module).run
    return found


def is_here(module: str) -> bool:
    """True if this program has *module*."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor the package that it is in
        return False
