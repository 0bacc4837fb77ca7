"""Kinds of arguments, and the two paths that most commands take."""

from __future__ import annotations

import argparse

from acr_credential_provider.fastpath.lookup import CACHE, SETTINGS
from acr_credential_provider.settings.field_types import parse_duration

from .command_line import path_argument


def add_paths(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of the settings file and the cache folder."""
    parser.add_argument("--settings", type=path_argument, default=SETTINGS, help=f"settings file (default: {SETTINGS})")
    parser.add_argument("--cache", type=path_argument, default=CACHE, help=f"cache folder (default: {CACHE})")


def duration(text: str) -> float:
    """Take a time such as 90s, 10m or 1h; return seconds."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def namespaced_name(text: str) -> tuple[str, str]:
    """Take NAMESPACE/NAME; return both."""
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise argparse.ArgumentTypeError("write it as NAMESPACE/NAME")
    return namespace, name
