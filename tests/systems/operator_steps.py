"""An operator who installs, reads what is refused, and does just what the remedy says."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG
from acr_node_config.commands import node_cli
from acr_node_config.commands.install_inputs import install_request
from acr_node_config.install.plan import placement_from_dict
from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model import steps
from acr_node_config.model.errors import RefusedError
from acr_node_config.model.placement import EnvironmentFlags

if TYPE_CHECKING:
    from pathlib import Path

    from acr_node_config.install.change_set import Outcome
    from acr_node_config.install.requests import InstallPlan
    from systems.node import SystemNode

INSTALLS, ASKS, BY_HAND, RENDERS, CONTROLLER = "installs", "asks", "by hand", "renders", "controller"
RESULTS = (INSTALLS, ASKS, BY_HAND, RENDERS, CONTROLLER)
"""How an installation ends: by itself; with an option that the refusal names; with the two flags, which the operator
gives the kubelet; with a MachineConfig; or with the pull-secrets controller, and nothing on the node."""
FLAG = re.compile(rf"--({CONFIG_FLAG}|{BIN_DIR_FLAG})=([^\s;,]+[^\s;,.])")


@dataclass
class Operator:
    """Works on *node* with the program in *bundle*. *options* are what the last remedy added."""

    node: SystemNode
    bundle: str
    settings: str
    is_image: bool = False
    options: list[str] = field(default_factory=list)
    result: str = ""
    is_told: bool = False
    """Whether it is told to give the kubelet the two flags."""

    def plan(self) -> InstallPlan:
        return self._installer().plan(self._request("plan"))

    def install(self) -> Outcome:
        return self._installer().install(self._request("install"))

    def uninstall(self) -> None:
        self._installer().uninstall()

    def arrive(self) -> InstallPlan | None:
        """Plan, and do what each refusal says until a plan is made; None where nothing goes onto the node."""
        self.result = INSTALLS
        for _ in range(4):
            before = self.node.tree()
            try:
                return self.plan()
            except RefusedError as refused:
                remedy = refused.remedy
            assert self.node.tree() == before, "a refusal changed something"
            if not self._follow(remedy):
                return None
        raise AssertionError(f"the remedies of {self.node.layout.system} lead nowhere: {self.options}")

    def _follow(self, remedy: str) -> bool:
        """Do what *remedy* says first; False if that is the controller. Raises for one that names nothing to do."""
        new = options_in(remedy)
        if new:
            assert new != self.options, f"the same again: {remedy}"
            self.options = new
            self.result = BY_HAND if "files-only" in new else ASKS
            self.result = RENDERS if "node render openshift" in remedy else self.result
            return True
        if "pull-secrets controller" in remedy:
            self.result = CONTROLLER
            return False
        raise AssertionError(f"nothing to do in: {remedy}")

    def finish(self, outcome: Outcome) -> None:
        """Give the kubelet the flags that the program tells of, where it did not do that itself."""
        if self.result != BY_HAND:
            return
        notes = " ".join(outcome.notes)
        told = dict(FLAG.findall(notes))
        assert self.node.layout.told in notes, notes
        self.is_told = bool(told)
        if told:
            assert set(told) == {CONFIG_FLAG, BIN_DIR_FLAG}, outcome.notes
            self.node.give(told)
        else:
            self.node.start()

    def take_back(self, flags: dict[str, str]) -> None:
        """Undo what `finish` did by hand: the kubelet has *flags* as before."""
        if self.result == BY_HAND:
            self.node.give(flags)

    def describe(self) -> str:
        """Return how this ended, in the words of docs/nodes.md; after `finish`."""
        words = {
            CONTROLLER: "the pull-secrets controller",
            RENDERS: "`node render openshift`",
            BY_HAND: f"`--mode files-only`, and {'the two flags by hand' if self.is_told else 'a restart'}",
            ASKS: f"asks for `{shlex.join(self.options)}`",
        }
        return words.get(self.result) or self._place()

    def _place(self) -> str:
        placement = placement_from_dict(self._installer().state.record().installed.placement)
        if isinstance(placement.flags, EnvironmentFlags):
            return f"flags in `{placement.flags.variable}` of `{placement.flags.path}`"
        if placement.is_config_ours:
            return f"`{placement.config}`"
        others = self.node.layout.others
        return "joins them" if others.get("invented") or "config" not in others else f"joins `{placement.config}`"

    def _installer(self):
        return self.node.installer(is_image=self.is_image)

    def _request(self, verb: str):
        words = [verb, "--bundle", self.bundle, "--settings", self.settings, *self.options]
        options = node_cli._parser().parse_args(words)
        return install_request(options, self._installer().host)


def make_program(folder: Path, version: str, covered: dict) -> str:
    """Make a program in *folder* that says its version, and of all settings that they cover *covered*."""
    script = folder / NAME
    script.write_text(
        f"#!/bin/sh\ncase $1 in --version) echo {NAME} {version};; settings) echo '{json.dumps(covered)}';; esac\n"
    )
    script.chmod(0o755)
    return str(folder)


def make_settings(folder: Path) -> str:
    """Write settings that only root can change; the program above does not look into them."""
    file = folder / "settings.yaml"
    file.write_text("a: b\n")
    file.chmod(0o600)
    return str(file)


def options_in(remedy: str) -> list[str]:
    """Return the options of ``node install`` that *remedy* names first, none if it names no such way."""
    named = re.search(r"--flags-in[ =](\S+:\w+)|--mode[ =](drop-in|files-only)|mode (files-only|drop-in)", remedy)
    if named is None:
        return []
    return ["--flags-in", named[1]] if named[1] else ["--mode", named[2] or named[3]]


def paths_of(plan: InstallPlan) -> tuple[set[str], set[str]]:
    """Return the paths that *plan* lists, and those of whole folders that it puts there."""
    files = [step for step in plan.to_do if not isinstance(step, steps.Restart)]
    return {step.path for step in files}, {step.path for step in files if isinstance(step, steps.PutTree)}
