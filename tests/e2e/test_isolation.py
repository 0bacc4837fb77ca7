"""Many ServiceAccounts on one node, in any order, with restarts and kills: each gets its own token or none."""

import json
import os
import random
import shutil
import threading
import time

import pytest
from acr_credential_provider.model.errors import CredentialProviderError
from conftest import write_settings
from sandbox.faults import Failure, Throttle
from sandbox.server import PROVIDER_ARN
from sandbox.state import Role
from support import guide, harness, inprocess
from support.harness import request

ROLE = "pod-identity.alibabacloud.com/role-name"
RUNS = int(os.environ.get("ISOLATION_RUNS", "1000"))
"""Pulls in this process. The frozen program is run a twentieth as often, unless FROZEN_RUNS says otherwise."""
FROZEN_RUNS = int(os.environ.get("FROZEN_RUNS", str(RUNS // 20)))
ACCOUNTS = [(namespace, name) for namespace in ("team-a", "team-b", "team-a.b") for name in ("app", "app.b", "db")]
ROLES = ("reader", "writer")


@pytest.fixture
def scene(sandbox, tmp_path):
    cluster = sandbox.add_cluster()
    policies = guide.policies()
    trust = guide.with_subjects(policies["trust-service-account"], *(f"{space}/{name}" for space, name in ACCOUNTS))
    for role in ROLES:
        sandbox.state.add_role(Role(role, trust, policies=(policies["pull"],)))
    settings = sandbox.settings()
    second = sandbox.add_registry(sandbox.instance, "127.0.0.2")
    settings["registries"][0] |= {"identity": {"kind": "serviceAccount", "oidcProviderArn": PROVIDER_ARN}}
    settings["registries"][0]["domains"].append(second)
    settings["maxCacheDuration"] = "0s"
    write_settings(tmp_path, settings)
    return Scene(sandbox, cluster, tmp_path, (sandbox.registry.address, second))


class Scene:
    def __init__(self, sandbox, cluster, folder, hosts):
        self.sandbox, self.cluster, self.hosts = sandbox, cluster, hosts
        self.settings, self.cache = folder / "settings.yaml", folder / "cache"

    def draw(self, dice):
        """Return a request at random and whose role and session its answer must be of."""
        namespace, name = dice.choice(ACCOUNTS)
        role, host = dice.choice(ROLES), dice.choice(self.hosts)
        token = self.cluster.token(namespace, name, uid=f"{namespace}-{name}-{dice.choice('12')}")
        raw = request(f"{host}/team/app", serviceAccountToken=token, serviceAccountAnnotations={ROLE: role})
        return raw, (role, f"acr-sa-{namespace}.{name}")

    def owner(self, answer):
        (login,) = json.loads(answer)["auth"].values()
        found = self.sandbox.state.find_login(login["username"], login["password"])
        return found and (found.principal.name, found.principal.session_name)

    def disturb(self, dice):
        """Do what nodes and clouds do: lose memos, sessions or everything, throttle, refuse, grant short lives."""
        event = dice.randrange(7)
        if event == 0:
            shutil.rmtree(self.cache, ignore_errors=True)
        elif event == 1:
            shutil.rmtree(self.cache / "memo", ignore_errors=True)
        elif event == 2:
            shutil.rmtree(self.cache / "store", ignore_errors=True)
        elif event == 3:
            self.sandbox.state.token_life = dice.choice([None, 2.0, 30.0])
        elif event == 4:
            self.sandbox.faults.add("AssumeRoleWithOIDC", Failure(403, "NoPermission", "no"), times=1)
        elif event == 5:
            self.sandbox.faults.add("GetAuthorizationToken", Throttle(), times=1)
        else:
            for failure in self.cache.rglob("*.failed"):
                failure.unlink(missing_ok=True)


def test_no_service_account_ever_gets_the_token_of_another(scene):
    """In this process: threads are as good as processes to locks and files, and a hundred times as fast."""
    answered, wrong, odd = [], [], []

    def pull_and_pull(seed):
        dice = random.Random(seed)
        for _ in range(RUNS // 4):
            if dice.random() < 0.05:
                scene.disturb(dice)
            raw, owner = scene.draw(dice)
            try:
                answer = inprocess.ask(raw, scene.settings, scene.cache)
            except CredentialProviderError:
                continue
            except OSError:  # the cache was taken away under its feet, which is not this test's
                continue
            except Exception as error:  # noqa: BLE001 - a thread's failure is the test's
                odd.append(error)
                continue
            found = scene.owner(answer)
            (answered if found in (owner, None) else wrong).append(found)

    threads = [threading.Thread(target=pull_and_pull, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, odd) == ([], [])
    assert len(answered) > RUNS // 4
    assert len(set(answered)) > len(ACCOUNTS)


def test_the_frozen_program_keeps_service_accounts_apart_through_kills_and_restarts(scene):
    dice = random.Random(7)
    wrong, answered = [], 0
    program = harness.frozen(scene.settings, scene.cache)
    together = 6
    for _ in range(max(FROZEN_RUNS // together, 1)):
        scene.disturb(dice)
        asked = [scene.draw(dice) for _ in range(together)]
        processes = [program.start() for _ in asked]
        for process, (raw, _) in zip(processes, asked, strict=True):
            process.stdin.write(raw)
            process.stdin.close()
            process.stdin = None
        if dice.random() < 0.3:
            time.sleep(dice.random() / 5)
            dice.choice(processes).kill()
        for process, (_, owner) in zip(processes, asked, strict=True):
            out, _ = process.communicate(timeout=60)
            if process.returncode == 0 and out:
                answered += 1
                found = scene.owner(out)
                if found not in (owner, None):
                    wrong.append((owner, found))
    assert wrong == []
    assert answered > FROZEN_RUNS // 4


def test_settings_of_another_cluster_make_old_answers_and_sessions_worthless(scene):
    """The provider's ARN is part of every key, so that two clusters with the same names never share."""
    program = harness.frozen(scene.settings, scene.cache)
    raw, _ = scene.draw(random.Random(1))
    assert program.run(raw).code == 0
    settings = json.loads(scene.settings.read_text())
    settings["registries"][0]["identity"]["oidcProviderArn"] = PROVIDER_ARN.replace("1234567890123456", "1111")
    write_settings(scene.settings.parent, settings)
    refused = program.run(raw)
    assert (refused.code, refused.stdout) == (1, b"")
    assert scene.sandbox.calls.count("AssumeRoleWithOIDC") == 2
