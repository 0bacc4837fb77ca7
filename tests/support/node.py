"""A node in miniature: processes of its own, among them something that looks like a kubelet to who looks at /proc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support import harness

if TYPE_CHECKING:
    from pathlib import Path

NAME = "aliyun-acr-credential-provider"
# PID 1 of its own process namespace: starts the processes as its children, then the command, and ends with it. Those of
# a user are orphans that it adopts. A process is there once its program runs: then its end of the pipe is closed.
INIT = """
import json, os, sys
processes, command = json.loads(sys.argv[1]), sys.argv[2:]
for file, words, environment, user in processes:
    reads, writes = os.pipe()
    if os.fork() == 0:
        if user:
            os.chdir(os.path.dirname(file))  # the way there may be closed to that user
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            if os.fork():
                os._exit(0)
        os.execve("./" + os.path.basename(file) if user else file, words, environment)
    os.close(writes)
    os.read(reads, 1)
    os.close(reads)
command_id = os.fork()
if command_id == 0:
    os.execv(command[0], command)
while True:
    ended, status = os.wait()
    if ended == command_id:
        os._exit(os.waitstatus_to_exitcode(status))
"""
NODE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup", sys.executable, "-c", INIT)
"""A node's processes: what comes before them as JSON, and a command."""
NOBODY = 65534
EVIL = """
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words) {
    (void)words;
    if (count == 2) {
        close(open(MARK, O_CREAT | O_WRONLY, 0644));
        puts("Kubernetes v1.34.0");
        return 0;
    }
    for (;;)
        pause();
}
"""


def evil_program(file: Path, mark: Path) -> Path:
    """Make the program *file*, which is a user's: run with one argument it leaves *mark*, else it stays."""
    subprocess.run(
        ["gcc", "-x", "c", "-Wall", "-Werror", f'-DMARK="{mark}"', "-o", str(file), "-"],
        input=EVIL.encode(),
        check=True,
    )
    os.chown(file, NOBODY, NOBODY)
    return file


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
    strangers: list[tuple] = field(default_factory=list)
    """Processes beside: a program, its command line, its environment, and whose it is (0 for root)."""

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

    def run(self, way: harness.Program, *words: str) -> harness.Ended:
        """Run the program *way* with *words* on this node."""
        if self.config is not None:
            self.config_file.write_text(json.dumps(self.config))
            self.config_file.chmod(0o644)
        program = self.folder / "kubelet"
        if not program.exists():
            shutil.copy("/bin/sh", program)
        kubelet = [str(program), "-c", "sleep 100; true", "kubelet", *self.flags]
        plan = json.dumps([(str(program), kubelet, self.environment, 0)] * self.kubelets + self.strangers)
        return way.run(b"", *words, under=(*NODE, plan), env={**os.environ})
