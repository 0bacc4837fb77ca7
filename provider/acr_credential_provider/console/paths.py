"""The two paths that most commands take.

Their defaults are the node's in every parser, and become the user's own (`own_paths`) once a command is typed: help,
man pages and completion are the same on every machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.lookup import CACHE, SETTINGS
from acr_credential_provider.files.user_paths import user_paths
from acr_credential_provider.version import NAME

from .command_line import path_argument

if TYPE_CHECKING:
    import argparse


def add_paths(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of the settings file and the cache folder."""
    add_settings(parser)
    cache = f"cache folder (default: {CACHE}; of a user who is not root: ~/.cache/{NAME})"
    parser.add_argument("--cache", type=path_argument, default=CACHE, help=cache)


def add_settings(parser: argparse._ActionsContainer) -> None:
    """Give *parser* the option of the settings file."""
    settings = f"settings file (default: {SETTINGS}; of a user who is not root: ~/.config/{NAME}/settings.yaml)"
    parser.add_argument("--settings", type=path_argument, default=SETTINGS, help=settings)


def own_paths(options: argparse.Namespace) -> None:
    """Put this user's settings and cache into *options* where no others were named, and say so in them."""
    defaults = {"settings": SETTINGS, "cache": CACHE}
    unnamed = [name for name, path in defaults.items() if getattr(options, name, "") is path]
    options.settings_are_own = "settings" in unnamed
    if not unnamed:
        return
    paths = user_paths()
    for name in unnamed:
        setattr(options, name, paths[f"--{name}"])
