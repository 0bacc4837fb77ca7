"""The bundle needs nothing of the machine that it is on: the same answers in any root, by TLS, by name, from disk."""

import json
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest
from acr_credential_provider.cloud.ca_bundle import KNOWN_PLACES
from distros.name_server import ADDRESS, NameServer
from distros.root_filesystem import INSIDE, Root, distribution
from sandbox import AcrSandbox
from sandbox.faults import Hang
from support import harness

BY_HOSTS, BY_DNS = "acr-by-hosts.example.com", "acr-by-dns.example.com"
FOREIGN = "demo-registry.oss-cn-hangzhou.aliyuncs.com/team/app"
TOLD = {"hosts": f"127.0.0.1 localhost {BY_HOSTS}\n", "resolv.conf": f"nameserver {ADDRESS}\n"}
# As on ContainerOS and other fixed nodes: /etc and /var can be written, nothing there or in /tmp can be executed.
FIXED = [
    "mkdir -p $root/tmp $root/var",
    "mount -t tmpfs -o noexec,nosuid tmpfs $root/tmp",
    "mount -t tmpfs -o noexec,nosuid tmpfs $root/var",
    "mount --bind -o noexec,nosuid $root/etc $root/etc",
    "mount -o remount,bind,ro $root",
]
# Where a kernel has no system call for it, this is where random numbers come from.
DEVICES = [
    "touch $root/dev/urandom $root/dev/random",
    "mount --bind /dev/urandom $root/dev/urandom",
    "mount --bind /dev/random $root/dev/random",
]
# What a node may hold for its own C library and its own OpenSSL: none of it may get into this process.
POISON = "__attribute__((constructor)) static void end(void) { __builtin_trap(); }"
NSSWITCH = "passwd: poison files\ngroup: poison files\nhosts: poison [!UNAVAIL=return] files dns\n"
OPENSSL = """openssl_conf = init
[init]
providers = providers
[providers]
absent = absent
[absent]
activate = 1
"""
EAST_OF_GREENWICH = 5 * 3600 + 45 * 60
"""Seconds; Nepal's, which no builder is in by chance."""
_ZONE = struct.pack(">4s16x6l lBB4s", b"TZif", 0, 0, 0, 0, 1, 4, EAST_OF_GREENWICH, 0, 0, b"NPT\0")
EAST = _ZONE.replace(b"TZif\0", b"TZif2") * 2 + b"\n<+0545>-5:45\n"
PATIENCE = 60.0
"""Seconds for what takes tenths of one on an idle machine."""
ODD_ENVIRONMENT = {
    "LC_ALL": "zh_CN.GB18030",
    "TZ": "Asia/Shanghai",
    "LD_LIBRARY_PATH": "/lib/x86_64-linux-gnu:/usr/lib64",
    "LD_PRELOAD": "/lib/poison.so",
    "GCONV_PATH": "/usr/lib",
    "PYTHONHOME": "/nowhere",
    "PYTHONPATH": "/nowhere",
    "_PYI_ARCHIVE_FILE": "/nowhere",
    "_PYI_APPLICATION_HOME_DIR": "/nowhere",
    "_PYI_PARENT_PROCESS_LEVEL": "1",
    "PYINSTALLER_RESET_ENVIRONMENT": "1",
}


@pytest.fixture
def cloud(tmp_path):
    """The sandbox below the folder that each root shares."""
    with AcrSandbox(directory=tmp_path / "cloud", names=(BY_HOSTS, BY_DNS)) as sandbox:
        yield sandbox


@pytest.fixture(params=["bullseye", "bookworm", "musl", "fixed", "bare", "no /proc", "odd environment", "Linux 3.10"])
def root(request, tmp_path):
    return {
        "bullseye": lambda: Root(tmp_path, distribution("bullseye"), TOLD),
        "bookworm": lambda: Root(tmp_path, distribution("bookworm"), TOLD),
        "musl": lambda: Root(tmp_path, distribution("musl"), TOLD),
        "fixed": lambda: Root(tmp_path, distribution("bookworm"), TOLD, more=FIXED),
        "bare": lambda: Root(tmp_path, None, TOLD),
        "no /proc": lambda: Root(tmp_path, None, TOLD, has_proc=False),
        "odd environment": lambda: Root(tmp_path, distribution("bullseye"), TOLD, environment=ODD_ENVIRONMENT),
        "Linux 3.10": lambda: Root(tmp_path, distribution("bullseye"), TOLD, is_old=True, more=DEVICES),
    }[request.param]()


def settings_for(cloud, host, tmp_path):
    document = cloud.settings()
    port = cloud.openapi.url.rpartition(":")[2]
    document["registries"][0]["endpoints"] = {"acr": f"https://{host}:{port}"}
    path = tmp_path / f"{host}.yaml"
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path


def image_of(cloud):
    return cloud.image.partition(":latest")[0]


def test_a_token_is_got_by_tls_and_then_from_disk(root, cloud, tmp_path):
    program = root.program(settings_for(cloud, BY_HOSTS, tmp_path), tmp_path / "cache")
    for _ in ("from ACR", "from disk"):
        ended = program.ask(image_of(cloud), under=root.under)
        assert (ended.code, ended.stderr) == (0, b"")
        assert cloud.state.find_login(*ended.login(cloud.registry.address))
    assert cloud.calls.counts() == {"GetAuthorizationToken": 1}


@pytest.mark.parametrize("name", ["bullseye", "musl"])
def test_no_library_of_the_root_is_ever_in_the_process(name, cloud, tmp_path):
    """Looked at while it waits for ACR, with all that a pull needs loaded."""
    root = Root(tmp_path, distribution(name), TOLD)
    assert list(root.lower.glob("lib*/**/libc.so*")), "there is none that it could take"
    cloud.faults.add("GetAuthorizationToken", Hang())
    program = root.program(settings_for(cloud, BY_HOSTS, tmp_path), tmp_path / "cache")
    with program.start(under=root.under) as process:
        process.stdin.write(harness.request(image_of(cloud)))
        process.stdin.close()
        end = time.monotonic() + PATIENCE
        while not (mapped := mapped_by(process.pid)) or not cloud.calls.counts():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        process.kill()
    assert [path for path in mapped if INSIDE not in path] == []
    assert {"libc.so.6", "libssl.so.3"} <= {path.rpartition("/")[2] for path in mapped}


def mapped_by(pid):
    """Return the ELF files that the program below the process *pid* has mapped, once it is there."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if Path(f"/proc/{child}/comm").read_text() == "aliyun-acr-cred\n":
            lines = Path(f"/proc/{child}/maps").read_text().splitlines()
            return {line.split(maxsplit=5)[5] for line in lines if line.split()[4] != "0" and "x" in line.split()[1]}
    return set()


def test_a_name_that_only_dns_knows_is_found(root, cloud, tmp_path):
    program = root.program(settings_for(cloud, BY_DNS, tmp_path), tmp_path / "cache")
    with NameServer(BY_DNS) as names:
        ended = program.ask(image_of(cloud), under=root.under)
    assert (ended.code, ended.stderr) == (0, b"")
    assert ended.document["auth"]
    assert names.questions > 0


def test_a_host_that_is_not_covered_gets_nothing(root, cloud, tmp_path):
    ended = root.program(cloud.settings_file, tmp_path / "cache").ask(FOREIGN, under=root.under)
    assert (ended.code, ended.stderr) == (0, b"")
    assert ended.document["auth"] == {}


def test_the_name_cache_of_an_older_system_is_of_no_harm(cloud, tmp_path):
    nscd = [
        "mkdir -p $root/run/nscd $root/var/run/nscd",
        "chroot $root /usr/sbin/nscd",
        "test -S $root/run/nscd/socket",
    ]
    root = Root(tmp_path, distribution("bullseye"), TOLD, more=nscd)
    program = root.program(settings_for(cloud, BY_HOSTS, tmp_path), tmp_path / "cache")
    ended = program.ask(image_of(cloud), under=root.under)
    assert (ended.code, ended.stderr) == (0, b"")
    assert ended.document["auth"]


@pytest.mark.parametrize("place", KNOWN_PLACES)
def test_the_certificates_that_a_distribution_trusts_are_found_where_it_has_them(cloud, tmp_path, place):
    folder = place.rpartition("/")[0]
    store = [f"mkdir -p $root{folder}", f"cp {cloud.ca_file} $root{place}"]
    path = settings_for(cloud, BY_HOSTS, tmp_path)
    document = json.loads(path.read_text())
    del document["caBundle"]
    path.write_text(json.dumps(document))
    for more, code in ((store, 0), ([], 1)):
        root = Root(tmp_path, None, TOLD, more=more)
        ended = root.program(path, tmp_path / f"cache-{code}").ask(image_of(cloud), under=root.under)
        assert ended.code == code
    # Without one there is certifi's, which does not know the sandbox.
    assert b"caBundle" in ended.stderr


def test_lines_in_the_nodes_log_have_the_nodes_time(cloud, tmp_path):
    """From a root without time zones' data: all that there is of it is /etc/localtime."""
    (tmp_path / "localtime").write_bytes(EAST)
    (tmp_path / "dev").mkdir()
    path = settings_for(cloud, BY_HOSTS, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"log": "info"}))
    more = [
        "mkdir -p $root/dev",
        f"mount --bind {tmp_path}/dev $root/dev",
        f"cp {tmp_path}/localtime $root/etc/localtime",
    ]
    root = Root(tmp_path, None, TOLD, more=more)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "dev/log"))
        log.settimeout(10)
        before = time.time()
        assert root.program(path, tmp_path / "cache").ask(image_of(cloud), under=root.under).code == 0
        line = log.recv(4096).decode()
    there = {time.strftime("%H:%M", time.gmtime(moment + EAST_OF_GREENWICH)) for moment in (before, time.time())}
    assert any(each in line for each in there), line


@pytest.fixture
def poisoned(tmp_path):
    """A root of our own C library's version, where what belongs to the node's programs ends whoever loads it."""
    (tmp_path / "poison.c").write_text(POISON)
    poison = tmp_path / "poison.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(poison), str(tmp_path / "poison.c")], check=True)
    return Root(tmp_path, distribution("bookworm"), TOLD)


PLAIN = harness.ROOT / "build/freeze/plain" / harness.FROZEN.name
POISONED_FILES = {
    "ld.so.preload": ["cp {0} $root/lib/poison.so", "echo /lib/poison.so > $root/etc/ld.so.preload"],
    "a name service": [
        "cp {0} $root/lib/x86_64-linux-gnu/libnss_poison.so.2",
        f"printf %s '{NSSWITCH}' > $root/etc/nsswitch.conf",
    ],
    "openssl.cnf": [f"printf %s '{OPENSSL}' > $root/etc/ssl/openssl.cnf"],
}


@pytest.mark.parametrize("what", POISONED_FILES)
def test_what_is_meant_for_the_nodes_own_libraries_stays_out(poisoned, cloud, tmp_path, what):
    poisoned.more = [line.format(tmp_path / "poison.so") for line in POISONED_FILES[what]]
    settings = settings_for(cloud, BY_HOSTS, tmp_path)
    ended = poisoned.program(settings, tmp_path / "cache").ask(image_of(cloud), under=poisoned.under)
    assert (ended.code, ended.stderr) == (0, b"")
    assert ended.document["auth"]
    # So that this does not pass for want of poison: the form that runs on the node's libraries does take it.
    shutil.rmtree(tmp_path / "cache")
    poisoned.bundle = PLAIN
    assert poisoned.program(settings, tmp_path / "cache").ask(image_of(cloud), under=poisoned.under).code != 0
