"""Each call that changes the system stands in decision 21 with its proof, and nowhere else in the product."""

import re

import pytest
from support.change_lint import findings
from support.harness import ROOT

PACKAGES = ("provider/acr_credential_provider", "node-config/acr_node_config")
RECORD = ROOT / "docs/decisions/0021-changes-need-proof.md"
SCRIPTS = ("node-config/bootstrap/bootstrap.sh", "node-config/acr_node_config/install/guard.sh")
COMMANDS = {
    *("rm", "rmdir", "mv", "cp", "ln", "mkdir", "mktemp", "mkfifo", "mknod", "chmod", "chown", "install", "touch"),
    *("tar", "dd", "tee", "kill", "pkill", "mount", "umount", "restorecon", "setfacl", "chattr", "systemctl"),
    *("eval", "exec", "source", ".", "curl", "wget"),
}
READS = ("systemctl show", "exec 9<")
"""Commands that change nothing: the second is a lock on a folder."""


def rows(heading):
    """Return the rows of the table below *heading* in the record, each with its cells."""
    section = RECORD.read_text().partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines]


def calls_of_code():
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            calls = {call for _, call in findings(path.read_text())}
            if calls:
                found[str(path.relative_to(ROOT / package))] = calls
    return found


def listed(heading):
    found = {}
    for module, calls, *_ in rows(heading):
        found.setdefault(module.strip("`"), set()).update(re.findall(r"`([^`]+)`", calls))
    return found


def test_the_record_has_each_call_that_changes_the_system_and_no_other():
    assert calls_of_code() == listed("Calls of Python")


def test_each_row_of_the_record_names_a_target_and_a_proof():
    for heading in ("Calls of Python", "Commands of scripts"):
        found = rows(heading)
        assert found
        for row in found:
            assert len(row) == 4, row
            assert all(row), row


def commands(script):
    """Return the simple commands of *script* that change something, and its redirections into files."""
    found = set()
    for line in script.replace("\\\n", " ").splitlines():
        code = re.sub(r"(^|\s)#.*", "", re.sub(r"^\s*[^()'\"\s]+( \| [^()'\"\s]+)*\)\s", "", line))
        for part in re.split(r"&&|\|\||[;|]", code):
            words = re.sub(r"^[\s{(!]*((if|then|else|while|do|trap)\s+['\"]?)?(timeout \S+ )?", "", part.strip())
            words = " ".join(words.split()).rstrip("{ ")
            word = re.match(r"(?:work=\$\()?([a-z]+|\.)(?=\s)", words)
            writes = re.search(r"(?<![0-9<&])>{1,2}\s*(?!/dev/null|&)", words)
            runs = re.match(r'"\$\w+/', words)
            is_change = word and word[1] in COMMANDS and not words.startswith(READS)
            if is_change or writes or runs:
                found.add(words)
    return found


def test_the_record_has_each_command_with_which_a_script_changes_a_node_and_no_other():
    found = {(script.rpartition("/")[2], each) for script in SCRIPTS for each in commands((ROOT / script).read_text())}
    assert found == {(script.strip("`"), command.strip("`")) for script, command, *_ in rows("Commands of scripts")}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("rm -rf /", {"rm -rf /"}),
        ("true && mv a b", {"mv a b"}),
        ("if cp a b; then", {"cp a b"}),
        ("x=$(date) || chmod 0 /", {"chmod 0 /"}),
        ("printf x >/etc/passwd", {"printf x >/etc/passwd"}),
        (": >> /etc/passwd", {": >> /etc/passwd"}),
        ("work=$(mktemp -d)", {"work=$(mktemp -d)"}),
        ("trap 'rm -r /' EXIT", {"rm -r /' EXIT"}),
        ("echo x 2>/dev/null # rm", set()),
        ("echo error >&2", set()),
        ("/*) cp -- a b ;;", {"cp -- a b"}),
        ("a | b) rm c ;;", {"rm c"}),
        ("printf x | timeout 5 curl --output \\\n    f", {"curl --output f"}),
        ('"$bundle/$NAME" "$@"', {'"$bundle/$NAME" "$@"'}),
        ("systemctl restart kubelet", {"systemctl restart kubelet"}),
        ("systemctl show kubelet", set()),
    ],
)
def test_a_command_that_changes_something_is_seen_wherever_it_stands(line, found):
    assert commands(line) == found


SEEN = {
    "import os\nos.unlink(p)": "os.unlink",
    "from os import unlink\nunlink(p)": "os.unlink",
    "from os import unlink as u\nu(p)": "os.unlink",
    "import os as o\no.chmod(p, 0)": "os.chmod",
    "import os\no = os\no.rename(a, b)": "os.rename",
    "import os\nremove = os.remove": "os.remove",
    "import os\nmap(os.rmdir, names)": "os.rmdir",
    "import posix\nposix.kill(1, 9)": "posix.kill",
    "from os import *": "os.*",
    "import os\ngetattr(os, 'unlink')(p)": "os.unlink",
    "import os\ngetattr(os, name)(p)": "os.?",
    "import os\nos.__dict__['unlink'](p)": "__dict__",
    "import os\nvars(os)['unlink'](p)": "vars",
    "import sys\nsys.modules['os'].unlink(p)": "sys.modules",
    "__import__('os').unlink(p)": "os.unlink",
    "import importlib\nimportlib.import_module('shutil').rmtree(p)": "shutil",
    "from importlib import import_module as load\nload('os').unlink(p)": "os.unlink",
    "def f():\n    from os import replace as r\n    r(a, b)": "os.replace",
    "exec(text)": "exec",
    "import shutil\nshutil.rmtree(p)": "shutil",
    "from shutil import rmtree": "shutil",
    "from pathlib import Path\nPath(x).unlink()": "pathlib",
    "def f(path):\n    path.unlink()": ".unlink",
    "def f(path):\n    path.write_text('x')": ".write_text",
    "def f(path):\n    path.replace(other)": ".replace",
    "def f(path):\n    path.open('w')": "open to write",
    "def f(folders):\n    folders[0].rmdir('x')": ".rmdir",
    "open(x, 'r+')": "open to write",
    "open(x, mode='a')": "open to write",
    "open(x, mode)": "open to write",
    "import io\nio.open(x, 'wb')": "open to write",
    "from io import open as read\nread(x, 'x')": "open to write",
    "w = open\nw(x, 'w')": "open to write",
    "import os\nos.open(p, os.O_WRONLY)": "os.open",
    "import os\nos.open(p, os.O_RDONLY | os.O_CREAT)": "os.open",
    "import os\nF = os.O_RDONLY | os.O_TRUNC\nos.open(p, F)": "os.open",
    "import os\ndef f(p, flags):\n    os.open(p, flags)": "os.open",
    "import os\nos.open(p, 2)": "os.open",
    "import os\nos.fdopen(f, 'w')": "open to write",
    "import subprocess as s\ns.run(x)": "subprocess",
    "from subprocess import Popen": "subprocess",
    "def f(process):\n    process.kill()": ".kill",
    "import signal\nsignal.pidfd_send_signal(f, 9)": "signal.pidfd_send_signal",
    "import ctypes\nctypes.CDLL(None).mount()": "ctypes",
    "import os\nos.execv(p, [])": "os.execv",
    "import os\nos.chroot(p)": "os.chroot",
    "import socket\nsocket.socket(socket.AF_UNIX)": "socket.AF_UNIX",
    "import tempfile": "tempfile",
    "import os.path as p\np.os.unlink(x)": "os.path.os.unlink",
    "import logging\nlogging.os.unlink(x)": "logging.os.unlink",
    "import os\n(o := os).unlink(p)": "os.unlink",
    "import os\n[os][0].unlink(p)": ".unlink",
    "import os\n[os][0].chown(p, 0, 0)": ".chown",
    "import os\nfrom operator import methodcaller as m\nm('unlink', p)(os)": "operator.methodcaller",
    "try:\n    from os import lchown as c\nexcept ImportError:\n    c = None\nc(p, 0, 0)": "os.lchown",
    "import diskcache": "diskcache",
}


@pytest.mark.parametrize("code", SEEN)
def test_a_change_is_seen_under_whatever_name(code):
    assert SEEN[code] in {call for _, call in findings(code)}


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.path.join(a, b)\nos.stat(p)\nos.listdir(p)",
        "open(x)\nopen(x, 'rb')\nopen(x, encoding='utf-8')",
        "import os\nLOOK = os.O_PATH | os.O_NOFOLLOW\nos.open(p, LOOK | os.O_CLOEXEC, dir_fd=f)",
        "import os\nopen(p, 'rb', opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))",
        "text.replace('a', 'b')\nfrom dataclasses import replace\nreplace(x, a=1)",
        "with opened(p) as folder:\n    folder.unlink('x')",
        "def f(folder: Folder):\n    folder.rename('a', 'b')",
        "from subprocess import TimeoutExpired",
        "if TYPE_CHECKING:\n    import subprocess",
        "with opened(p) as folder, open(folder.nameless_file(), 'wb') as file:\n    pass",
    ],
)
def test_what_reads_or_has_its_proof_is_none(code):
    assert findings(code) == []
