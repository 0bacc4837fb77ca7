"""The cache folder stays small: what nobody needs goes, what somebody needs stays."""

import os
import time

import pytest
from acr_credential_provider.cache.cache_dirs import ensure
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.cache.cache_gc import AT_MOST, DRAFT_KEPT, EVERY, KEPT, collect_garbage
from acr_credential_provider.cache.file_locks import FileLocks
from acr_credential_provider.model.deadline import Deadline

DIGEST = "d" * 64
HOUR = 3600.0


@pytest.fixture
def cache(tmp_path):
    """A cache folder that was not swept for long."""
    cache = tmp_path / "cache"
    ensure(str(cache))
    _make(cache / "locks/sweep.lock", age=2 * EVERY)
    return cache


def _make(path, *, age):
    path.touch()
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def _sweep(cache):
    collect_garbage(CacheFolder(str(cache)))


@pytest.mark.parametrize("name", [f"{DIGEST}.{suffix}" for suffix in ("memo", "failed", "settings")])
def test_a_memo_goes_once_nobody_has_asked_for_it_for_days(cache, name):
    old, fresh = _make(cache / "memo" / name, age=KEPT + HOUR), _make(cache / "memo" / f"f{name}", age=KEPT - HOUR)
    _sweep(cache)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_the_draft_of_a_killed_writer_goes_within_hours(cache):
    old = _make(cache / f"memo/{DIGEST}.memo.0011223344556677", age=DRAFT_KEPT + HOUR)
    in_writing = _make(cache / f"memo/{DIGEST}.memo.8899aabbccddeeff", age=1)
    _sweep(cache)
    assert (old.exists(), in_writing.exists()) == (False, True)


def test_the_lock_of_an_old_question_goes_unless_somebody_holds_it(cache):
    old, held = (_make(cache / f"locks/{name}.lock", age=KEPT + HOUR) for name in ("old", "held"))
    with FileLocks(str(cache / "locks")).acquire("held", timeout=Deadline(1)) as got:
        assert got
        _sweep(cache)
    assert (old.exists(), held.exists()) == (False, True)


def test_it_looks_once_an_hour_and_no_more(cache):
    _sweep(cache)
    old = _make(cache / f"memo/{DIGEST}.memo", age=KEPT + HOUR)
    _sweep(cache)
    assert old.exists()
    _make(cache / "locks/sweep.lock", age=EVERY + 1)
    _sweep(cache)
    assert not old.exists()


def test_a_clock_that_was_set_back_does_not_stop_it(cache):
    _make(cache / "locks/sweep.lock", age=-100 * EVERY)
    old = _make(cache / f"memo/{DIGEST}.memo", age=KEPT + HOUR)
    _sweep(cache)
    assert not old.exists()


def test_one_look_is_short_and_the_next_ones_do_the_rest(cache):
    for number in range(3 * AT_MOST):
        _make(cache / f"memo/{number:064x}.memo", age=KEPT + HOUR)
    _sweep(cache)
    assert len(list((cache / "memo").iterdir())) == 2 * AT_MOST
    for _ in range(2):
        _make(cache / "locks/sweep.lock", age=EVERY + 1)
        _sweep(cache)
    assert list((cache / "memo").iterdir()) == []


def test_what_is_no_file_stays_and_stops_nothing(cache):
    (cache / f"memo/{'a' * 64}.memo").mkdir()
    os.utime(cache / f"memo/{'a' * 64}.memo", (0, 0))
    old = _make(cache / f"memo/{DIGEST}.memo", age=KEPT + HOUR)
    _sweep(cache)
    assert [each.name for each in (cache / "memo").iterdir()] == ["a" * 64 + ".memo"]
    assert not old.exists()


def test_without_a_cache_there_is_nothing_to_do(tmp_path):
    _sweep(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []
