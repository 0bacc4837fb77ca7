"""Nothing is read from, or written to, a folder that somebody else has a hand in."""

import os
import stat

import pytest
from acr_credential_provider.cache.cache_dirs import MARK, NAMES, ensure, is_there
from acr_credential_provider.model.errors import CacheUnsafeError

NOBODY = 65534


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_the_folders_are_for_this_user_alone_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        ensure(str(tmp_path / "cache"))
    finally:
        os.umask(old)
    assert {mode(tmp_path / "cache" / name) for name in ("", *NAMES)} == {0o700}


def test_folders_that_others_could_read_are_closed(tmp_path):
    ensure(str(tmp_path / "cache"))
    os.chmod(tmp_path / "cache/memo", 0o755)
    ensure(str(tmp_path / "cache"))
    assert mode(tmp_path / "cache/memo") == 0o700


@pytest.mark.parametrize("name", ["", *NAMES])
@pytest.mark.parametrize("what", ["a file", "a symlink", "writable by all", "writable by a group", "another user's"])
def test_a_folder_that_is_not_ours_alone_is_refused_by_name(tmp_path, name, what):
    cache = tmp_path / "cache"
    ensure(str(cache))
    folder = cache / name if name else cache
    if what in ("a file", "a symlink"):
        folder.rename(tmp_path / "elsewhere")
    if what == "a file":
        folder.touch(0o600)
    elif what == "a symlink":
        folder.symlink_to(tmp_path / "elsewhere")
    elif what == "another user's":
        if os.geteuid():
            pytest.skip("only root can give a folder away")
        os.chown(folder, NOBODY, NOBODY)
    else:
        folder.chmod(0o777 if what.endswith("all") else 0o770)
    with pytest.raises(CacheUnsafeError) as caught:
        ensure(str(cache))
    assert str(folder) in caught.value.problem
    assert "Nothing" in caught.value.remedy


@pytest.mark.parametrize(
    "foreign",
    ["secret.txt", "memo/shopping.memo", "memo/cache.db", "locks/apt.lock", "store/places.sqlite", "memo/sub/", "sub/"],
)
def test_a_folder_with_one_thing_that_we_never_put_there_is_not_ours(tmp_path, foreign):
    cache = tmp_path / "cache"
    ensure(str(cache))
    (cache / MARK).unlink()
    earlier = (f"memo/{64 * '0'}.root", "locks/gate.lock")
    for ours in (*earlier, f"memo/{64 * '0'}.settings", "locks/sweep.lock", "locks/slot-0", "store/cache.db"):
        (cache / ours).touch(0o600)
    assert is_there(str(cache))
    if foreign.endswith("/"):
        (cache / foreign).mkdir(mode=0o700)
    else:
        (cache / foreign).touch(0o600)
    before = {each: each.lstat() for each in cache.rglob("*")}
    with pytest.raises(CacheUnsafeError, match="was not made by this program"):
        ensure(str(cache))
    assert {each: each.lstat() for each in cache.rglob("*")} == before


@pytest.mark.parametrize(("mode", "is_taken"), [(0o700, True), (0o750, False), (0o755, False), (0o1777, False)])
def test_an_empty_folder_is_taken_only_where_its_mode_need_not_change(tmp_path, mode, is_taken):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)
    if is_taken:
        ensure(str(cache))
        assert (cache / MARK).exists()
    else:
        with pytest.raises(CacheUnsafeError):
            ensure(str(cache))
        assert os.listdir(cache) == []
    assert stat.S_IMODE(cache.stat().st_mode) == mode


def test_a_mark_that_is_no_file_of_this_user_marks_nothing(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    (cache / MARK).symlink_to("/etc/hostname")
    with pytest.raises(CacheUnsafeError):
        ensure(str(cache))


def test_the_folders_above_it_can_be_entered_by_others_where_root_makes_them(tmp_path):
    """A missing /var/cache that only root could enter would stop other services."""
    old = os.umask(0o077)
    try:
        ensure(str(tmp_path / "var/cache/ours"))
    finally:
        os.umask(old)
    expected = 0o700 if os.geteuid() else 0o755
    assert {mode(tmp_path / "var"), mode(tmp_path / "var/cache")} == {expected}
    assert mode(tmp_path / "var/cache/ours") == 0o700


def test_to_look_for_a_folder_makes_none(tmp_path):
    assert not is_there(str(tmp_path / "cache"))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_does_not_keep_the_others_from_being_judged(tmp_path):
    cache = tmp_path / "cache"
    ensure(str(cache))
    os.rmdir(cache / "memo")
    (cache / "store").chmod(0o777)
    # A name that is too long can't be made by anybody, root included.
    with pytest.raises(CacheUnsafeError):
        ensure(str(cache))
    with pytest.raises(OSError, match="File name too long"):
        ensure(str(tmp_path / ("x" * 300)))
