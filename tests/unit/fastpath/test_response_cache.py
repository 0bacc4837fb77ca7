import json
import os

import pytest
from acr_credential_provider.fastpath.lookup import API_VERSIONS
from acr_credential_provider.fastpath.response_cache import (
    FOREVER,
    NOT_COVERED,
    TOKEN,
    CacheEntry,
    ResponseCache,
    file_fingerprint,
    plausible_now,
)
from hypothesis import given
from hypothesis import strategies as st
from support.kubelet import logins

DIGEST = "d" * 64
V1 = "credentialprovider.kubelet.k8s.io/v1"


def memo(**changes):
    values = {
        "key": DIGEST,
        "kind": TOKEN,
        "scope": "acr.example.com",
        "written": 1000.0,
        "uptime": 10.0,
        "refresh_at": 3700.0,
        "expires_at": 4540.0,
        "max_cache_duration": 300.0,
        "fingerprints": (),
        "answer": '{"acr.example.com":{"username":"u","password":"p"}}',
    }
    return CacheEntry(**{**values, **changes})


@pytest.fixture
def memos(tmp_path):
    folder = tmp_path / "memo"
    folder.mkdir(mode=0o700)
    return ResponseCache(str(folder))


def living(**changes):
    return memo(written=0.0, uptime=0.0, refresh_at=FOREVER, expires_at=FOREVER, **changes)


def test_a_memo_reads_back_as_it_was_written():
    original = memo(fingerprints=("1:2:3:4 /a b", "absent /c"), answer="one\ntwo")
    again = CacheEntry.decode(original.encode())
    assert {name: getattr(again, name) for name in CacheEntry.__slots__} == {
        name: getattr(original, name) for name in CacheEntry.__slots__
    }


LINE = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=50)
TIME = st.floats(allow_nan=False, allow_infinity=False)


@given(
    host=LINE,
    times=st.tuples(TIME, TIME, TIME, TIME, TIME),
    fingerprints=st.lists(LINE, max_size=5),
    answer=st.text(max_size=200),
)
def test_any_memo_reads_back_as_it_was_written(host, times, fingerprints, answer):
    written, uptime, due, dead, longest = times
    whole = memo(
        scope=host,
        written=written,
        uptime=uptime,
        refresh_at=due,
        expires_at=dead,
        max_cache_duration=longest,
        fingerprints=fingerprints,
        answer=answer,
    )
    again = CacheEntry.decode(whole.encode())
    assert all(getattr(again, name) == getattr(whole, name) for name in CacheEntry.__slots__)


def test_a_path_that_no_file_can_have_makes_no_memo(memos):
    with pytest.raises(ValueError):
        memos.put(living(fingerprints=("absent /\ud800",)))
    assert os.listdir(memos.folder) == []


@given(username=st.text(min_size=1), password=st.text(min_size=1), version=st.sampled_from(API_VERSIONS))
def test_the_kubelet_reads_the_login_that_was_granted(username, password, version):
    auth = json.dumps({"acr.example.com": {"username": username, "password": password}})
    answer = memo(answer=auth).response(version, now=1000.0)
    taken = logins(answer, 0, image="acr.example.com/team/app", api_version=version)
    assert taken == [(username, password)]


@given(st.integers(min_value=0, max_value=10_000))
def test_a_memo_cut_off_anywhere_is_no_memo(length):
    whole = memo(fingerprints=("absent /c",)).encode()
    cut = whole[: length % len(whole)]
    with pytest.raises(ValueError):
        CacheEntry.decode(cut)


@pytest.mark.parametrize(
    ("now", "duration"),
    [
        (1000.0, "300s"),
        (3500.0, "200s"),
        (3699.5, "0s"),
        (3700.0, "60s"),
        (4500.0, "40s"),
        (4539.9, "0s"),
        (9999.0, "0s"),
    ],
    ids=["fresh", "due soon", "due at once", "due", "dies soon", "dies at once", "dead"],
)
def test_the_kubelet_keeps_an_answer_until_it_is_due_and_a_due_one_for_a_minute(now, duration):
    assert f'"cacheDuration":"{duration}"'.encode() in memo().response(V1, now=now)


@given(
    life=st.floats(min_value=1, max_value=86400),
    refresh=st.floats(min_value=0, max_value=43200),
    jitter=st.floats(min_value=0, max_value=1),
    max_cache_duration=st.floats(min_value=0, max_value=86400),
    elapsed=st.floats(min_value=0, max_value=2 * 86400),
)
def test_the_kubelet_never_keeps_a_token_past_its_death(life, refresh, jitter, max_cache_duration, elapsed):
    """cacheDuration is a whole number of seconds, never negative, and ends before the token does."""
    from acr_credential_provider.model.authorization_token import AuthorizationGrant, AuthorizationToken

    token = AuthorizationToken.from_grant(
        AuthorizationGrant("u", "p", life), now=1000.0, refresh_before=refresh, jitter=jitter
    )
    given_out = memo(refresh_at=token.refresh_at, expires_at=token.expires_at, max_cache_duration=max_cache_duration)
    now = 1000.0 + elapsed
    seconds = int(given_out.response(V1, now=now).split(b'"cacheDuration":"')[1].split(b"s")[0])
    assert seconds >= 0
    assert seconds == 0 or now + seconds <= token.expires_at <= 1000.0 + life


@given(
    written=st.floats(min_value=0, max_value=2e9),
    passed=st.floats(min_value=0, max_value=2 * 86400),
    step=st.floats(min_value=-86400, max_value=86400),
)
def test_no_clock_makes_a_token_younger_than_it_is(written, passed, step):
    """However the clock was set since, at least the time that passed is counted."""
    now = plausible_now(clock=written + passed + step, uptime=50.0 + passed, written=written, written_uptime=50.0)
    assert now >= written + passed - 1e-3


def test_after_a_reboot_the_clock_alone_is_asked():
    assert plausible_now(clock=5000.0, uptime=3.0, written=1000.0, written_uptime=900.0) == 5000.0


def test_what_is_not_covered_is_never_kept_by_the_kubelet():
    answer = memo(kind=NOT_COVERED, answer="{}").response(V1, now=1000.0)
    assert b'"cacheDuration":"0s","auth":{}' in answer


def test_a_memo_is_recalled_while_it_lives(memos):
    memos.put(living())
    assert memos.get(DIGEST).scope == "acr.example.com"


def test_a_dead_memo_is_not_recalled(memos):
    memos.put(memo())
    assert memos.get(DIGEST) is None


def test_a_memo_dies_with_any_change_of_a_file_it_depends_on(memos, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("a")
    memos.put(living(fingerprints=(file_fingerprint(str(settings)),)))
    assert memos.get(DIGEST) is not None
    replacement = tmp_path / "new"
    replacement.write_text("b")
    replacement.rename(settings)
    assert memos.get(DIGEST) is None


def test_a_memo_under_another_questions_name_is_not_recalled(memos):
    memos.put(living())
    other = "e" * 64
    os.rename(memos.path(DIGEST), memos.path(other))
    assert memos.get(other) is None


def test_only_root_can_read_a_memo(memos):
    memos.put(living())
    assert os.stat(memos.path(DIGEST)).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o666], ids=oct)
def test_a_memo_that_others_could_read_or_write_is_not_recalled(memos, mode):
    memos.put(living())
    os.chmod(memos.path(DIGEST), mode)
    assert memos.get(DIGEST) is None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777], ids=oct)
def test_below_a_folder_that_others_can_write_nothing_is_believed(memos, mode):
    memos.put(living())
    os.chmod(os.path.dirname(memos.folder), mode)
    try:
        assert memos.get(DIGEST) is None
        with pytest.raises(ValueError, match="not ours alone"):
            memos.put(living())
    finally:
        os.chmod(os.path.dirname(memos.folder), 0o700)


def test_the_draft_of_a_killed_writer_is_in_nobodys_way(memos):
    """A container's processes all have the same few pids."""
    open(f"{memos.path(DIGEST)}.{os.getpid()}", "w").close()
    memos.put(living())
    assert memos.get(DIGEST) is not None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777], ids=oct)
def test_nothing_is_recalled_from_or_written_to_a_folder_that_others_can_write(memos, mode):
    memos.put(living())
    os.chmod(memos.folder, mode)
    assert memos.get(DIGEST) is None
    with pytest.raises(ValueError):
        memos.put(living())


def test_a_link_is_not_followed_to_a_memo(memos, tmp_path):
    memos.put(living())
    os.rename(memos.path(DIGEST), tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", memos.path(DIGEST))
    assert memos.get(DIGEST) is None


def test_a_pipe_in_place_of_a_memo_holds_nobody_up(memos):
    os.mkfifo(memos.path(DIGEST), 0o600)
    assert memos.get(DIGEST) is None


def test_a_memo_of_another_user_is_not_recalled(memos):
    memos.put(living())
    os.chown(memos.path(DIGEST), 65534, 65534)
    assert memos.get(DIGEST) is None


def test_no_draft_is_left_behind_when_the_folder_vanishes(memos):
    os.rmdir(memos.folder)
    with pytest.raises(OSError, match="No such file"):
        memos.put(living())


def test_asking_is_noted_for_those_who_keep_tokens_warm(memos):
    memos.put(living())
    memos.mark_used(DIGEST, 12345.0)
    assert os.stat(memos.path(DIGEST)).st_mtime == 12345.0
