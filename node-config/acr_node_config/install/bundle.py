"""The bundle: the program as a folder, its place on a node, its smoke test, and old ones that may go.

    <bin dir>/.aliyun-acr-credential-provider/<version>-<digest>/aliyun-acr-credential-provider
    <bin dir>/aliyun-acr-credential-provider -> that, relative

Inside of the kubelet's folder of providers, so that a mount of that folder alone has all of it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.model.remedy import Remedy

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
    """Return the folder of this very program; raise `BundleError` if it is not frozen."""
    if getattr(sys, "frozen", False):
        return os.path.dirname(os.path.realpath(sys.executable))
    raise BundleError(
        "this program runs from source, and a node needs the frozen one",
        remedy=Remedy(
            "BundleUnusable", "Name the frozen one's folder with --bundle (make freeze writes it to build/dist)."
        ),
    )


def read(source: str) -> Bundle:
    """Return the bundle in the folder *source*; raise `BundleError` if it is none."""
    program = f"{source}/{NAME}"
    try:
        digest = tree_digest(source)
        is_there = os.access(program, os.X_OK)
    except OSError:
        is_there = False
    if not is_there:
        raise BundleError(
            f"{source} holds no {NAME}",
            remedy=Remedy("BundleUnusable", "Name the folder that the program lies in with --bundle."),
        )
    return Bundle(source, _version(program), digest)


def folder_for(host: HostFiles, bin_dir: str, bundle: Bundle) -> str:
    """Return the folder for *bundle* below *bin_dir*. A damaged one stays, because it may be in use."""
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
        ended = host_exec.run([program, "--version"], root=host.root, seconds=SECONDS, environment=environment)
        if ended.returncode == 0 and _VERSION.match(ended.stdout.decode("utf-8", "replace")):
            ended = host_exec.run(
                [program, "--settings", settings, "--cache", f"{scratch}/cache"],
                root=host.root,
                stdin=json.dumps(_REQUEST).encode() + b"\n",
                seconds=SECONDS,
                environment=environment,
            )
            if ended.returncode == 0 and _is_empty_answer(ended.stdout):
                return
            problem = f"does not answer a kubelet (exit code {ended.returncode})"
    except ServiceError as error:
        problem = f"does not run: {error.problem}"
    finally:
        host.apply(steps.RemoveTree(scratch))
    raise BundleError(
        f"the program {problem}",
        remedy=Remedy(
            "BundleUnusable",
            "Is it for this machine's processor, and whole? Compare its checksum, and run it on the node by hand.",
        ),
    )


def unused(host: HostFiles, bin_dir: str, keep: Collection[str]) -> list[str]:
    """Return the folders of older programs below *bin_dir* that no process has in use, and that are not in *keep*.

    None at all if the processes' mappings cannot be read.
    """
    folder = f"{bin_dir}/{HIDDEN}"
    others = [f"{folder}/{name}" for name in host.listed(folder) if f"{folder}/{name}" not in keep]
    if not others:
        return []
    try:
        mapped = _mapped(host.outside("/proc"))
    except OSError:
        return []
    return [path for path in others if not any(f"/{HIDDEN}/{os.path.basename(path)}/" in text for text in mapped)]


def _mapped(proc: str) -> list[str]:
    """Return the memory maps of all processes that can be seen."""
    maps = []
    for entry in os.listdir(proc) if os.path.isdir(proc) else []:
        if entry.isdigit():
            try:
                with open(f"{proc}/{entry}/maps", encoding="utf-8", errors="replace") as file:
                    maps.append(file.read())
            except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                continue
    return maps


def _version(program: str) -> str:
    try:
        ended = host_exec.run(host_exec.Command([program, "--version"], is_ours=True), seconds=SECONDS)
        match = _VERSION.match(ended.stdout.decode("utf-8", "replace")) if ended.returncode == 0 else None
    except ServiceError:
        match = None
    if match:
        return match[1]
    raise BundleError(
        f"{program} does not say its version",
        remedy=Remedy("BundleUnusable", "Is it whole, and for this machine's processor?"),
    )


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
