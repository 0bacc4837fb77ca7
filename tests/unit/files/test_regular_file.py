"""What an operator names is read at once or refused: nothing is waited for."""

import os
import socket
import subprocess
import sys

import pytest
from acr_credential_provider.files import regular_file
from acr_credential_provider.kube_api.kubeconfig import read_kubeconfig
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.openshift.login_sources import from_file


def test_a_file_is_read_through_symlinks_up_to_its_limit(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert regular_file.read(str(tmp_path / "link"), 3) == b"123"


@pytest.mark.parametrize("kind", ["a FIFO", "a folder", "a device", "a socket"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    path = str(tmp_path / "x")
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a folder":
        os.mkdir(path)
    elif kind == "a device":
        path = "/dev/zero"
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
    with pytest.raises(OSError):
        regular_file.read(path, 100)
    for read in (read_kubeconfig, from_file):
        with pytest.raises(ConfigurationError, match=path):
            read(path)


def test_a_doctor_that_is_given_a_fifo_as_token_says_so_at_once(tmp_path):
    os.mkfifo(tmp_path / "token")
    words = ["-m", "acr_credential_provider", "doctor", "--no-kubelet", "--token-file", str(tmp_path / "token")]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, timeout=20)
    assert f"error: {tmp_path}/token is not a regular file" in done.stderr
    assert "kubectl create token" in done.stderr
