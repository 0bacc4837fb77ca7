"""Others who can move the cache folder, or put something in its place, get nothing changed by it."""

import os
import stat

import pytest
from acr_credential_provider.cache.cache_dirs import MARK, ensure, is_there, part
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.cache.cache_gc import EVERY, KEPT, collect_garbage
from acr_credential_provider.cache.file_locks import FileLocks
from acr_credential_provider.cache.token_store import TokenStore
from acr_credential_provider.fastpath.response_cache import FOREVER, TOKEN, CacheEntry
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import CacheUnsafeError
from support.swap import swapping

USER = 65534
KEY = "a" * 64
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to other users")


def entry():
    return CacheEntry(
        key=KEY, kind=TOKEN, scope="h", refresh_at=FOREVER, expires_at=FOREVER, fingerprints=(), answer="{}"
    )


def seen(path):
    return {each: (each.lstat().st_mode, each.lstat().st_mtime_ns) for each in (path, *path.rglob("*"))}


@pytest.fixture
def victim(tmp_path):
    """Root's folder with the names of a cache in it, all old, but without the mark."""
    victim = tmp_path / "victim"
    for name in ("memo", "locks", "store"):
        (victim / name).mkdir(parents=True, mode=0o755)
    (victim / f"memo/{KEY}.memo").write_text("theirs")
    (victim / "locks/sweep.lock").touch()
    (victim / "store/cache.db").write_text("theirs")
    (victim / "diary").write_text("theirs")
    for each in victim.rglob("*"):
        if each.is_file():
            os.utime(each, (1, 1))
    return victim


def clear(cache):
    with part(cache, "memo") as memo:
        for name in memo.names():
            memo.unlink(name)


@pytest.mark.parametrize("do", [ensure, clear, lambda cache: collect_garbage(CacheFolder(cache))],
                         ids=["make", "clear", "sweep"])  # fmt: skip
def test_a_cache_that_is_swapped_for_a_symlink_again_and_again_never_leads_a_change_astray(tmp_path, victim, do):
    cache = tmp_path / "cache"
    ensure(str(cache))
    (tmp_path / "link").symlink_to(victim)
    before = seen(victim)
    with swapping(cache, tmp_path / "link") as swaps:
        while len(swaps) < 2000:
            try:
                do(str(cache))
            except (OSError, CacheUnsafeError):
                continue
    assert seen(victim) == before
    assert is_there(str(cache))


@AS_ROOT
@pytest.mark.parametrize("mode", ["another user's", 0o777, 0o775])
def test_below_a_folder_that_others_can_change_root_makes_and_uses_no_cache(tmp_path, mode):
    above = tmp_path / "above"
    above.mkdir(mode=0o755)
    cache = str(above / "new/cache")
    if isinstance(mode, int):
        above.chmod(mode)
    else:
        os.chown(above, USER, USER)
    for do in (ensure, is_there):
        with pytest.raises(CacheUnsafeError, match="can be changed by others than root") as refused:
            do(cache)
        assert f"Leave {above} as it is" in refused.value.remedy
    assert os.listdir(above) == []


@AS_ROOT
def test_a_cache_whose_way_became_a_users_is_neither_written_nor_swept_nor_opened(tmp_path):
    above = tmp_path / "above"
    cache = CacheFolder(str(above / "cache"))
    ensure(cache.path)
    cache.responses.put(entry())
    for name in ("locks/sweep.lock", f"memo/{KEY}.memo", "locks/old.lock"):
        (above / "cache" / name).touch()
        os.utime(above / "cache" / name, (1, 1))
    os.chown(above, USER, USER)
    before = seen(above)

    with pytest.raises(OSError):
        cache.responses.put(entry(), "failed")
    cache.responses.delete(KEY)
    collect_garbage(cache)
    with FileLocks(f"{cache.path}/locks").acquire("mine", timeout=Deadline(1)) as held:
        assert held, "answering alone beats not answering"
    with TokenStore(cache.store_path) as store:
        store.put("k", {"a": 1}, until=FOREVER)
        store.clear()

    assert seen(above) == before


@pytest.mark.parametrize("kind", ["a FIFO", "a symlink", "a hard link", "a socket"])
@pytest.mark.parametrize("name", ["locks/x.lock", MARK])
def test_what_is_in_the_place_of_a_lock_or_the_mark_is_not_opened_through(tmp_path, victim, kind, name):
    cache = tmp_path / "cache"
    ensure(str(cache))
    (cache / name).unlink(missing_ok=True)
    if kind == "a FIFO":
        os.mkfifo(cache / name)
    elif kind == "a symlink":
        (cache / name).symlink_to(victim / "new")
    elif kind == "a socket":
        os.mknod(cache / name, stat.S_IFSOCK | 0o600)
    else:
        os.link(victim / "diary", cache / name)
    before = seen(victim)
    with FileLocks(str(cache / "locks")).acquire("x", timeout=Deadline(1)) as held:
        assert held
    if name == MARK and kind != "a hard link":
        with pytest.raises((CacheUnsafeError, OSError)):
            ensure(str(cache))
    assert seen(victim) == before
    assert (victim / "diary").read_text() == "theirs"


def test_old_entries_with_odd_names_are_swept_and_nothing_beside_the_folder(tmp_path, victim):
    cache = tmp_path / "cache"
    ensure(str(cache))
    for name in ("a\nb.memo", os.fsdecode(b"\xff.memo"), "....memo", "link.memo"):
        if name.startswith("link"):
            (cache / "memo" / name).symlink_to(victim / "diary")
        else:
            (cache / "memo" / name).touch()
        os.utime(cache / "memo" / name, (1, 1), follow_symlinks=False)
    (cache / "locks/sweep.lock").touch()
    os.utime(cache / "locks/sweep.lock", (1, 1))
    before = seen(victim)
    collect_garbage(CacheFolder(str(cache)))
    assert os.listdir(cache / "memo") == []
    assert seen(victim) == before
    assert KEPT > EVERY


def test_a_hit_notes_its_use_on_the_file_that_was_proven(tmp_path, victim):
    cache = CacheFolder(str(tmp_path / "cache"))
    ensure(cache.path)
    cache.responses.put(entry())
    os.utime(cache.responses.path(KEY), (1, 1))
    assert cache.responses.get(KEY, is_used=True) is not None
    assert os.stat(cache.responses.path(KEY)).st_mtime > 1
    os.unlink(cache.responses.path(KEY))
    os.symlink(victim / "diary", cache.responses.path(KEY))
    cache.responses.mark_used(KEY, 5.0)
    assert os.stat(victim / "diary").st_mtime == 1
