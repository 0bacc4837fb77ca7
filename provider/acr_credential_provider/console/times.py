"""Times and ages, as people read them and as programs do."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def as_duration(seconds: float) -> str:
    """Return *seconds* in the largest unit, and in the next one too where fewer than ten of the largest are few.

    >>> [as_duration(each) for each in (0, 59.6, 2519, 5400, 7200, 100000, 900000)]
    ['0s', '1m', '42m', '1h30m', '2h', '1d4h', '10d']
    """
    left = round(seconds)
    for position, (size, unit) in enumerate(_UNITS):
        smaller, small_unit = _UNITS[min(position + 1, len(_UNITS) - 1)]
        step = size if left >= 10 * size else smaller
        rounded = (left + step // 2) // step * step
        if rounded >= size:
            whole, rest = divmod(rounded, size)
            return f"{whole}{unit}" + (f"{rest // smaller}{small_unit}" if rest else "")
    return "0s"


def as_rfc3339(seconds: float) -> str:
    """Return the time *seconds* since the epoch, in UTC.

    >>> as_rfc3339(1764590400.4)
    '2025-12-01T12:00:00Z'
    """
    return datetime.fromtimestamp(round(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
