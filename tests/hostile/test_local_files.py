"""A user of the node is after what root keeps there: tokens, keys and settings."""

from __future__ import annotations

import json
import os
import shutil
import socket

import pytest
from acr_credential_provider.cache.cache_dirs import MARK
from acr_credential_provider.fastpath.response_cache import CacheEntry
from e2e.assertions import NOBODY, assert_whole
from hostile.attacks import Attacks
from hostile.seats.node import NAME, tree
from sandbox.faults import Delay
from support import harness

ATTACKS = Attacks("Local unprivileged user")
TOKENS = "read or plant tokens in the cache"
FORGED = "a-login-of-the-attackers"
WHOLE = "the kubelet gets a login of ACR's, none of his; nothing of root's is in his folder"
SILENT = "he gets no byte of a secret"
READER = """
import os, sys
for pid in sys.argv[1:]:
    for name in ("environ", "mem", "maps", "auxv", "stack", "syscall", "io", "pagemap", "fdinfo/1", "cmdline",
        "status", "fd/0", "fd/1", "fd/3", "fd/4", "fd/5", "fd/6", "fd/7", "fd/8", "root/etc/shadow", "wchan"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                sys.stdout.buffer.write(name.encode() + b" " + file.read(1 << 20) + b"\\n")
        except OSError as error:
            print(name, error.errno)
    for name in ("fd", "map_files", "cwd", "exe", "root"):
        try:
            print(os.listdir(f"/proc/{pid}/{name}"))
        except OSError as error:
            print(name, error.errno)
"""
PRISER = """
import ctypes, os, signal, sys
libc, done = ctypes.CDLL(None, use_errno=True), []
for pid in map(int, sys.argv[1:]):
    for request in (16, 0x4206):  # PTRACE_ATTACH, PTRACE_SEIZE
        done.append(libc.ptrace(request, pid, 0, 0))
    buffer = ctypes.create_string_buffer(4096)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 4096)
    for call in (310, 311):  # process_vm_readv, process_vm_writev
        done.append(libc.syscall(call, pid, vector, 1, vector, 1, 0))
    done.append(libc.syscall(438, libc.syscall(434, pid, 0), 1, 0))  # pidfd_getfd(pidfd_open)
    done.append(libc.syscall(302, pid, 4, (ctypes.c_uint64 * 2)(2**63, 2**63), 0))  # prlimit: cores without limit
    for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT, signal.SIGSTOP, signal.SIGKILL):
        try:
            os.kill(pid, number)
            done.append(0)
        except PermissionError:
            done.append(-1)
print(set(done))
"""


def forge(node, folder):
    """Make the user's *folder* a copy of root's cache with a login of his own in it, alive for an hour."""
    shutil.copytree(node.cache, folder)
    (entry,) = (folder / "memo").glob("*.memo")
    memo = CacheEntry.decode(entry.read_bytes())
    ((host, login),) = json.loads(memo.answer).items()
    memo.answer = json.dumps({host: {**login, "password": FORGED}})
    entry.write_bytes(memo.encode())
    shutil.rmtree(folder / "store")
    (folder / "store").mkdir(mode=0o700)
    (folder / MARK).touch()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    return folder


def made_by_him(node):
    return forge(node, node.shared / "cache")


def made_by_him_and_open(node):
    folder = forge(node, node.shared / "cache")
    for each in (folder, *folder.rglob("*")):
        each.chmod(0o777)
    return folder


def a_symlink_of_his(node):
    link = node.shared / "cache"
    link.symlink_to(forge(node, node.home / "cache"))
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    return link


def a_symlink_to_a_folder_of_root_s(node):
    stand_in = node.roots / "etc"
    stand_in.mkdir()
    (stand_in / "shadow").write_text("root:x")
    node.before = node.of_root()
    link = node.shared / "cache"
    link.symlink_to(stand_in)
    return link


def with_his_memo_folder(node):
    """Root's own folder in a place of his would be worth no more than this: root's, but for one folder."""
    folder = node.shared / "cache"
    folder.mkdir(mode=0o700)
    (folder / MARK).touch(0o600)
    forged = forge(node, node.home / "cache")
    (forged / "memo").rename(folder / "memo")
    return folder


def a_fifo(node):
    os.mkfifo(node.shared / "cache", 0o666)
    return node.shared / "cache"


def a_socket(node):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(node.shared / "cache"))
    return node.shared / "cache"


def folders_that_are_fifos(node):
    folder = node.shared / "cache"
    folder.mkdir(mode=0o700)
    (folder / MARK).touch(0o600)
    for name in ("memo", "locks", "store"):
        os.mkfifo(folder / name, 0o600)
    os.chown(folder, NOBODY, NOBODY)
    return folder


@ATTACKS.tries(
    TOKENS,
    "root's --cache is in /tmp, and he is there first: {}",
    must=WHOLE,
    each={
        each.__name__.replace("_", " "): each
        for each in (
            made_by_him,
            made_by_him_and_open,
            a_symlink_of_his,
            a_symlink_to_a_folder_of_root_s,
            with_his_memo_folder,
            a_fifo,
            a_socket,
            folders_that_are_fifos,
        )
    },
)
def a_cache_folder_that_was_there_before(node, make):
    cache = make(node)
    before = tree(cache) if cache.is_dir() else {}
    for _ in range(2):
        ended = node.ask(node.plugin_with(cache), timeout=40)
        assert ended.code == 0, ended
        assert_whole(ended.stdout, node.sandbox)
    assert cache.name != "cache" or not cache.is_dir() or tree(cache) == before
    return f"answered in {ended.seconds:.2f} s without it: {ended.stderr.decode()[:90]}"


@ATTACKS.tries(TOKENS, "he reads all that /proc shows of root's plugin while it waits for ACR", must=SILENT)
def proc_of_the_plugin(node):
    return at_work(node, READER, lambda text: f"{text.count(b' 13')} of its files refused")


@ATTACKS.tries(
    TOKENS,
    "he attaches to root's plugin, reads its memory and descriptors, and sends it signals",
    must="each call is refused, and the pull is answered",
)
def the_plugin_as_a_debugger_s_prey(node):
    def told(text):
        assert text == b"{-1}\n", text
        return "every call was refused"

    return at_work(node, PRISER, told)


def at_work(node, script, told):
    """Run the user's *script* with the PIDs of root's plugin while it waits for the cloud."""
    node.sandbox.faults.add("GetAuthorizationToken", Delay(1.5), times=1)
    heard = []

    def attack(processes):
        import time

        time.sleep(0.7)
        heard.append(node.python(script, *(str(each.pid) for each in processes)))

    (ended,) = node.plugin_with(node.roots / "var/cache/second").ask_together([node.image], before_end=attack)
    assert_whole(ended.stdout, node.sandbox)
    (done,) = heard
    assert done.returncode == 0, done.stderr
    return told(done.stdout)


@ATTACKS.tries(TOKENS, "he makes a hard link to root's tokens and keys in his own folder", must=SILENT)
def hard_links_to_tokens(node):
    script = "import os, sys\nfor number, path in enumerate(sys.argv[1:]):\n    os.link(path, f'link-{number}')\n"
    paths = [path for path in node.roots.rglob("*") if path.is_file()]
    done = node.python(script, *map(str, paths))
    assert done.returncode == 1
    return done.stderr.decode().splitlines()[-1][:60]


@ATTACKS.tries(
    "read or plant tokens in the cache",
    "root's --cache below /tmp is a file of a terabyte",
    must="the pull is answered",
)
def a_cache_of_a_terabyte(node):
    huge = node.give(node.shared / "cache")
    os.truncate(huge, 1 << 40)
    ended = node.ask(node.plugin_with(huge), timeout=40)
    assert_whole(ended.stdout, node.sandbox)
    huge.unlink()
    return f"answered in {ended.seconds:.2f} s"


# Settings and keys.
@ATTACKS.tries(
    "change settings or keys",
    "the settings that root names are {}",
    must="they are refused by name, and nothing of them is shown",
    each=[
        "a file of his",
        "a symlink of his to a file of his",
        "a FIFO of his",
        "a file of his with a gigabyte of blanks",
        "root's, through a group that he is in",
    ],
)
def settings_of_his(node, case):
    path = node.shared / "settings.yaml"
    document = node.sandbox.settings()
    document["registries"][0]["identity"] = {"kind": "nodeRole", "CANARY": 1}
    if case.endswith("symlink of his to a file of his"):
        path.symlink_to(node.give(node.home / "settings.yaml", json.dumps(document)))
    elif "FIFO" in case:
        os.mkfifo(path, 0o644)
        os.chown(path, NOBODY, NOBODY)
    else:
        node.give(path, json.dumps(document))
        if "gigabyte" in case:
            with path.open("ab") as file:
                file.truncate(1 << 30)
        if "root's" in case:
            os.chown(path, 0, NOBODY)
            path.chmod(0o660)
    ended = node.ask(node.plugin_with(node.roots / "var/cache/second", path), timeout=40)
    path.unlink()
    assert (ended.code, ended.stdout) == (1, b"")
    assert str(path) in ended.stderr.decode()
    assert "CANARY" not in ended.stderr.decode()
    assert ended.seconds < 15
    return ended.stderr.decode().splitlines()[0]


@ATTACKS.tries(
    "change settings or keys",
    "the key file that root's settings name is {}",
    must="it is refused by name; no request is signed with it",
    each=[
        "a file of his",
        "a symlink of his to a file of his",
        "a FIFO of his",
        "root's, and he may read it",
    ],
)
def a_key_of_his(node, case):
    path = node.shared / "secret"
    if "symlink" in case:
        path.symlink_to(node.give(node.home / "secret", "CANARYKEY", 0o600))
    elif "FIFO" in case:
        os.mkfifo(path, 0o600)
        os.chown(path, NOBODY, NOBODY)
    else:
        node.give(path, "CANARYKEY", 0o600)
        if "root's" in case:
            os.chown(path, 0, 0)
            path.chmod(0o644)
    document = json.loads(node.settings.read_text())
    document["registries"][0]["identity"]["accessKeySecretFile"] = str(path)
    settings = node.folder / "of-root.yaml"
    settings.write_text(json.dumps(document))
    settings.chmod(0o600)
    calls = node.sandbox.calls.count("GetAuthorizationToken")
    ended = node.ask(node.plugin_with(node.roots / "var/cache/second", settings), timeout=40)
    path.unlink()
    assert (ended.code, ended.stdout) == (1, b"")
    assert str(path) in ended.stderr.decode()
    assert b"CANARY" not in ended.stderr
    assert node.sandbox.calls.count("GetAuthorizationToken") == calls
    return ended.stderr.decode().splitlines()[0]


# The program as his own tool.
COMMANDS = {
    "the plugin itself": ("--settings", "{settings}", "--cache", "{cache}"),
    "cache show": ("cache", "show", "--cache", "{cache}"),
    "cache clear": ("cache", "clear", "--cache", "{cache}"),
    "cache refresh": ("cache", "refresh", "--cache", "{cache}", "--settings", "{settings}"),
    "explain": ("explain", "{image}", "--settings", "{settings}", "--cache", "{cache}"),
    "doctor": ("doctor", "{image}", "--no-kubelet", "--settings", "{settings}", "--cache", "{cache}"),
    "settings validate, of a key file": ("settings", "validate", "{key}"),
    "node status": ("node", "status", "--host-root", "{roots}"),
    "node plan": ("node", "plan", "--host-root", "{roots}", "--service", "none"),
    "node uninstall": ("node", "uninstall", "--host-root", "{roots}", "--service", "none"),
}


@ATTACKS.tries(
    "use the docker credential helper",
    "he runs root's program with root's paths: {}",
    must="it does no more than he could do by himself",
    each=COMMANDS,
)
def a_command_of_root_s(node, words):
    given = {"settings": node.settings, "cache": node.cache, "image": node.image, "roots": node.roots}
    given["key"] = node.roots / "key"
    given["key"].write_text(node.sandbox.key.secret)
    given["key"].chmod(0o600)
    node.before = node.of_root()
    done = node.user(*node.plugin.command, *(word.format(**given) for word in words), input=harness.request(node.image))
    assert b"Traceback" not in done.stderr
    assert done.returncode != 0 or words[0] in ("cache", "explain", "node"), done
    return f"exit code {done.returncode}: {(done.stderr or done.stdout).decode().splitlines()[0][:90]}"


@ATTACKS.tries(
    "use the docker credential helper",
    "as the docker credential helper, with root's {}",
    must="no login of root's is answered",
    each={
        "cache in its variable": {"ACR_CREDENTIAL_PROVIDER_CACHE": "{cache}"},
        "settings in its variable": {"ACR_CREDENTIAL_PROVIDER_SETTINGS": "{settings}"},
        "settings and cache in its variables": {
            "ACR_CREDENTIAL_PROVIDER_CACHE": "{cache}",
            "ACR_CREDENTIAL_PROVIDER_SETTINGS": "{settings}",
        },
        "folder as his home": {"HOME": "{roots}", "XDG_CACHE_HOME": "{roots}/var", "XDG_CONFIG_HOME": "{roots}"},
        "cache by a symlink in his home": {"XDG_CACHE_HOME": "{home}/linked"},
    },
)
def the_docker_helper(node, variables):
    helper = node.home / "docker-credential-aliyun-acr"
    helper.symlink_to(node.plugin.command[0])
    (node.home / "linked").mkdir()
    (node.home / "linked" / NAME).symlink_to(node.cache)
    given = {"settings": node.settings, "cache": node.cache, "roots": node.roots, "home": node.home}
    environment = {"HOME": str(node.home), **{name: value.format(**given) for name, value in variables.items()}}
    done = node.user(str(helper), "get", input=node.sandbox.registry.address.encode(), env=environment)
    assert done.returncode == 1, done
    assert b"Secret" not in done.stdout
    return done.stdout.decode().splitlines()[0][:100]


def test_the_forged_login_would_be_given_out_if_its_files_were_root_s(node):
    forged = forge(node, node.roots / "var/cache/forged")
    for path in (forged, *forged.rglob("*")):
        os.chown(path, 0, 0)
    assert FORGED in node.ask(node.plugin_with(forged)).stdout.decode()


@ATTACKS.tries(
    "have a folder of the system emptied or its mode changed",
    "he exchanges root's cache with a symlink to a folder of root's while root runs cache clear",
    must="nothing in that folder is removed, added, or given another mode",
)
def a_folder_to_clear_that_changes_under_root(node):
    stand_in = node.roots / "etc"
    for name in ("memo", "locks", "store"):
        (stand_in / name).mkdir(parents=True)
        (stand_in / name / "precious").write_text("x")
        (stand_in / name / f"{'a' * 64}.memo").write_text("x")
    node.before = node.of_root()
    cache = node.home / "cache"
    shutil.copytree(node.cache, cache)
    link = node.home / "link"
    link.symlink_to(stand_in)
    node.swap(cache, link)
    codes = [
        node.root("cache", "clear", "--cache", str(cache), "--settings", str(node.settings)).code for _ in range(8)
    ]
    assert node.of_root() == node.before
    return f"exit codes {sorted(set(codes))}; all of the folder is there"


@ATTACKS.tries(
    TOKENS, "root's cache is below his folder; he exchanges it with a forged one as fast as he can", must=WHOLE
)
def a_cache_folder_that_changes_under_root(node):
    theirs, his = node.home / "cache", forge(node, node.home / "forged")
    shutil.copytree(node.cache, theirs)
    (his / "store/cache.db").touch()
    (his / "store/cache.db").chmod(0o666)
    for each in (his, *his.rglob("*")):
        os.chown(each, NOBODY, NOBODY)
    node.swap(theirs, his)
    told = set()
    for _ in range(15):
        ended = node.ask(node.plugin_with(theirs), timeout=40)
        assert ended.code == 0, ended
        assert_whole(ended.stdout, node.sandbox)
        told.add(ended.stderr.decode()[:60])
    return f"15 pulls were answered right; told: {sorted(told)}"


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_local_user_gets_nothing_of_root_s(attack, node):
    attack.carry_out(node)
