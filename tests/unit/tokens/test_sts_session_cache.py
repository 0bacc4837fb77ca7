import time
from contextlib import contextmanager

import pytest
from acr_credential_provider.cache.cache_dirs import ensure
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.cache.token_store import TokenStore
from acr_credential_provider.model.cloud_credential import CloudCredential
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import RoleRefusedError
from acr_credential_provider.tokens.local_state import FailureCache, LocalState
from acr_credential_provider.tokens.sts_session_cache import StsSessionCache


class Bank:
    """STS by count: each session it gives is another one."""

    def __init__(self, life=3600.0, error=None):
        self.life, self.error, self.given = life, error, 0

    def __call__(self):
        self.given += 1
        if self.error:
            raise self.error
        return CloudCredential(f"STS.{self.given}", "s", "t", self.life)


@pytest.fixture
def opened(tmp_path):
    ensure(str(tmp_path))
    cache = CacheFolder(str(tmp_path))

    @contextmanager
    def opened(machine="m", patience=0.2):
        with (
            TokenStore(f"{tmp_path}/store") as store,
            StsSessionCache(
                LocalState(store, cache.locks, FailureCache(cache.responses), machine), waiting=Deadline(patience)
            ) as sessions,
        ):
            yield sessions

    return opened


def test_the_next_process_finds_the_session(opened):
    bank = Bank()
    for _ in range(2):
        with opened() as sessions:
            assert sessions.get_or_fetch("a", bank).access_key_id == "STS.1"
    assert bank.given == 1


def test_another_asker_and_another_machine_get_a_session_of_their_own(opened):
    bank = Bank()
    for key, machine in (("a", "m"), ("b", "m"), ("a", "n")):
        with opened(machine) as sessions:
            sessions.get_or_fetch(key, bank)
    assert bank.given == 3


def test_what_is_left_of_its_life_is_told(opened):
    with opened() as sessions:
        sessions.get_or_fetch("a", Bank())
    with opened() as sessions:
        assert 3590 < sessions.get_or_fetch("a", Bank()).expires_in < 3600


def test_it_is_not_reused_in_the_second_half_of_its_life(opened):
    bank = Bank(life=0.4)
    with opened() as sessions:
        sessions.get_or_fetch("a", bank)
    time.sleep(0.25)
    with opened() as sessions:
        assert sessions.get_or_fetch("a", bank).access_key_id == "STS.2"


def test_a_failure_is_remembered_for_a_moment(opened):
    bank = Bank(error=RoleRefusedError("refused", remedy="trust it"))
    for _ in range(2):
        with opened() as sessions, pytest.raises(RoleRefusedError, match="refused"):
            sessions.get_or_fetch("a", bank)
    assert bank.given == 1


@pytest.mark.parametrize("new", [True, False], ids=["just got", "kept"])
def test_a_distrusted_session_is_not_found_again(opened, new):
    bank = Bank()
    if not new:
        with opened() as sessions:
            sessions.get_or_fetch("a", bank)
    with opened() as sessions:
        sessions.get_or_fetch("a", bank)
        sessions.invalidate()
    with opened() as sessions:
        assert sessions.get_or_fetch("a", bank).access_key_id == "STS.2"


def test_whoever_waits_for_the_same_session_finds_it_stored(opened):
    bank = Bank()
    with opened() as first:
        first.get_or_fetch("a", bank)
        with opened(patience=0.1) as second:  # waits in vain, and goes alone
            assert second.get_or_fetch("a", bank).access_key_id == "STS.2"
    with opened() as third:
        third.get_or_fetch("a", bank)
    assert bank.given == 2


@pytest.mark.alone
def test_a_session_that_was_found_holds_nobody_up(opened):
    bank = Bank()
    with opened() as sessions:
        sessions.get_or_fetch("a", bank)
    with opened() as first, opened(patience=0.0) as second:
        first.get_or_fetch("a", bank)
        began = time.monotonic()
        second.get_or_fetch("a", bank)
        assert time.monotonic() - began < 0.1
    assert bank.given == 1
