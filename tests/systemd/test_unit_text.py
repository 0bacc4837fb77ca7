"""What a unit says, asked of a systemd in its two ways: D-Bus has the words one by one, systemctl shows text."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from acr_node_config.discovery import unit_files
from acr_node_config.kubelet.service_manager import DbusServiceManager, SystemctlServiceManager
from acr_node_config.model.errors import ServiceError
from systemd.machine import Machine

COUNT = 80
PIECES = (
    "a", "--v=2", "$X", "${X}", " ", "\t", "'", '"', "\\", "`", ";", " ; ", "=", "%", "ü", "\x01", "|",
    "ignore_errors=no", "{", "}", "#", "~", "*", "&", ":", "-", "@", "中",
)  # fmt: skip


class Bare(Machine):
    """A machine without a kubelet: nothing of it is started here."""

    def _put_kubelet(self, version: str) -> None:
        pass


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = Path("/dev/shm") / f"acr-{tmp_path_factory.mktemp('units').name}-{random.getrandbits(32):x}"
    with Bare(folder) as machine:
        yield machine
    shutil.rmtree(folder, ignore_errors=True)


def ways(machine) -> tuple[DbusServiceManager, SystemctlServiceManager]:
    return DbusServiceManager(f"{machine.inside}/run/dbus/system_bus_socket"), SystemctlServiceManager(
        str(machine.inside)
    )


def quoted(word: str) -> str:
    """Return *word* as a unit's file can hold it."""
    hidden = {'"': '\\"', "\\": "\\\\", "%": "%%", "\t": "\\t", "\x01": "\\x01"}
    return '"' + "".join(hidden.get(letter, letter) for letter in word) + '"'


def test_both_ways_say_the_same_of_any_unit(machine):
    chance = random.Random(20)
    made = {}
    for number in range(COUNT):
        words = ["/bin/true", *("".join(chance.choices(PIECES, k=chance.randint(1, 5))) for _ in range(3))]
        variables = [f"V{at}={''.join(chance.choices(PIECES, k=chance.randint(0, 5)))}" for at in range(3)]
        made[f"unit{number}.service"] = words, variables
        lines = ["[Service]", "ExecStart=" + " ".join([words[0], *map(quoted, words[1:])])]
        lines += [f"Environment={quoted(variables[0])} {quoted(variables[1])}", f"Environment={quoted(variables[2])}"]
        lines += ["EnvironmentFile=-/etc/with a space/%p.env", "EnvironmentFile=/etc/*.d/[ab]?.env"]
        lines += ["PassEnvironment=A B", f"UnsetEnvironment=C {quoted(variables[0])}"]
        (machine.inside / f"etc/systemd/system/unit{number}.service").write_text("\n".join(lines) + "\n")
    machine.run("systemctl", "daemon-reload")
    bus, systemctl = ways(machine)

    for name, (words, variables) in made.items():
        known = bus.text(name)
        assert (list(known.command), list(known.environment)) == (words, variables), name
        assert known.files == ((f"/etc/with a space/{name[:-8]}.env", True), ("/etc/*.d/[ab]?.env", False))
        assert (known.passed, known.unset) == (("A", "B"), ("C", variables[0]))
        assert unit_files.parse([(machine.inside / f"etc/systemd/system/{name}").read_bytes()], name) == replace(
            known, inherited=None
        )
        assert systemctl.text(name) == known


def test_a_unit_that_was_changed_since_systemd_read_it_is_not_guessed_at(machine):
    unit = machine.inside / "etc/systemd/system/stale.service"
    unit.write_text("[Service]\nExecStart=/bin/sleep 1000\nEnvironment=A=1\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "stale.service")
    systemctl = ways(machine)[1]
    assert systemctl.text("stale.service").command == ("/bin/sleep", "1000")

    for setting in ("ExecStart=/bin/sleep 1001\nEnvironment=A=1", "ExecStart=/bin/sleep 1000\nEnvironment=A=2"):
        unit.write_text(f"[Service]\n{setting}\n")
        with pytest.raises(ServiceError) as raised:
            systemctl.text("stale.service")
        assert "daemon-reload" in raised.value.remedy


@pytest.mark.parametrize(
    "drop_ins",
    [
        ["ExecStart=\nExecStart=-/usr/bin/kubelet \\\n  # why\n  $KUBELET_EXTRA_ARGS --b 'c d'"],
        ["Environment=\nEnvironment='A=b c' \"D=e\\x20f\" G=h", "Environment=A=later"],
        ["EnvironmentFile=\nEnvironmentFile=-/etc/%N/%i.env"],
        ["ExecStart=\nExecStart=@/usr/bin/kubelet kubelet --name=%p"],
    ],
    ids=["reset command", "several assignments in a line", "reset files with specifiers", "another first word"],
)
def test_drop_ins_come_to_the_same_in_both_ways_and_in_their_files(machine, drop_ins):
    folder = machine.inside / "etc/systemd/system/node@one.service.d"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    main = "[Service]\nEnvironment=A=1\nEnvironmentFile=/etc/default/%p\nExecStart=/bin/true\n"
    (folder.parent / "node@.service").write_text(main)
    texts = [main.encode()]
    for number, text in enumerate(drop_ins):
        (folder / f"{number}.conf").write_text(f"[Service]\n{text}\n")
        texts.append(f"[Service]\n{text}\n".encode())
    machine.run("systemctl", "daemon-reload")
    bus, systemctl = ways(machine)

    known = bus.text("node@one.service")

    assert systemctl.text("node@one.service") == known
    read = unit_files.parse(texts, "node@one.service")
    assert (read.command, read.files) == (known.command, known.files)
