"""The frozen agent on a bare tree of a node: real installer, real plugin, real cloud sandbox, real kills."""

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from acr_node_config.rollout import json_exchange
from acr_node_config.rollout.agent_status import STATUS
from sandbox.faults import Failure
from support import harness, old_kernel

BIN = "/opt/acr/bin"
CONFIG = "/etc/kubernetes/acr.yaml"
SETTINGS = "/etc/aliyun-acr-credential-provider/settings.yaml"
CREDENTIALS = "/etc/aliyun-acr-credential-provider/credentials"
PROGRAM = f"{BIN}/aliyun-acr-credential-provider"
INSTALLER = ("--mode=files-only", "--service=none", f"--bin-dir={BIN}", f"--config={CONFIG}")
SECONDS = 120.0
"""For whatever is waited for: many times what it takes on an idle machine."""


class NodeTree:
    """The tree of a node without anything in it but os-release, and an agent for it."""

    def __init__(self, folder, sandbox):
        self.folder, self.sandbox = folder, sandbox
        self.root = folder / "host"
        self.is_old = False
        for name in ("etc", "var/lib", "opt", "tmp", "dev"):
            (self.root / name).mkdir(parents=True)
            (self.root / name).chmod(0o755)
        (self.root / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
        for name in ("settings", "credentials", "status"):
            (folder / name).mkdir()
        self._agents = []

    def at(self, path):
        return self.root / path.lstrip("/")

    def push(self, **changes):
        document = self.sandbox.settings() | changes
        names = {"accessKeyIdFile": self.sandbox.key_id_file, "accessKeySecretFile": self.sandbox.key_secret_file}
        for name, file in names.items():
            document["registries"][0]["identity"][name] = f"{CREDENTIALS}/{name}"
            self._put("credentials", name, file.read_bytes())
        self._put("credentials", "ca.pem", self.sandbox.ca_file.read_bytes())
        document["caBundle"] = f"{CREDENTIALS}/ca.pem"
        self.push_text(json.dumps(document))
        return document

    def push_text(self, text):
        self._put("settings", "settings.yaml", text.encode())

    def _put(self, mount, name, content):
        (self.folder / f".{name}").write_bytes(content)
        (self.folder / f".{name}").rename(self.folder / mount / name)

    def start(self, *options, status="status", under=()):
        json_exchange.drop(str(self.folder / status), STATUS)  # what one says that was killed is no news of this one
        words = ["node", "agent", "--host-root", str(self.root), "--status-dir", str(self.folder / status)]
        words += ["--settings-from", str(self.folder / "settings"), "--credentials-from"]
        words += [str(self.folder / "credentials"), "--rollout-window=0", "--allow-host=127.0.0.1"]
        words += [*options, "--", *INSTALLER]
        with (self.folder / "agent.log").open("ab") as log:
            agent = subprocess.Popen(
                [*under, *((sys.executable, old_kernel.__file__) if self.is_old else ()), str(harness.FROZEN), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **harness.HERE_ONLY, "NODE_NAME": "node-1"},
                start_new_session=True,
            )
        self._agents.append(agent)
        return agent

    def close(self):
        for agent in self._agents:
            kill(agent)

    def status(self, folder="status"):
        return json_exchange.get(str(self.folder / folder), STATUS) or {}

    def count(self, name):
        return self.status().get("counts", {}).get(name, 0)

    def wait(self, is_so, what):
        end = time.monotonic() + SECONDS
        while not is_so():
            assert time.monotonic() < end, f"{what} never came; {self.status()}\n{self.log[-3000:]}"
            time.sleep(0.1)

    def wait_for(self, state):
        self.wait(lambda: self.status().get("state") == state, state)

    @property
    def log(self):
        return (self.folder / "agent.log").read_text()

    def pull(self):
        """Ask the installed plugin, in the node's own tree, as the kubelet does."""

        def enter():
            if self.is_old:
                old_kernel.enter()
            os.chroot(self.root)
            os.chdir("/")

        return subprocess.run(
            [PROGRAM],
            input=harness.request(self.sandbox.image),
            capture_output=True,
            preexec_fn=enter,
            env=harness.HERE_ONLY,
            check=True,
            timeout=60,
        ).stdout

    @property
    def calls(self):
        return self.sandbox.calls.count("GetAuthorizationToken")


def kill(agent):
    """Kill the agent and whatever it runs at this moment, as a container's end does."""
    try:
        os.killpg(agent.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    agent.wait()


@pytest.fixture
def tree(tmp_path, sandbox):
    tmp_path.chmod(0o755)
    tree = NodeTree(tmp_path, sandbox)
    yield tree
    tree.close()


@pytest.fixture
def installed(tree):
    tree.push()
    tree.agent = tree.start()
    tree.wait_for("ready")
    return tree


def test_a_node_gets_a_plugin_that_answers_and_the_agent_stays_small(installed):
    login = json.loads(installed.pull())["auth"]

    assert list(login) == [installed.sandbox.registry.address]
    assert json.loads(installed.at(SETTINGS).read_text())["kind"] == "ProviderSettings"
    assert installed.at(f"{CREDENTIALS}/accessKeySecretFile").stat().st_mode & 0o777 == 0o600
    peak = Path(f"/proc/{installed.agent.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
    assert int(peak) < 64 * 1024


def test_a_node_with_linux_3_10_gets_one_too(tree):
    """The program, its agent and what they run are without every system call that CentOS 7 lacks."""
    tree.is_old = True
    for name, minor in (("random", 8), ("urandom", 9)):
        os.mknod(tree.at(f"/dev/{name}"), 0o666 | stat.S_IFCHR, os.makedev(1, minor))
    tree.push()
    tree.start()
    tree.wait_for("ready")
    for _ in ("from ACR", "from disk"):
        assert list(json.loads(tree.pull())["auth"]) == [tree.sandbox.registry.address]


def test_drift_is_repaired(installed):
    """How soon is asserted where a clock can be moved: unit/node_agent/test_agent.py."""
    for number, path in enumerate((CONFIG, SETTINGS, PROGRAM), 1):
        before = installed.at(path).lstat().st_mode
        installed.at(path).unlink()
        began = time.monotonic()
        installed.wait(lambda path=path: os.path.lexists(installed.at(path)), "the repair")
        print(f"{path} was back after {time.monotonic() - began:.1f} s")  # noqa: T201 - for who looks
        installed.wait(lambda number=number: installed.count("drift_repairs") == number, "the count")
        assert installed.at(path).lstat().st_mode == before
    assert json.loads(installed.pull())["auth"]


def test_new_settings_are_judged_by_the_installed_plugin_and_only_good_ones_arrive(installed):
    good = installed.at(SETTINGS).read_bytes()
    installed.push_text("kind: ProviderSettings\nregistries: {canary-in-settings: [}\n")
    installed.wait(lambda: installed.status()["settings"]["outcome"] == "unusable", "the verdict")
    assert installed.at(SETTINGS).read_bytes() == good
    assert installed.status()["state"] == "ready"
    assert json.loads(installed.pull())["auth"]
    assert "canary" not in json.dumps(installed.status()) + installed.log

    installed.push(maxCacheDuration="7m")
    installed.wait(lambda: b'"7m"' in installed.at(SETTINGS).read_bytes(), "the new settings")
    installed.wait(lambda: installed.status()["settings"]["outcome"] == "in-force", "the status")


FOREIGN = {
    "credentials folder": {"caBundle": "/etc/shadow"},
    "Alibaba Cloud's": {"proxy": {"https": "http://proxy.example.com:3128"}},
}


@pytest.mark.parametrize("told", FOREIGN)
def test_settings_that_lead_root_elsewhere_never_arrive(installed, told):
    good = installed.at(SETTINGS).read_bytes()
    installed.push_text(json.dumps({**json.loads(good), **FOREIGN[told]}))
    installed.wait(lambda: installed.status()["settings"]["outcome"] == "unusable", "the verdict")
    (problem,) = installed.status()["settings"]["problems"]
    assert told in problem
    assert installed.at(SETTINGS).read_bytes() == good
    assert json.loads(installed.pull())["auth"]


def test_a_rotated_key_reaches_the_plugin(installed):
    installed.pull()
    state = installed.sandbox.state
    key = state.add_key(installed.sandbox.key.principal)
    state.remove_key(installed.sandbox.key.id)
    installed._put("credentials", "accessKeyIdFile", key.id.encode())
    installed._put("credentials", "accessKeySecretFile", key.secret.encode())
    path = installed.at(f"{CREDENTIALS}/accessKeySecretFile")
    installed.wait(lambda: path.read_text() == key.secret, "the new key")

    assert json.loads(installed.pull())["auth"]
    assert installed.calls == 2


def test_tokens_are_renewed_for_what_pulls_asked_for_and_an_outage_meanwhile_costs_no_hit(tree):
    tree.sandbox.state.token_life = 130.0  # due after about half of it, dead 13 s before its end
    tree.push()
    agent = tree.start()
    tree.wait_for("ready")
    first = json.loads(tree.pull())["auth"]
    kill(agent)
    tree.sandbox.faults.add("GetAuthorizationToken", Failure())
    agent = tree.start()
    tree.wait(lambda: tree.count("token_refresh_failures"), "the outage")
    assert json.loads(tree.pull())["auth"] == first
    assert tree.status()["state"] == "ready"

    tree.sandbox.faults.clear()
    tree.sandbox.state.token_life = 3600.0
    kill(agent)
    tree.start()  # one that has not met the outage, and so does not rest (the rests: test_refresh_schedule.py)
    tree.wait(lambda: any(token["refresh_in"] > 1000 for token in tree.status().get("tokens", ())), "the renewal")
    before = tree.calls
    second = json.loads(tree.pull())["auth"]
    assert tree.calls == before
    host = tree.sandbox.registry.address
    assert second[host] != first[host]
    assert [token["host"] for token in tree.status()["tokens"]] == [host]
    assert second[host]["password"] not in json.dumps(tree.status()) + tree.log


def test_of_two_agents_at_once_one_works_and_the_other_waits_for_its_end(installed):
    (installed.folder / "second").mkdir()
    installed.start(status="second")
    installed.wait(lambda: installed.status("second").get("state") == "standby", "the second one")
    kill(installed.agent)
    installed.wait(lambda: installed.status("second").get("state") == "ready", "the second one's turn")


def test_killed_at_random_points_the_next_agent_ends_right(tree):
    draw = random.Random(11)
    tree.push()
    for number in range(12):
        agent = tree.start()
        time.sleep(draw.uniform(0.0, 4.0))
        kill(agent)
        tree.push(maxCacheDuration=f"{number + 1}m")
    tree.start()
    tree.wait(lambda: tree.status().get("settings", {}).get("outcome") == "in-force", "the end")
    tree.wait_for("ready")

    assert b'"12m"' in tree.at(SETTINGS).read_bytes()
    assert json.loads(tree.pull())["auth"]
    leftovers = [path.name for path in tree.root.rglob("*draft*")] + [
        path.name for path in tree.at("/var/lib/aliyun-acr-credential-provider").iterdir() if "journal" in path.name
    ]
    assert leftovers == []


def test_sigterm_just_ends_it_and_the_node_goes_on(installed):
    installed.agent.terminate()

    assert installed.agent.wait(SECONDS) == 0
    assert json.loads(installed.pull())["auth"]


def test_uninstalling_leaves_the_tree_as_it_was(tree):
    before = sorted(str(path.relative_to(tree.root)) for path in tree.root.rglob("*"))
    tree.push()
    agent = tree.start()
    tree.wait_for("ready")
    kill(agent)
    tree.start("--uninstall")
    tree.wait_for("uninstalled")

    after = sorted(str(path.relative_to(tree.root)) for path in tree.root.rglob("*"))
    assert [path for path in after if path not in (*before, "etc/sandbox-ca.pem")] == []
