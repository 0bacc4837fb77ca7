"""The whole controller as processes, its webhook on: what becomes of new ServiceAccounts while replicas come and go."""

import contextlib
import itertools
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from cluster.loopback_api import free_ports
from cluster.replicas import CONFIGURATION, create, delete, find, names
from cluster.service import Service
from support import harness, old_kernel
from support.replica import Team, eventually


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


class Processes:
    """`pull-secrets run`, as often as there are replicas, behind one Service."""

    def __init__(self, api, team, settings=None, program=(sys.executable, "-m", "acr_credential_provider"), words=()):
        self.team = team
        self._program = program
        self.running = {}
        self._stack = contextlib.ExitStack()
        self._service = Service(api, team.own, "hook")
        self._settings, self._words = settings, words
        self._kubeconfig = api.kubeconfig("admin", group="system:masters")

    def __enter__(self):
        self._stack.enter_context(self._service)
        return self

    def __exit__(self, *_):
        for process, _health in self.running.values():
            process.kill()
            process.communicate()
        self._stack.close()
        delete(self.team.api, CONFIGURATION)

    def start(self):
        webhook, health = free_ports(2)
        words = ["pull-secrets", "run", f"--namespace={self.team.own}", f"--kubeconfig={self._kubeconfig}"]
        source = f"--settings={self._settings}" if self._settings else f"--config-map={self.team.own}/acr-configuration"
        words += [source, *self._words, "--address=127.0.0.1", "--webhook-service=hook"]
        words += [f"--webhook-service-port={self._service.port}", f"--webhook-port={webhook}"]
        command = [*self._program, *words, f"--health-port={health}"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.running[webhook] = (process, health)
        eventually(lambda: _answers(health))
        self._service.ports.append(webhook)
        return webhook

    def stop(self, webhook, *, kill):
        """End a replica; a Service takes one out that is not ready, or gone."""
        process, health = self.running[webhook]
        if kill:
            process.kill()
        else:
            process.terminate()
            eventually(lambda: not _answers(health))
        self._service.ports.remove(webhook)
        if kill:
            self._service.drop()
        _, log = process.communicate(timeout=60)
        del self.running[webhook]
        return process.returncode, log

    def metrics(self):
        pages = []
        for _process, health in self.running.values():
            with urllib.request.urlopen(f"http://127.0.0.1:{health}/metrics", timeout=20) as answer:
                pages.append(answer.read().decode())
        return "".join(pages)

    def leader(self):
        """Return the port of the replica that leads, None while none does."""
        for webhook, (_process, health) in self.running.items():
            with urllib.request.urlopen(f"http://127.0.0.1:{health}/metrics", timeout=20) as answer:
                if b"\nacr_pull_secrets_leader_election_master_status 1.0" in answer.read():
                    return webhook
        return None


def _answers(health):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{health}/readyz", timeout=20) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


@pytest.fixture
def settings(team, sandbox, tmp_path):
    path = tmp_path / "settings.yaml"
    admission = {"mode": "webhook", "failurePolicy": "Fail"}
    chosen = {
        "namespaces": [f"{team.prefix}-*"],
        "serviceAccounts": ["*"],
        "secretName": team.name,
        "admission": admission,
    }
    path.write_text(json.dumps({**sandbox.settings(), "pullSecrets": chosen}))
    path.chmod(0o600)
    return path


def test_with_two_replicas_each_new_account_is_served_whoever_dies_or_leaves(api, team, sandbox, settings):
    with Processes(api, team, settings) as processes:
        processes.start()
        processes.start()
        eventually(lambda: find(api, CONFIGURATION))
        first = team.open("first")
        eventually(lambda: team.pull_secrets(first) == [team.name])

        numbers = itertools.count()
        eventually(lambda: names(create(api, team.open(f"probe-{next(numbers)}"), "probe")) == [team.name])

        # The leader dies where it stands: creations go on, with the tokens that the other one watched.
        processes.stop(eventually(processes.leader), kill=True)
        for number in range(5):
            app = team.open(f"after-death-{number}")
            assert names(create(api, app)) == [team.name]
            assert team.passwords(app)

        told = [processes.metrics(), json.dumps(api.get("/api/v1/events"))]
        assert not [secret for secret in sandbox.state.secrets() for text in told if secret in text]

        # A new one comes, an old one leaves as in a roll-out: it answers until nobody asks it any more.
        processes.start()
        code, log = processes.stop(next(iter(processes.running)), kill=False)
        assert code == 0
        for number in range(5):
            assert names(create(api, team.open(f"after-leave-{number}"))) == [team.name]
        assert sandbox.calls.count("GetAuthorizationToken") == 1
        assert all(json.loads(line) for line in log.splitlines())
        assert not [secret for secret in sandbox.state.secrets() if secret in log]


def test_ten_accounts_a_second_with_fail_and_fifteen_seconds_are_served_at_once_without_a_call_to_the_cloud(
    api, team, sandbox, settings
):
    text = json.loads(settings.read_text())
    text["pullSecrets"]["admission"]["timeoutSeconds"] = 15
    settings.write_text(json.dumps(text))
    with Processes(api, team, settings) as processes:
        processes.start()
        eventually(lambda: find(api, CONFIGURATION))
        assert {each["timeoutSeconds"] for each in find(api, CONFIGURATION)["webhooks"]} == {10}
        numbers = itertools.count()
        eventually(lambda: names(create(api, team.open(f"probe-{next(numbers)}"), "probe")) == [team.name])
        before, waits = sandbox.calls.count(), []
        for number in range(50):
            began = time.monotonic()
            name = f"{team.prefix}-busy-{number}"
            api.create("/api/v1/namespaces", {"metadata": {"name": name}})
            assert names(create(api, name)) == [team.name]
            waits.append(time.monotonic() - began)
            time.sleep(max(0.1 - waits[-1], 0))
        assert max(waits) < 2
        assert sandbox.calls.count() == before


def test_a_namespace_that_is_meant_by_its_labels_is_so_for_accounts_that_come_right_behind_it(api, team, settings):
    text = json.loads(settings.read_text())
    text["pullSecrets"] |= {"namespaces": ["*"], "namespaceSelector": {"matchLabels": {"pull": team.prefix}}}
    settings.write_text(json.dumps(text))
    with Processes(api, team, settings) as processes:
        processes.start()
        eventually(lambda: find(api, CONFIGURATION))
        numbers = itertools.count()
        eventually(lambda: _entries(team, f"probe-{next(numbers)}"))
        given = [_entries(team, f"at-once-{number}") for number in range(20)]
        assert given == [[team.name]] * 20
        assert team.pull_secrets(team.open("other")) == []


def _entries(team, name):
    """Make a namespace with the label and an account right behind it; return the account's entries as it was born."""
    full = f"{team.prefix}-{name}"
    team.api.create("/api/v1/namespaces", {"metadata": {"name": full, "labels": {"pull": team.prefix}}})
    return names(create(team.api, full))


def test_what_the_settings_say_of_the_webhook_is_done_as_soon_as_they_are_changed(api, team, settings):
    text = json.loads(settings.read_text())
    with Processes(api, team, settings) as processes:
        processes.start()
        eventually(lambda: find(api, CONFIGURATION))
        text["pullSecrets"]["admission"] = {"mode": "none"}
        settings.write_text(json.dumps(text))
        eventually(lambda: find(api, CONFIGURATION) is None)
        text["pullSecrets"]["admission"] = {"mode": "webhook", "timeoutSeconds": 30}
        settings.write_text(json.dumps(text))
        (hook,) = eventually(lambda: (find(api, CONFIGURATION) or {}).get("webhooks"))
        assert (hook["failurePolicy"], hook["timeoutSeconds"]) == ("Ignore", 10)


def test_a_bad_edit_is_told_on_the_config_map_and_new_accounts_are_served_as_before(api, team, sandbox, settings):
    text = json.loads(settings.read_text())
    text["pullSecrets"]["admission"] = {"mode": "webhook", "timeoutSeconds": 30}
    team.configure(json.dumps(text))
    with Processes(api, team, words=sandbox.from_cluster) as processes:
        processes.start()
        numbers = itertools.count()
        eventually(lambda: names(create(api, team.open(f"probe-{next(numbers)}"), "probe")) == [team.name])
        (warning,) = eventually(lambda: _events(api, team, "WebhookSettings"))
        assert "timeout-seconds 30 was taken for 10" in warning["message"]
        team.configure("registries: [\n")
        told = eventually(lambda: _events(api, team, "ConfigurationProblem"))
        assert all("line" in each["message"] and each["type"] == "Warning" for each in told)
        assert 'acr_pull_secrets_configuration{state="last_good"} 1.0' in processes.metrics()
        assert names(create(api, team.open("after"), "build")) == [team.name]


def _events(api, team, reason):
    found = api.get(f"/api/v1/namespaces/{team.own}/events")["items"]
    about = {"kind": "ConfigMap", "name": "acr-configuration"}
    return [each for each in found if each["reason"] == reason and about.items() <= each["involvedObject"].items()]


def test_as_it_is_shipped_it_serves_on_a_node_with_linux_3_10_too(api, team, settings):
    program = (sys.executable, old_kernel.__file__, str(harness.CONTROLLER))
    with Processes(api, team, settings, program) as processes:
        webhook = processes.start()
        numbers = itertools.count()
        eventually(lambda: names(create(api, team.open(f"probe-{next(numbers)}"))) == [team.name])
        code, log = processes.stop(webhook, kill=False)
    assert code == 0, log
