"""A user other than root works on own files as before: below folders of a group, of others, or that only pass."""

import os
import subprocess
import sys
import tempfile

import pytest
from support.harness import ROOT

USER = 65534
PROGRAM = """
import ctypes, os, sys
from acr_credential_provider.cache.cache_dirs import ensure, is_there, part
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.cache.cache_gc import collect_garbage
from acr_credential_provider.changes.folder import TemporaryFolder
from acr_credential_provider.fastpath.response_cache import FOREVER, TOKEN, CacheEntry
from acr_credential_provider.files.atomic_write import write_private_atomically
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # no core dump, as the frozen program is marked: /proc/self is root's then
cache = CacheFolder(sys.argv[1] + "/cache")
ensure(cache.path)
key = "a" * 64
cache.responses.put(CacheEntry(key=key, kind=TOKEN, scope="h", refresh_at=FOREVER, expires_at=FOREVER,
                               fingerprints=(), answer="{}"))
assert cache.responses.get(key, is_used=True) is not None
with cache.locks.try_acquire("x") as held:
    assert held and os.path.exists(cache.path + "/locks/x.lock")
collect_garbage(cache)
write_private_atomically(cache.path + "/../cache/key", "secret", remedy="")
os.environ["TMPDIR"] = cache.path
with TemporaryFolder() as folder:
    assert os.path.dirname(folder) == cache.path and os.path.isdir(folder), folder
    with part(cache.path, "memo") as memo:
        memo.unlink(key + ".memo")
assert sorted(os.listdir(cache.path + "/memo")) == [] and not os.path.exists(folder) and is_there(cache.path)
print("all of it")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="runs as another user")
@pytest.mark.parametrize(
    ("owner", "mode"),
    [(USER, 0o775), (USER, 0o777), (0, 0o777), (0, 0o711), (1234, 0o777)],
    ids=["a group's", "for all to write", "a volume of a Pod", "one to pass", "another user's"],
)
def test_a_user_has_a_cache_locks_and_private_files_in_own_folders(owner, mode):
    """Not below pytest's folder, which this user may not enter."""
    with tempfile.TemporaryDirectory() as above:
        os.mkdir(f"{above}/cache", 0o700)
        os.chown(f"{above}/cache", USER, USER)
        os.chown(above, owner, owner)
        os.chmod(above, mode)
        environment = {"PYTHONPATH": f"{ROOT}/provider", "PYTHONDONTWRITEBYTECODE": "1"}
        words = [sys.executable, "-c", PROGRAM, above]
        done = subprocess.run(
            words, env=environment, user=USER, group=USER, extra_groups=[], capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.stderr) == ("all of it\n", "")
