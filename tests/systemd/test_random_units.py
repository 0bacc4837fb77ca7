"""systemd judges our reading of units: what we read, from files and over D-Bus, is what it starts, or we say why not.

UNITS (100) are started, at random by SEED; each failure shows the files of one unit and both readings.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import random
import re
import shutil
import subprocess
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import jeepney.io.blocking  # noqa: F401 - before the process enters the machine, where it is not
import pytest
from acr_node_config.discovery.kubelet_unit import read_unit
from acr_node_config.discovery.unit_files import NO_UNIT
from acr_node_config.hostfs.host_reader import HostReader
from acr_node_config.kubelet.service_manager import DbusServiceManager
from acr_node_config.model.command_line import UNKNOWN
from acr_node_config.model.errors import ServiceError
from acr_node_config.model.facts import ABSENT
from systemd.machine import Machine
from systemd.random_units import NAMES, Maker

COUNT = int(os.environ.get("UNITS", "100"))
SEED = int(os.environ.get("SEED", "1"))
AT_ONCE = 250
NOT_SAID = "systemd does not say it over D-Bus, which takes no bytes that are no text"
NO_COMMAND = "no unit, masked or without a command"
TWO_NAMES = "an alias, and a specifier of the name"
MOST_REFUSED = 0.3
"""The share that we may refuse: the units here are odder than any that we know."""


class Bare(Machine):
    """A machine without a kubelet, with a program that tells how it was started."""

    def _put_kubelet(self, version: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "tell"
            subprocess.run(
                ["gcc", "-static", "-O", "-o", str(program), str(Path(__file__).with_name("tell.c"))], check=True
            )
            self.write("/usr/bin/tell", program.read_bytes(), 0o755)
        self.write("/etc/systemd/system/service.d/30-all.conf", "[Service]\nEnvironment=G=all\n")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = Path("/dev/shm") / f"acr-{tmp_path_factory.mktemp('random').name}-{random.getrandbits(32):x}"
    with Bare(folder) as machine:
        yield machine
    shutil.rmtree(folder, ignore_errors=True)


def within(machine, work):
    """Return what *work* returns in a process of the machine."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            namespaces = [open(f"/proc/{machine.leader}/ns/{kind}") for kind in ("pid", "mnt")]  # noqa: SIM115 - it ends
            assert all(ctypes.CDLL(None).setns(namespace.fileno(), 0) == 0 for namespace in namespaces)
            if inner := os.fork():  # a child is in the PID namespace, as /proc/self wants it
                os.waitpid(inner, 0)
                return None
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(pickle.dumps(work()))
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(answer)


def put(machine, units) -> None:
    for unit in units:
        for path, content in unit.files.items():
            file = machine.inside / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        for path, target in unit.links.items():
            link = machine.inside / path.lstrip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(link):
                link.symlink_to(target)


def started(machine, units) -> dict:
    """Start *units*; return what each one's program told: words and variables, for each time it ran."""
    told = machine.inside / "run/told"
    shutil.rmtree(told, ignore_errors=True)
    told.mkdir()
    machine.run("systemctl", "daemon-reload", timeout=300)
    for at in range(0, len(units), AT_ONCE):
        names = [unit.start for unit in units[at : at + AT_ONCE]]
        machine.run("systemctl", "start", "--", *names, timeout=600)
    by_base = {base(path.name): runs(path.read_bytes()) for path in told.iterdir()}
    return {unit.start: by_base.get(base(unit.start), []) for unit in units}


def base(name) -> str:
    """Return what all names of one unit begin with, and those of no other one."""
    return name.partition("x")[0]


def runs(content: bytes) -> list:
    parts = content.decode("utf-8", "surrogateescape").split("\0")[:-1]
    count = int(parts[0])
    return [(parts[1 : count + 1], dict(part.split("=", 1) for part in parts[count + 1 :] if "=" in part))]


def verdict(unit, told) -> str:
    """Return "" if *unit* is what was started, why we refuse to say, or the difference, which begins with !."""
    if refusal := refused(unit):
        if refusal not in (NO_COMMAND, NO_UNIT, ABSENT):
            return refusal
        return f"! started, and we say: {refusal}" if told else ""  # we say that it is not started
    if not told:
        return f"! not started, and we read {unit.words()}"
    words, variables = told[0]
    ours = unit.variables()
    differing = {
        name: (ours.get(name), variables.get(name)) for name in (*NAMES, "G") if ours.get(name, "") is not None
    }
    differing = {name: pair for name, pair in differing.items() if pair[0] != pair[1]}
    if unit.words() != words or differing:
        return f"! we read {unit.words()}, started was {words}; variables (ours, started): {differing}"
    return ""


def refused(unit) -> str:
    """Return why we do not say what is started, "" if we do."""
    if unit == NOT_SAID:
        return NOT_SAID
    if unit is None:
        return NO_COMMAND
    problems = [unit.problem, *(source.problem for source in unit.environment_files)]
    if any(source.values() is None for source in unit.environment_files):
        problems.append("an environment file that we refuse to read")
    if any(UNKNOWN in word for word in unit.words()):
        problems.append("a word that only systemd knows")
    return next(filter(None, problems), "")


def asked(bus):
    """Return a way to ask *bus* of which no failure is made up for by reading files."""

    def ask(name):
        try:
            return bus.text(name)
        except ServiceError as error:
            raise RuntimeError(str(error)) from None

    return ask


def reading(tree, name, ask):
    try:
        return read_unit(tree, name, ask)
    except RuntimeError:
        return NOT_SAID


def has_two_names(made) -> bool:
    """True if the unit has an alias, and says its own name, which is the one that it was first loaded by."""
    names = re.compile(rb"%[nNpPjJ]")
    return any("alias" in path for path in made.links) and any(map(names.search, made.files.values()))


def judged(machine, seed, count, *, readers=("files", "bus")) -> Counter:
    """Have systemd judge *count* units; return how often we refused, and why."""
    maker = Maker(random.Random(seed))
    units = [maker.unit(seed * 100_000 + number) for number in range(count)]
    put(machine, units)
    told = started(machine, units)
    bus = DbusServiceManager("/run/dbus/system_bus_socket")
    ways = {"files": None, "bus": asked(bus)}

    def read():
        tree = HostReader("/")
        return {(reader, unit.start): reading(tree, unit.start, ways[reader]) for reader in readers for unit in units}

    found = within(machine, read)
    refusals: Counter = Counter()
    wrong = []
    for unit in units:
        for reader in readers:
            is_open = reader == "bus" and has_two_names(unit)
            said = TWO_NAMES if is_open else verdict(found[reader, unit.start], told[unit.start])
            if said.startswith("!"):
                wrong.append(f"{reader}: {said}\n{unit.shown()}")
            elif said:
                refusals[reader, said] += 1
    assert not wrong, f"{len(wrong)} of {count} units, SEED={seed}:\n" + "\n\n".join(wrong[:12])
    return refusals


def test_what_we_read_is_what_systemd_starts(machine, record_property):
    for seed in range(SEED, SEED + max(1, COUNT // 500)):
        count = min(COUNT, 500)
        refusals = judged(machine, seed, count)
        record_property(f"refused with SEED={seed}", dict(refusals))
        for reader in ("files", "bus"):
            share = sum(number for (which, _), number in refusals.items() if which == reader) / count
            assert share < MOST_REFUSED, refusals


def test_variables_of_systemd_itself_are_asked_of_it(machine):
    machine.run("systemctl", "set-environment", "A=of the manager", "B=b 'c d'")
    try:
        judged(machine, 7000 + SEED, min(COUNT, 100), readers=("bus",))
    finally:
        machine.run("systemctl", "unset-environment", "A", "B")
