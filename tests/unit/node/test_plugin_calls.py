"""What counts as a trace of the kubelet's call."""

import os
import time

import pytest
from acr_credential_provider.cache import cache_dirs
from acr_credential_provider.fastpath.lookup import CACHE, TRACE
from acr_node_config.hostfs.plugin_calls import first_call


@pytest.fixture
def trace(tmp_path):
    cache = tmp_path / CACHE.lstrip("/")
    cache_dirs.ensure(str(cache))
    (cache / TRACE).touch(0o600)
    return cache / TRACE


def test_it_is_found_below_the_nodes_root_with_its_time(tmp_path, trace):
    os.utime(trace, (1.7e9, 1.7e9))
    assert first_call(str(tmp_path), CACHE) == 1.7e9


def test_none_is_no_call(tmp_path, trace):
    trace.unlink()
    assert first_call(str(tmp_path), CACHE) == 0.0
    assert first_call(str(tmp_path), "/nowhere") == 0.0


def test_a_time_to_come_is_now_and_one_before_the_clock_was_set_is_still_a_call(tmp_path, trace):
    os.utime(trace, (9e9, 9e9))
    assert first_call(str(tmp_path), CACHE) <= time.time()
    os.utime(trace, (0, 0))
    assert first_call(str(tmp_path), CACHE) == 1.0


def make_others(path):
    path.chmod(0o622)


def make_folder_others(path):
    path.parent.chmod(0o777)


def make_symlink(path):
    path.unlink()
    path.symlink_to("/proc/self/fd")


@pytest.mark.parametrize("forge", [make_others, make_folder_others, make_symlink])
def test_what_others_could_have_made_is_none(tmp_path, trace, forge):
    forge(trace)
    assert first_call(str(tmp_path), CACHE) == 0.0


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_another_users_file_is_none(tmp_path, trace):
    os.chown(trace, 65534, 65534)
    assert first_call(str(tmp_path), CACHE) == 0.0


def test_a_cache_folder_with_it_is_still_ours(tmp_path, trace):
    (trace.parents[1] / cache_dirs.MARK).unlink()
    assert cache_dirs.is_there(str(trace.parents[1]))
