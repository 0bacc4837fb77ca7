"""The cache folder stays small: what nobody needs goes, what somebody needs stays."""

import os
import time
from collections import Counter

import pytest
from acr_credential_provider.cache.cache_dirs import ensure
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.cache.cache_gc import (
    AT_MOST,
    COUNTED_EVERY,
    DRAFT_KEPT,
    EVERY,
    KEPT,
    bound_uncovered,
    collect_garbage,
)
from acr_credential_provider.cache.file_locks import FileLocks
from acr_credential_provider.fastpath.response_cache import NOT_COVERED, TOKEN, CacheEntry, ResponseCache
from acr_credential_provider.model.deadline import Deadline

DIGEST = "d" * 64
HOUR = 3600.0
MOST = 100


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


def _entry(cache, number, kind, *, age=0.0):
    key = f"{number:064x}"
    now = time.time()
    entry = CacheEntry(
        key=key,
        kind=kind,
        scope=f"host-{number}.example.com",
        refresh_at=now + HOUR,
        expires_at=now + HOUR,
        fingerprints=(),
        answer="{}",
    )
    ResponseCache(str(cache / "memo")).put(entry)
    path = cache / f"memo/{key}.memo"
    os.utime(path, (now - age, now - age))
    return path


def _kinds(cache):
    responses = ResponseCache(str(cache / "memo"))
    return Counter(responses.read(str(path)).kind for path in (cache / "memo").glob("*.memo"))


def test_uncovered_hosts_are_bounded_and_covered_ones_stay(cache):
    """However many hosts a tenant names, no covered host's answer goes for them."""
    covered = [_entry(cache, number, TOKEN, age=2 * HOUR) for number in range(30)]
    for number in range(100, 100 + MOST + 3 * COUNTED_EVERY):
        _entry(cache, number, NOT_COVERED)
        bound_uncovered(CacheFolder(str(cache)), most=MOST)
    kinds = _kinds(cache)
    assert kinds[NOT_COVERED] <= MOST + COUNTED_EVERY
    assert kinds[NOT_COVERED] >= MOST // 2
    assert all(path.exists() for path in covered)


def test_of_uncovered_hosts_those_that_are_used_stay(cache):
    """What a node pulls from each day is not looked up anew."""
    used = [_entry(cache, number, NOT_COVERED) for number in range(20)]
    total = MOST + COUNTED_EVERY
    for number in range(100, 100 + total - len(used)):
        _entry(cache, number, NOT_COVERED, age=HOUR)
    bound_uncovered(CacheFolder(str(cache)), most=MOST)
    assert all(path.exists() for path in used)
    assert _kinds(cache)[NOT_COVERED] < MOST


def test_covered_hosts_alone_are_never_removed(cache):
    """Each is a login that costs a call."""
    for number in range(MOST + COUNTED_EVERY):
        _entry(cache, number, TOKEN)
    bound_uncovered(CacheFolder(str(cache)), most=MOST)
    assert _kinds(cache) == {TOKEN: MOST + COUNTED_EVERY}
