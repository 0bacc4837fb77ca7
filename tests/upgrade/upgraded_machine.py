"""A booted machine that has the bundles of both versions, and operators who run the one or the other."""

from __future__ import annotations

import json

import yaml
from systemd.machine import NAME, SETTINGS, Machine

DOCUMENT = {**yaml.safe_load(SETTINGS), "maxCacheDuration": "10m"}


class UpgradedMachine(Machine):
    """A machine on which the bundles of both versions are."""

    def __init__(self, folder, versions):
        self._versions = versions
        super().__init__(folder)

    def _mounts(self):
        return [f"--bind-ro={version.plugin.parent}:{path}" for path, version in self._versions.items()]

    def operator(self, path):
        """Return the version at *path* as an operator on this machine runs it."""
        return Operator(self, path, self._versions[path])


class Operator:
    def __init__(self, machine, path, version):
        self._machine = machine
        self._path = path
        self._version = version
        self._stable = version.option("--stable-for", "--settle", command="node install")

    def words(self, verb, *words):
        settings = f"/settings/{self._path.strip('/')}.yaml"
        if verb == "install":
            (self._machine.inside / settings.lstrip("/")).write_text(json.dumps(self._version.settings(DOCUMENT)))
            words = ("--settings", settings, *words)
        return (verb, *words, self._stable, "4")

    def run(self, verb, *words):
        return self._machine.node(*self.words(verb, *words), bundle=self._path)

    def done(self, verb, *words):
        done = self.run(verb, *words)
        assert done.returncode == 0, done.stderr
        return done

    def start(self, verb):
        return self._machine.start(f"{self._path}/{NAME}", "node", *self.words(verb))

    def status(self):
        done = self._machine.node("status", "--output", "json", bundle=self._path)
        return json.loads(done.stdout)

    def assert_well(self):
        status = self.status()
        assert (status["confirmed"], status["isGood"], status["interrupted"]) == (True, True, "")
        assert self._machine.node("verify", bundle=self._path).returncode == 0
