"""Random sequences of what tenants and their tools do, on the real API server while a controller is at work.

`tests/unit/pull_secrets/reconcile/test_state_machine.py` runs many more on a model; these show that the model is right.
"""

import os
import random
import threading

import pytest
from cluster.kube import KubeError
from support.replica import Bank, Record, Team, eventually, replica

SEQUENCES = int(os.environ.get("SEQUENCES", "100"))
STEPS = 12
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 10**6)
MERGE = "application/merge-patch+json"
DOCKER = "kubernetes.io/dockerconfigjson"
OFF = "aliyun-acr-credential-provider/pull-secrets"


@pytest.fixture
def team(api, namespace):
    return Team(api, namespace)


class Tenant:
    """One namespace, what its people want in it, and what they do there in an order of their own."""

    def __init__(self, team, number):
        self.api, self.name = team.api, team.name
        self.random = random.Random(f"{SEED} {number}")
        self.space = team.open(f"tenant-{number}")
        self.path = f"/api/v1/namespaces/{self.space}"
        self.theirs = {"default": []}
        self.is_out = self.is_foreign = False
        self.done = []

    def act(self):
        for _ in range(STEPS):
            action = self.random.choice(ACTIONS)
            self.done.append(action.__name__)
            action(self)

    def _patch(self, path, body):
        try:
            self.api.request("PATCH", path, body, MERGE)
        except KubeError as error:
            if error.status != 404:
                raise

    def _account(self):
        return self.random.choice(sorted(self.theirs))

    # The tools of a tenant.
    def creates_an_account(self):
        name = self.random.choice(["robot", "build", "deploy"])
        if name not in self.theirs:
            entries = self.random.sample(["theirs", "default-dockercfg-x", "other"], self.random.randrange(3))
            body = {"metadata": {"name": name}, "imagePullSecrets": [{"name": entry} for entry in entries]}
            self.api.create(f"{self.path}/serviceaccounts", body)
            self.theirs[name] = entries

    def deletes_an_account(self):
        name = self._account()
        if name != "default":
            self.api.request("DELETE", f"{self.path}/serviceaccounts/{name}")
            del self.theirs[name]

    def appends_an_entry(self):
        name, entry = self._account(), f"late-{self.random.randrange(100)}"
        if entry in self.theirs[name]:
            return
        path = f"{self.path}/serviceaccounts/{name}"
        while True:
            found = self.api.get(path)
            found["imagePullSecrets"] = [*found.get("imagePullSecrets", []), {"name": entry}]
            try:
                self.api.request("PUT", path, found)
            except KubeError as error:
                if error.status != 409:
                    raise
            else:
                self.theirs[name] = [*self.theirs[name], entry]
                return

    def restores_its_own_list(self):
        name = self._account()
        entries = [{"name": entry} for entry in self.theirs[name]]
        self._patch(f"{self.path}/serviceaccounts/{name}", {"imagePullSecrets": entries})

    def opts_out_or_in(self):
        self.is_out = not self.is_out
        self._patch(self.path, {"metadata": {"labels": {OFF: "disabled" if self.is_out else None}}})

    def changes_our_secret(self):
        if not self.is_foreign:
            self._patch(f"{self.path}/secrets/{self.name}", {"data": {".dockerconfigjson": "e30="}})

    def takes_our_label_off(self):
        if not self.is_foreign:
            self._patch(f"{self.path}/secrets/{self.name}", {"metadata": {"labels": None}})

    def deletes_the_secret(self):
        try:
            self.api.request("DELETE", f"{self.path}/secrets/{self.name}")
        except KubeError as error:
            if error.status != 404:
                raise
        self.is_foreign = False

    def puts_its_own_secret_there(self):
        self.deletes_the_secret()
        body = {"metadata": {"name": self.name}, "type": DOCKER, "data": {".dockerconfigjson": "e30="}}
        try:
            self.api.create(f"{self.path}/secrets", body)
        except KubeError as error:
            if error.status != 409:  # the controller was quicker
                raise
        else:
            self.is_foreign = True

    # What must hold.
    def problem(self, team):
        """Return what is not as it should be, "" if all is."""
        secret = team.secret(self.space)
        if self.is_foreign:
            if secret is None or secret["data"] != {".dockerconfigjson": "e30="} or secret["metadata"].get("labels"):
                return f"the tenant's own Secret is not as it was: {secret}"
        elif (secret is None) != self.is_out or (secret and len(team.passwords(self.space)) != 2):
            return f"the Secret is not right: {secret}"
        for name, theirs in self.theirs.items():
            found = team.pull_secrets(self.space, name)
            if [entry for entry in found if entry != self.name] != theirs:
                return f"{name} has {found}, its people want {theirs}"
            if not self.is_foreign and found.count(self.name) != (0 if self.is_out else 1):
                return f"{name} has {found} and opted out: {self.is_out}"
        return ""


ACTIONS = [
    Tenant.creates_an_account,
    Tenant.deletes_an_account,
    Tenant.appends_an_entry,
    Tenant.restores_its_own_list,
    Tenant.opts_out_or_in,
    Tenant.changes_our_secret,
    Tenant.takes_our_label_off,
    Tenant.deletes_the_secret,
    Tenant.puts_its_own_secret_there,
]


def test_whatever_tenants_do_nothing_of_theirs_is_lost_and_all_is_well_and_quiet_in_the_end(team):
    team.configure()
    record = Record()
    with replica(team.api, team.own, fetch=Bank(), record=record):
        tenants = [Tenant(team, number) for number in range(SEQUENCES)]
        halves = [
            threading.Thread(target=lambda part=part: [each.act() for each in part])
            for part in (tenants[::2], tenants[1::2])
        ]
        for half in halves:
            half.start()
        for half in halves:
            half.join()

        def problems():
            found = ((tenant, tenant.problem(team)) for tenant in tenants)
            return [(SEED, tenant.space, text, tenant.done) for tenant, text in found if text]

        try:
            eventually(lambda: not problems(), within=150)
        except AssertionError:
            pytest.fail(f"{problems()[:3]}")
        before = record.done()
        problems()
        assert record.done() == before, "quiet when nothing changes"
