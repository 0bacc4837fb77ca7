"""Tenants, GitOps tools, quotas, policies, outages and restarts in any order, against the workers of two replicas.

The API server is a model: objects with uids and versions, JSON patches, refusals with the Status of the real one. The
workers, their plan and their memory of who undoes what are the product's own. The real API server is in
`tests/controller`.
"""

import copy
import json
import os
from base64 import b64decode, b64encode
from types import SimpleNamespace

from acr_credential_provider.pull_secrets.config.options import Options
from acr_credential_provider.pull_secrets.kube.api_errors import refusal
from acr_credential_provider.pull_secrets.kube.release_owner import ReleaseOwner
from acr_credential_provider.pull_secrets.model.content import Content, EntryLogins
from acr_credential_provider.pull_secrets.model.decoding import decode, namespaces, secret, service_account
from acr_credential_provider.pull_secrets.model.desired_state import DesiredState
from acr_credential_provider.pull_secrets.model.names import FIELD_MANAGER, LABEL, SECRET_KEY, SECRET_TYPE, SWITCH
from acr_credential_provider.pull_secrets.model.plan import Observed
from acr_credential_provider.pull_secrets.model.selection import selects_account, selects_namespace
from acr_credential_provider.pull_secrets.model.telemetry import Telemetry
from acr_credential_provider.pull_secrets.reconcile.conflicting_writers import FREE, RevertBackoff
from acr_credential_provider.pull_secrets.reconcile.workers import Workers
from acr_credential_provider.settings.pull_secrets import PullSecrets
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

OURS, THEIRS = "acr-credential-aliyun", ["theirs", "default-dockercfg-x", "other", ""]
LISTS = st.lists(st.sampled_from([*THEIRS, "acr-credential-aliyun"]), max_size=5)
"""Lists as API servers take them: with entries that have no name, with one name twice, and with ours already there."""
SPACES, ACCOUNTS = ["app", "team-a", "team-b"], ["default", "robot"]
STEPS = int(os.environ.get("STATE_MACHINE_STEPS", "30"))
EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", "60"))
SPECS = [
    PullSecrets(namespaces=["*"], serviceAccounts=["*"], excludedNamespaces=[]),
    PullSecrets(namespaces=["team-*"], serviceAccounts=["default"]),
    PullSecrets(namespaces=["app"], serviceAccounts=["*"]),
]


class Refused(Exception):  # noqa: N818 - what a test's own code gets, not an error of ours
    """The API server's Status for somebody who is not a replica."""


class ApiServer:
    """Namespaces, Secrets and ServiceAccounts by path."""

    def __init__(self):
        self.objects = {}
        self.version = 0
        self.full, self.guarded = set(), set()
        self.is_away = False

    def stamp(self, body, *, uid=None):
        self.version += 1
        body["metadata"] |= {"resourceVersion": str(self.version), "uid": uid or f"uid-{self.version}"}
        return body

    def listed(self, plural):
        return [body for path, body in sorted(self.objects.items()) if path.split("/")[-2] == plural]

    def space(self, name):
        return self.objects.get(f"/api/v1/namespaces/{name}")


class Replica:
    """The API as a replica's workers use it; each write of theirs is checked and counted."""

    def __init__(self, server, clock):
        self.telemetry = Telemetry()
        self.server = server
        self.clock = clock
        self.writes = []
        self.deleted = set()
        self.cache = Cache()
        self.leads = False
        self.state = None
        gate = SimpleNamespace(owner=ReleaseOwner(None, ""), may_write=lambda: self.leads)
        options = Options("own", workers=1, writes_per_second=1e9)
        self.workers = Workers(self, self.cache, self, gate, options)
        self.workers._reverts = RevertBackoff(monotonic=lambda: clock.now)  # time that the test moves

    def _refuse(self, verb, path, code, reason="", message="", **details):
        document = {"reason": reason, "message": message, "details": details}
        answer = SimpleNamespace(status_code=code, content=json.dumps(document).encode(), headers={})
        raise refusal(verb, path, answer)

    def _judge(self, verb, path):
        if self.server.is_away:
            self._refuse(verb, path, 503)
        space = path.split("/")[4]
        if self.server.space(space) is None:
            self._refuse(verb, path, 404, "NotFound" if verb != "POST" else "")
        if verb == "POST" and space in self.server.full:
            self._refuse(verb, path, 403, "Forbidden", "exceeded quota: few, requested: secrets=1", name="x")
        if verb != "GET" and space in self.server.guarded:
            self._refuse(verb, path, 422, "Invalid", "ValidatingAdmissionPolicy 'p' denied request: no", name="x")

    def is_meant(self, space, account=""):
        """True if a namespace, or an account there, is to have a login by what this replica was told."""
        known, person = self.cache.spaces.get(space), self.cache.people.get((space, account))
        if known is None or not selects_namespace(self.state.spec, known):
            return False
        return not account or (person is not None and selects_account(self.state.spec, person))

    def get(self, path, timeout=0.0):
        self._judge("GET", path)
        return copy.deepcopy(self.server.objects.get(path))

    def create(self, path, body):
        self._judge("POST", path)
        name = f"{path}/{body['metadata']['name']}"
        if name in self.server.objects:
            self._refuse("POST", path, 409, "AlreadyExists")
        assert self.is_meant(path.split("/")[4]), "a login in a namespace that is not meant"
        made = copy.deepcopy(body)
        made["metadata"]["managedFields"] = [{"manager": FIELD_MANAGER}]
        self.server.objects[name] = self.server.stamp(made)
        self._wrote(name, "create")
        return copy.deepcopy(made)

    def patch(self, path, operations):
        self._judge("PATCH", path)
        present = self.server.objects.get(path)
        if present is None:
            self._refuse("PATCH", path, 404, "NotFound")
        changed = patched(copy.deepcopy(present), operations)
        if changed is None:
            self._refuse("PATCH", path, 422, "Invalid")
        before, after = entries(present), entries(changed)
        assert [name for name in before if name != OURS] == [name for name in after if name != OURS], (
            "entries of others"
        )
        if before.count(OURS) > after.count(OURS):
            assert not self.is_meant(path.split("/")[4], path.split("/")[-1]), "an entry taken out without a reason"
        if OURS in after and OURS not in before:
            space = path.split("/")[4]
            target = self.server.objects.get(f"/api/v1/namespaces/{space}/secrets/{OURS}")
            told = self.cache.found.get((space, OURS))  # by a watch that has not told yet that others changed it
            assert is_ours(target) or (told is not None and told.uid not in self.deleted), (
                "an entry for a Secret that is not there, or is not ours"
            )
        if "/secrets/" in path:
            assert is_ours(present), "a Secret of somebody else"
            kept = b64decode(changed["data"][SECRET_KEY])
            assert kept == self.state.content.content, "a login that is alive is not among them"
        self.server.objects[path] = self.server.stamp(changed, uid=present["metadata"]["uid"])
        self._wrote(path, "patch")
        return copy.deepcopy(changed)

    def delete(self, path, *, uid="", resource_version=""):
        self._judge("DELETE", path)
        present = self.server.objects.get(path)
        if present is None:
            return False
        meta = present["metadata"]
        if (uid, resource_version) != (meta["uid"], meta["resourceVersion"]):
            self._refuse("DELETE", path, 409, "Conflict")
        assert is_ours(present), "a Secret of somebody else"
        assert not self.is_meant(path.split("/")[4]), "a login taken out without a reason"
        self.deleted.add(meta["uid"])
        del self.server.objects[path]
        self._wrote(path, "delete")
        return True

    def _wrote(self, path, verb):
        self.writes.append((self.clock.now, path, verb))


class Cache:
    """What a replica's watches told it: as old as the test likes."""

    def __init__(self):
        self.spaces, self.found, self.people = {}, {}, {}
        self.namespaces = SimpleNamespace(get=lambda _, name: self.spaces.get(name))
        self.accounts = SimpleNamespace(update=lambda item: self.people.__setitem__(item.key, item))

    def catch_up(self, server):
        self.spaces = {
            item.name: item for item in (decode(each, namespaces().keep) for each in server.listed("namespaces"))
        }
        self.found = {item.key: item for item in (decode(each, secret) for each in server.listed("secrets"))}
        self.people = {
            item.key: item for item in (decode(each, service_account) for each in server.listed("serviceaccounts"))
        }

    def is_synced(self):
        return True

    def listed_secrets(self):
        return frozenset({OURS})

    def update_secret(self, item):
        self.found[item.key] = item

    def forget_secret(self, space, name, uid):
        if (space, name) in self.found and self.found[space, name].uid == uid:
            del self.found[space, name]

    def secrets_in_namespace(self, space):
        return {name: item for (place, name), item in self.found.items() if place == space}

    def observed(self, space):
        people = [item for (place, _), item in self.people.items() if place == space]
        return Observed(space, self.secrets_in_namespace(space), people, self.spaces[space].uid)


def patched(document, operations):
    """Apply a JSON patch; None where a test fails."""
    for operation in operations:
        *steps, last = (step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:])
        target = document
        for step in steps:
            target = target[int(step)] if isinstance(target, list) else target.get(step, {})
        if isinstance(target, list) and last != "-" and int(last) >= len(target):
            return None
        key = int(last) if isinstance(target, list) and last != "-" else last
        if operation["op"] == "test":
            if (target[key] if isinstance(target, list) else target.get(key)) != operation["value"]:
                return None
        elif operation["op"] == "remove":
            del target[key]
        elif isinstance(target, list):
            target.append(operation["value"])
        else:
            target[key] = operation["value"]
    return document


def entries(document):
    return [entry.get("name", "") for entry in document.get("imagePullSecrets") or []]


def without_ours(names):
    return [name for name in names if name != OURS]


def is_ours(document):
    return document is not None and decode(document, secret).is_ours and document["type"] == SECRET_TYPE


class Cluster(RuleBasedStateMachine):
    """What may happen in a cluster."""

    @initialize()
    def begin(self):
        self.clock = SimpleNamespace(now=0.0)
        self.server = ApiServer()
        self.replicas = [Replica(self.server, self.clock) for _ in range(2)]
        self.replicas[0].leads = True
        self.theirs = {}
        self.foreign = {}
        self.tokens = 0
        self.spec = SPECS[0]
        self.rotate()
        for space in SPACES:
            self.make_namespace(space)

    # The operator and the cloud.
    @rule()
    def rotate(self):
        self.tokens += 1
        self._decide()

    @rule(spec=st.sampled_from(SPECS))
    def configure(self, spec):
        self.spec = spec
        self._decide()

    def _decide(self):
        entry = EntryLogins("cri-a", "cn-hangzhou", (("a.example", "u", f"login-{self.tokens}"),))
        content = Content.of_entries([entry])
        for replica in self.replicas:
            replica.state = DesiredState(
                self.spec, content, (entry,), retired=frozenset(), replaced=frozenset(), is_blocked=False
            )
        self.content = content

    # Replicas, and time.
    @rule(which=st.integers(0, 1), space=st.sampled_from(SPACES))
    def work(self, which, space):
        self.replicas[which].workers.reconcile(space)

    @rule(which=st.integers(0, 1))
    def hear(self, which):
        self.replicas[which].cache.catch_up(self.server)

    @rule()
    def lead_in_turns(self):
        for replica in self.replicas:
            replica.leads = not replica.leads

    @rule(which=st.integers(0, 1))
    def restart(self, which):
        old = self.replicas[which]
        fresh = self.replicas[which] = Replica(self.server, self.clock)
        fresh.state, fresh.leads, fresh.writes = old.state, old.leads, old.writes
        fresh.cache.catch_up(self.server)
        fresh.is_new = True

    @rule(seconds=st.sampled_from([1, 60, 400, 1000]))
    def wait(self, seconds):
        self.clock.now += seconds

    # Obstacles.
    @rule(space=st.sampled_from(SPACES), is_full=st.booleans())
    def set_quota(self, space, is_full):
        (self.server.full.add if is_full else self.server.full.discard)(space)

    @rule(space=st.sampled_from(SPACES), is_guarded=st.booleans())
    def set_policy(self, space, is_guarded):
        (self.server.guarded.add if is_guarded else self.server.guarded.discard)(space)

    @rule(is_away=st.booleans())
    def go_away(self, is_away):
        self.server.is_away = is_away

    # Tenants.
    @rule(space=st.sampled_from(SPACES))
    def make_namespace(self, space):
        path = f"/api/v1/namespaces/{space}"
        if path in self.server.objects:
            return
        self.server.objects[path] = self.server.stamp({"metadata": {"name": space, "labels": {}}})
        self.make_account(space, "default", [])

    @rule(space=st.sampled_from(SPACES))
    def delete_namespace(self, space):
        prefix = f"/api/v1/namespaces/{space}"
        for path in [path for path in self.server.objects if path == prefix or path.startswith(prefix + "/")]:
            del self.server.objects[path]
        self.theirs = {key: value for key, value in self.theirs.items() if key[0] != space}
        self.foreign.pop(space, None)

    @rule(space=st.sampled_from(SPACES), is_out=st.booleans())
    def opt_out(self, space, is_out):
        found = self.server.space(space)
        if found is not None:
            found["metadata"]["labels"] = {SWITCH: "disabled"} if is_out else {}
            self.server.stamp(found, uid=found["metadata"]["uid"])

    @rule(
        space=st.sampled_from(SPACES),
        name=st.sampled_from(ACCOUNTS),
        listed=LISTS,
    )
    def make_account(self, space, name, listed):
        if self.server.space(space) is None:
            return
        path = f"/api/v1/namespaces/{space}/serviceaccounts/{name}"
        body = {"metadata": {"name": name, "namespace": space}}
        if listed:
            body["imagePullSecrets"] = [{"name": entry} if entry else {} for entry in listed]
        uid = self.server.objects[path]["metadata"]["uid"] if path in self.server.objects else None
        self.server.objects[path] = self.server.stamp(body, uid=uid)  # a tool that restores its own list
        self.theirs[space, name] = listed

    @rule(space=st.sampled_from(SPACES), name=st.sampled_from(ACCOUNTS))
    def delete_account(self, space, name):
        self.server.objects.pop(f"/api/v1/namespaces/{space}/serviceaccounts/{name}", None)
        self.theirs.pop((space, name), None)

    @rule(space=st.sampled_from(SPACES), what=st.sampled_from(["data", "labels", "delete", "replace"]))
    def tamper(self, space, what):
        path = f"/api/v1/namespaces/{space}/secrets/{OURS}"
        found = self.server.objects.get(path)
        if found is None and (what != "replace" or self.server.space(space) is None):
            return
        if what in ("delete", "replace"):
            self.server.objects.pop(path, None)
            self.foreign.pop(space, None)
        if what == "replace":
            body = {"metadata": {"name": OURS, "namespace": space, "labels": {"of": "a tenant"}}, "type": SECRET_TYPE}
            body["data"] = {SECRET_KEY: b64encode(b'{"auths":{}}').decode()}
            self.server.objects[path] = self.server.stamp(body)
            self.foreign[space] = copy.deepcopy(body)
        elif what == "data":
            found["data"] = {SECRET_KEY: "e30="}
        elif what == "labels":
            found["metadata"]["labels"] = {}
        if what in ("data", "labels"):
            self.server.stamp(found, uid=found["metadata"]["uid"])
            if space in self.foreign:
                self.foreign[space] = copy.deepcopy(found)

    # What always holds.
    @invariant()
    def entries_of_others_are_all_there_in_order(self):
        for (space, name), listed in self.theirs.items():
            found = entries(self.server.objects[f"/api/v1/namespaces/{space}/serviceaccounts/{name}"])
            assert without_ours(found) == without_ours(listed)
            assert found.count(OURS) <= max(listed.count(OURS), 1)

    @invariant()
    def secrets_of_others_are_as_they_were(self):
        for space, body in self.foreign.items():
            assert self.server.objects[f"/api/v1/namespaces/{space}/secrets/{OURS}"] == body

    @invariant()
    def no_object_is_written_without_end(self):
        for replica in self.replicas:
            recent = [path for at, path, _ in replica.writes if at > self.clock.now - 1]
            # Each replica that is new, and each change of what is wanted, may write anew.
            assert all(recent.count(path) <= 4 * (FREE + 1) for path in set(recent)), recent

    # How it ends: the obstacles go, the watches catch up, and all is well and quiet.
    def teardown(self):
        if not hasattr(self, "server"):
            return
        self.server.full.clear()
        self.server.guarded.clear()
        self.server.is_away = False
        self.replicas[0].leads, self.replicas[1].leads = True, False
        leader = self.replicas[0]
        for _ in range(4):
            self.clock.now += 1000
            leader.cache.catch_up(self.server)
            for space in SPACES:
                leader.workers.reconcile(space)
        self.entries_of_others_are_all_there_in_order()
        self.secrets_of_others_are_as_they_were()
        for space in SPACES:
            self._is_as_it_should_be(space)
        before = len(leader.writes)
        for space in SPACES:
            leader.workers.reconcile(space)
        assert len(leader.writes) == before, "quiet when nothing changes"

    def _is_as_it_should_be(self, space):
        found = self.server.space(space)
        if found is None:
            return
        is_selected = selects_namespace(self.spec, decode(found, namespaces().keep))
        kept = self.server.objects.get(f"/api/v1/namespaces/{space}/secrets/{OURS}")
        if space not in self.foreign:
            assert (kept is not None) == is_selected, "a login where one is meant, and nowhere else"
            if is_selected:
                assert b64decode(kept["data"][SECRET_KEY]) == self.content.content
                assert kept["metadata"]["labels"][LABEL] == "true"
        for (place, name), listed in self.theirs.items():
            if place == space and space not in self.foreign:
                account = self.server.objects[f"/api/v1/namespaces/{space}/serviceaccounts/{name}"]
                is_meant = is_selected and selects_account(self.spec, decode(account, service_account))
                found = entries(account)
                assert without_ours(found) == without_ours(listed)
                assert (OURS in found) == is_meant, (space, name)
                assert OURS in listed or found == (listed + [OURS] * is_meant), "ours is the last one"


Cluster.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCluster = Cluster.TestCase


# Failures that were found, shrunk.
def test_an_entry_is_not_added_for_a_secret_that_this_replica_deleted_before_its_watch_tells():
    cluster = Cluster()
    cluster.begin()
    cluster.hear(which=0)
    for spec in (SPECS[0], SPECS[1], SPECS[0]):
        cluster.configure(spec=spec)
        cluster.work(which=0, space="app")
    assert entries(cluster.server.objects["/api/v1/namespaces/app/serviceaccounts/default"]) == [OURS]
    assert is_ours(cluster.server.objects[f"/api/v1/namespaces/app/secrets/{OURS}"])
