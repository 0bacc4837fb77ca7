"""Locks between real processes, since that is what they are for."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from acr_credential_provider.cache.file_locks import FileLocks
from acr_credential_provider.model.deadline import Deadline

pytestmark = pytest.mark.alone  # what counts here is tenths of seconds
PROVIDER = os.path.join(os.path.dirname(__file__), "../../../provider")
HOLDER = """
import sys; sys.path.insert(0, {provider!r})
from acr_credential_provider.cache.file_locks import FileLocks
from acr_credential_provider.model.deadline import Deadline
locks = FileLocks({folder!r})
with {what}:
    print("held", flush=True); sys.stdin.read()
"""


@contextmanager
def another_process(folder, what):
    """Run a process that holds *what* until it is told to go on."""
    program = HOLDER.format(provider=PROVIDER, folder=str(folder), what=what)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


TOKEN = 'locks.acquire("token", timeout=Deadline(1))'
SLOT = "locks.take_slot(slots={slots}, until=Deadline(1))"


@pytest.fixture
def locks(tmp_path):
    return FileLocks(str(tmp_path))


def test_a_lock_keeps_others_out_until_their_patience_ends(locks, tmp_path):
    with another_process(tmp_path, TOKEN):
        began = time.monotonic()
        with locks.acquire("token", timeout=Deadline(0.3)) as held:
            assert not held
        assert 0.3 <= time.monotonic() - began < 2


def test_a_lock_is_free_once_its_holder_was_killed(locks, tmp_path):
    with another_process(tmp_path, TOKEN) as holder:
        holder.send_signal(signal.SIGKILL)
        with locks.acquire("token", timeout=Deadline(5)) as held:
            assert held


def test_a_stopped_holder_holds_nobody_up_for_longer_than_their_patience(locks, tmp_path):
    with another_process(tmp_path, TOKEN) as holder:
        holder.send_signal(signal.SIGSTOP)
        with locks.acquire("token", timeout=Deadline(0.2)) as held:
            assert not held
        holder.send_signal(signal.SIGCONT)


def test_a_lock_won_too_late_is_given_back(locks, tmp_path):
    with another_process(tmp_path, TOKEN) as holder:
        with locks.acquire("token", timeout=Deadline(0.1)):
            pass
        holder.kill()
        holder.wait()
        time.sleep(0.1)  # for the thread that waited on
        with another_process(tmp_path, TOKEN):
            pass


def test_locks_of_other_names_are_free(locks, tmp_path):
    with another_process(tmp_path, TOKEN), locks.try_acquire("other") as held:
        assert held


def test_trying_does_not_wait(locks, tmp_path):
    with another_process(tmp_path, TOKEN):
        began = time.monotonic()
        with locks.try_acquire("token") as held:
            assert not held
        assert time.monotonic() - began < 0.2


def test_lock_files_stay_where_they_are(locks, tmp_path):
    with locks.try_acquire("token"):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["token.lock"]


def test_without_a_folder_nobody_waits(tmp_path):
    with FileLocks(str(tmp_path / "absent")).acquire("token", timeout=Deadline(5)) as held:
        assert held


def test_as_many_work_as_there_are_slots(locks, tmp_path):
    with another_process(tmp_path, SLOT.format(slots=2)), another_process(tmp_path, SLOT.format(slots=2)) as second:
        began = time.monotonic()
        with locks.take_slot(slots=2, until=Deadline(0.3)) as admitted:
            assert not admitted
        assert 0.3 <= time.monotonic() - began < 2
        threading.Timer(0.2, second.kill).start()
        with locks.take_slot(slots=2, until=Deadline(5)) as admitted:
            assert admitted


def test_a_stopped_holder_of_a_slot_leaves_the_others_free(locks, tmp_path):
    with another_process(tmp_path, SLOT.format(slots=2)) as holder:
        holder.send_signal(signal.SIGSTOP)
        with locks.take_slot(slots=2, until=Deadline(1)) as admitted:
            assert admitted
        holder.send_signal(signal.SIGCONT)


def test_a_caller_that_does_not_want_to_wait_takes_a_free_slot_or_none(locks, tmp_path):
    with locks.take_slot(slots=1) as admitted:
        assert admitted
    with another_process(tmp_path, SLOT.format(slots=1)), locks.take_slot(slots=1) as admitted:
        assert not admitted


def test_a_lock_whose_file_was_swept_away_keeps_the_next_one_out_all_the_same(locks, tmp_path):
    """Who waited for the removed file starts over with the new one, where somebody may be by then."""
    with another_process(tmp_path, TOKEN) as remover:
        outcome = []
        waiter = threading.Thread(target=lambda: outcome.append(_hold_for_a_moment(tmp_path)))
        waiter.start()
        time.sleep(0.3)  # for it to wait
        (tmp_path / "token.lock").unlink()
        with another_process(tmp_path, TOKEN) as newcomer:
            remover.kill()
            remover.wait()
            time.sleep(0.3)
            assert outcome == []
            newcomer.kill()
            newcomer.wait()
            waiter.join(10)
    assert outcome == [True]


def _hold_for_a_moment(folder):
    with FileLocks(str(folder)).acquire("token", timeout=Deadline(10)) as held:
        return held and (folder / "token.lock").exists()
