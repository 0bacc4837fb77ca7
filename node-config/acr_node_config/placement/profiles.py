"""Where the plugin and its configuration go on a node, and how its kubelet comes to know: facts in, `Placement` out.

What cannot be done right is refused before anything is written, with the way that works instead.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet.config_validation import OLDEST
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

from acr_node_config.kubelet_config.document import Document
from acr_node_config.model.paths import tidy
from acr_node_config.model.placement import (
    BIN_DIRS,
    FALLBACK,
    MODES,
    OWN_CONFIG,
    OWN_FILE,
    EnvironmentFlags,
    Mode,
    Placement,
    PlacementRefusedError,
    RancherFlags,
    Refusal,
    Wanted,
)

from .drop_in import choose_drop_in
from .flag_injection import NAMED, choose_flag_target
from .rancher import place_rancher

if TYPE_CHECKING:
    from typing import NoReturn

    from acr_node_config.model.facts import NodeFacts
    from acr_node_config.model.supervisors import Supervisor

__all__ = ["MODES", "PROFILES", "EnvironmentFlags", "Mode", "Placement", "RancherFlags", "Refusal", "Wanted", "place"]

PROFILES = (*NAMED, "k3s", "rke2", "openshift", "generic")
"""What an operator can name; without a name it is found out."""
_PLATFORMS = {"/etc/eks/": "eks", "/var/lib/kubelet/credential-provider": "aks", "/etc/srv/kubernetes/": "gke"}
_WRITTEN_ANEW = {
    "eks": "nodeadm writes this file anew at each boot: the agent puts our provider back, an image does not",
    "gke": "what is below /etc does not outlive a boot here: the agent puts our provider back",
}
_IMMUTABLE = {
    "talos": "Talos takes providers from a system extension and KubeCredentialProviderConfig",
    "bottlerocket": "Bottlerocket knows only the providers that are built into it",
}
_PLAIN = re.compile(r"(?:/[A-Za-z0-9._:=,@+-]+)+", re.ASCII)


def place(facts: NodeFacts, mode: Mode, wanted: Wanted) -> Placement | Refusal:
    """Return where everything goes on the node of *facts*, or why nothing does."""
    wanted = replace(wanted, bin_dir=tidy(wanted.bin_dir), config=tidy(wanted.config))
    try:
        _refuse_what_never_works(facts, mode, wanted)
        placement = _placed(facts, mode, wanted)
        _check_folders(facts, placement)
    except PlacementRefusedError as refused:
        return refused.refusal
    except ConfigurationError as error:
        return Refusal(error.problem, error.remedy)
    return placement


def _refuse_what_never_works(facts: NodeFacts, mode: Mode, wanted: Wanted) -> None:
    name = facts.system.name
    if wanted.profile and wanted.profile not in PROFILES:
        raise PlacementRefusedError(
            f"there is no profile {wanted.profile}", Remedy("ArgumentInvalid", f"Name one of: {', '.join(PROFILES)}.")
        )
    if facts.doubt and mode != "files-only":
        raise PlacementRefusedError(
            f"it cannot be told which credential providers the kubelet starts with: its unit {facts.doubt}",
            Remedy("KubeletNotRunning", f"Start the kubelet first, then run this again; or {FALLBACK}."),
        )
    for path in filter(None, (wanted.bin_dir, wanted.config, *facts.given)):
        if not _PLAIN.fullmatch(path) or ".." in path.split("/"):
            raise PlacementRefusedError(
                "a path is not absolute, or has .. or more than plain letters in it",
                Remedy("ArgumentInvalid", "Name an absolute, plain path."),
            )
    if facts.is_user_namespaced:
        raise PlacementRefusedError(
            "we run in a user namespace, so that what we write would not belong to the node's root",
            Remedy("NodePathUnusable", "Set hostUsers: true in the pod, or run as the node's root."),
        )
    if name in _IMMUTABLE:
        raise PlacementRefusedError(
            f"{name} cannot be changed from within: {_IMMUTABLE[name]}",
            Remedy("NodeNotSupported", f"There, {FALLBACK}."),
        )
    if _is_openshift(facts, wanted) and mode != "files-only":
        has_others = any(facts.given)  # which render refuses
        raise PlacementRefusedError(
            "OpenShift's machine config owns the kubelet's files and would take changes for damage"
            + (", and it has given the kubelet credential providers" if has_others else ""),
            Remedy(
                "NodeNotSupported",
                f"There, {FALLBACK}."
                if has_others
                else "Use node render openshift with mode files-only; or " + FALLBACK + ".",
            ),
        )
    if facts.version is not None and facts.version < OLDEST:
        raise PlacementRefusedError(
            f"a kubelet {facts.version[0]}.{facts.version[1]} knows credential providers only behind a feature gate",
            Remedy("NodeNotSupported", f"Use Kubernetes 1.24 or newer; or {FALLBACK}."),
        )
    if facts.lone_flag and mode != "files-only":
        raise PlacementRefusedError(
            f"the kubelet is given --{facts.lone_flag} without the other flag, and does not start so",
            Remedy(
                "KubeletFlagsMissing",
                f"Take it out, or give --{CONFIG_FLAG} and --{BIN_DIR_FLAG} both; then run this again.",
            ),
        )


def _placed(facts: NodeFacts, mode: Mode, wanted: Wanted) -> Placement:
    if mode == "files-only":
        return _files_only(facts, wanted)
    if facts.supervisor is not None and not (facts.supervisor.restarts_alone and facts.config is not None):
        _refuse_supervised(facts.supervisor)
    if facts.rancher is not None or wanted.profile in ("k3s", "rke2"):
        if mode == "drop-in" or wanted.flags_in is not None:
            raise PlacementRefusedError(
                "k3s and RKE2 give their kubelet flags by their own configuration",
                Remedy("ModeUnsuitable", "Use mode auto, without --flags-in."),
            )
        return place_rancher(facts, wanted)
    if facts.kubelet is None and facts.unit is None and wanted.profile not in NAMED:
        raise PlacementRefusedError(
            "no kubelet runs here, and no unit of one is there",
            Remedy(
                "KubeletNotRunning",
                "Start it first; while an image is made, name its profile, such as --profile kubeadm-deb.",
            ),
        )
    config = facts.given[0]
    is_others = bool(config) and config not in (OWN_CONFIG, wanted.config)
    if mode == "merge" and not config:
        raise PlacementRefusedError(
            "the kubelet has no credential providers to join", Remedy("ModeUnsuitable", "Use mode auto or patch.")
        )
    if wanted.flags_in is not None and mode not in ("auto", "patch"):
        raise PlacementRefusedError(
            f"--flags-in has no meaning with mode {mode}", Remedy("ModeUnsuitable", "Leave one of them out.")
        )
    if mode in ("patch", "drop-in") and is_others:
        raise PlacementRefusedError(
            f"the kubelet has credential providers already, in {config}, and takes only one configuration",
            Remedy("ModeUnsuitable", "Use mode auto or merge: our provider then joins them."),
        )
    return _merge(facts) if is_others else _patch(facts, mode, wanted)


def _refuse_supervised(supervisor: Supervisor) -> NoReturn:
    """Raise with what works for a kubelet that systemd does not start."""
    if not supervisor.where:
        raise PlacementRefusedError(
            f"{supervisor.name} runs the kubelet here, and gives it no flags or files of ours",
            Remedy("NodeNotSupported", f"There, {FALLBACK}."),
        )
    raise PlacementRefusedError(
        f"{supervisor.name} starts the kubelet here, not systemd",
        Remedy(
            "KubeletFlagsNotChangeable",
            f"Use --mode files-only, give the kubelet the flags that it tells of {supervisor.where}, and restart it "
            f"({supervisor.restart}); or {FALLBACK}.",
        ),
    )


def _joined_by_hand(facts: NodeFacts, wanted: Wanted) -> Placement | None:
    """Return the place where the kubelet looks already, for an operator who restarts it; None if there is none."""
    if wanted.bin_dir or wanted.config or _is_openshift(facts, wanted):
        return None
    if facts.rancher is not None:
        placement = place_rancher(facts, wanted)
    elif facts.config is not None and facts.given[0] != OWN_CONFIG:
        placement = _merge(facts)
    else:
        return None
    how = f" ({facts.supervisor.restart})" if facts.supervisor else ""
    note = f"the kubelet looks into {placement.config} already: restart it{how}"
    return replace(placement, unit="", notes=(note, *placement.notes))


def _files_only(facts: NodeFacts, wanted: Wanted) -> Placement:
    joined = _joined_by_hand(facts, wanted)
    if joined is not None:
        return joined
    is_openshift = _is_openshift(facts, wanted)
    bin_dir = wanted.bin_dir or _bin_dir(facts, BIN_DIRS[1:] if is_openshift else BIN_DIRS)
    config = wanted.config or ("" if is_openshift else OWN_CONFIG)
    known = facts.supervisor if facts.supervisor and facts.supervisor.where else None
    where, how = (f" {known.where}", f" ({known.restart})") if known else ("", "")
    note = (
        "the machine config of node render openshift brings the configuration and the flags"
        if is_openshift
        else f"give the kubelet --{CONFIG_FLAG}={config} and --{BIN_DIR_FLAG}={bin_dir}{where}, and restart it{how}"
    )
    return Placement(
        profile="openshift" if is_openshift else "generic",
        bin_dir=bin_dir,
        config=config,
        is_config_ours=True,
        is_directory=False,
        flags=None,
        unit="",
        notes=(note,),
    )


def _merge(facts: NodeFacts) -> Placement:
    path, bin_dir = facts.given
    if facts.config is None:
        raise PlacementRefusedError(
            f"the kubelet's configuration {path} is not there, so it would not start again",
            Remedy("KubeletConfigMissing", "Restore it, or take the flag away; then run this again."),
        )
    profile = next((name for start, name in _PLATFORMS.items() if path.startswith(start)), "existing")
    is_written_anew = profile != "eks" or facts.has_nodeadm
    notes = tuple(note for name, note in _WRITTEN_ANEW.items() if name == profile and is_written_anew)
    placement = Placement(
        profile=profile,
        bin_dir=bin_dir,
        config=f"{path}/{OWN_FILE}",
        is_config_ours=True,
        is_directory=True,
        flags=None,
        unit=_unit(facts),
        notes=notes,
        config_flag=path,
    )
    if facts.config.is_directory:
        return placement
    file = facts.config.files[0]
    Document.parse(file.content, path)  # it must be one that we can read
    return replace(placement, config=file.path, is_config_ours=False, is_directory=False)


def _patch(facts: NodeFacts, mode: Mode, wanted: Wanted) -> Placement:
    if facts.kubelet is None and facts.unit is not None and facts.unit.scripts:
        raise PlacementRefusedError(
            f"{facts.unit.scripts[0]}, which starts the kubelet, names credential providers itself: one would be lost",
            Remedy(
                "KubeletNotRunning", "Start the kubelet, so that it can be seen what it runs with; then run this again."
            ),
        )
    placement = Placement(
        profile="generic",
        bin_dir=wanted.bin_dir or _bin_dir(facts, BIN_DIRS),
        config=wanted.config or OWN_CONFIG,
        is_config_ours=True,
        is_directory=False,
        flags=choose_drop_in(facts.unit) if mode == "drop-in" else None,
        unit=_unit(facts),
    )
    if placement.flags is not None:
        return placement
    named = wanted.profile if wanted.profile in NAMED else ""
    profile, flags = choose_flag_target(facts, named, placement.flag_values, wanted.flags_in)
    if profile == "ack" and placement.bin_dir == BIN_DIRS[1]:
        profile = "ack-containeros"
    if not placement.unit and not facts.is_image:
        raise PlacementRefusedError(
            "the kubelet is no unit of systemd's here, so that nothing would restart it with new flags",
            Remedy("ModeUnsuitable", "Use mode files-only and start it with the two flags; or " + FALLBACK + "."),
        )
    note = "the console's kubelet configuration may write this file anew: the agent puts the flags back"
    return replace(placement, profile=profile, flags=flags, notes=(note,) if profile.startswith("ack") else ())


def _bin_dir(facts: NodeFacts, choices: tuple[str, ...]) -> str:
    """Return the folder in use if it is one of ours, else the first that can be written and run from."""
    given = facts.given[1]
    if given in choices:
        return given
    for path in choices:
        if not facts.folder(path).why_not:
            return path
    raise PlacementRefusedError(
        f"programs can be put into none of {', '.join(choices)}",
        Remedy(
            "NodePathUnusable", f"Name a folder with --bin-dir that is writable and not mounted noexec; or {FALLBACK}."
        ),
    )


def _unit(facts: NodeFacts) -> str:
    if facts.is_image or facts.unit is None:
        return ""
    return facts.unit.name


def _is_openshift(facts: NodeFacts, wanted: Wanted) -> bool:
    return facts.system.is_openshift or wanted.profile == "openshift"


def _check_folders(facts: NodeFacts, placement: Placement) -> None:
    """Raise when something could not be written where it must go."""
    if why := facts.folder(placement.bin_dir).why_not:
        raise PlacementRefusedError(
            f"the kubelet's folder of credential providers, {placement.bin_dir}, {why}",
            Remedy(
                "NodePathUnusable",
                f"Let root alone change it and the folders above it (namei -l {placement.bin_dir}); or {FALLBACK}."
                if facts.folder(placement.bin_dir).problem
                else f"Put the plugin into the node's image; or {FALLBACK}.",
            ),
        )
    flags = placement.flags.path if placement.flags else ""
    for path in filter(None, (placement.config, flags)):
        folder = path.rpartition("/")[0]
        place = facts.folder(folder)
        if why := place.problem or ("" if place.is_writable else "cannot be written"):
            raise PlacementRefusedError(
                f"{folder}, where {path} goes, {why}",
                Remedy(
                    "NodePathUnusable",
                    f"Let root alone change it and the folders above it (namei -l {folder}); or {FALLBACK}."
                    if place.problem
                    else f"Mount it writable, or put the file into the node's image; or {FALLBACK}.",
                ),
            )
