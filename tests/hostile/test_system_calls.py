"""What the plugin asks of the kernel beside a user's files: it writes in its own folders only, and runs nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from e2e.assertions import assert_whole
from support import harness

CALLS = "openat,open,creat,execve,execveat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
CALLS += ",mkdir,mkdirat,rmdir,chmod,fchmodat,chown,fchownat,lchown,mount,truncate,mknod,mknodat"
WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")


def may_trace():
    strace = shutil.which("strace")
    return bool(strace) and subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode == 0


needs_strace = pytest.mark.skipif(not may_trace(), reason="strace is not there, or may not trace here")


def traced(node, plugin, **options):
    """Run *plugin* as the kubelet does; return its system calls that succeeded, as strace writes them."""
    file = node.folder / "trace"
    under = ("strace", "-f", "-y", "-qq", "-s", "300", "-e", f"trace={CALLS}", "-o", str(file))
    ended = plugin.ask(node.image, under=under, **options)
    assert_whole(ended.stdout, node.sandbox)
    lines = [line.split(" ", 1)[1].strip() for line in file.read_text().splitlines()]
    return [line for line in lines if re.search(r"\) += \d", line)]


def changes(calls):
    """Return those of *calls* that change a file or run one."""
    return [call for call in calls if not call.startswith("open") or WRITES.search(call)]


@needs_strace
@pytest.mark.parametrize("state", ["cold", "warm"])
def test_the_plugin_writes_into_its_own_cache_only_and_runs_nothing(node, state):
    """Beside a user's folders, as its working folder, as TMPDIR and in variables that name files to write."""
    above = node.roots / "var/of-the-plugin-alone"
    above.mkdir()
    cache = above / "cache"
    plugin = node.plugin_with(cache)
    if state == "warm":
        node.ask(plugin)
    his = {name: str(node.home) for name in ("TMPDIR", "TMP", "SQLITE_TMPDIR", "PYTHONPYCACHEPREFIX", "HOME")}
    his |= {name: str(node.home / "file") for name in ("SSLKEYLOGFILE", "MALLOC_TRACE", "LD_DEBUG_OUTPUT")}
    calls = traced(node, plugin, cwd=node.home, env={**os.environ, **harness.HERE_ONLY, **his})
    runs = [call for call in calls if call.startswith("exec")]
    assert len(runs) == 1, runs
    assert plugin.command[0] in runs[0]
    elsewhere = [call for call in changes(calls) if call not in runs and str(above) not in call]
    assert [call for call in elsewhere if '"/dev/null"' not in call] == []
    assert state == "warm" or any(str(above) in call for call in changes(calls)), "it saw nothing at all"


@needs_strace
def test_a_write_elsewhere_would_be_seen(node):
    file = node.folder / "trace"
    under = ["strace", "-f", "-y", "-qq", "-e", f"trace={CALLS}", "-o", str(file)]
    subprocess.run([*under, "sh", "-c", f"echo x > {node.home}/file; /bin/true"], check=True)
    calls = [line.split(" ", 1)[1].strip() for line in file.read_text().splitlines()]
    assert any("home/file" in call for call in changes(calls))
    assert len([call for call in calls if call.startswith("exec")]) == 2
