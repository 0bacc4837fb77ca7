"""Stands in for diskcache's containers."""

from left_out import LeftOut


class Deque(LeftOut):
    """Named by the package."""


class Index(LeftOut):
    """Named by the package."""
