"""Tests that measure time run alone: where `pytest -n` runs several side by side, none runs beside one of these.

Each worker holds a lock while it runs a test: one of its own for a test that is marked ``alone``, a shared one for any
other. Without workers there is nothing to do.
"""

from __future__ import annotations

import fcntl
import os

import pytest


def is_alone(item: pytest.Item) -> bool:
    """True if no other test may run beside *item*."""
    return item.get_closest_marker("alone") is not None


class Turns:
    """What a worker asks for before each test."""

    def __init__(self) -> None:
        # Any two files will do: a lock changes nothing in them.
        self._queue = os.open(os.path.dirname(__file__), os.O_RDONLY)
        self._room = os.open(__file__, os.O_RDONLY)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put them last, where few other tests are left to wait for."""
        items.sort(key=is_alone)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        # Who waits to be alone waits in a queue. Otherwise there would always be another test in the room. No lock is
        # held between two tests: a worker may wait there for another to end.
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if is_alone(item) else fcntl.LOCK_SH)
        fcntl.flock(self._queue, fcntl.LOCK_UN)
        try:
            return (yield)
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)
