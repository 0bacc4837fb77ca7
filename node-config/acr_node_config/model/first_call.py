"""When the kubelet first called the plugin, in words."""

from __future__ import annotations

from datetime import UTC, datetime

_OLDEST = 1.6e9
"""Seconds since the epoch: an earlier time is that of a clock that was not set yet."""


def in_words(called_at: float) -> str:
    """Return *called_at* (seconds since the epoch; 0 for never) as a sentence.

    >>> in_words(0.0), in_words(1764583200.0), in_words(60.0)
    ('The kubelet has not called it yet.', 'In use since 2025-12-01T10:00:00Z.', 'In use.')
    """
    if not called_at:
        return "The kubelet has not called it yet."
    return f"In use since {as_time(called_at)}." if as_time(called_at) else "In use."


def as_time(called_at: float) -> str:
    """Return the time as text, "" for none and for one of a clock that was not set."""
    return datetime.fromtimestamp(called_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if called_at > _OLDEST else ""
