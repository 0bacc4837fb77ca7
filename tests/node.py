"""A node in miniature: processes of its own, among them something that looks like a kubelet to who looks at /proc."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import harness

if TYPE_CHECKING:
    from pathlib import Path

NAME = "aliyun-acr-credential-provider"
# PID 1 of its own process namespace: starts the kubelets as its children, then the command, and ends with it.
INIT = """
import json, os, sys
kubelets, command = json.loads(sys.argv[1]), sys.argv[2:]
for words, environment in kubelets:
    if os.fork() == 0:
        os.execve("/bin/sh", words, environment)
command_id = os.fork()
if command_id == 0:
    os.execv(command[0], command)
while True:
    ended, status = os.wait()
    if ended == command_id:
        os._exit(os.waitstatus_to_exitcode(status))
"""


@dataclass
class Node:
    """Where the kubelet's files are, and what its processes look like. Change it, then `run`."""

    folder: Path
    image: str
    settings: Path
    cache: Path
    config: dict = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    kubelets: int = 1

    def __post_init__(self) -> None:
        self.bin_dir = self.folder / "bin"
        self.bin_dir.mkdir()
        self.plugin = self.bin_dir / NAME
        self.plugin.symlink_to(harness.FROZEN)
        self.config_file = self.folder / "credential-provider-config.yaml"
        self.provider = {
            "name": NAME,
            "apiVersion": harness.API_VERSIONS[0],
            "matchImages": ["*.*.cr.aliyuncs.com", self.image.partition("/")[0]],
            "defaultCacheDuration": "0s",
            "args": ["--settings", str(self.settings), "--cache", str(self.cache)],
        }
        self.config = {
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [self.provider],
        }
        self.flags = [
            "--image-credential-provider-config=/overruled",
            f"--image-credential-provider-config={self.config_file}",
            "--image-credential-provider-bin-dir",
            str(self.bin_dir),
        ]
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

    def run(self, program: harness.Program, *words: str) -> harness.Ended:
        """Run *program* with *words* on this node."""
        if self.config is not None:
            self.config_file.write_text(json.dumps(self.config))
            self.config_file.chmod(0o644)
        kubelet = ["/usr/bin/kubelet", "-c", "sleep 100; true", "kubelet", *self.flags]
        plan = json.dumps([(kubelet, self.environment)] * self.kubelets)
        unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup")
        return program.run(b"", *words, under=(*unshare, sys.executable, "-c", INIT, plan), env={**os.environ})
