"""Stands in for diskcache's recipes: our locks are flock's."""

from left_out import LeftOut, left_out


class Averager(LeftOut):
    """Named by the package."""


class BoundedSemaphore(LeftOut):
    """Named by the package."""


class Lock(LeftOut):
    """Named by the package."""


class RLock(LeftOut):
    """Named by the package."""


barrier = left_out("diskcache.recipes.barrier")
memoize_stampede = left_out("diskcache.recipes.memoize_stampede")
throttle = left_out("diskcache.recipes.throttle")
