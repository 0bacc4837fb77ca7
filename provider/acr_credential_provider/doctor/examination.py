"""The steps of an examination, in the order of a pull."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from acr_credential_provider.findings import Step

from . import entry, identity, kubelet, plugin_run, registry, road
from .case import Case

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pod_tokens import Pod

_STEPS: tuple[tuple[str, Callable[[Case], str]], ...] = (
    ("kubelet", kubelet.find_kubelet),
    ("kubelet flags", kubelet.check_flags),
    ("kubelet config", kubelet.check_config),
    ("matchImages", kubelet.check_match),
    ("plugin file", kubelet.check_file),
    ("kubelet environment", kubelet.take_environment),
    ("settings", entry.load_settings),
    ("cache folder", entry.check_cache),
    ("entry", entry.choose_entry),
    ("ServiceAccount token", identity.check_token),
    ("right to ask for tokens", identity.check_right),
    ("metadata service", identity.ask_metadata),
    ("STS endpoint", identity.reach_sts),
    ("identity", identity.find_identity),
    ("proxy", road.check_proxy),
    ("DNS", road.look_up),
    ("ACR endpoint", road.reach_acr),
    ("clock", road.check_clock),
    ("hosts", registry.check_hosts),
    ("token", registry.get_token),
    ("registry login", registry.log_in_to_it),
    ("plugin as the kubelet runs it", plugin_run.run_plugin),
)


class Examination:
    """The steps for one *image* ("" for the first entry of the settings); parameters and errors are `Case`'s."""

    def __init__(
        self, image: str, *, settings: str, cache: str, wants_kubelet: bool = True, pod: Pod | None = None
    ) -> None:
        self._case = Case(image, settings=settings, cache=cache, wants_kubelet=wants_kubelet, pod=pod)

    def steps(self) -> tuple[Step, ...]:
        """Return the steps, in the order of a pull; each needs those before it."""
        return tuple(Step(name, partial(run, self._case)) for name, run in _STEPS)
