"""The rollback guard: a unit and a shell script on the host that put the kubelet's files back without an installer.

Armed before the first of those files is touched, disarmed once a kubelet was seen healthy with them. What it does and
which files tell it: guard.sh.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from acr_credential_provider.version import NAME

from acr_node_config.hostfs.boot import boot_id
from acr_node_config.hostfs.safe_path import ancestors
from acr_node_config.model import steps
from acr_node_config.model.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acr_node_config.hostfs.host_files import HostFiles
    from acr_node_config.kubelet.service_manager import ServiceManager

    from .journal import Change

UNIT = f"{NAME}-guard.service"
UNITS = "/etc/systemd/system"
LINK = f"{UNITS}/multi-user.target.wants/{UNIT}"
SCRIPT = os.path.join(os.path.dirname(__file__), "guard.sh")

_UNIT_TEXT = """\
# Written by aliyun-acr-credential-provider, which removes it again once the kubelet was seen healthy.
[Unit]
Description=Put the kubelet's files back if it is not healthy with what was just installed

[Service]
ExecStart=/bin/sh {folder}/guard.sh
"""


class Guard:
    """The guard of *host*, with its files below the installer's folder *state*; without *service* it is never armed."""

    def __init__(self, host: HostFiles, state: str, service: ServiceManager | None) -> None:
        self._host = host
        self._state = state
        self._service = service
        self.folder = f"{state}/guard"

    def arm(self, changes: Sequence[Change], *, unit: str, has_health: bool) -> None:
        """Have the files of *changes* put back unless *unit* is healthy with them; it starts to watch at once.

        The boot symlink is created last, so that a crash leaves either no guard or a complete one.
        """
        service = self._service
        if service is None:
            return
        do = self._host.apply
        do(steps.RemoveTree(self.folder))
        do(steps.MakeFolder(self.folder, 0o700, is_ours=True))
        lines = []
        for number, change in enumerate(reversed(changes)):
            if change.before.kind == steps.FILE:
                self._host.restore(f"{self.folder}/was.{number}", change.before)
            lines.append(f"{change.before.kind} {number} {change.path}\n")
        made = [folder for folder in ancestors(LINK) if self._host.stat(folder).is_absent]
        for folder in made:
            do(steps.MakeFolder(folder))
        terms = {
            "UNIT": unit,
            "PID": str(service.state(unit).pid),
            "BOOT": boot_id(),
            "HEALTH": "yes" if has_health else "no",
            "STATE": self._state,
            "LINK": LINK,
            "MADE": ":".join(made),
        }
        text = "".join(f"{name}='{value}'\n" for name, value in terms.items())
        with open(SCRIPT, "rb") as script:
            do(steps.PutFile(f"{self.folder}/guard.sh", script.read(), 0o700))
        do(steps.PutFile(f"{self.folder}/files", "".join(lines).encode(), 0o600))
        do(steps.PutFile(f"{self.folder}/terms", text.encode(), 0o600))
        do(steps.PutFile(f"{UNITS}/{UNIT}", _UNIT_TEXT.format(folder=self.folder).encode()))
        do(steps.PutLink(LINK, f"../{UNIT}"))
        service.reload()
        service.start(UNIT)

    def disarm(self) -> None:
        """Remove it, with all that it left."""
        terms = self._terms()
        if not terms and self._host.stat(f"{UNITS}/{UNIT}").is_absent and self._host.stat(self.folder).is_absent:
            return
        do = self._host.apply
        do(steps.RemoveFile(f"{self.folder}/terms"))  # first: from here on it does nothing more
        for path in (LINK, f"{UNITS}/{UNIT}"):
            self._host.sweep(path)
            do(steps.RemoveFile(path))
        for folder in filter(None, reversed(terms.get("MADE", "").split(":"))):
            do(steps.RemoveFolder(folder))
        if self._service is not None:
            try:
                self._service.stop(UNIT)
                self._service.reload()
            except ServiceError:  # it ends by itself, now that its terms are gone
                pass
        do(steps.RemoveTree(self.folder))

    @property
    def is_armed(self) -> bool:
        """Whether it watches, or will at the next boot."""
        return not self._host.stat(LINK).is_absent and bool(self._terms())

    @property
    def acted(self) -> str:
        """Why it put the files back; "" if it did not."""
        file = self._host.stat(f"{self.folder}/acted")
        return file.content.decode("utf-8", "replace").strip() or "it said no more" if file.kind == steps.FILE else ""

    def _terms(self) -> dict[str, str]:
        text = self._host.stat(f"{self.folder}/terms").content.decode("utf-8", "replace")
        pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
        return {name: value.strip("'") for name, value in pairs}
