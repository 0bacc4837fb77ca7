"""Variables that would lead a library astray are left out by the launcher, and from source before any import."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from acr_credential_provider.exec.environment import LEFT_OUT

from freeze.environment_variables import VARIABLES, Effect

LAUNCHER = Path(__file__).resolve().parents[3] / "packaging/freeze/launcher.c"


def of_the_launcher():
    (table,) = re.findall(r"static const char LEFT_OUT\[\] =(.*?);\n", LAUNCHER.read_text(), re.DOTALL)
    return [start.encode() for start in re.findall(r'"([A-Za-z_]+=?)\\0"', table)]


def test_the_launcher_leaves_out_all_that_the_source_does():
    assert [name for name in LEFT_OUT if not name.startswith(tuple(of_the_launcher()))] == []


def test_what_is_documented_stays():
    documented = [each.name.rstrip("*").encode() for each in VARIABLES if each.effect is Effect.DOCUMENTED]
    assert b"SSL_CERT_FILE" in documented
    for name in documented:
        assert not (name + b"=").startswith(LEFT_OUT)
        assert not (name + b"=").startswith(tuple(of_the_launcher()))


def test_the_launcher_leaves_out_what_the_table_says_and_no_more():
    rows = [row for row in VARIABLES if row.effect is Effect.DROPPED and row.reader != "PyInstaller"]
    dropped = {(start if b"=" in start else start + b"*").decode().rstrip("=") for start in of_the_launcher()}
    assert {row.name for row in rows} == dropped
    assert all(each.reason for each in VARIABLES)


@pytest.mark.parametrize("has_os", [True, False])
def test_neither_python_nor_a_c_library_nor_a_child_sees_them_any_more(has_os):
    script = (
        f"{'import os' if has_os else 'pass'}\n"
        "from acr_credential_provider.exec.environment import leave_out\n"
        "leave_out()\n"
        "import ctypes, os, subprocess\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.getenv.restype = ctypes.c_char_p\n"
        "print(libc.getenv(b'OPENSSL_CONF'), os.environ.get('OPENSSL_CONF'))\n"
        "print(subprocess.run(['env'], capture_output=True).stdout.count(b'SSLKEYLOGFILE'))\n"
        "print(os.environ['SSL_CERT_FILE'])\n"
    )
    variables = {"OPENSSL_CONF": "/dev/null", "SSLKEYLOGFILE": "/nowhere/keys", "SSL_CERT_FILE": "/kept"}
    out = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    ).stdout
    assert out.split() == ["None", "None", "0", "/kept"]
