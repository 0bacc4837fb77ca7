"""Nothing is read from, or written to, a folder that somebody else has a hand in."""

import os
import stat

import pytest
from acr_credential_provider.errors import CacheUnsafeError
from acr_credential_provider.folders import NAMES, prepare

NOBODY = 65534


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_the_folders_are_for_this_user_alone_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        prepare(str(tmp_path / "cache"))
    finally:
        os.umask(old)
    assert {mode(tmp_path / "cache" / name) for name in ("", *NAMES)} == {0o700}


def test_folders_that_others_could_read_are_closed(tmp_path):
    prepare(str(tmp_path / "cache"))
    os.chmod(tmp_path / "cache/memo", 0o755)
    prepare(str(tmp_path / "cache"))
    assert mode(tmp_path / "cache/memo") == 0o700


@pytest.mark.parametrize("name", ["", *NAMES])
@pytest.mark.parametrize("what", ["a file", "a symlink", "writable by all", "writable by a group", "another user's"])
def test_a_folder_that_is_not_ours_alone_is_refused_by_name(tmp_path, name, what):
    cache = tmp_path / "cache"
    prepare(str(cache))
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
        prepare(str(cache))
    assert str(folder) in caught.value.problem
    assert "Nothing" in caught.value.remedy


def test_a_folder_that_cannot_be_made_does_not_keep_the_others_from_being_judged(tmp_path):
    cache = tmp_path / "cache"
    prepare(str(cache))
    os.rmdir(cache / "memo")
    (cache / "store").chmod(0o777)
    # A name that is too long can't be made by anybody, root included.
    with pytest.raises(CacheUnsafeError):
        prepare(str(cache))
    with pytest.raises(OSError, match="File name too long"):
        prepare(str(tmp_path / ("x" * 300)))
