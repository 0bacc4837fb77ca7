"""A simulated node: a fake installer and plugin, and around them the real agent and the real reporter."""

from __future__ import annotations

import os

from acr_node_config.agent.agent import LOOK_EVERY, Agent, AgentOptions
from acr_node_config.agent.settings_rollout import SettingsRollout
from acr_node_config.agent.status_channel import StatusChannel
from acr_node_config.commands.reporter_cli import TICK
from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.reporter.reporter import STATUS, Clocks, Reporter
from acr_node_config.reporter.restart_leases import RestartSemaphore, slot_name
from acr_node_config.rollout import json_exchange
from unit.node_agent.fakes import NAMESPACE, SETTINGS, FakeNode


class Machine:
    def __init__(self, folder, clock, *, name="node-1", api=None, slots=1, window=300.0, **node):
        self.name, self.clock, self.api, self._slots, self.window = name, clock, api, slots, window
        for part in ("settings", "credentials", "status", "grants", "root"):
            (folder / part).mkdir(parents=True)
        self.folder = folder
        self.node = FakeNode(folder / "root", clock, **node)
        self.said, self.logged = [], []
        self.options = {}
        self.start()

    def start(self):
        """Start both containers, as after a kill: what they remembered is gone."""
        mounts = (str(self.folder / "settings"), str(self.folder / "credentials"))
        host = HostFiles(str(self.folder / "root"))
        channel = StatusChannel(str(self.folder / "status"), str(self.folder / "grants") if self.api else "")
        options = AgentOptions(**{"version": self.node.version, "needs_lease": bool(self.api), **self.options})
        rollout = SettingsRollout(self.name, *mounts, self.window, host, self.node, self.clock.boot)
        self.agent = Agent(
            options, self.node, host, rollout, channel, self.clock.boot, self.said.append, self.logged.append
        )
        if self.api:
            names = [slot_name(number) for number in range(self._slots)]
            slots = RestartSemaphore(self.api, NAMESPACE, names, self.name, self.clock.boot)
            clocks = Clocks(self.clock.boot, self.clock.wall)
            self.reporter = Reporter(
                self.name, channel.status_dir, channel.lease_dir, self.api, slots, clocks, self.said.append
            )

    def push(self, settings, **credentials):
        """Mount other files, all at one moment, as the kubelet does."""
        for part, files in (("settings", {"settings.yaml": settings}), ("credentials", credentials)):
            mount = self.folder / part
            version = mount / f"..{os.urandom(4).hex()}"
            version.mkdir()
            for name, content in files.items():
                if content is not None:
                    (version / name).write_text(content)
                    if not (mount / name).is_symlink():
                        (mount / name).symlink_to(f"..data/{name}")
            (mount / "..new").symlink_to(version.name)
            (mount / "..new").rename(mount / "..data")

    def run(self, seconds):
        run([self], self.clock, seconds)

    @property
    def status(self):
        return json_exchange.get(str(self.folder / "status"), STATUS)

    @property
    def settings(self):
        return self.node.text(SETTINGS)


def run(machines, clock, seconds):
    """Let time pass on all *machines*, each in its own rhythm."""
    end = clock.now + seconds
    while clock.now < end:
        clock.now += TICK
        for number, machine in enumerate(machines):
            if round(clock.now / TICK + number) % round(LOOK_EVERY / TICK) == 0:
                machine.agent.tick()
            if machine.api:
                machine.reporter.tick()
