"""A configuration is judged once for each edit; rounds without an edit change nothing and report nothing."""

import json
import threading
from types import SimpleNamespace

import pytest
from acr_credential_provider.pull_secrets.config.manager import ConfigManager
from acr_credential_provider.pull_secrets.config.options import Options
from acr_credential_provider.pull_secrets.model.objects import Namespace, ServiceAccount
from acr_credential_provider.pull_secrets.model.telemetry import Telemetry

ROUNDS = 20
ONE, BROKEN = {"instanceId": "cri-one", "region": "cn-hangzhou", "identity": {"kind": "nodeRole"}}, {"instanceId": 5}
HEAD = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings"}
ALL = {"namespaces": ["app"], "serviceAccounts": ["*"]}


def text(*registries, **pull_secrets):
    return json.dumps({**HEAD, "registries": [*registries], "pullSecrets": {**ALL, **pull_secrets}})


GOOD, PARTIAL = text(ONE), text(ONE, BROKEN)
STATES = {
    "good": (GOOD, "loaded"),
    "broken in part": (PARTIAL, "partial"),
    "no YAML": ("[", "last_good"),
    "newly broken": (text(BROKEN), "last_good"),
    "for namespaces that are not there": (text(ONE, namespaces=["other"]), "last_good"),
    "gone": (None, "last_good"),
}


class Recorded(Telemetry):
    """Notes what is reported of the configuration, and of edits."""

    def __init__(self):
        self.forget()

    def forget(self):
        self.states, self.edits, self.events = [], [], []

    def configuration(self, outcome, *, problems):
        self.states.append(outcome)

    def edited(self, outcome, loss):
        self.edits.append(outcome)

    def event(self, about, reason, message, *, is_warning=True):
        self.events.append(reason)


class Watched:
    """A cluster with one ConfigMap, whose *text* changes."""

    def __init__(self):
        self.text = None
        self.config_map = SimpleNamespace(get=self._get)
        self.namespaces = SimpleNamespace(all=lambda: [Namespace("app")])
        self.accounts = SimpleNamespace(all=lambda: [ServiceAccount("app", "default")], synced=threading.Event())
        self.accounts.synced.set()

    def _get(self, namespace, name):
        assert (namespace, name) == ("own", "settings")
        if self.text is None:
            return None
        return SimpleNamespace(uid="uid", data={"settings.yaml": self.text}, hidden=())


def managed():
    cluster, telemetry = Watched(), Recorded()
    options = Options("own", config_map=("own", "settings"), token_mode="managedRole")
    return cluster, ConfigManager(SimpleNamespace(telemetry=telemetry), options, cluster), telemetry


def turn(manager, rounds=ROUNDS):
    """Begin rounds as the controller does: what the state Secret holds is offered, then the ConfigMap is looked at."""
    for _ in range(rounds):
        manager.restore(GOOD)
        manager.reload()


@pytest.mark.parametrize("name", STATES)
def test_an_edit_is_judged_once_however_many_rounds_there_are(name):
    edit, outcome = STATES[name]
    cluster, manager, telemetry = managed()
    cluster.text = text(BROKEN, ONE) if outcome == "partial" else f"{GOOD}\n"  # as broken as the edit
    manager.reload()
    turn(manager)
    cluster.text = edit
    telemetry.forget()
    turn(manager, rounds=1)
    assert telemetry.states == [manager.active.outcome] == [outcome]
    assert len(telemetry.edits) == (edit is not None)
    assert telemetry.events
    telemetry.forget()
    turn(manager)
    assert telemetry.states == telemetry.edits == telemetry.events == []


def test_good_and_bad_edits_in_turn_end_with_the_last_one():
    cluster, manager, telemetry = managed()
    cluster.text = GOOD
    turn(manager)
    telemetry.forget()
    for number in range(1, 101):
        cluster.text = "[" * number if number % 2 else f"{GOOD}{' ' * number}"
        turn(manager, rounds=3)
    assert telemetry.states == ["last_good", "loaded"] * 50
    assert manager.active.text == cluster.text


def test_an_edit_for_a_namespace_that_comes_later_is_taken_then_and_once():
    cluster, manager, telemetry = managed()
    cluster.text = GOOD
    turn(manager)
    cluster.text = text(ONE, namespaces=["other"])
    turn(manager)
    assert manager.active.outcome == "last_good"
    cluster.namespaces.all = lambda: [Namespace("app"), Namespace("other")]
    cluster.accounts.all = lambda: [ServiceAccount("other", "default")]
    telemetry.forget()
    turn(manager)
    assert telemetry.states == ["loaded"]
    assert manager.active.text == cluster.text
