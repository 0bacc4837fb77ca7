"""Settings and credential files that come to a node as mounts of a ConfigMap and a Secret.

On the host, settings go first into a folder that only validation and the installer read; credential files into one
whose link is flipped, so that two files of one key change at the same moment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml
from acr_credential_provider.files import regular_file
from acr_credential_provider.files.credentials_folder import FOLDER as CREDENTIALS
from acr_credential_provider.files.credentials_folder import KEY

from acr_node_config.hostfs.safe_path import ancestors
from acr_node_config.model import steps
from acr_node_config.rollout.agent_status import short_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from acr_node_config.hostfs.host_files import HostFiles

SETTINGS_NAMES = ("settings.yaml", "settings.yml", "settings.json")
CONVERTED = "acr-registry-info"
"""The key that tells a mounted acr-configuration ConfigMap: its keys are files then."""
LARGEST = 1 << 20
MOST_FILES = 100
FOLDER = "/var/lib/aliyun-acr-credential-provider-agent"


@dataclass(frozen=True, slots=True)
class MountedSettings:
    """The present content of the mounts: a settings file, b"" for none, and credential files by name.

    *flaw* says why it cannot be used.
    """

    settings: bytes = field(default=b"", repr=False)
    credentials: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    flaw: str = ""

    @property
    def digest(self) -> str:
        """Of both, "" for nothing."""
        if self.flaw:
            return short_digest(self.flaw.encode())
        if not self.settings and not self.credentials:
            return ""
        return short_digest(self.settings, *_parts(self.credentials))

    @property
    def settings_digest(self) -> str:
        """Of the settings alone, the same on each node; "" for none."""
        return short_digest(self.settings) if self.settings else ""


def read(settings_mount: str, credentials_mount: str) -> MountedSettings:
    """Return what the mounted folders hold; "" for a mount that is not there."""
    files, credentials = _files(settings_mount), _files(credentials_mount)
    for mount, contents in ((settings_mount, files), (credentials_mount, credentials)):
        if len(contents) > MOST_FILES or any(len(content) > LARGEST for content in contents.values()):
            return MountedSettings(flaw=f"{mount} holds more than {MOST_FILES} files, or one of more than 1 MiB")
    settings = next((files[name] for name in SETTINGS_NAMES if name in files), b"")
    if not settings and CONVERTED in files:
        # `settings validate` and the plugin read its data as well as the whole manifest.
        data = {name: content.decode("utf-8", "replace") for name, content in files.items()}
        settings = yaml.safe_dump({"data": data, "kind": "ConfigMap", "apiVersion": "v1"}, allow_unicode=True).encode()
    return MountedSettings(settings, credentials)


def signature(*mounts: str) -> tuple[str, ...]:
    """Return texts that change whenever a mount's content does: the kubelet flips one link, `..data`."""
    signatures = []
    for mount in filter(None, mounts):
        try:
            signatures.append(os.readlink(f"{mount}/..data"))
        except OSError:  # no projection: a plain folder, in tests and by hand
            signatures.append("\n".join(_stats(mount)))
    return tuple(signatures)


def rollout_delay(node: str, digest: str, window: float) -> float:
    """Return how long this *node* waits before it takes *digest*, 0 to *window* seconds, always the same."""
    return int(short_digest(node.encode(), digest.encode()), 16) / 16**16 * window


def stage(host: HostFiles, mounted: MountedSettings) -> str:
    """Put the settings where only validation and the installer look; return the host's path."""
    _make(host, FOLDER, 0o700)
    path = f"{FOLDER}/settings-{mounted.settings_digest}.yaml"
    put = steps.PutFile(path, mounted.settings, 0o600)
    if not host.satisfies(put):
        host.apply(put)
    for name in host.listed(FOLDER):
        if name.startswith(("settings-", ".settings-")) and f"{FOLDER}/{name}" != path:
            host.apply(steps.RemoveFile(f"{FOLDER}/{name}"))
    return path


@dataclass(frozen=True, slots=True)
class Applied:
    """Digests of the mounts that a node took last, and of its settings alone; "" for none."""

    mounted: str = ""
    settings: str = ""


def applied(host: HostFiles) -> Applied:
    """Read what `note_applied` noted."""
    words = host.stat(f"{FOLDER}/applied").content.decode("ascii", "replace").split("\n")
    return Applied(*words[:2]) if len(words) > 1 else Applied()


def note_applied(host: HostFiles, digests: Applied) -> None:
    """Note on the host what was applied, so that after a restart it does not wait again."""
    _make(host, FOLDER, 0o700)
    host.apply(steps.PutFile(f"{FOLDER}/applied", f"{digests.mounted}\n{digests.settings}\n".encode(), 0o600))


def make_folder(host: HostFiles) -> None:
    """Make the folder of what the agent keeps on the host, for root alone."""
    _make(host, FOLDER, 0o700)


def put_credentials(host: HostFiles, credentials: Mapping[str, bytes], *, keep_others: bool) -> bool:
    """Make the credential files of the host be *credentials*; return True if anything changed.

    *keep_others* leaves those that go away, for the settings still in force may name them.
    """
    if not credentials:
        return False  # `remove_credentials` takes them away, later: the Secret may be about to be made anew
    wanted = dict(credentials)
    if keep_others:
        wanted = _contents(host, CREDENTIALS) | wanted
    name = _folder_of(wanted)
    folder = f"{os.path.dirname(CREDENTIALS)}/{name}"
    files = [steps.PutFile(f"{folder}/{key}", content, 0o600) for key, content in sorted(wanted.items())]
    link = steps.PutLink(CREDENTIALS, name)
    if host.satisfies(link) and all(map(host.satisfies, files)):
        return False
    _make(host, os.path.dirname(CREDENTIALS), 0o755)
    _make(host, folder, 0o700)
    for file in files:
        host.apply(file)
    host.apply(link)
    _sweep(host, keep=name)
    return True


def is_deleted(credentials_mount: str) -> bool:
    """True if the kubelet knows that the mounted Secret does not exist, or that it has no keys.

    It writes ``..data`` of an optional Secret once the API server has answered. A mount without that says nothing.
    """
    try:
        return bool(credentials_mount) and not os.listdir(f"{credentials_mount}/..data")
    except OSError:  # not mounted, no projection, or replaced at this moment
        return False


def remove_credentials(host: HostFiles) -> bool:
    """Remove the credential files that `put_credentials` made; return True if there were any.

    A folder of ours is named after its content. What an operator put there, or changed, stays.
    """
    parent, link = os.path.dirname(CREDENTIALS), host.stat(CREDENTIALS)
    ours = [name for name in _folders(host) if name == _folder_of(_contents(host, f"{parent}/{name}"))]
    if not link.is_absent:
        if link.kind != steps.LINK or link.target not in ours:
            return False
        host.apply(steps.RemoveFile(CREDENTIALS))
    for name in ours:
        host.apply(steps.RemoveTree(f"{parent}/{name}"))
    return bool(ours)


def remove(host: HostFiles) -> None:
    """Remove all of it but the settings in force, which are the installer's."""
    host.apply(steps.RemoveFile(CREDENTIALS))
    _sweep(host, keep="")
    host.apply(steps.RemoveTree(FOLDER))
    # The installer could not remove it as long as there were files of ours in it.
    if not host.stat(parent := os.path.dirname(CREDENTIALS)).is_absent:
        host.apply(steps.RemoveFolder(parent))


def _sweep(host: HostFiles, *, keep: str) -> None:
    for name in _folders(host):
        if name != keep:
            host.apply(steps.RemoveTree(f"{os.path.dirname(CREDENTIALS)}/{name}"))


def _folders(host: HostFiles) -> list[str]:
    return [name for name in host.listed(os.path.dirname(CREDENTIALS)) if name.startswith(".credentials-")]


def _folder_of(credentials: Mapping[str, bytes]) -> str:
    return ".credentials-" + short_digest(*_parts(credentials))


def _contents(host: HostFiles, folder: str) -> dict[str, bytes]:
    return {name: host.stat(f"{folder}/{name}").content for name in host.listed(folder)}


def _make(host: HostFiles, path: str, mode: int) -> None:
    for folder in ancestors(path):
        if host.stat(folder).is_absent:
            host.apply(steps.MakeFolder(folder))
    # What we find with another mode than ours may be an operator's choice, unless it is for secrets.
    step = steps.MakeFolder(path, mode, is_ours=mode == 0o700)
    if not host.satisfies(step):
        host.apply(step)


def _files(mount: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name in sorted(os.listdir(mount)) if mount and os.path.isdir(mount) else ():
        path = f"{mount}/{name}"
        # A key that was taken away leaves its link for a moment: it leads nowhere.
        if KEY.fullmatch(name) and os.path.isfile(path) and len(files) <= MOST_FILES:
            files[name] = regular_file.read(path, LARGEST + 1)
    return files


def _parts(files: Mapping[str, bytes]) -> Iterable[bytes]:
    return (part for name in sorted(files) for part in (name.encode(), files[name]))


def _stats(mount: str) -> Iterable[str]:
    for name in sorted(os.listdir(mount)) if os.path.isdir(mount) else ():
        try:
            status = os.stat(f"{mount}/{name}")
        except OSError:  # replaced at this moment
            continue
        yield f"{name} {status.st_ino} {status.st_size} {status.st_mtime_ns}"
