"""The program as a folder: which one to install, where it goes, whether it runs there, and which old ones may go.

    <bin dir>/.aliyun-acr-credential-provider/<version>-<digest>/aliyun-acr-credential-provider
    <bin dir>/aliyun-acr-credential-provider -> that, relative

Inside of the kubelet's folder of providers, so that who mounts that alone has all of it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_node_config.hostfs import host_exec
from acr_node_config.hostfs.dir_entry import tree_digest
from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model import steps
from acr_node_config.model.errors import BundleError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Collection

    from acr_node_config.hostfs.host_files import HostFiles

HIDDEN = f".{NAME}"
SECONDS = 20.0

_VERSION = re.compile(rf"{NAME} ([0-9A-Za-z][0-9A-Za-z.+-]*)")
_FOREIGN = "registry.example.com"
_REQUEST = {
    "kind": "CredentialProviderRequest",
    "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
    "image": f"{_FOREIGN}/team/app",
}
_SETTINGS = b"""\
apiVersion: aliyun-acr-credential-provider/v1
kind: ProviderSettings
registries:
  - instanceId: cri-selftest
    region: cn-hangzhou
    domains: [selftest-registry.cn-hangzhou.cr.aliyuncs.com]
    identity: {kind: nodeRole}
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A program to install: the folder *source* where this process runs, its version, the digest of its files."""

    source: str
    version: str
    digest: str

    @property
    def name(self) -> str:
        """The name of its folder on a node."""
        return f"{self.version}-{self.digest[:8]}"


def own_folder() -> str:
    """Return the folder that this very program was started from; raise `BundleError` when it is not frozen."""
    if getattr(sys, "frozen", False):
        return os.path.dirname(os.path.realpath(sys.executable))
    raise BundleError(
        "this program runs from source, and a node needs the frozen one",
        remedy="Name the frozen one's folder with --bundle (make freeze writes it to build/dist).",
    )


def read(source: str) -> Bundle:
    """Return the program in the folder *source*; raise `BundleError` for what is none."""
    program = f"{source}/{NAME}"
    try:
        digest = tree_digest(source)
        is_there = os.access(program, os.X_OK)
    except OSError:
        is_there = False
    if not is_there:
        raise BundleError(f"{source} holds no {NAME}", remedy="Name the folder that the program lies in with --bundle.")
    return Bundle(source, _version(program), digest)


def folder_for(host: HostFiles, bin_dir: str, bundle: Bundle) -> str:
    """Return where *bundle* goes below *bin_dir*: what lies there and is damaged stays, for it may be in use."""
    number = 1
    while True:
        path = f"{bin_dir}/{HIDDEN}/{bundle.name}" + (f"-{number}" if number > 1 else "")
        if not host.is_there(path) or host.digest(path) == bundle.digest:
            return path
        number += 1


def smoke_test(host: HostFiles, tree: str, scratch: str) -> None:
    """Run the program in *tree* on the node: its version, and a kubelet's request that needs no cloud.

    *scratch* is a private folder of the node for its cache and settings, which is removed again. Raises `BundleError`.
    """
    program = f"{tree}/{NAME}"
    settings = f"{scratch}/settings.yaml"
    environment = {"PATH": host_exec.PATH}
    host.apply(steps.RemoveTree(scratch))
    host.apply(steps.MakeFolder(scratch, 0o700, is_ours=True))
    host.apply(steps.PutFile(settings, _SETTINGS, 0o600))
    problem = "does not say its version"
    try:
        told = host_exec.run([program, "--version"], root=host.root, seconds=SECONDS, environment=environment)
        if told.returncode == 0 and _VERSION.match(told.stdout.decode("utf-8", "replace")):
            answered = host_exec.run(
                [program, "--settings", settings, "--cache", f"{scratch}/cache"],
                root=host.root,
                stdin=json.dumps(_REQUEST).encode() + b"\n",
                seconds=SECONDS,
                environment=environment,
            )
            if answered.returncode == 0 and _is_empty_answer(answered.stdout):
                return
            problem = f"does not answer a kubelet (exit code {answered.returncode})"
    except ServiceError as error:
        problem = f"does not run: {error.problem}"
    finally:
        host.apply(steps.RemoveTree(scratch))
    raise BundleError(
        f"the program {problem}",
        remedy="Is it for this machine's processor, and whole? Compare its checksum, and run it on the node by hand.",
    )


def unused(host: HostFiles, bin_dir: str, keep: Collection[str]) -> list[str]:
    """Return the folders of older programs below *bin_dir* that no process has in use, and that are not in *keep*.

    Nothing where what processes have in use cannot be seen.
    """
    folder = f"{bin_dir}/{HIDDEN}"
    others = [f"{folder}/{name}" for name in host.listed(folder) if f"{folder}/{name}" not in keep]
    if not others:
        return []
    try:
        mapped = _mapped(host.outside("/proc"))
    except OSError:  # no right to look: they stay
        return []
    return [path for path in others if not any(f"/{HIDDEN}/{os.path.basename(path)}/" in text for text in mapped)]


def _mapped(proc: str) -> list[str]:
    """Return what the processes that can be seen have mapped."""
    found = []
    for entry in os.listdir(proc) if os.path.isdir(proc) else []:
        if entry.isdigit():
            try:
                with open(f"{proc}/{entry}/maps", encoding="utf-8", errors="replace") as file:
                    found.append(file.read())
            except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                continue
    return found


def _version(program: str) -> str:
    try:
        told = host_exec.run(host_exec.Command([program, "--version"], is_ours=True), seconds=SECONDS)
    except ServiceError:
        told = None
    found = _VERSION.match(told.stdout.decode("utf-8", "replace")) if told and told.returncode == 0 else None
    if found:
        return found[1]
    raise BundleError(f"{program} does not say its version", remedy="Is it whole, and for this machine's processor?")


def _is_empty_answer(stdout: bytes) -> bool:
    try:
        answer = json.loads(stdout)
    except ValueError:
        return False
    return (
        isinstance(answer, dict)
        and answer.get("kind") == "CredentialProviderResponse"
        and answer.get("apiVersion") == _REQUEST["apiVersion"]
        and not answer.get("auth")
    )
