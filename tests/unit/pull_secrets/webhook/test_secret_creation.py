"""What reviews cost the API server, true ones and forged ones."""

import asyncio
import threading

import pytest
from acr_credential_provider.model.errors import CloudUnreachableError
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret
from acr_credential_provider.pull_secrets.webhook.secret_creation import (
    CREATED_FOR,
    FAILED_FOR,
    UNKNOWN_BURST,
    SecretCreator,
)

SECRET = PullSecret("acr-credential-aliyun", b"canary-7f3a")
API_SERVER, STRANGER = "192.0.2.1", "198.51.100.1"


class Cluster:
    """Namespaces and Secrets as the watch shows them, and the requests that were made."""

    def __init__(self):
        self.namespaces = {"team", "other"}
        self.secrets = set()
        self.requests = []
        self.problem = ""
        self.open = threading.Event()
        self.open.set()

    def knows(self, namespace):
        return namespace in self.namespaces

    def has_secret(self, namespace, name):
        return (namespace, name) in self.secrets

    def ensure(self, namespace, _secret, _seconds):
        self.requests.append(namespace)
        assert self.open.wait(20)
        if self.problem:
            raise CloudUnreachableError(self.problem, remedy="Wait.")


class World:
    def __init__(self):
        self.cluster = Cluster()
        self.now = 100.0
        self.creator = SecretCreator(self.cluster, self.cluster.ensure, clock=lambda: self.now)

    def review(self, namespace="team", client=API_SERVER, seconds=5.0):
        return self.creator.create(namespace, SECRET, client, seconds)

    def ask(self, *reviews):
        """Answer *reviews*, keywords of each, all at once."""

        async def gather():
            return await asyncio.gather(*(self.review(**given) for given in reviews))

        return asyncio.run(gather())


@pytest.fixture
def world():
    world = World()
    yield world
    world.cluster.open.set()
    world.creator.close()


def test_a_secret_that_the_watch_shows_costs_nothing(world):
    world.cluster.secrets.add(("team", SECRET.name))
    assert world.ask(*[{}] * 100) == [""] * 100
    assert world.cluster.requests == []


def test_a_flood_of_reviews_of_one_namespace_costs_the_api_server_one_request(world):
    assert world.ask(*[{"client": STRANGER}] * 500, {}) == [""] * 501
    assert world.ask({}) == [""]
    assert world.cluster.requests == ["team"]


def test_what_was_created_is_created_again_if_the_watch_does_not_show_it_for_long(world):
    world.ask({})
    world.now += CREATED_FOR
    world.ask({})
    assert world.cluster.requests == ["team"] * 2


def test_a_refusal_counts_for_others_of_its_namespace_for_a_moment_only(world):
    world.cluster.problem = "the API server refused (403)"
    assert world.ask(*[{"client": STRANGER}] * 50) == [world.cluster.problem] * 50
    assert world.ask({"namespace": "other"}) == [world.cluster.problem]
    assert world.cluster.requests == ["team", "other"]
    world.cluster.problem = ""
    world.now += FAILED_FOR
    assert world.ask({}) == [""]


def test_namespaces_that_do_not_exist_cost_each_client_its_own_few_requests(world):
    forged = [{"namespace": f"made-up-{number}", "client": STRANGER} for number in range(500)]
    said = world.ask(*forged)
    assert len(world.cluster.requests) == UNKNOWN_BURST
    assert said[-1] == "its namespace is not known here yet"
    # The API server's own are made, of namespaces that the watch does not show yet too.
    assert world.ask({"namespace": "new"}, {"namespace": "team"}) == ["", ""]
    assert world.cluster.requests[-2:] == ["new", "team"]


def test_after_a_second_a_client_has_one_more(world):
    world.ask(*[{"namespace": f"a-{number}", "client": STRANGER} for number in range(50)])
    world.now += 1.0
    world.ask(*[{"namespace": f"b-{number}", "client": STRANGER} for number in range(50)])
    assert len(world.cluster.requests) == UNKNOWN_BURST + 1


def test_known_namespaces_are_not_among_a_clients_few(world):
    world.cluster.namespaces |= {f"team-{number}" for number in range(100)}
    assert set(world.ask(*[{"namespace": f"team-{number}"} for number in range(100)])) == {""}


def test_a_request_that_hangs_is_waited_for_as_long_as_each_may_and_not_repeated(world):
    world.cluster.open.clear()
    said = world.ask(*[{"seconds": 0.2}] * 20)
    assert set(said) == {"the API server did not take it within 0.2 s"}
    assert world.cluster.requests == ["team"]


def test_one_that_ended_after_all_had_gone_is_judged_by_its_own_time(world):
    world.cluster.open.clear()
    world.cluster.problem = "the API server refused (403)"
    world.ask({"seconds": 0.1})
    world.cluster.open.set()
    while world.creator._under_way:
        pass
    world.now += FAILED_FOR
    world.cluster.problem = ""
    assert world.ask({}) == [""]


def test_an_error_of_ours_is_raised_and_not_remembered(world):
    def fail(*_given):
        raise ValueError

    creator = SecretCreator(world.cluster, fail)
    for _ in range(2):
        with pytest.raises(ValueError):
            asyncio.run(creator.create("team", SECRET, API_SERVER, 5.0))
    creator.close()
