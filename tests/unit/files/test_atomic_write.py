"""A secret is written into a file or nowhere."""

import os
import stat

import pytest
from acr_credential_provider.files.atomic_write import write_private_atomically
from acr_credential_provider.model.errors import ConfigurationError


def test_a_file_is_replaced_by_one_for_its_owner_alone(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private_atomically(str(path), "new", remedy="")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("target", ["a device", "a FIFO", "a symlink", "a folder"])
def test_what_is_no_file_is_left_in_its_place(tmp_path, target):
    """In the place of /dev/null, a file with a secret would be read and written by everyone."""
    path = tmp_path / "target"
    if target == "a device":
        if os.geteuid():
            pytest.skip("only root can make a device")
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    elif target == "a FIFO":
        os.mkfifo(path)
    elif target == "a symlink":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    before = path.lstat()
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        write_private_atomically(str(path), "secret", remedy="Name a file.")
    assert (path.lstat().st_mode, path.lstat().st_ino) == (before.st_mode, before.st_ino)
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.skipif(os.geteuid() != 0, reason="root is who could be misled")
def test_root_writes_no_secret_below_a_folder_that_others_can_change(tmp_path):
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/theirs can be changed by others than root"):
        write_private_atomically(str(tmp_path / "theirs/keys/secret"), "x", remedy="Name another.")
    assert os.listdir(tmp_path / "theirs") == []
