"""Processes that only call themselves kubelet, beside the installer and the doctor, in process namespaces of their own.

The strangers are real: other users' processes and programs, run as any user of a node can run them.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from e2e.doctor_fixture import World
from support import harness
from support.api_server import ApiServer
from support.node import NOBODY, NODE, evil_program

WAYS = {"source": harness.source, "frozen": harness.frozen}
FLAGS = ["--image-credential-provider-config=/evil.yaml", "--image-credential-provider-bin-dir=/evil"]
LIBRARY = "#include <fcntl.h>\n__attribute__((constructor)) static void go(void) { open(MARK, O_CREAT, 0644); }\n"
OPENSSL = """\
openssl_conf = all
[all]
providers = those
[those]
evil = one
[one]
module = {}
activate = 1
"""


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "a stranger's program was run"


@pytest.fixture
def evil(tmp_path, mark):
    """A program in a folder of a user's."""
    folder = tmp_path / "home"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    return evil_program(folder / "kubelet", mark)


@pytest.fixture
def roots(tmp_path, mark):
    """The same program, as root has it."""
    folder = tmp_path / "sbin"
    folder.mkdir()
    program = evil_program(folder / "kubelet", mark)
    os.chown(program, 0, 0)
    return program


@pytest.fixture
def settings(tmp_path, sandbox):
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps(sandbox.settings()))
    file.chmod(0o600)
    return file


def planned(way, settings, *processes):
    """Return how ``node plan`` ends on a node with *processes*."""
    words = ("node", "plan", "--service", "none", "--bundle", str(harness.FROZEN.parent), "--settings", str(settings))
    return way(settings, settings).run(b"", *words, under=(*NODE, json.dumps(processes)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["kubelet", "k3s", "rke2", "hyperkube"])
def test_a_users_program_called_kubelet_is_not_run_by_root(way, name, evil, mark, settings):
    words = [name, "kubelet", *FLAGS] if name == "hyperkube" else [name, *FLAGS]

    ended = planned(WAYS[way], settings, (str(evil), words, {}, NOBODY))

    assert not mark.exists(), f"as user {mark.stat().st_uid}"
    assert ended.stderr.startswith(b"error: no kubelet runs here"), ended


def by_root(evil, _roots):
    """Root runs a program that a user can change."""
    return str(evil), 0


def taking_its_users_place(_evil, roots):
    """Any user can start it, and it is root's then."""
    roots.chmod(0o4755)
    roots.parent.chmod(0o755)
    return str(roots), NOBODY


@pytest.mark.parametrize("stranger", [by_root, taking_its_users_place])
def test_a_program_that_is_not_roots_alone_is_not_run_whoever_runs_it(stranger, evil, roots, mark, settings):
    program, user = stranger(evil, roots)

    ended = planned(harness.source, settings, (program, ["kubelet", *FLAGS], {}, user))

    assert not mark.exists()
    assert ended.stderr.startswith(b"error: no kubelet runs here"), ended


def test_root_of_a_users_namespace_is_not_root(evil, roots, mark, settings):
    """Any user can be root in a user namespace of their own; here it even runs a program of root's."""
    shell = f'(unshare --user --map-root-user "{roots}" {FLAGS[0]} {FLAGS[1]} &); sleep 1; exec "$@"'
    words = ("node", "plan", "--service", "none", "--bundle", str(harness.FROZEN.parent), "--settings", str(settings))
    under = (*NODE, "[]", "/bin/sh", "-c", shell, "sh")

    ended = harness.source(settings, settings).run(b"", *words, under=under)

    assert not mark.exists()
    assert ended.stderr.startswith(b"error: no kubelet runs here"), ended


def test_the_same_program_is_asked_for_its_version_when_it_is_roots_alone(roots, mark, settings):
    ended = planned(harness.source, settings, (str(roots), ["kubelet", "--v=2", "--v=3"], {}, 0))

    assert mark.stat().st_uid == 0
    assert not ended.stderr.startswith(b"error: no kubelet runs here"), ended


@pytest.fixture
def world(sandbox, tmp_path):
    with ApiServer() as api:
        yield World(sandbox, tmp_path, api)


def told(ended):
    return {each["name"]: (each["status"], each.get("detail")) for each in ended.document["checks"]}


@pytest.mark.parametrize("way", WAYS)
def test_the_doctor_passes_a_users_process_over(world, way, evil, mark):
    world.node.strangers = [(str(evil), ["kubelet", *FLAGS], {"HTTPS_PROXY": "http://127.0.0.1:1"}, NOBODY)]

    ended = world.doctor(WAYS[way])

    assert told(ended)["kubelet"][0] == "ok"
    assert told(ended)["kubelet environment"][1].endswith("no proxy variables")
    assert told(ended)["plugin as the kubelet runs it"][0] == "ok"
    assert ended.code == 0
    assert not mark.exists()


def test_the_doctor_finds_no_kubelet_in_a_users_process(world, evil, tmp_path):
    bin_dir = tmp_path / "evil"
    bin_dir.mkdir()
    world.write()
    flags = [f"--image-credential-provider-config={world.node.config_file}"]
    flags += [f"--image-credential-provider-bin-dir={world.node.bin_dir}"]
    world.node.kubelets, world.node.strangers = 0, [(str(evil), ["kubelet", *flags], {}, NOBODY)]

    ended = world.doctor(harness.source, "--settings", str(world.settings), "--cache", str(world.cache))

    assert told(ended)["kubelet"][0] == "skipped"


@pytest.mark.parametrize("way", WAYS)
def test_the_doctor_takes_only_what_the_plugin_reads_of_a_kubelets_environment(world, way, tmp_path):
    mark, library, config = (tmp_path / name for name in ("loaded", "library.so", "openssl.cnf"))
    gcc = ["gcc", "-x", "c", "-shared", "-fPIC", f'-DMARK="{mark}"', "-o", str(library), "-"]
    subprocess.run(gcc, input=LIBRARY.encode(), check=True)
    config.write_text(OPENSSL.format(library))
    heard = tmp_path / "heard"
    plugin = world.node.plugin
    plugin.unlink()
    plugin.write_text(f'#!/bin/sh\nenv > {heard}\nexec {harness.FROZEN} "$@"\n')
    plugin.chmod(0o755)
    world.node.environment |= {
        "HTTPS_PROXY": "",
        "NO_PROXY": "127.0.0.1",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        "OPENSSL_CONF": str(config),
        "OPENSSL_MODULES": str(tmp_path),
        "LD_LIBRARY_PATH": str(tmp_path),
        "GCONV_PATH": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
        "SOME_TOKEN": "secret",
    }
    world.node.provider["env"] = [{"name": "OF_THE_PROVIDER", "value": "x"}]

    ended = world.doctor(WAYS[way])

    assert not mark.exists()
    assert told(ended)["plugin as the kubelet runs it"][0] == "ok"
    names = {line.partition("=")[0] for line in heard.read_text().splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "OF_THE_PROVIDER"}
