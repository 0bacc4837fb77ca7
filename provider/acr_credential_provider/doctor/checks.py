"""The checks of `doctor`, in the order of a pull; each needs those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.explain.context import load_settings

from . import identity, kubelet, network, plugin_run, registry, settings_checks, token_attributes

if TYPE_CHECKING:
    from acr_credential_provider.console.checks import Check

    from .context import DoctorContext

CHECKS: tuple[Check[DoctorContext], ...] = (
    ("kubelet", kubelet.check_process),
    ("kubelet flags", kubelet.check_flags),
    ("kubelet config", kubelet.check_config),
    ("matchImages", kubelet.check_match_images),
    ("plugin file", kubelet.check_plugin_file),
    ("kubelet environment", kubelet.enter_environment),
    ("settings", load_settings),
    ("cache folder", settings_checks.check_cache_folder),
    ("registry entry", settings_checks.check_registry_entry),
    ("ServiceAccount token", token_attributes.check_token_attributes),
    ("right to ask for tokens", token_attributes.check_token_request_right),
    ("metadata service", identity.check_metadata_service),
    ("STS endpoint", identity.check_sts_endpoint),
    ("identity", identity.check_identity),
    ("proxy", network.check_proxy),
    ("DNS", network.check_dns),
    ("ACR endpoint", network.check_acr_endpoint),
    ("clock", network.check_clock),
    ("ACR hosts", registry.check_hosts),
    ("token", registry.check_token),
    ("registry login", registry.check_login),
    ("plugin as the kubelet runs it", plugin_run.check_plugin_run),
)
