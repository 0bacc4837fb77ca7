"""A key that a library wants as a path is in no file that anybody could find, on new kernels and old ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from acr_credential_provider.files.memfd import MEMORY, memfd
from support import old_kernel

LOAD = """
import os, ssl, sys
from acr_credential_provider.files.memfd import memfd
try:
    print(os.memfd_create("probe") > 0)
except OSError as error:
    print(os.strerror(error.errno))
with memfd(sys.stdin.buffer.read()) as path:
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
    print(os.readlink(path).partition(" ")[2], oct(os.stat(path).st_mode & 0o777))
print(os.path.exists(path))
"""


@pytest.mark.parametrize(
    ("kernel", "told"),
    [
        ((), "True\n(deleted) 0o777\nFalse\n"),
        ((sys.executable, old_kernel.__file__), "Function not implemented\n(deleted) 0o600\nFalse\n"),
    ],
    ids=["memfd_create", "Linux 3.10"],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="the old kernel needs a namespace")
def test_tls_loads_certificate_and_key_from_it(kernel, told):
    left = set(Path(MEMORY).iterdir())
    pair = trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.bytes()
    done = subprocess.run(
        [*kernel, sys.executable, "-c", LOAD], input=pair, capture_output=True, check=False,
        env={"PYTHONPATH": "provider:node-config"}, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert (done.stdout.decode(), done.stderr) == (told, b"")
    assert {path for path in Path(MEMORY).iterdir() if path.name.startswith(".")} <= left


def test_a_child_does_not_get_it():
    with memfd(b"secret") as path:
        assert not os.get_inheritable(int(path.rpartition("/")[2]))
