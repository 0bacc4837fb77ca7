"""Walks a pull's path for real, step by step, and names the first step that is broken.

Each step is a name and a function that returns what it saw, or raises. It uses the same
parts as a pull, in a cache of nobody's, so that all is asked again and no answer of its own
is kept. It makes the node's cache folder if that is absent, as a pull does; and the plugin,
run as the kubelet runs it, remembers what it always does.
"""

from .checks import Doctor
from .chroot import chroot

__all__ = ["Doctor", "chroot"]
