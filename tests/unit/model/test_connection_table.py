"""Which connection is closed for which newcomer."""

import pytest
from acr_credential_provider.model.connection_table import MOST_KNOWN, ConnectionTable, client_of

API_SERVER, STRANGER, OTHER = "192.0.2.1", "198.51.100.1", "198.51.100.2"


class Table(ConnectionTable):
    """A table with a clock that goes on by a hundredth of a second with each step."""

    def __init__(self, most=8, per_client=8):
        super().__init__(most, per_client)
        self.now = 0.0

    def tick(self, seconds=0.01):
        self.now += seconds
        return self.now

    def come(self, key, address):
        return self.add(key, address, self.tick())

    def answer(self, key):
        """Let the client's request be answered."""
        self.work(key, self.tick())
        self.trust(key, self.now)
        self.idle(key, self.tick())

    def make_known(self, address):
        self.come("first", address)
        self.answer("first")
        self.remove("first")


@pytest.fixture
def table():
    return Table()


def fill(table, sources):
    for number, source in enumerate(sources):
        assert table.come(f"held {number}", source) is None


def strangers(count):
    return [f"203.0.113.{number}" for number in range(count)]


def test_while_there_is_room_nothing_is_closed(table):
    fill(table, [STRANGER] * 8)
    assert len(table) == 8


def test_for_a_newcomer_a_client_with_more_than_a_quarter_loses_its_oldest(table):
    fill(table, [OTHER, STRANGER, STRANGER, STRANGER, *strangers(4)])
    assert table.come("new", API_SERVER) == "held 1"
    assert "new" in table
    assert len(table) == 8


def test_of_hundreds_of_addresses_with_one_connection_each_the_oldest_goes(table):
    fill(table, strangers(8))
    assert table.come("new", API_SERVER) == "held 0"


def test_idle_connections_of_a_known_client_stay_while_strangers_come(table):
    fill(table, [API_SERVER] * 2)
    table.answer("held 0")
    table.answer("held 1")
    for number, source in enumerate(strangers(100)):
        table.come(f"stranger {number}", source)
    assert {"held 0", "held 1"} <= set(table._connections)


def test_who_was_answered_once_and_now_drips_goes_before_who_is_idle(table):
    table.come("api server", API_SERVER)
    table.answer("api server")
    fill(table, strangers(7))
    for number in range(7):
        table.answer(f"held {number}")
    table.await_client("held 3", table.tick())
    table.tick(2.0)
    assert table.come("new", OTHER) == "held 3"


def test_who_is_known_for_longest_goes_last(table):
    table.make_known(API_SERVER)
    fill(table, [*strangers(4), API_SERVER, *strangers(7)[4:]])
    for number in range(8):
        table.answer(f"held {number}")
    closed = [table.come(f"new {number}", f"192.0.2.{number + 10}") for number in range(8)]
    assert "held 4" not in closed


def test_a_known_client_that_holds_more_than_a_quarter_goes_before_another_known_one(table):
    table.make_known(STRANGER)
    table.make_known(API_SERVER)
    fill(table, [STRANGER] * 7 + [API_SERVER])
    for number in range(8):
        table.answer(f"held {number}")
    assert [table.come(f"new {number}", API_SERVER) for number in range(1)] == ["held 0"]


def test_beyond_its_share_a_client_loses_its_own(table):
    table = Table(most=100, per_client=4)
    fill(table, [OTHER, *[STRANGER] * 4])
    assert table.come("new", STRANGER) == "held 1"
    assert table.come("newer", OTHER) is None


def test_with_an_address_that_strangers_share_a_probe_is_let_in_and_what_drips_goes(table):
    table = Table(most=100, per_client=4)
    table.make_known(API_SERVER)
    fill(table, [API_SERVER] * 4)
    table.answer("held 0")
    table.tick(2.0)
    assert table.come("probe", API_SERVER) == "held 1"


def test_what_the_api_server_keeps_outlives_a_crowd_of_its_own_address(table):
    """A Pod with the host's network on its node opens connections without a request."""
    table.come("kept", API_SERVER)
    table.answer("kept")
    for number in range(100):
        table.come(f"stranger {number}", API_SERVER)
    assert "kept" in table


def test_connections_that_are_hoarded_make_room_for_those_that_come(table):
    fill(table, [STRANGER] * 8)
    for number in range(8):
        table.answer(f"held {number}")
    for number in range(3):
        assert table.come(f"probe {number}", STRANGER) == f"held {number}"


def test_what_is_worked_on_is_closed_for_nobody_of_the_same_kind(table):
    fill(table, [STRANGER] * 8)
    for number in range(8):
        table.work(f"held {number}", table.tick())
    assert table.come("new", STRANGER) == "new"
    assert len(table) == 8


def test_what_is_worked_on_is_closed_for_who_is_known_for_longer(table):
    table.make_known(API_SERVER)
    fill(table, strangers(8))
    for number in range(8):
        table.work(f"held {number}", table.tick())
    assert table.come("new", API_SERVER) == "held 0"


def test_who_works_with_many_makes_room_for_who_has_fewer(table):
    fill(table, [STRANGER] * 8)
    for number in range(8):
        table.work(f"held {number}", table.tick())
    assert table.come("new", OTHER) == "held 0"


def test_addresses_of_one_64_are_one_client():
    table = Table(most=100, per_client=2)
    assert [table.come(number, f"2001:db8:0:1::{number:x}") for number in range(3)] == [None, None, 0]
    assert table.come("other", "2001:db8:0:2::1") is None


@pytest.mark.parametrize("address", ["", "?", "/run/socket"])
def test_what_is_no_address_is_a_client_too(address):
    assert client_of(address) == ""


def test_what_is_remembered_of_clients_has_a_bound(table):
    table.come("api server", API_SERVER)
    table.answer("api server")
    for number in range(MOST_KNOWN + 100):
        table.make_known(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(table._known) <= MOST_KNOWN + 1
    assert API_SERVER in table._known


def test_an_end_that_comes_twice_is_one(table):
    table.come("one", STRANGER)
    table.remove("one")
    table.remove("one")
    table.answer("one")
    assert (len(table), dict(table._shares)) == (0, {})
