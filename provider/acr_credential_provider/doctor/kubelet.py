"""What the kubelet was told: its flags, its configuration, the plugin's file and environment."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import SkippedError
from acr_credential_provider.fastpath.lookup import exec_options
from acr_credential_provider.files import trusted_files
from acr_credential_provider.kubelet.credential_provider_config import read_providers
from acr_credential_provider.kubelet.image_match import as_kubelet_sees, closest, mismatch
from acr_credential_provider.kubelet.process import ENVIRONMENT
from acr_credential_provider.kubelet.process import find_kubelet as find
from acr_credential_provider.model.errors import ConfigurationError

from .token_attributes import RESTART_KUBELET

if TYPE_CHECKING:
    from .context import DoctorContext

NAME = "aliyun-acr-credential-provider"
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")


def find_kubelet(case: DoctorContext) -> str:
    """Find the process; skip what is of it where there is none."""
    if not case.wants_kubelet:
        raise SkippedError("not wanted")
    case.kubelet = find()
    if case.kubelet is None:
        who = "" if os.geteuid() == 0 else "as root; "
        raise SkippedError(f"none is to be seen here ({who}in a pod: hostPID and --host-root)")
    return f"process {case.kubelet.pid}"


def check_flags(case: DoctorContext) -> str:
    """See that it was started with both flags of credential providers."""
    kubelet = case.seen_kubelet()
    flags = {
        "--image-credential-provider-config": kubelet.config,
        "--image-credential-provider-bin-dir": kubelet.bin_dir,
    }
    missing = [name for name, value in flags.items() if not value]
    if missing:
        raise ConfigurationError(
            f"the kubelet (process {kubelet.pid}) was started without {' and '.join(missing)}",
            remedy=f"Add {' and '.join(f'{name}=...' for name in missing)} to its flags, then: {RESTART_KUBELET}",
        )
    return " ".join(f"{name}={value}" for name, value in flags.items())


def check_config(case: DoctorContext) -> str:
    """Find our providers in its configuration, and the one that a pull of this image runs."""
    kubelet = case.seen_kubelet()
    providers = read_providers(kubelet.config)
    ours = [each for each in providers if _is_this_program(f"{kubelet.bin_dir}/{each.name}")]
    if not ours:
        named = ", ".join(each.name for each in providers)
        raise ConfigurationError(
            f"no provider in {kubelet.config} is this program; there are: {named}",
            remedy=f"Add a provider with name: {NAME}, then: {RESTART_KUBELET}",
        )
    seen = as_kubelet_sees(case.image)
    for each in ours:
        if exec_options(list(each.args), here="/") is None:
            raise ConfigurationError(
                f"{each.file} gives {each.name} args that it does not understand",
                remedy=f"Use --settings=/FILE and --cache=/FOLDER only, then: {RESTART_KUBELET}",
            )
    matching = [each for each in ours if any(not mismatch(pattern, seen) for pattern in each.match_images)]
    case.ours = matching or ours
    case.others = [each for each in ours if each not in case.ours]
    case.provider = min(case.ours, key=lambda each: (each.token is None) == bool(case.pod))
    changed = os.stat(case.provider.file).st_mtime
    if kubelet.started is not None and changed > kubelet.started + 2:
        raise ConfigurationError(
            f"{case.provider.file} was changed after the kubelet started, which reads it once",
            remedy=f"Run: {RESTART_KUBELET}",
        )
    return f"provider {case.provider.name} in {case.provider.file}"


def check_match(case: DoctorContext) -> str:
    """See that a pattern of its matchImages fits the image."""
    _, provider = case.our_provider()
    if not case.image:
        raise SkippedError("no IMAGE was given")
    seen = as_kubelet_sees(case.image)
    pattern, reason = closest(provider.match_images, seen)
    if reason:
        raise ConfigurationError(
            f"no pattern in matchImages of {provider.name} matches {seen}; the nearest is {pattern}, but {reason}",
            remedy=f'Add "{case.host}" to its matchImages in {provider.file}, then: {RESTART_KUBELET}',
        )
    return f"{pattern} matches {seen}"


def check_file(case: DoctorContext) -> str:
    """See that the program is there, can be run, and is nobody else's to change."""
    kubelet, provider = case.our_provider()
    path = f"{kubelet.bin_dir}/{provider.name}"
    target = os.path.realpath(path)
    try:
        mode = os.stat(target).st_mode
        trusted_files.judge(path)
    except OSError:
        raise ConfigurationError(
            f"{path} is not there" + (f" (it leads to {target})" if target != path else ""),
            remedy="Install the program there again; the kubelet does not start without it.",
        ) from None
    if not os.access(target, os.X_OK) or not mode & 0o111:
        raise ConfigurationError(f"{target} is not executable", remedy=f"Run: chmod 0755 {target}")
    return path if path == target else f"{path} -> {target}"


def take_environment(case: DoctorContext) -> str:
    """Take over the arguments and environment that the plugin gets from the kubelet."""
    kubelet, provider = case.our_provider()
    options = exec_options(list(provider.args), here="/")
    if options is not None:
        case.settings_path, case.cache = options["--settings"], options["--cache"]
    theirs, ours = _network_of(str(kubelet.pid)), _network_of("self")
    if theirs and ours and theirs != ours:
        raise ConfigurationError(
            "this runs in another network than the kubelet, so what it reaches says nothing about the kubelet",
            remedy="Run the pod with hostNetwork: true, or on the node itself.",
        )
    # From here on the parts of a pull see what they would see below the kubelet, and no more than they read; the rest
    # of what the provider's env names goes to the plugin alone, as the kubelet hands it over.
    case.environment = _printable({**kubelet.environ, **provider.env})
    os.environ.clear()
    os.environ.update({name: value for name, value in case.environment.items() if name in ENVIRONMENT})
    proxies = [name for name in PROXY_VARIABLES if os.environ.get(name)]
    return f"settings {case.settings_path}, cache {case.cache}, {' '.join(proxies) or 'no proxy variables'}"


def _is_this_program(path: str) -> bool:
    target = os.path.realpath(path)
    return os.path.basename(target) == NAME or os.path.basename(path) == NAME or target == os.path.realpath(sys.argv[0])


def _network_of(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:  # not ours to see: nothing to compare
        return ""


def _printable(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name and "\0" not in name + value and "=" not in name}
