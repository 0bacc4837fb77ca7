"""The kubelet's set-up: its flags, its configuration, the plugin's file and environment."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import CheckSkippedError
from acr_credential_provider.fastpath.lookup import exec_options
from acr_credential_provider.files import trusted_files
from acr_credential_provider.kubelet.credential_provider_config import read_providers
from acr_credential_provider.kubelet.image_match import closest, explain_mismatch, strip_tag
from acr_credential_provider.kubelet.process import ENVIRONMENT, find_kubelet
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained
from acr_credential_provider.version import NAME

if TYPE_CHECKING:
    from .context import DoctorContext

RESTART_KUBELET = "systemctl restart kubelet"
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")


def check_process(context: DoctorContext) -> str:
    """Find the kubelet's process."""
    if not context.use_kubelet:
        raise CheckSkippedError("left aside (--no-kubelet)")
    context.known_kubelet = find_kubelet()
    if context.known_kubelet is None:
        user = "" if os.geteuid() == 0 else "as root; "
        raise CheckSkippedError(f"no kubelet is seen here ({user}in a pod: hostPID and --host-root)")
    return f"process {context.known_kubelet.pid}"


def check_flags(context: DoctorContext) -> str:
    """Check that the kubelet was started with both flags of credential providers."""
    kubelet = context.kubelet
    flags = {
        "--image-credential-provider-config": kubelet.config,
        "--image-credential-provider-bin-dir": kubelet.bin_dir,
    }
    missing = [name for name, value in flags.items() if not value]
    if missing:
        raise ConfigurationError(
            f"the kubelet (process {kubelet.pid}) was started without {' and '.join(missing)}",
            remedy=Remedy(
                "KubeletFlagsMissing",
                f"Add {' and '.join(f'{name}=...' for name in missing)} to its flags, then: {RESTART_KUBELET}",
            ),
        )
    return " ".join(f"{name}={value}" for name, value in flags.items())


def check_config(context: DoctorContext) -> str:
    """Find our providers in its configuration, and the one that a pull of this image runs."""
    kubelet = context.kubelet
    providers = read_providers(kubelet.config)
    ours = [provider for provider in providers if _is_this_program(f"{kubelet.bin_dir}/{provider.name}")]
    if not ours:
        names = ", ".join(provider.name for provider in providers)
        raise ConfigurationError(
            f"no provider in {kubelet.config} is this program; there are: {names}",
            remedy=Remedy("ProviderMissing", f"Add a provider with name: {NAME}, then: {RESTART_KUBELET}"),
        )
    for provider in ours:
        if exec_options(list(provider.args), here="/") is None:
            raise ConfigurationError(
                f"{provider.file} gives {provider.name} args that it does not understand",
                remedy=Remedy(
                    "ProviderInvalid", f"Use --settings=/FILE and --cache=/FOLDER only, then: {RESTART_KUBELET}"
                ),
            )
    image = strip_tag(context.image)
    matching = [
        provider for provider in ours if any(not explain_mismatch(glob, image) for glob in provider.match_images)
    ]
    context.matching_providers = matching or ours
    context.other_providers = [provider for provider in ours if provider not in context.matching_providers]
    chosen = min(context.matching_providers, key=lambda provider: (provider.token is None) == bool(context.pod))
    context.known_provider = chosen
    changed = os.stat(chosen.file).st_mtime
    if kubelet.started is not None and changed > kubelet.started + 2:
        raise ConfigurationError(
            f"{chosen.file} was changed after the kubelet started, which reads it once",
            remedy=Remedy("KubeletNotRestarted", f"Run: {RESTART_KUBELET}"),
        )
    return f"provider {chosen.name} in {chosen.file}"


def check_match_images(context: DoctorContext) -> str:
    """Check that a pattern of its matchImages fits the image."""
    provider = context.provider
    if not context.image:
        raise CheckSkippedError("no IMAGE was given")
    image = strip_tag(context.image)
    pattern, reason = closest(provider.match_images, image)
    if reason:
        raise ConfigurationError(
            f"no pattern in matchImages of {provider.name} matches {image}; the nearest is {pattern}, but {reason}",
            remedy=Remedy(
                "MatchImagesMissing",
                f'Add "{context.host}" to its matchImages in {provider.file}, then: {RESTART_KUBELET}',
            ),
        )
    return f"{pattern} matches {image}"


def check_plugin_file(context: DoctorContext) -> str:
    """Check that the program exists, can be run, and can be changed by root alone."""
    path = f"{context.kubelet.bin_dir}/{context.provider.name}"
    target = os.path.realpath(path)
    try:
        mode = os.stat(target).st_mode
        trusted_files.judge(path)
    except OSError as error:
        where = f"{path} (it leads to {target})" if target != path else path
        reason, remedy = explained(
            error,
            remedy=Remedy(
                "PluginNotInstalled", "Install the program there again; the kubelet does not start without it."
            ),
        )
        is_absent = isinstance(error, FileNotFoundError)
        problem = f"{where} is not there" if is_absent else f"{where} cannot be used: {reason}"
        raise ConfigurationError(problem, remedy=remedy) from None
    if not os.access(target, os.X_OK) or not mode & 0o111:
        raise ConfigurationError(
            f"{target} is not executable", remedy=Remedy("PluginNotInstalled", "Install the program there again.")
        )
    return path if path == target else f"{path} -> {target}"


def enter_environment(context: DoctorContext) -> str:
    """Take over the arguments and environment that the plugin gets from the kubelet."""
    kubelet, provider = context.kubelet, context.provider
    options = exec_options(list(provider.args), here="/")
    if options is not None:
        context.settings_path, context.cache = options["--settings"], options["--cache"]
    theirs, ours = _network_of(str(kubelet.pid)), _network_of("self")
    if theirs and ours and theirs != ours:
        raise ConfigurationError(
            "this runs in another network than the kubelet, so what it reaches says nothing about the kubelet",
            remedy=Remedy("NotOnTheNode", "Run the pod with hostNetwork: true, or on the node itself."),
        )
    # From here on the parts of a pull see the variables that they read, as below the kubelet. All others of the
    # provider's env go to the plugin alone.
    context.environment = _printable({**kubelet.environ, **provider.env})
    os.environ.clear()
    os.environ.update({name: value for name, value in context.environment.items() if name in ENVIRONMENT})
    proxies = [name for name in PROXY_VARIABLES if os.environ.get(name)]
    return f"settings {context.settings_path}, cache {context.cache}, {' '.join(proxies) or 'no proxy variables'}"


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
