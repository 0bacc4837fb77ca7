"""A user of the node lays out folders, symlinks and programs for the moment in which root installs."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from e2e.assertions import NOBODY
from hostile.attacks import Attacks
from hostile.seats.host import BIN, CONFIG, SETTINGS
from hostile.seats.node import NAME

ATTACKS = Attacks("Local unprivileged user")
ELSEWHERE = "have the installer write elsewhere"
PROGRAM = "have root run another program"
REFUSED = "the installation is refused, and nothing is written"


def refused(host, **options):
    """Return the error of an installation that wrote nothing."""
    before = host.tree()
    ended = host.install(**options)
    assert ended.code in (1, 3), ended
    host.close()
    assert host.tree() == before
    return ended.stderr.decode().splitlines()[0]


@ATTACKS.tries(
    ELSEWHERE,
    "root's --bin-dir is {}",
    must=REFUSED,
    each={
        "in his home": "/home/user/bin",
        "his home by way of ..": "/opt/../home/user/bin",
        "a new folder in /tmp": "/tmp/bin",
        "a folder of root's in /tmp": "/tmp/of-root/bin",
        "behind a symlink of his": "/tmp/link/bin",
        "behind a symlink of root's to his home": "/opt/link/bin",
        "behind a chain of symlinks that ends in /etc": "/tmp/one/bin",
        "behind symlinks without an end": "/tmp/loop/bin",
    },
)
def a_bin_dir_that_he_can_change(host, path):
    (host.at("/tmp/of-root")).mkdir()
    host.link("/tmp/link", "/etc")
    host.at("/opt/link").symlink_to("/home/user")
    host.link("/tmp/one", "two")
    host.link("/tmp/two", "/etc")
    host.link("/tmp/loop", "loop")
    return refused(host, bin_dir=path)


@ATTACKS.tries(
    ELSEWHERE,
    "root's --config is {}",
    must=REFUSED,
    each={
        "a new file in /tmp": "/tmp/acr.yaml",
        "a symlink of his to root's file": "/tmp/link.yaml",
        "a file of his": "/tmp/his.yaml",
        "below a folder of his": "/home/user/acr/acr.yaml",
        "a FIFO of his": "/tmp/fifo.yaml",
    },
)
def a_config_that_he_can_change(host, path):
    host.link("/tmp/link.yaml", "/etc/shadow")
    host.at("/tmp/his.yaml").write_text("kind: CredentialProviderConfig\n")
    host.his("/tmp/his.yaml")
    os.mkfifo(host.at("/tmp/fifo.yaml"))
    host.his("/tmp/fifo.yaml")
    return refused(host, config=path)


@ATTACKS.tries(
    ELSEWHERE,
    "he exchanges a folder with a symlink to /etc, on root's way to the bin dir, as fast as he can",
    must=REFUSED,
)
def a_way_that_changes_under_root(host):
    host.at("/home/user/one").mkdir()
    host.his("/home/user/one")
    host.link("/home/user/two", "/etc")
    errors = set()
    for _ in range(2):
        host.swap("/home/user/one", "/home/user/two")
        ended = host.install(bin_dir="/home/user/one/bin")
        host.close()
        assert ended.code in (1, 3), ended
        errors.add(ended.stderr.decode().splitlines()[0])
    assert sorted(os.listdir(host.at("/etc"))) == ["os-release", "shadow"]
    assert [each.name for each in host.at("/home/user").rglob("bin")] == []
    return f"refused twice: {min(errors)}"


@ATTACKS.tries(
    ELSEWHERE,
    "he was first: {} is his",
    must=REFUSED,
    each=[
        "the bin dir",
        "the folder of programs in it",
        "the folder of the settings",
        "the installer's own folder",
        "the cache's place",
    ],
)
def a_folder_of_his_in_a_place_of_the_installer_s(host, case):
    path = {
        "the bin dir": BIN,
        "the folder of programs in it": f"{BIN}/.{NAME}",
        "the folder of the settings": f"/etc/{NAME}",
        "the installer's own folder": f"/var/lib/{NAME}",
        "the cache's place": f"/var/cache/{NAME}",
    }[case]
    host.at(path).mkdir(parents=True)
    (host.at(path) / "journal.json").write_text('{"steps": [{"path": "/etc/shadow", "kind": "absent"}]}')
    host.his(path)
    if path.startswith("/var/cache"):
        ended = host.install()
        assert ended.code in (0, 1, 3)
        assert (host.at(path) / "journal.json").exists()
        return f"exit code {ended.code}, his folder is left alone"
    ended = host.install()
    assert ended.code in (1, 3), ended
    assert not os.path.lexists(host.at(CONFIG))
    assert not os.path.lexists(host.at(SETTINGS))
    return ended.stderr.decode().splitlines()[0]


@ATTACKS.tries(
    ELSEWHERE,
    "{} is a symlink of his to /etc/shadow",
    must="/etc/shadow stays as it is",
    each={
        "the settings' place": SETTINGS,
        "the config's place": CONFIG,
        "the program's place": f"{BIN}/{NAME}",
    },
)
def a_symlink_in_the_place_of_a_file(host, path):
    host.at(path).parent.mkdir(parents=True)
    host.link(path, "/etc/shadow")
    ended = host.install()
    assert ended.code in (0, 1, 3)
    assert not host.at(path).is_symlink() or path.endswith(NAME) or ended.code
    return f"exit code {ended.code}: {(ended.stderr or ended.stdout).decode().splitlines()[0][:90]}"


@ATTACKS.tries(
    PROGRAM,
    "he was first: a copy of the very program lies where it will be installed, and is his",
    must="his copy is not what the kubelet gets",
)
def a_copy_of_the_program_of_his(host):
    assert host.install().code == 0
    (folder,) = (each for each in host.at(f"{BIN}/.{NAME}").iterdir())
    host.node("uninstall")
    folder.parent.mkdir(parents=True)
    shutil.copytree(host.bundle, folder)
    host.his(f"{BIN}/.{NAME}/{folder.name}")
    ended = host.install()
    link = host.at(f"{BIN}/{NAME}")
    assert ended.code != 0 or link.resolve().stat().st_uid == 0
    assert ended.code != 0 or all(each.lstat().st_uid == 0 for each in link.resolve().parent.rglob("*"))
    return f"exit code {ended.code}; the kubelet's is {os.readlink(link) if ended.code == 0 else 'none'}"


@ATTACKS.tries(
    PROGRAM,
    "after the installation, {} becomes his",
    must="verify says so, or nothing of it is run",
    each=[
        "the program's folder",
        "one library of the program",
        "the link to the program",
    ],
)
def an_installed_program_that_becomes_his(host, case):
    assert host.install().code == 0
    link = host.at(f"{BIN}/{NAME}")
    program = link.resolve()
    if case == "the link to the program":
        link.unlink()
        host.script(host.at("/home/user/evil"))
        host.link(f"{BIN}/{NAME}", "/home/user/evil")
    else:
        target = program.parent if "folder" in case else next(program.parent.glob("lib/*.so*"))
        os.chown(target, NOBODY, NOBODY)
        if "folder" in case:
            program.unlink()
            host.script(program)
            os.chown(program, NOBODY, NOBODY)
    ended = host.node("verify")
    assert ended.code == 1, ended
    again = host.install()
    assert again.code != 0 or link.resolve().stat().st_uid == 0
    return f"verify: {ended.stdout.decode().splitlines()[0][:100]}"


@ATTACKS.tries(
    PROGRAM, "a plugin of his stands in the kubelet's config, beside ours, in a bin dir of his", must="it is not run"
)
def another_plugin_of_his(host):
    provider = {
        "name": "evil",
        "matchImages": ["*.example.com"],
        "defaultCacheDuration": "0s",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
    }
    host.at(CONFIG).parent.mkdir(parents=True)
    host.at(CONFIG).write_text(
        json.dumps(
            {"kind": "CredentialProviderConfig", "apiVersion": "kubelet.config.k8s.io/v1", "providers": [provider]}
        )
    )
    host.script(host.at(f"{BIN}/evil"))
    ended = host.install()
    verified = host.node("verify")
    return f"install ended with {ended.code}, verify with {verified.code}"


@ATTACKS.tries(
    PROGRAM,
    "kubelets of his lie where a kubelet is looked for: {}",
    must="none of them is run",
    each=[
        "/usr/bin/kubelet",
        "/usr/local/bin/kubelet",
        "/opt/bin/kubelet",
        "/usr/local/bin/k3s",
        "/usr/bin/systemctl",
        "/usr/bin/nsenter",
    ],
)
def a_program_of_his_by_a_known_name(host, path):
    host.script(host.at(path))
    host.his(path)
    ended = host.node("plan", "--service=systemctl", f"--settings={host.settings}")
    return f"exit code {ended.code}: {ended.stderr.decode().splitlines()[0][:90]}"


@ATTACKS.tries(
    PROGRAM,
    "a unit of the kubelet names a program and files of his",
    must="it is not run, and no file of root's is shown",
)
def a_unit_with_files_of_his(host):
    unit = host.at("/etc/systemd/system/kubelet.service")
    unit.parent.mkdir(parents=True)
    unit.write_text(
        "[Service]\nEnvironmentFile=-/home/user/env\nEnvironmentFile=-/tmp/fifo\n"
        "ExecStart=/home/user/kubelet $KUBELET_EXTRA_ARGS\n"
    )
    host.script(host.at("/home/user/kubelet"))
    host.link("/home/user/env", "/etc/shadow")
    os.mkfifo(host.at("/tmp/fifo"))
    host.his("/tmp/fifo")
    ended = [host.node("plan", "--service=none", f"--settings={host.settings}"), host.install(mode="auto")]
    assert all(each.seconds < 30 for each in ended)
    return f"exit codes {[each.code for each in ended]}: {ended[0].stderr.decode().splitlines()[0][:90]}"


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_local_user_leads_no_installer_astray(attack, host):
    attack.carry_out(host)
