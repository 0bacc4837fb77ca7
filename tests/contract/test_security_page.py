"""The threat model names code, tests and bounds that exist, and each bound as the code has it."""

import dataclasses
import importlib
import re
import subprocess

import pytest
from support import security_page
from support.harness import ROOT

UNITS = {"s": 1, "h": 3600, "days": 86400, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20}
COUNTS = ("", "characters", "per second")
ELSEWHERE = ("settings.yaml",)
"""Names of files on the page that are no code of ours."""
PARTS_OF_THE_CACHE = r"(/memo|/locks|/store/cache\.db)?/?$"


def defined_tests():
    lines = subprocess.run(
        ["git", "grep", "-hoE", r"def test_\w+", "--", "tests"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return {line.removeprefix("def ") for line in lines.stdout.splitlines()}


def limit(path, name):
    """Return the value of *name* in the module at *path*: a constant, or a default of a dataclass in it."""
    (file,) = security_page.files_at(path)
    code = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts[1:]))
    owner, _, field = name.rpartition(".")
    if not owner:
        return getattr(code, name)
    return {entry.name: entry.default for entry in dataclasses.fields(getattr(code, owner))}[field]


def test_each_file_that_it_names_exists():
    named = [path for path in security_page.code_paths() if not path.startswith("/") and path not in ELSEWHERE]
    assert len(named) > 50
    assert [path for path in named if not security_page.files_at(path)] == []


def test_each_test_that_it_names_exists():
    named = set(re.findall(r"`(test_\w+)`", security_page.text()))
    assert len(named) > 80
    assert named - defined_tests() == set()


@pytest.mark.parametrize(("what", "bound", "code"), security_page.table("bounds"))
def test_each_bound_is_the_codes(what, bound, code):
    path, name = re.fullmatch(r"`([\w./]+)` `([\w.]+)`", code).groups()
    number, _, unit = bound.partition(" ")
    assert limit(path, name) == float(number) * (1 if unit in COUNTS else UNITS[unit]), what


def test_each_path_of_a_node_is_in_the_code():
    """Each folder under *What is stored* stands in the code as it stands on the page, but for the cache's own parts."""
    paths = re.findall(r"^\| `(/(?:etc|var)/[\w./-]+)` \|", security_page.text(), re.MULTILINE)
    folders = {re.sub(PARTS_OF_THE_CACHE, "", path) for path in paths}
    code = "".join(path.read_text() for package in security_page.PACKAGES for path in (ROOT / package).rglob("*.py"))
    assert len(folders) >= 5
    assert [folder for folder in folders if f'"{folder}"' not in code] == []


def test_each_limit_that_a_row_leads_to_is_there():
    page = security_page.text()
    _, limits = page.split("## Known limits\n")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", limits, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {int(number) for number in re.findall(r"\[limit (\d+)\]", page)} <= set(numbers)
