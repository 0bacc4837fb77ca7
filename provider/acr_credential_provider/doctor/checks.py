"""The steps of an examination, in the order of a pull."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import Check

from . import identity, kubelet, network, plugin_run, registry, settings_checks
from .context import DoctorContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from .token_attributes import PodIdentity

_STEPS: tuple[tuple[str, Callable[[DoctorContext], str]], ...] = (
    ("kubelet", kubelet.find_kubelet),
    ("kubelet flags", kubelet.check_flags),
    ("kubelet config", kubelet.check_config),
    ("matchImages", kubelet.check_match),
    ("plugin file", kubelet.check_file),
    ("kubelet environment", kubelet.take_environment),
    ("settings", settings_checks.load_settings),
    ("cache folder", settings_checks.check_cache),
    ("entry", settings_checks.choose_entry),
    ("ServiceAccount token", identity.check_token),
    ("right to ask for tokens", identity.check_right),
    ("metadata service", identity.ask_metadata),
    ("STS endpoint", identity.reach_sts),
    ("identity", identity.find_identity),
    ("proxy", network.check_proxy),
    ("DNS", network.look_up),
    ("ACR endpoint", network.reach_acr),
    ("clock", network.check_clock),
    ("hosts", registry.check_hosts),
    ("token", registry.get_token),
    ("registry login", registry.log_in_to_it),
    ("plugin as the kubelet runs it", plugin_run.run_plugin),
)


class Doctor:
    """The checks for one *image*, "" for the first entry of the settings; the rest is as in `DoctorContext`."""

    def __init__(
        self, image: str, *, settings: str, cache: str, wants_kubelet: bool = True, pod: PodIdentity | None = None
    ) -> None:
        self._case = DoctorContext(image, settings=settings, cache=cache, wants_kubelet=wants_kubelet, pod=pod)

    def checks(self) -> tuple[Check, ...]:
        """Return the steps, in the order of a pull; each needs those before it."""
        return tuple(Check(name, partial(run, self._case)) for name, run in _STEPS)
