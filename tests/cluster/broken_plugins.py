"""Plugins that are broken on purpose, each in one way: the tests are worth what they make of these."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .cluster import Cluster

WRAPPER = """#!{python} -I
import json, os, subprocess, sys
arguments, plugin, folder = sys.argv[1:], {plugin!r}, {folder!r}
asked = json.loads(sys.stdin.read())
host = asked["image"].partition("/")[0]
def run():
    return subprocess.run([plugin, *arguments], input=json.dumps(asked).encode(), capture_output=True)
def out(answer):
    print(json.dumps(answer))
def as_it_is(ran):
    sys.stderr.buffer.write(ran.stderr)
    sys.stdout.buffer.write(ran.stdout)
    sys.exit(ran.returncode)
{body}
"""
EDIT = """
ran = run()
if ran.returncode != 0:
    as_it_is(ran)
answer = json.loads(ran.stdout)
{change}
out(answer)
"""
BODIES = {
    "wrong key": EDIT.format(change='answer["auth"] = {host + ":443": each for each in answer["auth"].values()}'),
    "extra field": EDIT.format(change='answer["expiresAt"] = "2030-01-01T00:00:00Z"'),
    "duration as a number": EDIT.format(change='answer["cacheDuration"] = 60'),
    "late token": """
kept = os.path.join(folder, host)
if not os.path.exists(kept):
    ran = run()
    if ran.returncode != 0:
        as_it_is(ran)
    with open(kept, "wb") as file:
        file.write(ran.stdout)
with open(kept) as file:
    answer = json.load(file)
answer["cacheDuration"] = "0s"
out(answer)
""",
    "exit 0 with empty auth": """
ran = run()
if ran.returncode == 0:
    as_it_is(ran)
out({"kind": "CredentialProviderResponse", "apiVersion": asked["apiVersion"], "cacheKeyType": "Registry",
     "cacheDuration": "0s", "auth": {}})
""",
    "no memory": """
import tempfile
arguments[arguments.index("--cache") + 1] = tempfile.mkdtemp(dir=folder)
as_it_is(run())
""",
    "another pod's token": """
kept = os.path.join(folder, host)
if not os.path.exists(kept):
    ran = run()
    if ran.returncode != 0:
        as_it_is(ran)
    with open(kept, "wb") as file:
        file.write(ran.stdout)
with open(kept) as file:
    out(json.load(file))
""",
    "the node's role instead": """
ran = run()
if ran.returncode == 0:
    as_it_is(ran)
at = arguments.index("--settings") + 1
with open(arguments[at]) as file:
    settings = json.load(file)
for each in settings["registries"]:
    each["identity"] = {"kind": "nodeRole"}
arguments[at] = os.path.join(folder, f"settings-{os.getpid()}.json")
with open(arguments[at], "w") as file:
    json.dump(settings, file)
for key in ("serviceAccountToken", "serviceAccountAnnotations"):
    asked.pop(key, None)
as_it_is(run())
""",
    "no deadline": """
import time
ran = run()
if ran.returncode != 0:
    time.sleep(20)
as_it_is(ran)
""",
}


def use(name: str, cluster: Cluster) -> None:
    """Make the plugin that is broken like *name* the one of *cluster*."""
    folder = cluster.node.folder / "broken" / str(cluster.next_number())
    cluster.kubelet.use_plugin(write(name, plugin=cluster.plugin, folder=folder))


def write(name: str, *, plugin: Path, folder: Path) -> Path:
    """Write the plugin that is broken like *name* around the good one; return its path. *folder* is its own."""
    folder.mkdir(parents=True)
    path = folder / "plugin"
    path.write_text(
        WRAPPER.format(python=sys.executable, plugin=str(plugin), folder=str(folder), body=BODIES[name].strip())
    )
    path.chmod(0o755)
    return path
