"""Whether the kubelet has called the plugin: the trace that the plugin leaves in its cache folder."""

from __future__ import annotations

import os
import stat
import time

from acr_credential_provider.fastpath.lookup import TRACE

from .host_reader import HostReader


def first_call(root: str, cache: str) -> float:
    """Return when the kubelet first called the plugin with the folder *cache*, in seconds since the epoch; 0 for never.

    *root* is where the node's / is. A trace that others than this user could have made is none.
    """
    reader, trace = HostReader(root), f"{cache}/{TRACE}"
    found = [reader.status(path) for path in (cache, os.path.dirname(trace), trace)]
    for status in found:
        if status is None or status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return 0.0
    status = found[-1]
    if status is None or not stat.S_ISREG(status.st_mode):
        return 0.0
    return max(min(status.st_mtime, time.time()), 1.0)
