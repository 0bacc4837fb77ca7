"""A MachineConfig that brings the plugin to OpenShift's nodes, because nothing else may change a kubelet there. Pure.

The program itself is too large for one; the DaemonSet (mode files-only) or a layered image puts it below /var.
A guard gives the kubelet the flags at each start, and only when all is there and runs: without the plugin, or
after a few failed starts with it, it starts as it did before. Facts: openshift/machine-config-operator,
templates/*/01-*-kubelet, on its platforms None and External (no hook) and the on-premise ones (a variable).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.kubelet.config_validation import problems
from acr_credential_provider.kubelet.go_yaml import write
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

from acr_node_config.kubelet_config.document import fresh
from acr_node_config.kubelet_config.provider_entries import NAME, entries, left_out
from acr_node_config.model.placement import BIN_DIRS

from . import start_guard
from .start_guard import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_node_config.model.facts import Version

FOLDER = "/etc/kubernetes/credential-providers"
"""A change below it restarts the kubelet; anywhere else it reboots the node, unless a policy says otherwise."""
CONFIG, GUARD = f"{FOLDER}/{NAME}.yaml", f"{FOLDER}/{NAME}.guard"
BIN_DIR = BIN_DIRS[1]
ON_PREMISE = "KUBELET_CRIO_IMAGE_CREDENTIAL_PROVIDER_FLAGS"
"""The variable that the units of BareMetal, vSphere, OpenStack, Nutanix and oVirt have for such flags."""
PARTS = ("machine-config", "disruption-policy", "scc")

_DROP_IN = f"50-{NAME}.conf"
_IGNITION = "3.2.0"  # of OpenShift 4.7 and all after it
_FLAG = re.compile("--(" + f"{CONFIG_FLAG}|{BIN_DIR_FLAG}".replace("-", "[-_]") + r")\b")


@dataclass(frozen=True, slots=True)
class Rendered:
    """Documents to apply, and what an operator should know, one sentence each."""

    documents: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()


def machine_config(covered: Mapping[str, Any], unit: str, *, role: str, version: Version | None) -> Rendered:
    """Return the MachineConfig of the pool *role*.

    *covered* is what ``settings match-images --output json`` writes; *unit* is the kubelet's unit as
    ``systemctl cat kubelet`` prints it on a node of the pool, *version* its Kubernetes.
    Raises `ConfigurationError` where the flags cannot be given.
    """
    providers = entries(covered, version)
    config = fresh(providers, version)
    names = [provider["name"] for provider in providers]
    refused = problems({CONFIG: config}, version, is_directory=False, executables=names)
    if refused:
        raise ConfigurationError(str(refused[0]), remedy=refused[0].remedy)
    variable, command = _command(unit)
    guard = guard_script(variable, has_token_provider=len(names) > 1 or names[0] != NAME)
    files = [_file(CONFIG, config, 0o644), _file(GUARD, guard.encode(), 0o755)]
    drop_in = {"name": _DROP_IN, "contents": _drop_in(command)}
    document = {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {
            "name": f"99-{role}-{NAME}",
            "labels": {"machineconfiguration.openshift.io/role": role},
        },
        "spec": {
            "config": {
                "ignition": {"version": _IGNITION},
                "storage": {"files": files},
                "systemd": {"units": [{"name": "kubelet.service", "dropins": [drop_in]}]},
            }
        },
    }
    notes = ["Without a disruption policy the drop-in reboots each node of the pool once (--part disruption-policy)."]
    if command:
        notes.append(
            "This platform's unit has no variable for the flags, so its command is written out here: render this anew "
            "after each upgrade of OpenShift, before the pool is unpaused."
        )
    notes += filter(None, [left_out(covered, version)])
    return Rendered((document,), tuple(notes))


def disruption_policy() -> Rendered:
    """Return the policy with which the drop-in of the kubelet's unit restarts the kubelet, not the node."""
    restart = {"type": "Restart", "restart": {"serviceName": "kubelet.service"}}
    document = {
        "apiVersion": "operator.openshift.io/v1",
        "kind": "MachineConfiguration",
        "metadata": {"name": "cluster"},
        "spec": {
            "nodeDisruptionPolicy": {
                "units": [{"name": "kubelet.service", "actions": [{"type": "DaemonReload"}, restart]}],
            }
        },
    }
    notes = (
        "MachineConfiguration cluster is one for the whole cluster: add this list to what is there, do not replace it.",
        f"Changes below {FOLDER} restart the kubelet by OpenShift's own policy; none is needed for them.",
    )
    return Rendered((document,), notes)


def security_context(namespace: str, service_account: str) -> Rendered:
    """Return the objects that let the DaemonSet's *service_account* alone run privileged in *namespace*."""
    labels = {
        "pod-security.kubernetes.io/enforce": "privileged",
        "security.openshift.io/scc.podSecurityLabelSync": "false",
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{NAME}-privileged", "namespace": namespace},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:openshift:scc:privileged",
        },
        "subjects": [{"kind": "ServiceAccount", "name": service_account, "namespace": namespace}],
    }
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    return Rendered((space, binding))


def guard_script(variable: str, *, has_token_provider: bool = False) -> str:
    """Return the guard, POSIX sh, that sets *variable* to the flags when they can be used."""
    return start_guard.script(CONFIG, BIN_DIR, variable=variable, has_token_provider=has_token_provider)


def _command(unit: str) -> tuple[str, str]:
    """Return the variable for the flags, and the unit's command with it, "" if it has it already."""
    command = _exec_start(unit)
    if not command:
        raise ConfigurationError(
            "the unit has no ExecStart",
            remedy=Remedy(
                "ArgumentInvalid", "Give the output of: oc debug node/NODE -- chroot /host systemctl cat kubelet"
            ),
        )
    if _FLAG.search(command):
        raise ConfigurationError(
            "this platform's kubelet has a credential provider of its own, and takes only one configuration",
            remedy=Remedy(
                "OtherCredentialProvider",
                "Use the pull-secrets controller; or, for one's own risk, add our provider to the file of that one.",
            ),
        )
    if f"${ON_PREMISE}" in command.split():  # in braces it would become one word, and that no flag
        return ON_PREMISE, ""
    bare = command.replace(f" \\\n      ${VARIABLE}", "")
    return VARIABLE, f"{bare} \\\n      ${VARIABLE}"


def _exec_start(unit: str) -> str:
    """Return the last ExecStart of the unit's text, its lines as they are, without comments between them."""
    command, lines = "", iter(unit.splitlines())
    for line in lines:
        if not line.strip().startswith("ExecStart="):
            continue
        parts = [line.strip().removeprefix("ExecStart=")]
        while parts[-1].rstrip().endswith("\\"):
            parts.append(next((line for line in lines if not line.lstrip().startswith(("#", ";"))), ""))
        command = "\n".join(parts).rstrip()
    return command


def _drop_in(command: str) -> str:
    return start_guard.settings(GUARD) + (f"ExecStart=\nExecStart={command}\n" if command else "")


def _file(path: str, content: bytes, mode: int) -> dict[str, Any]:
    data = base64.b64encode(content).decode()
    return {
        "path": path,
        "mode": mode,
        "overwrite": True,
        "contents": {"source": f"data:text/plain;charset=utf-8;base64,{data}"},
    }


def text(rendered: Rendered) -> str:
    """Return it as YAML, one document after the other, the notes as comments."""
    notes = "".join(f"# {plain_text(note)}\n" for note in rendered.notes)
    return notes + "---\n".join(write(document) for document in rendered.documents)
