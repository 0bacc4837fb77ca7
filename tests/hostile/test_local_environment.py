"""A user of the node has a say in the environment of root's plugin: code, keys and files that its variables name."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess

import pytest
from e2e.assertions import DEADLINE, NOBODY, assert_whole
from hostile.attacks import Attacks
from hostile.seats.node import NAME, tree
from support import harness

ATTACKS = Attacks("Local unprivileged user")
ATTEMPT = "load a library into the plugin, send its calls elsewhere"
MUST = "nothing of his is loaded, written to or asked, and the pull is answered"
OPENSSL = """\
openssl_conf = all
[all]
providers = those
engines = these
[those]
evil = one
default = one
[these]
evil = two
[one]
module = {library}
activate = 1
[two]
dynamic_path = {library}
init = 1
"""
CONVERSIONS = "module UTF-8// EVIL// evil 1\nmodule EVIL// UTF-8// evil 1\nmodule INTERNAL EVIL// evil 1\n"
PYTHON = "import os\nos.close(os.open({mark!r}, os.O_CREAT))\n"
LIBRARIES = ("libc.so.6", "libssl.so.3", "libcrypto.so.3", "libz.so.1", "libpython3.11.so.1.0", "libnss_files.so.2")
VARIABLES = {
    "LD_PRELOAD": {"LD_PRELOAD": "{library}"},
    "LD_AUDIT": {"LD_AUDIT": "{library}"},
    "LD_LIBRARY_PATH, with libraries of those names": {"LD_LIBRARY_PATH": "{home}/lib"},
    "LD_DEBUG_OUTPUT and LD_PROFILE": {
        "LD_DEBUG": "all",
        "LD_DEBUG_OUTPUT": "{home}/out",
        "LD_PROFILE": "libc.so.6",
        "LD_PROFILE_OUTPUT": "{home}",
    },
    "PYTHONPATH and PYTHONHOME": {"PYTHONPATH": "{home}/python", "PYTHONHOME": "{home}/python"},
    "PYTHONSTARTUP, PYTHONINSPECT, PYTHONBREAKPOINT": {
        "PYTHONSTARTUP": "{home}/python/os.py",
        "PYTHONINSPECT": "1",
        "PYTHONBREAKPOINT": "os.evil",
        "PYTHONWARNINGS": "error",
        "PYTHONUSERBASE": "{home}/python",
        "PYTHONPLATLIBDIR": "{home}/python",
    },
    "PYTHONPYCACHEPREFIX and PYTHONDUMPREFS": {
        "PYTHONPYCACHEPREFIX": "{home}/out",
        "PYTHONDUMPREFSFILE": "{home}/out/refs",
        "PYTHONPROFILEIMPORTTIME": "1",
        "PYTHONMALLOCSTATS": "1",
    },
    "OPENSSL_CONF, with a provider and an engine": {"OPENSSL_CONF": "{home}/openssl.cnf"},
    "OPENSSL_MODULES and OPENSSL_ENGINES": {"OPENSSL_MODULES": "{home}/lib", "OPENSSL_ENGINES": "{home}/lib"},
    "GCONV_PATH, with a character set": {
        "GCONV_PATH": "{home}/gconv",
        "LC_ALL": "evil.EVIL",
        "LANG": "evil.EVIL",
        "PYTHONIOENCODING": "EVIL",
    },
    "LOCPATH, NLSPATH and LANGUAGE": {
        "LOCPATH": "{home}",
        "NLSPATH": "{home}/%N",
        "LANGUAGE": "../../home",
        "LC_ALL": "x",
    },
    "GLIBC_TUNABLES and MALLOC_*": {
        "GLIBC_TUNABLES": "glibc.malloc.mxfast=99999999:glibc.rtld.nns=0",
        "MALLOC_TRACE": "{home}/out/trace",
        "MALLOC_CHECK_": "3",
        "MALLOC_PERTURB_": "85",
    },
    "SSLKEYLOGFILE": {"SSLKEYLOGFILE": "{home}/out/keys"},
    "TMPDIR and its like": dict.fromkeys(("TMPDIR", "TMP", "TEMP", "SQLITE_TMPDIR", "XDG_RUNTIME_DIR"), "{home}/out"),
    "TZ and TZDIR, with a FIFO": {"TZ": ":{home}/fifo", "TZDIR": "{home}/fifo"},
    "HOSTALIASES and RES_OPTIONS": {
        "HOSTALIASES": "{home}/fifo",
        "RES_OPTIONS": "ndots:15 attempts:5",
        "LOCALDOMAIN": "x.example",
        "RESOLV_HOST_CONF": "{home}/fifo",
    },
    "PyInstaller's own": {
        "_PYI_ARCHIVE_FILE": "{home}/evil.so",
        "_PYI_APPLICATION_HOME_DIR": "{home}/lib",
        "_MEIPASS2": "{home}/lib",
        "_PYI_PARENT_PROCESS_LEVEL": "1",
        "PYINSTALLER_STRICT_UNPACK_MODE": "0",
    },
    "the SDKs' own": {
        "ALIBABA_CLOUD_CREDENTIALS_FILE": "{home}/fifo",
        "ALIBABA_CLOUD_CONFIG_FILE": "{home}/fifo",
        "ALIBABA_CLOUD_CREDENTIALS_URI": "http://127.0.0.1:{port}/",
        "ALIBABA_CLOUD_ECS_METADATA": "evil",
    },
    "other clients'": {
        "NO_PROXY": "",
        "no_proxy": "",
        "REQUESTS_CA_BUNDLE": "{home}/fifo",
        "CURL_CA_BUNDLE": "{home}/fifo",
        "SSL_CERT_DIR": "{home}",
        "NETRC": "{home}/fifo",
        "HTTP_PROXY": "http://127.0.0.1:{port}",
        "ALL_PROXY": "socks5://127.0.0.1:{port}",
        "FTP_PROXY": "http://127.0.0.1:{port}",
        "http_proxy": "http://127.0.0.1:{port}",
    },
    "shells' own": {
        "BASH_ENV": "{home}/evil.sh",
        "ENV": "{home}/evil.sh",
        "SHELLOPTS": "xtrace",
        "PS4": "$(: > {mark})",
        "BASH_FUNC_true%%": "() {{ : > {mark}; }}",
        "IFS": "/",
    },
}


@pytest.fixture
def listener():
    """A port of his: who connects waits there until he looks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def lay_out(node):
    """Write all that the variables name."""
    library = node.compiled(node.home / "evil.so", "-shared", "-fPIC")
    for name in (*LIBRARIES, "evil.so"):
        (node.home / "lib").mkdir(exist_ok=True)
        shutil.copy(library, node.home / "lib" / name)
    node.give(node.home / "gconv/gconv-modules", CONVERSIONS)
    shutil.copy(library, node.home / "gconv/evil.so")
    for name in ("os.py", "sitecustomize.py", "usercustomize.py", "encodings/__init__.py", "ssl.py", "json.py"):
        node.give(node.home / "python" / name, PYTHON.format(mark=str(node.mark)))
    node.give(node.home / "openssl.cnf", OPENSSL.format(library=library))
    node.script(node.home / "evil.sh")
    os.mkfifo(node.home / "fifo", 0o666)
    (node.home / "out").mkdir()
    (node.home / "out").chmod(0o777)
    return library


@ATTACKS.tries(ATTEMPT, "the plugin is started with {} that lead to his files", must=MUST, each=VARIABLES)
def variables_of_his(node, variables):
    library = lay_out(node)
    given = {"library": library, "home": node.home, "mark": node.mark, "port": node.listener.getsockname()[1]}
    variables = {name: value.format(**given) for name, value in variables.items()}
    before = tree(node.home)
    took = []
    for plugin in (node.plugin_with(node.roots / "var/cache/cold"), node.plugin):
        ended = node.ask(plugin, env={**os.environ, **harness.HERE_ONLY, **variables}, timeout=40)
        assert (ended.code, ended.stderr) == (0, b"")
        assert_whole(ended.stdout, node.sandbox)
        assert ended.seconds < DEADLINE
        took.append(f"{ended.seconds:.2f} s")
    assert tree(node.home) == before
    with pytest.raises(BlockingIOError):
        node.listener.accept()  # nobody came
    return f"a miss and a hit answered in {' and '.join(took)}"


@ATTACKS.tries(
    ATTEMPT, "root runs the plugin in his folder, which holds libraries, Python modules and a lib folder", must=MUST
)
def a_working_folder_of_his(node):
    lay_out(node)
    for name in (*LIBRARIES, "ld-linux-x86-64.so.2", "program"):
        shutil.copy(node.home / "evil.so", node.home / name)
    shutil.copytree(node.home / "python", node.home, dirs_exist_ok=True)
    ended = node.ask(node.plugin_with(node.roots / "var/cache/cold"), cwd=node.home, timeout=40)
    assert_whole(ended.stdout, node.sandbox)
    return f"answered in {ended.seconds:.2f} s"


@ATTACKS.tries(
    ATTEMPT, "root calls the plugin by a symlink in his folder, beside which is a lib folder of his", must=MUST
)
def a_lib_folder_beside_a_symlink(node):
    lay_out(node)
    for name in ("ld-linux-x86-64.so.2", "program"):
        shutil.copy(node.home / "evil.so", node.home / "lib" / name)
    link = node.home / NAME
    link.symlink_to(node.plugin.command[0])
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    plugin = harness.Program((str(link),), node.settings, node.roots / "var/cache/cold")
    ended = node.ask(plugin, timeout=40)
    assert_whole(ended.stdout, node.sandbox)
    return f"answered in {ended.seconds:.2f} s"


def test_another_program_of_root_s_would_load_his_library(node):
    library = lay_out(node)
    subprocess.run(["/bin/true"], env={"LD_PRELOAD": str(library)}, check=True)
    assert node.mark.exists()


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_local_user_loads_nothing_into_root_s_plugin(attack, node, listener):
    node.listener = listener
    attack.carry_out(node)
