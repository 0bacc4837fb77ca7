import time

import pytest
from acr_credential_provider.cache.cached_answer import CachedAnswer
from acr_credential_provider.fastpath.response_cache import (
    FAILED,
    FOREVER,
    TOKEN,
    CacheEntry,
    ResponseCache,
    file_fingerprint,
)
from acr_credential_provider.model.errors import (
    CloudUnreachableError,
    ConfigurationError,
    IdentityUnavailableError,
    NodeBusyError,
    RegistryRefusedError,
    RoleRefusedError,
    ThrottledError,
)

DIGEST = "d" * 64


@pytest.fixture
def memos(tmp_path):
    (tmp_path / "memo").mkdir(mode=0o700)
    return ResponseCache(str(tmp_path / "memo"))


def notes_of(memos, *stamps):
    return CachedAnswer(memos, key=DIGEST, host="acr.example.com", fingerprints=stamps)


def living():
    return CacheEntry(
        key=DIGEST,
        kind=TOKEN,
        scope="acr.example.com",
        written=time.time(),
        uptime=0.0,
        refresh_at=FOREVER,
        expires_at=FOREVER,
        max_cache_duration=300.0,
        fingerprints=(),
        answer="{}",
    )


@pytest.mark.parametrize(
    "kind",
    [RegistryRefusedError, RoleRefusedError, IdentityUnavailableError, ConfigurationError, CloudUnreachableError],
)
def test_the_next_process_hears_the_failure_as_it_was(memos, kind):
    notes_of(memos).put_failure(kind("what failed\nin two lines", remedy="what to do"))
    heard = notes_of(memos).failure()
    assert (type(heard), heard.problem, heard.remedy) == (kind, "what failed in two lines", "what to do")


def test_a_failure_is_forgotten_within_seconds(memos):
    notes_of(memos).put_failure(RegistryRefusedError("no", remedy="yes"))
    memo = memos.read(memos.path(DIGEST, FAILED))
    assert 3.0 <= memo.expires_at - memo.written <= 7.0


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [(0.0, 15.0, 30.0), (60.0, 60.0, 60.0), (86400.0, 300.0, 300.0)],
    ids=["ACR did not say", "ACR said", "ACR said something absurd"],
)
def test_after_throttling_the_cool_down_is_longer_and_as_acr_says(memos, retry_after, least, most):
    notes_of(memos).put_failure(ThrottledError("slow down", remedy="wait", retry_after=retry_after))
    memo = memos.read(memos.path(DIGEST, FAILED))
    assert least <= memo.expires_at - memo.written <= most + 0.01


def test_a_failure_that_was_only_read_of_is_not_remembered_for_longer(memos):
    first = notes_of(memos)
    first.put_failure(ThrottledError("slow down", remedy="wait", retry_after=60.0))
    told_on = first.failure()
    other = CachedAnswer(memos, key="e" * 64, host="other.example.com", fingerprints=())
    other.put_failure(told_on)
    ends = [memos.read(memos.path(digest, FAILED)).expires_at for digest in (DIGEST, "e" * 64)]
    assert ends[1] == pytest.approx(ends[0], abs=0.5)


def test_a_failure_ends_with_a_change_of_the_files_that_it_names(memos, tmp_path):
    key = tmp_path / "key"
    key.write_text("wrong")
    error = RegistryRefusedError("no", remedy="yes")
    error.fingerprints = (file_fingerprint(str(key)),)
    notes_of(memos).put_failure(error)
    assert notes_of(memos).failure() is not None
    key.write_text("repaired")
    assert notes_of(memos).failure() is None


def test_a_change_of_the_settings_ends_a_failure_at_once(memos, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("wrong")
    notes = notes_of(memos, file_fingerprint(str(settings)))
    notes.put_failure(ConfigurationError("wrong", remedy="right"))
    assert notes.failure() is not None
    settings.write_text("repaired")
    assert notes.failure() is None


def test_an_answer_ends_the_failure_before_it(memos):
    notes = notes_of(memos)
    notes.put_failure(CloudUnreachableError("down", remedy="up"))
    notes.put(living())
    assert notes.failure() is None
    assert notes.valid() is not None


def test_a_failure_does_not_end_a_living_answer(memos):
    notes = notes_of(memos)
    notes.put(living())
    notes.put_failure(NodeBusyError())
    assert notes.valid() is not None


def test_a_disk_that_takes_nothing_is_no_error(tmp_path):
    notes = notes_of(ResponseCache(str(tmp_path / "absent")))
    notes.put(living())
    notes.put_failure(NodeBusyError())
    assert (notes.valid(), notes.failure()) == (None, None)
