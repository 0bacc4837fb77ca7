"""Each variable that a part of the bundles reads is in the table of `freeze.environment_variables`, and has its effect.

The table is compared with the parts themselves, so that a newer library cannot bring a new variable unseen.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from support import harness
from support.harness import FROZEN, ROOT

from freeze.environment_variables import VARIABLES, Effect

if TYPE_CHECKING:
    from pathlib import Path

BUILDS = {"plugin": ROOT / "build/freeze", "controller": ROOT / "build/freeze-controller"}
READERS = re.compile(r"(_?os\.)?(environb?\.(get|pop|setdefault)|getenvb?)$")
MAPPING = re.compile(r"(_?os\.)?environb?$")
LOGGER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char *find(const char *which, const char *name)
{
	int file = open(PLACE, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	char line[256] = "";
	strncpy(line, name, sizeof line - 2);
	line[strlen(line)] = '\n';
	if (file >= 0 && write(file, line, strlen(line)) >= 0)
		close(file);
	return ((char *(*)(const char *))dlsym(RTLD_NEXT, which))(name);
}

char *getenv(const char *name) { return find("getenv", name); }
char *secure_getenv(const char *name) { return find("secure_getenv", name); }
"""


def unknown(names):
    """Return those of *names* that the table does not have."""
    return sorted(name for name in names if not any(variable.covers(name) for variable in VARIABLES))


def modules_of(build: Path) -> list[Path]:
    """Return the sources of all Python modules that are packed into a bundle."""
    (table,) = build.rglob("PYZ-00.toc")
    lists = [part for part in ast.literal_eval(table.read_text()) if isinstance(part, list)]
    return [path for part in lists for _, file, *_ in part if (path := ROOT / file).suffix == ".py" and path.exists()]


def names_in(source: str) -> set[str]:
    """Return the variables that *source* reads by a name in it."""
    tree = ast.parse(source)
    is_wsgi = "wsgi" in source.lower() and "import os" not in source
    found = set()
    for node in ast.walk(tree):
        key = None
        if isinstance(node, ast.Call) and node.args and READERS.match(ast.unparse(node.func)):
            key = node.args[0]
        elif isinstance(node, ast.Subscript) and MAPPING.match(ast.unparse(node.value)):
            key = node.slice
        elif isinstance(node, ast.Compare) and MAPPING.match(ast.unparse(node.comparators[0])):
            key = node.left
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and not is_wsgi:
            found.add(key.value)
    return found


@pytest.mark.parametrize("program", BUILDS)
def test_no_python_module_of_a_bundle_reads_a_variable_that_is_not_in_the_table(program):
    if not BUILDS[program].exists():
        pytest.skip(f"the {program} is not built here")
    read = {}
    for path in modules_of(BUILDS[program]):
        # Servers call a request's own values "environ".
        if "wsgi" in path.name or path.parent.name == "wsgiref" or path.name == "exposition.py":
            continue
        for name in names_in(path.read_text()):
            read.setdefault(name, path)
    assert "SSL_CERT_FILE" in read
    assert unknown(read) == []


def test_no_variable_of_the_c_library_is_missing():
    """Its loader has the list of those that it removes for programs of other users: they have effects."""
    loader = (FROZEN.parent / "lib/ld-linux-x86-64.so.2").read_bytes()
    blocks = re.findall(rb"(?:[A-Z][A-Z0-9_]{1,30}\0){8,}", loader)
    names = {name for block in blocks if b"GCONV_PATH\0" in block for name in block.decode().rstrip("\0").split("\0")}
    assert {"GCONV_PATH", "RES_OPTIONS", "TZDIR"} <= names
    assert unknown(names) == []


@pytest.fixture
def logger(tmp_path):
    """A library that notes what a process looks up in its environment, and the file of notes."""
    source, library, notes = tmp_path / "logger.c", tmp_path / "logger.so", tmp_path / "notes"
    source.write_text(LOGGER)
    place = f'-DPLACE="{notes}"'
    subprocess.run(["gcc", "-shared", "-fPIC", place, "-o", str(library), str(source), "-ldl"], check=True)
    return library, notes


def test_nothing_is_looked_up_while_it_runs_that_is_not_in_the_table(sandbox, tmp_path, logger):
    """The same program without its launcher, which would drop LD_PRELOAD."""
    library, notes = logger
    (plain,) = (BUILDS["plugin"] / "plain").glob("*/aliyun-acr-credential-provider")
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps(sandbox.settings()))
    settings.chmod(0o600)
    program = harness.Program((str(plain),), settings, tmp_path / "cache")
    environment = {"env": {**os.environ, **harness.HERE_ONLY, "LD_PRELOAD": str(library)}}
    image = f"{sandbox.registry.address}/team/app"
    assert program.ask(image, **environment).code == 0
    paths = ("--settings", str(settings), "--cache", str(program.cache))
    for words in (("settings", "validate", str(settings)), ("cache", "show", *paths), ("explain", image, *paths)):
        assert program.run(b"", *words, **environment).code == 0
    read = set(notes.read_text().split())
    assert {"OPENSSL_CONF", "SQLITE_TMPDIR"} <= read
    assert unknown(read) == []


def names(*effects):
    """Return a name for each row of the table with one of *effects*."""
    return [row.name.replace("*", "X") for row in VARIABLES if row.effect in effects]


SPECIAL = ("PATH",)  # the test itself needs it
VALUES = {"a file that never answers": "{fifo}", "a number": "99999999999999999999", "a word": "sdk", "nothing": ""}


@pytest.mark.parametrize("value", VALUES)
def test_what_is_dropped_or_harmless_changes_no_answer(frozen, sandbox, tmp_path, value):
    os.mkfifo(tmp_path / "fifo")
    text = VALUES[value].format(fifo=tmp_path / "fifo")
    hostile = dict.fromkeys(names(Effect.DROPPED, Effect.HARMLESS, Effect.SET_ASIDE), text)
    hostile |= {"OPENSSL_CONF": text, "OPENSSL_ia32cap": text, "PYTHONTZPATH": text, "SQLITE_TMPDIR": text}
    hostile |= {"LD_PRELOAD": text, "MALLOC_TRACE": text, "PYTHONHOME": text, "_PYTHON_SYSCONFIGDATA_NAME": text}
    hostile |= {"ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAI-of-somebody", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": text}
    hostile = {name: each for name, each in hostile.items() if name not in SPECIAL}
    host = sandbox.registry.address
    for _ in ("miss", "hit"):
        ended = frozen.ask(f"{host}/team/app", env={**os.environ, **hostile, **harness.HERE_ONLY}, timeout=40)
        assert (ended.code, ended.stderr) == (0, b"")
        assert ended.login(host)
        assert ended.seconds < 10.0
    assert sandbox.calls.counts() == {"GetAuthorizationToken": 1}
