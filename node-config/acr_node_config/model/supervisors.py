"""What starts a kubelet where systemd does not, and how such a kubelet is given flags. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTAINER = "a container"


@dataclass(frozen=True, slots=True)
class Supervisor:
    """What starts the kubelet: the *name* of its program, or `CONTAINER`."""

    name: str
    where: str = "where its others come from"
    """Where its flags come from; "" if it can't be given any."""
    restart: str = "restart it"
    restarts_alone: bool = False
    """Whether a restart of its unit is a restart of the node's Kubernetes and of nothing else."""
    arguments_file: str = ""
    """Where it reads the kubelet's flags from, one a line."""


def supervisor(name: str, *, kubelet: str = "kubelet") -> Supervisor:
    """Return what is known of the program *name*, which starts *kubelet* or has one inside of itself.

    >>> supervisor("k0s").restarts_alone, supervisor("start.sh").where
    (True, 'where its others come from')
    """
    return _KNOWN.get(name, Supervisor(name)) if kubelet == "kubelet" else Supervisor(name, restart=_OPENRC[kubelet])


_OPENRC = {"k3s": "rc-service k3s restart", "rke2": "rc-service rke2 restart"}
_KNOWN: Mapping[str, Supervisor] = {
    each.name: each
    for each in (
        Supervisor("k0s", "in k0s worker --kubelet-extra-args", "k0s stop, k0s start", restarts_alone=True),
        Supervisor("supervisord", "in command= of its program section", "supervisorctl update"),
        Supervisor("supervise-daemon", "in command_args of /etc/conf.d/kubelet", "rc-service kubelet restart"),
        Supervisor("runsv", "in its run script", "sv restart kubelet"),
        Supervisor("s6-supervise", "in its run script", "s6-svc -r"),
        Supervisor(
            "kubelite",
            "in /var/snap/microk8s/current/args/kubelet",
            "snap restart microk8s",
            arguments_file="/var/snap/microk8s/current/args/kubelet",
        ),
        Supervisor("microshift", ""),
        Supervisor("edgecore", ""),
        Supervisor(CONTAINER, ""),
    )
}
