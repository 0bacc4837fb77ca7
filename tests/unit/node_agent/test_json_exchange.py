import os

import pytest
from acr_node_config.rollout import json_exchange


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def test_what_is_put_is_what_is_got_and_anybody_may_read_it(folder):
    json_exchange.put(folder, "status.json", {"state": "ready"})
    json_exchange.put(folder, "status.json", {"state": "failed"})

    assert json_exchange.get(folder, "status.json") == {"state": "failed"}
    assert os.listdir(folder) == ["status.json"]
    assert os.stat(f"{folder}/status.json").st_mode & 0o777 == 0o644


def test_a_symlink_in_the_folder_is_neither_read_nor_written_through(folder, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text('{"secret": true}')
    os.symlink(victim, f"{folder}/status.json")

    assert json_exchange.get(folder, "status.json") is None
    json_exchange.put(folder, "status.json", {"state": "ready"})
    assert victim.read_text() == '{"secret": true}'
    assert json_exchange.get(folder, "status.json") == {"state": "ready"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b" " * (json_exchange.LARGEST + 1)])
def test_what_is_no_small_json_object_is_nothing(folder, content):
    with open(f"{folder}/grant.json", "wb") as file:
        file.write(content)

    assert json_exchange.get(folder, "grant.json") is None


def test_neither_a_fifo_nor_a_folder_holds_the_reader_up(folder):
    os.mkfifo(f"{folder}/fifo")
    os.mkdir(f"{folder}/folder")

    assert [json_exchange.get(folder, name) for name in ("fifo", "folder", "nothing")] == [None] * 3


def test_a_write_that_fails_leaves_the_document_before_it_and_no_draft(folder):
    json_exchange.put(folder, "status.json", {"state": "ready"})

    with pytest.raises(TypeError):
        json_exchange.put(folder, "status.json", {"state": object()})
    assert json_exchange.get(folder, "status.json") == {"state": "ready"}
    assert os.listdir(folder) == ["status.json"]


def test_the_drafts_of_a_killed_writer_are_swept_and_nothing_else(folder):
    for name in (".status.json.0011", "status.json", ".grant.json.0011"):
        with open(f"{folder}/{name}", "w"):
            pass

    json_exchange.sweep(folder, "status.json")

    assert sorted(os.listdir(folder)) == [".grant.json.0011", "status.json"]
