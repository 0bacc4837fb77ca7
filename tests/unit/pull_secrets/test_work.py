"""The workers with a cluster of values: what is asked of them is done once it can be, and not forgotten before."""

import threading

import pytest
from acr_credential_provider.pull_secrets.content import Content, EntryLogins
from acr_credential_provider.pull_secrets.objects import Namespace, ServiceAccount
from acr_credential_provider.pull_secrets.plan import Observed
from acr_credential_provider.pull_secrets.reporting import Silence
from acr_credential_provider.pull_secrets.snapshot import Snapshot
from acr_credential_provider.pull_secrets.work import Workers
from acr_credential_provider.settings import PullSecrets

ENTRY = EntryLogins("cri-a", "cn-hangzhou", (("a.example", "u", "p"),))
SNAPSHOT = Snapshot(
    PullSecrets(), Content.of_entries([ENTRY]), (ENTRY,), retired=frozenset(), replaced=frozenset(), is_blocked=False
)


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
        self.accounts = None

    def is_synced(self):
        self.looked.set()
        return self.is_listed.is_set()

    def secrets_named(self, name):
        return None

    def observed(self, namespace):
        return Observed(namespace, {}, [ServiceAccount(namespace, "default", resource_version="1")])


class Api:
    def __init__(self):
        self.reporter = Silence()
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
    workers = Workers(
        api,
        watched,
        may_write=lambda: True,
        snapshot=lambda: SNAPSHOT,
        reporter=Silence(),
        rate=100.0,
        count=1,
        clock=lambda: 0.0,
    )
    workers.start()
    yield workers, watched, api
    workers.stop()


def test_what_comes_before_all_is_listed_is_done_afterwards(at_work):
    """The list may be there before anybody notices that it was not: nobody asks a second time."""
    workers, watched, api = at_work
    workers.look_at("default")
    assert watched.looked.wait(10)
    watched.is_listed.set()
    assert api.is_done.wait(10)
    assert api.written == ["/api/v1/namespaces/default/secrets", "/api/v1/namespaces/default/serviceaccounts/default"]
