"""Types a document's commands as they stand: in a folder of an operator, on a machine that is a node for them alone.

Mounts, processes and network are namespaces of their own, and what is written below /etc, /opt, /usr and /var is gone
with them. Only a kubelet and a systemctl stand in for real ones; the cloud is the sandbox, under its real names.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sandbox import AcrSandbox
from sandbox.netns import NetworkNamespace
from sandbox.state import Instance
from support import harness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

HERE = Path(__file__).parent
NAME = "aliyun-acr-credential-provider"
INSTANCE = "cri-0123456789abcdef"
HOSTS = (
    "demo-registry.cn-hangzhou.cr.aliyuncs.com",
    "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
    "images.example.com",
)
APIS = ("cr.cn-hangzhou.aliyuncs.com", "cr-vpc.cn-hangzhou.aliyuncs.com")
STS = ("sts.cn-hangzhou.aliyuncs.com", "sts-vpc.cn-hangzhou.aliyuncs.com", "sts.aliyuncs.com")
ADDRESS = {"registry": "127.0.0.2", "openapi": "127.0.0.3", "sts": "127.0.0.4"}
UNIT = """[Service]
EnvironmentFile=-/etc/default/kubelet
ExecStart=/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml $KUBELET_EXTRA_ARGS
"""
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup")
MOUNTS = """
set -e
mount -t tmpfs none {layers}
for folder in etc opt usr var root; do
    mkdir -p {layers}/$folder/up {layers}/$folder/work
    mount -t overlay none -o lowerdir=/$folder,upperdir={layers}/$folder/up,workdir={layers}/$folder/work /$folder
done
mount -t tmpfs none /run
mkdir -p /run/systemd/system /var/lib/kubelet /etc/kubernetes /etc/default
"""
TYPE = """
code=0
(cd {folder} && exec bash -eo pipefail {block}) >{block}.out 2>{block}.err </dev/null || code=$?
echo $code >{block}.code
"""


@dataclass(frozen=True)
class Ended:
    """How the commands of a block ended."""

    code: int
    stdout: str
    stderr: str


class World:
    """``with World(folder, program=...) as world``: a machine with a working folder of an operator.

    *files* are there already, by path; relative ones in the working folder. *environment* is the operator's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        program: Path,
        environment: Mapping[str, str] | None = None,
        namespace: NetworkNamespace | None = None,
    ) -> None:
        self._folder = folder
        self.work = folder / "of the operator"
        self.work.mkdir(parents=True)
        self._layers = folder / "layers"
        self._layers.mkdir()
        self._program = program
        self._environment = environment or {}
        self._namespace = namespace
        self._setup: list[str] = []
        self._blocks = 0

    def prepare(self, script: str) -> None:
        """Have *script* run before anything is typed."""
        self._setup.append(script)

    def file(self, path: str, text: str | bytes, mode: int = 0o600) -> None:
        """Have a file at *path*, absolute or in the working folder."""
        source = self.work / path
        if path.startswith("/"):
            source = self._folder / f"file{len(self._setup)}"
            self._setup.append(f"mkdir -p $(dirname {path}); cp --preserve=mode '{source}' {path}")
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(text if isinstance(text, bytes) else text.encode())
        source.chmod(mode)

    def type(self, texts: Sequence[str], *, seconds: float = 240.0) -> list[Ended]:
        """Type *texts* one after the other, each as a script of its own; return how each ended."""
        script = [
            MOUNTS.format(layers=self._layers),
            f"ln -s {self._program} /usr/local/bin/{NAME}",
            *self._setup,
            "set +e",
        ]
        paths = []
        for number, text in enumerate(texts):
            paths.append(block := self._folder / f"block{number}")
            block.write_text(text)
            script.append(TYPE.format(folder=f"'{self.work}'", block=block))
        whole = self._folder / "typed.sh"
        whole.write_text("\n".join(script))
        command = [*APART, "bash", str(whole)]
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            **self._environment,
        }
        argv = self._namespace.command(command) if self._namespace else command
        ended = subprocess.run(
            argv, check=False, env=environment, cwd="/", capture_output=True, text=True, timeout=seconds
        )
        if ended.returncode:
            raise AssertionError(f"the world was not made: {ended.stdout} {ended.stderr}")
        return [
            Ended(
                int(Path(f"{path}.code").read_text()), Path(f"{path}.out").read_text(), Path(f"{path}.err").read_text()
            )
            for path in paths
        ]


class Cloud:
    """The sandbox in a network of its own, under the names that the documents use."""

    def __enter__(self) -> Self:
        self._left = contextlib.ExitStack()
        self.namespace = self._left.enter_context(NetworkNamespace())
        self.sandbox = self._left.enter_context(AcrSandbox(names=(*HOSTS, *APIS, *STS)))
        instance = Instance.usual(INSTANCE, name="demo")
        self.sandbox.state.add_instance(instance, *HOSTS)
        self.namespace.call(lambda: self.sandbox.metadata.listen("100.100.100.200", 80))
        for name, address in ADDRESS.items():
            self.namespace.call(lambda name=name, address=address: getattr(self.sandbox, name).listen(address, 443))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.close()

    def lead(self, world: World) -> None:
        """Let the names of the cloud lead here in *world*, and its certificates be trusted there."""
        names = {"registry": HOSTS, "openapi": APIS, "sts": STS}
        lines = [f"{ADDRESS[name]} {' '.join(hosts)}" for name, hosts in names.items()]
        world.file("/etc/hosts", "127.0.0.1 localhost\n" + "\n".join(lines) + "\n", 0o644)
        world.prepare(f"cat '{self.sandbox.ca_file}' >> /etc/ssl/certs/ca-certificates.crt")
        for file in ("access-key-id", "access-key-secret"):
            secret = (self.sandbox.directory / file).read_text()
            for folder in ("", "credentials/"):
                world.file(f"/etc/{NAME}/{folder}{file}", secret)


def be_a_node(world: World, folder: Path) -> None:
    """Let *world* be a node whose kubelet runs as kubeadm's does."""
    kubelet = folder / "kubelet"
    if not kubelet.exists():
        subprocess.run(["gcc", "-Wall", "-Werror", "-O1", "-o", str(kubelet), str(HERE / "kubelet.c")], check=True)
    world.prepare(f"rm -f /usr/bin/kubelet; cp '{kubelet}' /usr/bin/kubelet")
    shutil.copy(HERE / "systemctl.py", folder / "systemctl.py")
    world.file("/usr/bin/systemctl", f"#!/usr/bin/python3 -I\n{(HERE / 'systemctl.py').read_text()}", 0o755)
    world.file("/etc/systemd/system/kubelet.service", UNIT, 0o644)
    world.file(
        "/var/lib/kubelet/config.yaml", "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n", 0o644
    )
    world.prepare("systemctl start kubelet.service")


def archive(folder: Path, version: str, *, controller: bool = False) -> Path:
    """Return the release's archive of one of the programs, made in *folder* if it is not there."""
    kind, program = ("-controller", harness.CONTROLLER) if controller else ("", harness.FROZEN)
    path = folder / f"{NAME}{kind}-{version}-linux-amd64.tar.gz"
    if not path.exists():
        with tarfile.open(path, "w:gz", compresslevel=1) as packed:
            packed.add(program.parent, arcname="controller" if controller else NAME)
    return path
