import json
import os
import pickle
import sqlite3
import subprocess
import sys
import time

import pytest
from acr_credential_provider.cache.token_store import TokenStore

LATER = time.time() + 1000


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir(mode=0o700)
    return str(folder)


def test_a_value_is_given_out_until_its_time_is_over(folder):
    with TokenStore(folder) as store:
        store.put("lives", {"a": 1}, until=LATER)
        store.put("is over", {"a": 1}, until=time.time() - 1)
        assert (store.get("lives"), store.get("is over"), store.get("absent")) == ({"a": 1}, None, None)


def test_a_clock_set_back_does_not_make_a_kept_time_later(folder):
    """Ten minutes pass, then the clock is set back by five: five of them would be won."""
    with TokenStore(folder) as store:
        store.put("token", {"due_at": LATER, "name": "x"}, until=LATER)
    with sqlite3.connect(f"{folder}/cache.db") as db:
        (record,) = db.execute("SELECT value FROM Cache").fetchone()
        kept = json.loads(record)
        kept["uptime"] -= 600.0
        kept["written"] -= 300.0
        db.execute("UPDATE Cache SET value = ?", (json.dumps(kept),))
    db.close()
    with TokenStore(folder) as store:
        value = store.get("token", times=("due_at",))
    assert value["due_at"] == pytest.approx(LATER - 300.0, abs=1.0)


def test_values_outlive_the_process(folder):
    with TokenStore(folder) as store:
        store.put("a", {"b": "c"}, until=LATER)
    with TokenStore(folder) as store:
        assert store.get("a") == {"b": "c"}


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch " + os.environ["BOMB"],))


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_a_pickle_planted_in_the_store_is_not_opened(folder, tmp_path, monkeypatch, mode):
    """CVE-2025-69872: whoever can write diskcache's file can have code run by who reads it."""
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    with TokenStore(folder) as store:
        store.put("token", {"a": 1}, until=LATER)
    with sqlite3.connect(f"{folder}/cache.db") as db:
        db.execute("UPDATE Cache SET mode = ?, value = ?", (mode, pickle.dumps(Bomb())))
    db.close()
    with TokenStore(folder) as store:
        assert store.get("token") is None
    assert not (tmp_path / "exploded").exists()


def test_a_pickled_key_is_not_opened(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    with TokenStore(folder) as store:
        store.put("token", {"a": 1}, until=LATER)
    with sqlite3.connect(f"{folder}/cache.db") as db:
        db.execute("UPDATE Cache SET raw = 0, key = ?", (pickle.dumps(Bomb()),))
    db.close()
    with TokenStore(folder) as store:
        assert store.get("token") is None
        store.clear()
    assert not (tmp_path / "exploded").exists()


def test_only_text_goes_in(folder):
    from acr_credential_provider.cache.token_store import _TextDisk

    disk = _TextDisk(folder)
    with pytest.raises(TypeError):
        disk.store({"a": 1}, read=False)
    with pytest.raises(TypeError):
        disk.put(("a", 1))


def test_a_store_that_is_no_database_is_empty_and_the_next_run_starts_a_new_one(folder):
    with open(f"{folder}/cache.db", "wb") as file:
        file.write(b"garbage" * 1000)
    with TokenStore(folder) as store:
        store.put("a", {"b": 1}, until=LATER)
        assert store.get("a") is None
    with TokenStore(folder) as store:
        store.put("a", {"b": 1}, until=LATER)
        assert store.get("a") == {"b": 1}


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o770], ids=oct)
def test_a_folder_that_others_can_enter_is_not_used(folder, mode):
    os.chmod(folder, mode)
    with TokenStore(folder) as store:
        store.put("a", {"b": 1}, until=LATER)
    assert os.listdir(folder) == []


def test_a_folder_that_is_absent_is_an_empty_store(tmp_path):
    with TokenStore(str(tmp_path / "absent")) as store:
        store.put("a", {"b": 1}, until=LATER)
        assert store.get("a") is None


HOLDER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.alone
def test_a_store_that_another_process_has_locked_is_empty_after_a_moment(folder):
    with TokenStore(folder) as store:
        store.put("a", {"b": 1}, until=LATER)
    command = [sys.executable, "-c", HOLDER, f"{folder}/cache.db"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        began = time.monotonic()
        with TokenStore(folder) as store:
            assert store.get("a") is None
        assert time.monotonic() - began < 2
        holder.kill()


def test_only_root_can_read_the_store(folder):
    old = os.umask(0o077)
    try:
        with TokenStore(folder) as store:
            store.put("a", {"b": 1}, until=LATER)
    finally:
        os.umask(old)
    assert {os.stat(os.path.join(folder, name)).st_mode & 0o077 for name in os.listdir(folder)} == {0}


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE Cache; CREATE TABLE Cache (other)",
        "DROP TABLE Settings; CREATE TABLE Settings (other)",
        "UPDATE Settings SET value = 'unheard of' WHERE key LIKE '%policy%' OR key LIKE 'sqlite%'",
        "INSERT INTO Settings VALUES ('disk_unknown', 1)",
        "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = 'nonsense'",
    ],
)
def test_the_store_of_another_version_serves_or_gives_way_to_a_new_one(folder, change):
    with TokenStore(folder) as store:
        store.put("a", {"b": 1}, until=LATER)
    with sqlite3.connect(f"{folder}/cache.db") as db:
        db.executescript(change)
    db.close()
    for _ in range(2):
        with TokenStore(folder) as store:
            store.put("a", {"b": 2}, until=LATER)
    with TokenStore(folder) as store:
        assert store.get("a") == {"b": 2}


def test_damage_anywhere_in_the_file_is_no_error_and_heals(folder):
    with TokenStore(folder) as store:
        for number in range(50):
            store.put(f"a{number}", {"b": "c" * 200}, until=LATER)
    with open(f"{folder}/cache.db", "rb") as file:
        whole = file.read()
    for place in range(0, len(whole), 997):
        with open(f"{folder}/cache.db", "wb") as file:
            file.write(whole[:place] + b"\xa5" * 64 + whole[place + 64 :])
        for _ in range(3):
            with TokenStore(folder) as store:
                for number in range(0, 50, 7):
                    assert store.get(f"a{number}") in (None, {"b": "c" * 200}, {"b": 1}), place
                    store.put(f"a{number}", {"b": 1}, until=LATER)
        with TokenStore(folder) as store:
            assert store.get("a49") == {"b": 1}, place


def test_what_is_locked_after_it_was_opened_is_empty_for_now(folder):
    with TokenStore(folder) as store:
        store.put("a", {"b": 1}, until=LATER)
        command = [sys.executable, "-c", HOLDER, f"{folder}/cache.db"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline() == b"held\n"
            assert store.get("a") is None
            store.put("a", {"b": 2}, until=LATER)
            holder.kill()
        assert store.get("a") == {"b": 1}


def test_what_a_killed_process_had_not_finished_is_undone(folder):
    """A hot journal: half of a transaction is in the file, and what was there before is beside it."""
    with TokenStore(folder) as store:
        store.put("a", {"b": 1}, until=LATER)
    half = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.executescript("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE")
db.execute("UPDATE Cache SET value = 'torn'")
for _ in range(200): db.execute("INSERT INTO Cache (key, raw, value) VALUES (hex(randomblob(9)), 1, randomblob(3000))")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", half, f"{folder}/cache.db"], check=False)
    assert os.path.getsize(f"{folder}/cache.db-journal") > 0
    with TokenStore(folder) as store:
        assert store.get("a") == {"b": 1}


def test_forgetting_everything_works_on_a_locked_store_too(folder):
    with TokenStore(folder) as store:
        store.put("a", {"b": 1}, until=LATER)
    command = [sys.executable, "-c", HOLDER, f"{folder}/cache.db"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with TokenStore(folder) as store:
            store.clear()
        holder.kill()
    with TokenStore(folder) as store:
        assert store.get("a") is None
