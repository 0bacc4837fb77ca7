"""The workers with a cluster of values: what is asked of them is done once it can be, and not forgotten before."""

import json
import threading
from base64 import b64decode, b64encode
from dataclasses import replace
from types import SimpleNamespace

import pytest
from acr_credential_provider.pull_secrets.config.options import Options
from acr_credential_provider.pull_secrets.kube.release_owner import ReleaseOwner
from acr_credential_provider.pull_secrets.model.content import Content, EntryLogins
from acr_credential_provider.pull_secrets.model.decoding import decode, secret
from acr_credential_provider.pull_secrets.model.desired_state import DesiredState
from acr_credential_provider.pull_secrets.model.eci_annotations import INSTANCES
from acr_credential_provider.pull_secrets.model.objects import Namespace, ServiceAccount
from acr_credential_provider.pull_secrets.model.plan import Observed
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret
from acr_credential_provider.pull_secrets.model.telemetry import Telemetry
from acr_credential_provider.pull_secrets.reconcile.apply import Applier, ApplyResult
from acr_credential_provider.pull_secrets.reconcile.workers import Workers
from acr_credential_provider.settings.pull_secrets import PullSecrets

ENTRY = EntryLogins("cri-a", "cn-hangzhou", (("a.example", "u", "p"),))
STATE = DesiredState(
    PullSecrets(), Content.of_entries([ENTRY]), (ENTRY,), retired=frozenset(), replaced=frozenset(), is_blocked=False
)


class Gate:
    """Always open, for what nobody owns."""

    owner = ReleaseOwner(None, "")

    def may_write(self):
        return True


class Namespaces:
    def get(self, namespace, name):
        return Namespace(name) if name == "default" else None

    def groups(self):
        return ["default"]


class Watched:
    """One namespace with an account; its Secrets are listed once `is_listed`."""

    def __init__(self):
        self.is_listed = threading.Event()
        self.looked = threading.Event()
        self.namespaces = Namespaces()
        self.accounts = self

    def update(self, account):
        pass

    def is_synced(self):
        self.looked.set()
        return self.is_listed.is_set()

    def update_secret(self, secret):
        pass

    def listed_secrets(self):
        return frozenset()

    def observed(self, namespace):
        return Observed(namespace, {}, [ServiceAccount(namespace, "default", resource_version="1")])


class Api:
    def __init__(self):
        self.telemetry = Telemetry()
        self.written = []
        self.is_done = threading.Event()

    def create(self, path, body):
        self.written.append(path)
        return {**body, "metadata": {**body["metadata"], "resourceVersion": "2"}}

    def patch(self, path, operations):
        self.written.append(path)
        self.is_done.set()
        return {"metadata": {"name": "default", "namespace": "default", "resourceVersion": "3"}}


@pytest.fixture
def at_work():
    """Start workers who may write; they end with the test."""
    watched, api = Watched(), Api()
    workers = Workers(api, watched, SimpleNamespace(state=STATE), Gate(), Options("own", workers=1))
    workers.start()
    yield workers, watched, api
    workers.stop()


def test_what_comes_before_all_is_listed_is_done_afterwards(at_work):
    """The list may be there before anybody notices that it was not: nobody asks a second time."""
    workers, watched, api = at_work
    workers.enqueue("default")
    assert watched.looked.wait(10)
    watched.is_listed.set()
    assert api.is_done.wait(10)
    assert api.written == ["/api/v1/namespaces/default/secrets", "/api/v1/namespaces/default/serviceaccounts/default"]


class Asking:
    """A namespace that asks for one instance, and its Secret as it is at the API server."""

    def __init__(self, instance, data):
        self.document = PullSecret("acr-credential-aliyun", b"").manifest("team")
        self.document["data"] = data
        self.namespace = Namespace("team", annotations={INSTANCES: instance})
        self.namespaces = self
        self.accounts = self
        self.telemetry = Telemetry()
        self.asked = []

    def get(self, path, _name=None):
        self.asked.append(path)
        return self.namespace if path == "team" else self.document

    def patch(self, _path, operations):
        self.document["data"] = next(each["value"] for each in operations if each["path"] == "/data")
        return self.document

    def listed_secrets(self):
        return frozenset()

    def is_synced(self):
        return True

    def update_secret(self, _secret):
        pass

    def secrets_in_namespace(self, _namespace):
        return {"acr-credential-aliyun": decode(self.document, secret)}

    def observed(self, namespace):
        return Observed(namespace, self.secrets_in_namespace(namespace), [])

    def places(self):
        return set(json.loads(b64decode(self.document["data"][".dockerconfigjson"]))["auths"])


def tidied(world, *entries):
    state = DesiredState(
        PullSecrets(),
        Content.of_entries(entries),
        entries,
        retired=frozenset(),
        replaced=frozenset(),
        is_blocked=False,
    )
    workers = Workers(world, world, SimpleNamespace(state=state), Gate(), Options("own", workers=1))
    return workers.reconcile("team")


SILENT = EntryLogins("cri-silent", "cn-hangzhou", (), unknown_at=None)


def test_who_stops_asking_for_an_instance_does_not_keep_its_login_for_one_that_is_silent():
    gone = EntryLogins("cri-gone", "cn-hangzhou", (("gone.example", "cr_temp_user", "p"),))
    other = EntryLogins("cri-other", "cn-hangzhou", (("other.example", "cr_temp_user", "p"),))
    content = Content.of_entries([gone, other])
    world = Asking("cri-silent", PullSecret("x", content.content).data())
    assert tidied(world, SILENT, other) == ApplyResult()
    assert world.places() == {"gone.example"}


def test_the_key_that_an_earlier_version_wrote_beside_the_logins_goes_with_the_next_write():
    entry = EntryLogins("cri-a", "cn-hangzhou", (("a.example", "u", "new"),))
    data = PullSecret("x", Content.of_entries([ENTRY]).content).data()
    world = Asking("cri-a", data | {"logins-end.json": b64encode(b"{}").decode()})
    assert tidied(world, entry) == ApplyResult()
    assert set(world.document["data"]) == {".dockerconfigjson"}


def test_a_look_at_a_secret_takes_its_turn_like_a_write():
    turns, world = [], Asking("cri-silent", {"key": "value"})

    def takes_a_turn():
        turns.append(len(world.asked))
        return True

    applier = Applier(world, world, may_go_on=takes_a_turn)
    assert applier.read_secret("team", "acr-credential-aliyun") == {"key": "value"}
    assert turns == [0], "before it asked"


class Listing:
    """A namespace whose account refers to a Secret; *listed* are the names of which all Secrets are known."""

    def __init__(self, *listed):
        self.listed_secrets = lambda: frozenset(listed)
        self.namespaces = SimpleNamespace(get=lambda _group, name: Namespace(name))
        self.accounts = SimpleNamespace(update=lambda _account: None)
        self.telemetry = Telemetry()
        self.written = []

    def is_synced(self):
        return True

    def observed(self, space):
        account = ServiceAccount(space, "default", "uid-1", "1", pull_secrets=("acr-credential-old",))
        return Observed(space, {}, [account])

    def patch(self, path, operations):
        self.written.append((path, [each["op"] for each in operations]))
        return {"metadata": {"name": "default", "namespace": "default", "resourceVersion": "2"}}


@pytest.mark.parametrize(
    ("listed", "written"),
    [
        ((), []),
        (("acr-credential-aliyun",), []),
        (
            ("acr-credential-aliyun", "acr-credential-old"),
            [("/api/v1/namespaces/elsewhere/serviceaccounts/default", ["test", "test", "remove"])],
        ),
    ],
)
def test_an_entry_with_an_earlier_name_goes_only_if_the_secrets_of_that_name_are_known(listed, written):
    """The name stands in a Secret that others may write, and what is not listed may be somebody else's."""
    world = Listing(*listed)
    state = replace(STATE, retired=frozenset({"acr-credential-old"}))
    workers = Workers(world, world, SimpleNamespace(state=state), Gate(), Options("own", workers=1))
    workers.reconcile("elsewhere")
    assert world.written == written
