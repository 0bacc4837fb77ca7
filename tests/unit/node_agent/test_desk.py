import os

import pytest
from acr_node_config import desk


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def test_what_is_put_is_what_is_got_and_anybody_may_read_it(folder):
    desk.put(folder, "status.json", {"state": "ready"})
    desk.put(folder, "status.json", {"state": "failed"})

    assert desk.get(folder, "status.json") == {"state": "failed"}
    assert os.listdir(folder) == ["status.json"]
    assert os.stat(f"{folder}/status.json").st_mode & 0o777 == 0o644


def test_a_symlink_in_the_folder_is_neither_read_nor_written_through(folder, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text('{"secret": true}')
    os.symlink(victim, f"{folder}/status.json")

    assert desk.get(folder, "status.json") is None
    desk.put(folder, "status.json", {"state": "ready"})
    assert victim.read_text() == '{"secret": true}'
    assert desk.get(folder, "status.json") == {"state": "ready"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b" " * (desk.LARGEST + 1)])
def test_what_is_no_small_json_object_is_nothing(folder, content):
    with open(f"{folder}/grant.json", "wb") as file:
        file.write(content)

    assert desk.get(folder, "grant.json") is None


def test_neither_a_fifo_nor_a_folder_holds_the_reader_up(folder):
    os.mkfifo(f"{folder}/fifo")
    os.mkdir(f"{folder}/folder")

    assert [desk.get(folder, name) for name in ("fifo", "folder", "nothing")] == [None] * 3


def test_a_write_that_fails_leaves_the_document_before_it_and_no_draft(folder):
    desk.put(folder, "status.json", {"state": "ready"})

    with pytest.raises(TypeError):
        desk.put(folder, "status.json", {"state": object()})
    assert desk.get(folder, "status.json") == {"state": "ready"}
    assert os.listdir(folder) == ["status.json"]


def test_the_drafts_of_a_killed_writer_are_swept_and_nothing_else(folder):
    for name in (".status.json.0011", "status.json", ".grant.json.0011"):
        with open(f"{folder}/{name}", "w"):
            pass

    desk.sweep(folder, "status.json")

    assert sorted(os.listdir(folder)) == [".grant.json.0011", "status.json"]
