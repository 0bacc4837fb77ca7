"""The agent on a node: what Secrets, ConfigMaps and a user put before it, and what it asks of the kernel."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

import pytest
from e2e.assertions import NOBODY
from e2e.test_node_agent import CONFIG, CREDENTIALS, SETTINGS, NodeTree
from hostile.attacks import Attacks
from hostile.seats.host import SECRET
from hostile.seats.node import NAME, tree
from hostile.test_system_calls import CALLS, changes, needs_strace

SECRETS = Attacks("Writer of Secrets in the release's namespace")
CONFIG_MAPS = Attacks("Writer of the settings ConfigMap")
LOCAL = Attacks("Local unprivileged user")
OURS = re.compile(rf"(opt/acr|etc/kubernetes|etc/{NAME}|var/(lib|cache)/{NAME}[^/]*)(/|$)")
GOES_ON = "it lands nowhere; the next good files arrive, and the agent stays ready"


class AgentsNode(NodeTree):
    """A node with an agent at work, and a file of root's that nobody may see or change."""

    def __init__(self, folder, sandbox):
        super().__init__(folder, sandbox)
        self.shadow = self.at("/etc/shadow")
        self.shadow.write_text(f"{SECRET}\n")
        self.shadow.chmod(0o600)
        self.at("/tmp").chmod(0o1777)
        self.at("/home/user").mkdir(parents=True)
        os.chown(self.at("/home/user"), NOBODY, NOBODY)
        self.minutes = 0
        self.push()
        self.agent = self.start()
        self.wait_for("ready")
        self.pull()
        self.before = self.elsewhere()

    def elsewhere(self):
        """Return all of the node but what is ours, where the agent makes and removes files meanwhile."""
        while True:
            try:
                return {path: what for path, what in tree(self.root).items() if not OURS.match(path)}
            except FileNotFoundError:
                time.sleep(0.1)

    def push_more(self):
        """Push good settings that differ, and wait until they are in force."""
        self.minutes += 1
        self.push(maxCacheDuration=f"{self.minutes}m")
        self.wait(lambda: f'"{self.minutes}m"'.encode() in self.at(SETTINGS).read_bytes(), "the next settings")
        self.wait(lambda: self.status().get("settings", {}).get("outcome") == "in-force", "the status")

    def prove(self):
        self.push_more()
        assert self.agent.poll() is None
        assert self.status()["state"] == "ready"
        assert json.loads(self.pull())["auth"]
        assert self.elsewhere() == self.before
        seen = self.log + json.dumps(self.status())
        assert "Traceback" not in seen
        assert not any(secret in seen for secret in (SECRET, *self.sandbox.state.secrets()))
        kept = self.at(f"/etc/{NAME}")
        assert not any(SECRET.encode() in each.read_bytes() for each in kept.rglob("*") if each.is_file())


@pytest.fixture(scope="module")
def agents_node(grounds, cloud):
    folder = Path(tempfile.mkdtemp(prefix="agent-", dir=grounds))
    folder.chmod(0o755)
    node = AgentsNode(folder, cloud)
    yield node
    node.close()
    shutil.rmtree(folder)


def with_holes(path):
    path.touch()
    os.truncate(path, 1 << 30)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


ODD = {
    "a symlink to itself": lambda path: path.symlink_to(path.name),
    "a symlink to nothing": lambda path: path.symlink_to("nothing"),
    "a symlink to a folder": lambda path: path.symlink_to("/etc"),
    "a symlink to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a FIFO": os.mkfifo,
    "a socket": a_socket,
    "a device without an end": lambda path: os.mknod(path, 0o20666, os.makedev(1, 5)),
    "a folder": lambda path: path.mkdir(),
    "a gigabyte of holes": with_holes,
}
NAMES = ('x\n{"level":"error"}', "x\x1b[2J", "..\\..\\etc\\shadow", ".bashrc", os.fsdecode(b"x\xff"), "x" * 255)


def taken_away(*paths):
    for path in paths:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@SECRETS.tries(
    "name a key of the credentials Secret so that its file lands elsewhere on the node",
    "the mount of the credentials has {}",
    must=GOES_ON,
    each={
        "symlinks, FIFOs, sockets, devices and folders in the place of files": {
            f"odd-{number}": make for number, make in enumerate(ODD.values()) if make is not with_holes
        },
        "names with line breaks, escape sequences and paths": dict.fromkeys(NAMES, Path.touch),
    },
)
def odd_files_of_credentials(node, made):
    paths = [node.folder / "credentials" / name for name in made]
    for path, make in zip(paths, made.values(), strict=True):
        make(path)
    node.push_more()
    kept = sorted(each.name for each in node.at(CREDENTIALS).iterdir())
    assert kept == ["accessKeyIdFile", "accessKeySecretFile", "ca.pem"]
    taken_away(*paths)
    return f"the node has {len(kept)} files"


@SECRETS.tries(
    "fill the node's disk through the Secret",
    "the mount of the credentials has a gigabyte of holes",
    must="none of it is taken; the next good files arrive",
)
def a_huge_file_of_credentials(node):
    path = node.folder / "credentials/odd"
    with_holes(path)
    node.wait(lambda: node.status()["settings"]["outcome"] == "unusable", "the verdict")
    used = sum(each.lstat().st_blocks for each in node.at(f"/etc/{NAME}").rglob("*")) * 512
    assert used < 1 << 20
    taken_away(path)
    return f"{used} bytes on the node"


@CONFIG_MAPS.tries(
    "break pulls with bad settings",
    "in the mount, settings.yaml is {}",
    must="what held before stays in force, and the next good settings arrive",
    each={name: make for name, make in ODD.items() if re.search("FIFO|without|holes|zero", name)},
)
def an_odd_settings_file(node, make):
    good, path = node.at(SETTINGS).read_bytes(), node.folder / "settings/settings.yaml"
    path.unlink()
    make(path)
    time.sleep(6)  # it looks every 4 s
    assert node.at(SETTINGS).read_bytes() == good
    told = node.status()["settings"]["outcome"]
    taken_away(path)
    return f"settings {told}"


@LOCAL.tries(
    "have root follow a hard link, a FIFO, a device or a mount",
    "in the folder that the agent shares with the reporter, status.json is {}",
    must="it is replaced, or left; what it leads to is as before",
    each={
        "a symlink to root's file": lambda path, target: path.symlink_to(target),
        "a hard link to root's file": lambda path, target: os.link(target, path),
        "a FIFO": lambda path, _: os.mkfifo(path),
        "a folder": lambda path, _: path.mkdir(),
    },
)
def an_odd_status_file(node, make):
    path = node.folder / "status/status.json"
    path.unlink()
    make(path, node.shadow)
    seen = path.lstat()
    node.minutes += 1
    node.push(maxCacheDuration=f"{node.minutes}m")
    node.wait(lambda: f'"{node.minutes}m"'.encode() in node.at(SETTINGS).read_bytes(), "the next settings")
    told = "replaced"
    if path.is_dir() and not path.is_symlink():
        told = "left"
        path.rmdir()
    node.wait(lambda: path.lstat().st_ino != seen.st_ino if path.exists() else False, "a status")
    return told


@LOCAL.tries(
    "swap a folder or a file while root works on it",
    "a user fills the node's /tmp and his home with {} by the names of our files",
    must="none of them is followed, run or changed",
    each=["symlinks to root's file", "programs"],
)
def files_of_a_user(node, kind):
    mark = node.folder / "a user's program was run by root"
    home, made = node.at("/home/user"), []
    for folder in (node.at("/tmp"), home):
        for name in (
            NAME,
            "kubelet",
            "settings.yaml",
            f".{NAME}",
            "acr.yaml",
            "credentials",
            ".credentials-x",
            "status.json",
        ):
            path = folder / name
            if "symlink" in kind:
                path.symlink_to("/etc/shadow")
            else:
                path.write_text(f"#!/bin/sh\n: > '{mark}'\n")
                path.chmod(0o755)
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
            made.append(path)
    before, node.before = node.before, node.elsewhere()
    node.push_more()
    assert node.elsewhere() == node.before
    assert not mark.exists()
    for path in made:
        path.unlink()
    node.before = before
    return f"{len(made)} of them are as they were"


@pytest.mark.parametrize("attack", [*SECRETS, *CONFIG_MAPS, *LOCAL], ids=str)
def test_the_agent_goes_on_and_nothing_lands_elsewhere(attack, agents_node):
    attack.carry_out(agents_node)


@needs_strace
def test_the_agent_writes_into_our_folders_only_and_runs_our_programs_only(place, cloud, monkeypatch):
    """From the first installation to a repair, with a user's folder as TMPDIR."""
    his = place / "his"
    his.mkdir()
    os.chown(his, NOBODY, NOBODY)
    for name in ("TMPDIR", "TMP", "HOME", "SQLITE_TMPDIR"):
        monkeypatch.setenv(name, str(his))
    node, file = NodeTree(place, cloud), place / "trace"
    node.push()
    try:
        agent = node.start(under=("strace", "-f", "-y", "-qq", "-s", "300", "-e", f"trace={CALLS}", "-o", str(file)))
        node.wait_for("ready")
        node.at(CONFIG).unlink()
        node.wait(lambda: node.at(CONFIG).exists(), "the repair")
        os.killpg(agent.pid, signal.SIGTERM)
        agent.wait(60)
    finally:
        node.close()
    lines = [line.split(" ", 1)[1].strip() for line in file.read_text().splitlines()]
    calls = [line for line in lines if re.search(r"\) += \d", line)]
    run = {call for call in calls if call.startswith("exec")}
    assert run
    assert [call for call in run if NAME not in call] == []
    # The plugin is tried out in the node's root: there its own folder has a shorter path.
    short, root = rf"(var/(lib|cache)/{NAME})", re.escape(str(node.root))
    mine = re.compile(rf'"/{short}|{root}/(opt\b|etc/kubernetes|etc/{NAME}|{short})|<{root}[^>]*>')
    other = re.compile(rf'{re.escape(str(place))}/status|/memfd:|"/dev/null"')
    elsewhere = [call for call in changes(calls) if call not in run and not mine.search(call)]
    elsewhere = [call for call in elsewhere if not other.search(call)]
    assert elsewhere == []
    assert list(his.iterdir()) == []
