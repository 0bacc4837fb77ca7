"""The facts of a node, as values. `discovery.discover` fills them in on a host; tests write them down.

All paths are absolute and the node's own, also where the node's root is mounted elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG, flag
from acr_credential_provider.model.errors import ConfigurationError

from .command_line import UNKNOWN, may_be, shown, words_of
from .environment_file import EnvironmentFile
from .paths import tidy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .supervisors import Supervisor

Version = tuple[int, int]
"""A kubelet's version as (major, minor)."""

ACK_ARGUMENTS = "/etc/kubernetes/kubelet-customized-args.conf"
"""Where ACK takes a node's own kubelet flags from, as `ACK_VARIABLE`."""
ACK_VARIABLE = "KUBELET_CUSTOMIZED_ARGS"
EXTRA_ARGUMENTS = "KUBELET_EXTRA_ARGS"
"""The variable that the packages of kubeadm and most distributions leave to a node's operator."""


@dataclass(frozen=True, slots=True)
class HostFile:
    """A regular file on the node; *mode* holds the permission bits only.

    *path* is its own, past all symlinks, so that no symlink is replaced; in a folder of files it is the name there, by
    which they are read in order.
    """

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    """The node's system; *name* is ID of os-release(5), lower case."""

    name: str = ""
    is_openshift: bool = False
    """Whether OPENSHIFT_VERSION is there, or the machine config daemon's folder."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What can be done in a folder of the node, or in the nearest one above it that is there."""

    is_writable: bool
    is_executable: bool = True
    """False on a file system that is mounted noexec."""
    problem: str = ""
    """Why nothing of root's may be put there, "" if it may: what is wrong with it or a folder on the way."""

    @property
    def why_not(self) -> str:
        """Why a program can't be put there, "" if it can."""
        if self.problem:
            return self.problem
        if not self.is_writable:
            return "cannot be written"
        return "" if self.is_executable else "is mounted noexec"


@dataclass(frozen=True, slots=True)
class RunningKubelet:
    """The kubelet as a process; of k3s, k3s itself."""

    pid: int
    program: str
    """Its executable."""
    arguments: tuple[str, ...] = field(repr=False)
    """Its command line, the program's name first; k3s may be given its token there."""
    config: str
    """The CredentialProviderConfig that it was started with: a flag's value or its default, "" for none."""
    bin_dir: str
    """The folder of credential providers, likewise."""
    version: Version | None = None
    """None if unknown."""
    unit: str = ""
    """The systemd unit of its cgroup, "" for none."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Empty where it cannot be read."""


ABSENT = "is not there, and is not optional"
"""The problem of a source that systemd does not start the unit without."""


@dataclass(frozen=True, slots=True)
class EnvironmentSource:
    """One file of the unit's ``EnvironmentFile=``: path, whether it may be absent, and the file.

    *problem* says why it cannot be told what systemd reads there, "" if it can.
    """

    path: str
    is_optional: bool
    file: HostFile | None
    problem: str = ""

    def values(self) -> dict[str, str] | None:
        """Return the variables that it sets, those with a name for one; None if that cannot be told."""
        if self.file is None:
            return None if self.problem not in ("", ABSENT) else {}
        try:
            items = EnvironmentFile.parse(self.file.content, self.path).assignments
        except ConfigurationError:
            return None
        names = ((item.key.decode(), item.value.decode()) for item in items)
        return {name: value for name, value in names if name.isascii() and name.isidentifier()}


@dataclass(frozen=True, slots=True)
class KubeletUnit:
    """The kubelet's unit, as systemd knows it."""

    name: str
    command: tuple[str, ...] = field(default=(), repr=False)
    """``ExecStart=``, its variables not replaced: a word ``$NAME`` becomes as many words as it holds."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """``Environment=``: what holds where no file says otherwise."""
    environment_files: tuple[EnvironmentSource, ...] = ()
    """In systemd's order: the last one that sets a variable holds."""
    passed: tuple[str, ...] = ()
    """``PassEnvironment=``: variables of systemd's own, where nothing else sets them."""
    unset: tuple[str, ...] = field(default=(), repr=False)
    """``UnsetEnvironment=``: what is taken away after all others, by NAME or NAME=VALUE."""
    scripts: tuple[str, ...] = ()
    """Scripts in its command that name credential providers themselves."""
    is_literal: bool = False
    """Whether the command has the prefix ``:``, so that no variable in it is replaced."""
    inherited: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables of systemd itself (``systemctl set-environment``); empty where it was not asked."""
    problem: str = ""
    """Why it cannot be told what systemd starts, "" if it can."""
    bare_command: tuple[str, ...] = field(default=(), repr=False)
    """Its command without our drop-in, as its files say; empty if they do not tell one."""
    prefixes: str = ""
    """What stands before that command: ``-``, ``:``, ``@`` and others."""

    def value(self, variable: str) -> str:
        """Return what systemd sets *variable* to, "" if nothing, or if only systemd knows."""
        return self.variables().get(variable) or ""

    def variables(self) -> dict[str, str | None]:
        """Return the variables that systemd sets; None is a value that only systemd knows."""
        known: dict[str, str | None] = {**self.inherited, **dict.fromkeys(self.passed), **self.environment}
        known |= {name: None for name, value in self.environment.items() if UNKNOWN in value}
        for source in self.environment_files:
            values = source.values()
            known = dict.fromkeys(known) if values is None else {**known, **values}
        for entry in self.unset:
            name, equals, value = entry.partition("=")
            if name in known and (not equals or known[name] == value):
                del known[name]
        return known

    def words(self) -> list[str]:
        """Return the command line of the kubelet's next start; `UNKNOWN` marks what only systemd knows in it."""
        if self.is_literal:
            return list(self.command)
        is_complete = all(source.values() is not None for source in self.environment_files)
        return words_of(self.command, self.variables(), is_complete=is_complete)


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """The present CredentialProviderConfig: a file, or from 1.34 on a folder of them.

    *files* are those that the kubelet reads, in its order.
    """

    path: str
    is_directory: bool
    files: tuple[HostFile, ...]


@dataclass(frozen=True, slots=True)
class Rancher:
    """k3s or RKE2 on the node; *name* is ``k3s`` or ``rke2``.

    *files* are its config.yaml and those of config.yaml.d, in its order: the last value holds. *arguments* are its own
    on the command line, which are read after them. *config_file* is the first of the files, "" for the usual one.
    """

    name: str
    unit: str
    files: tuple[HostFile, ...] = ()
    arguments: tuple[str, ...] = field(default=(), repr=False)
    config_file: str = ""

    @property
    def folder(self) -> str:
        """Its folder below /etc."""
        return f"/etc/rancher/{self.name}"

    @property
    def drop_ins(self) -> str:
        """The folder of files that it reads after the first one."""
        return f"{self.config_file or f'{self.folder}/config.yaml'}.d"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """All that the choice of a placement depends on."""

    system: OperatingSystem = OperatingSystem()
    kubelet: RunningKubelet | None = None
    """None where none runs: while an image is baked, or during the node's first boot."""
    version: Version | None = None
    """The kubelet's, running or not; None if unknown."""
    unit: KubeletUnit | None = None
    rancher: Rancher | None = None
    config: ProviderConfig | None = None
    """What the kubelet's flags point to, None if nothing is there."""
    executables: frozenset[str] = frozenset()
    """Names in the kubelet's folder of credential providers that can be run."""
    folders: Mapping[str, Folder] = field(default_factory=dict)
    """Of each folder that something may be put into."""
    ack_arguments: HostFile | None = None
    """The file at `ACK_ARGUMENTS`."""
    supervisor: Supervisor | None = None
    """What starts the kubelet, where that is neither systemd nor a script of its own unit."""
    has_nodeadm: bool = False
    """Whether EKS's nodeadm is there, which writes the kubelet's files at each boot."""
    is_user_namespaced: bool = False
    """Whether our root is not the node's, so that our files would have another owner there."""
    is_image: bool = False
    """Whether this is the tree of a node to be: nothing runs, nothing is restarted."""

    @property
    def given(self) -> tuple[str, str]:
        """The CredentialProviderConfig and the bin dir that the kubelet runs with, or would be started with."""
        if self.kubelet is not None:
            return tidy(self.kubelet.config), tidy(self.kubelet.bin_dir)
        words = self.unit.words() if self.unit else []
        return tidy(flag(words, CONFIG_FLAG)), tidy(flag(words, BIN_DIR_FLAG))

    @property
    def doubt(self) -> str:
        """Why it cannot be told which CredentialProviderConfig the kubelet is started with, "" if it can."""
        if self.kubelet is not None or self.unit is None:
            return ""
        odd = next((word for word in self.unit.words() if may_be(word, (CONFIG_FLAG, BIN_DIR_FLAG))), "")
        in_command = f"has {shown(odd)} in its command, which only systemd knows" if odd else ""
        return self.unit.problem or in_command

    @property
    def lone_flag(self) -> str:
        """The one of the two flags that was given alone, "" if none or both were."""
        config, bin_dir = self.given
        if bool(config) == bool(bin_dir):
            return ""
        return CONFIG_FLAG if config else BIN_DIR_FLAG

    def folder(self, path: str) -> Folder:
        """Return what is known of *path* or the nearest known folder above it; writable when nothing is."""
        while path not in self.folders and path not in ("", "/"):
            path = path.rpartition("/")[0]
        return self.folders.get(path or "/", Folder(is_writable=True))
