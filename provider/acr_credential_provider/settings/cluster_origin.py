"""What settings from a ConfigMap may name: files of the credentials folder, and hosts of Alibaba Cloud.

The program reads files as root, and sends what it finds to endpoints. The writer of a ConfigMap must not become root by
that. The types of fields (`field_types`) ask here for each file and each host, so a new field of such a type is limited
too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from acr_credential_provider.files.credentials_folder import FOLDER, KEY
from acr_credential_provider.model.acr_hosts import is_service, recognise
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOUNTED = {
    ("rrsa", "token_file"): "/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token",
    ("managedRole", "token_file"): "/var/addon/token-config",
    ("addonSecret", "directory"): "/var/alibaba-addon-secret",
}
"""Where the controller's Pod has such files, by kind and field. Settings may say that too, but need not."""


class Refusal(NamedTuple):
    """Why a value is refused, and what to do."""

    problem: str
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class ClusterOrigin:
    """The limits of settings that come from an object of a cluster; *allowed_hosts* are no longer foreign."""

    allowed_hosts: frozenset[str] = frozenset()
    folder: str = FOLDER

    def judge(self, own_files: Iterable[str] = ()) -> ClusterJudge:
        """Return a judge for one document; *own_files* were named by this program, not by the document."""
        return ClusterJudge(self, frozenset(own_files))


@dataclass(frozen=True, slots=True)
class ClusterJudge:
    """Judges the values of one document. Each method returns why a value is refused, None if it is not."""

    origin: ClusterOrigin
    own_files: frozenset[str]
    _uses: dict[str, tuple[str, str]] = field(default_factory=dict)

    def file(self, path: str, use: tuple[str, str], word: str) -> Refusal | None:
        """Judge the *path* of a file for *use* (kind and field); its name must have the *word* in it.

        A file has one use: what signs requests must not be handed out as a password by another field that names it.
        """
        start, name = f"{self.origin.folder}/", path.removeprefix(f"{self.origin.folder}/")
        if path in self.own_files or _MOUNTED.get(use) == path:
            return None
        if not path.startswith(start) or not KEY.fullmatch(name):
            return Refusal(
                "names a file outside of the credentials folder, which settings from a cluster may not",
                Remedy(
                    "ClusterSettingsFile",
                    f"Put the file into the Secret with the credentials, and write {start}KEY with the key's name.",
                ),
            )
        if word not in name.lower():
            return Refusal(
                f"names a key of the Secret that is not meant to be handed out: {word} is not in its name",
                Remedy(
                    "ClusterSettingsFile",
                    f"Rename the key in the Secret, so that its name says what it holds, for example {word}.",
                ),
            )
        if self._uses.setdefault(path, use) != use:
            return Refusal(
                "names a file that another field of these settings uses in another way",
                Remedy(
                    "ClusterSettingsFile",
                    "Give each its own key in the Secret: a file is one half of one kind of credential.",
                ),
            )
        return None

    def address(self, url: str, service: str) -> Refusal | None:
        """Judge an address to which credentials for *service* go; "" is for none of Alibaba Cloud's."""
        host = urlsplit(url).hostname or ""
        if host in self.origin.allowed_hosts or (service and is_service(host, service)):
            return None
        return _FOREIGN

    def login_host(self, host: str) -> Refusal | None:
        """Judge the *host* (``host[:port]``) of a registry that gets a user name and password."""
        if host.partition(":")[0] in self.origin.allowed_hosts or recognise(host) is not None:
            return None
        return _FOREIGN


_FOREIGN = Refusal(
    "is a host that is not Alibaba Cloud's, and settings from a cluster may send credentials to no other",
    Remedy(
        "HostNotAllowed",
        "Correct it. If credentials may go there, allow the host at installation: allowedHosts, or --allow-host.",
    ),
)
