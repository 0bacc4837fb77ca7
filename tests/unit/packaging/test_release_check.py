"""What keeps a commit from being released."""

import hashlib
import io
import json
import tarfile

import pytest
import release_check
from bundles import NAME

GOOD = """# Changelog

## Unreleased

## 1.2.3 (2026-11-24)

### Added
- Something.

## 1.2.2 (2026-01-01)
- Older.
"""


def test_a_version_that_everything_agrees_on_can_be_released():
    assert list(release_check.version("1.2.3", GOOD, ["v1.2.3"], ["CHANGELOG.md"])) == []


@pytest.mark.parametrize(
    ("told", "changelog", "tags", "files", "word"),
    [
        ("1.2.4", GOOD, [], [], "no section for 1.2.4"),
        ("0.1.0", "# Changelog\n\n## Unreleased\n\n- All.\n", [], [], "no section for 0.1.0"),
        ("1.2.3", GOOD.replace(" (2026-11-24)", ""), [], [], "no date"),
        ("1.2.3", GOOD.replace("\n- Something.", ""), [], [], "says nothing"),
        ("1.2.3", GOOD.replace("Unreleased\n", "Unreleased\n\n- More.\n"), [], [], "under Unreleased"),
        ("1.2.3", GOOD, ["v1.2.2"], [], "the tag v1.2.2"),
        ("1.2.3", GOOD, [], ["packaging/chart/Chart.yaml"], "packaging/chart/Chart.yaml names 1.2.3"),
    ],
)
def test_a_version_that_something_contradicts_cannot(told, changelog, tags, files, word):
    (problem,) = release_check.version(told, changelog, tags, files)
    assert word in problem


def test_a_changed_file_is_in_the_way():
    assert list(release_check.tree([])) == []
    assert "1 files are not committed" in next(release_check.tree([" M README.md"]))


def dist(folder, *, commit="c0ffee", listed=b"\x7fELF 1", inside=b"\x7fELF 1"):
    """Make what `make dist` makes, of one ELF file."""
    stem = folder / f"{NAME}-1.2.3-linux-amd64"
    with tarfile.open(f"{stem}.tar.gz", "w:gz") as tar:
        info = json.dumps({"commit": commit}).encode()
        for name, content in ((f"{NAME}/{NAME}", inside), (f"{NAME}/lib/build-info.json", info)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    file = {"name": NAME, "hashes": [{"content": hashlib.sha256(listed).hexdigest()}]}
    bill = {"metadata": {"component": {"components": [file]}}, "components": []}
    (folder / f"{stem.name}.cdx.json").write_text(json.dumps(bill))
    sums = [f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in folder.iterdir()]
    (folder / "SHA256SUMS").write_text("".join(sums))


def test_what_was_packed_from_this_commit_can_be_released(tmp_path):
    dist(tmp_path)
    assert list(release_check.packed(tmp_path, "1.2.3", "c0ffee")) == []


def test_what_was_not_packed_or_of_another_commit_or_changed_since_cannot(tmp_path):
    assert "no archive" in next(release_check.packed(tmp_path, "1.2.3", "c0ffee"))
    dist(tmp_path)
    assert "made from c0ffee" in next(release_check.packed(tmp_path, "1.2.3", "decaf"))
    (tmp_path / f"{NAME}-1.2.3-linux-amd64.vex.cdx.json").write_text("{}")
    assert "is not what SHA256SUMS says" in next(release_check.packed(tmp_path, "1.2.3", "c0ffee"))


def test_an_sbom_of_another_build_is_found_out(tmp_path):
    dist(tmp_path, listed=b"\x7fELF 2")
    assert "lists other files" in next(release_check.packed(tmp_path, "1.2.3", "c0ffee"))


def test_a_page_that_a_program_writes_and_did_not_is_named(tmp_path):
    (tmp_path / "page.md").write_text("old")
    assert "page.md" in next(release_check.generated({"page.md": "new"}, tmp_path))
    assert list(release_check.generated({"page.md": "old"}, tmp_path)) == []
