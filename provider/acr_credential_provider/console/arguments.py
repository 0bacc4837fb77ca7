"""Kinds of arguments."""

from __future__ import annotations

import argparse

from acr_credential_provider.settings.field_types import parse_duration


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
