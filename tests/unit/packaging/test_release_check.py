"""What keeps a commit from being released."""

import pytest
from support.release_archives import dist

from check import release
from dist import archives
from freeze.bundles import NAME

GOOD = """# Changelog

## Unreleased

## 1.2.3 (2026-11-24)

### Added
- Something.

## 1.2.2 (2026-01-01)
- Older.
"""


def test_a_version_that_everything_agrees_on_can_be_released():
    assert list(release.version_problems("1.2.3", GOOD, ["CHANGELOG.md"])) == []


@pytest.mark.parametrize(
    ("told", "changelog", "files", "word"),
    [
        ("1.2.4", GOOD, [], "no section for 1.2.4"),
        ("0.1.0", "# Changelog\n\n## Unreleased\n\n- All.\n", [], "no section for 0.1.0"),
        ("1.2.3", GOOD.replace(" (2026-11-24)", ""), [], "no date"),
        ("1.2.3", GOOD.replace("\n- Something.", ""), [], "says nothing"),
        ("1.2.3", GOOD.replace("Unreleased\n", "Unreleased\n\n- More.\n"), [], "under Unreleased"),
        ("1.2.3", GOOD, ["docs/install/ack.md"], "docs/install/ack.md names 1.2.3"),
    ],
)
def test_a_version_that_something_contradicts_cannot(told, changelog, files, word):
    (problem,) = release.version_problems(told, changelog, files)
    assert word in problem


@pytest.mark.parametrize(
    ("here", "everywhere", "word"),
    [
        ([], ["v1.2.2"], "has no tag v1.2.3: git tag v1.2.3"),
        ([], ["v1.2.2", "v1.2.3"], "another commit has the tag v1.2.3"),
        (["v1.2.2", "v1.2.3"], ["v1.2.2", "v1.2.3"], "this commit has the tag v1.2.2"),
    ],
)
def test_a_tag_that_is_missing_or_of_another_version_is_in_the_way(here, everywhere, word):
    (problem,) = release.tag_problems("1.2.3", here, everywhere)
    assert word in problem
    assert list(release.tag_problems("1.2.3", ["v1.2.3", "nightly"], everywhere)) == []


def test_a_changed_file_is_in_the_way():
    assert list(release.tree_problems([])) == []
    assert "1 files are not committed" in next(release.tree_problems([" M README.md"]))


def test_what_was_packed_from_this_commit_can_be_released(tmp_path):
    dist(tmp_path, "1.2.3", "c0ffee")
    assert list(release.dist_problems(tmp_path, "1.2.3", "c0ffee")) == []


def test_what_was_made_of_another_commit_cannot(tmp_path):
    dist(tmp_path, "1.2.3", "c0ffee")
    problems = list(release.dist_problems(tmp_path, "1.2.3", "decaf"))
    assert len(problems) == 5
    assert all("made from c0ffee" in each for each in problems)


def test_every_file_of_a_release_has_to_be_there_unchanged(tmp_path):
    dist(tmp_path, "1.2.3", "c0ffee")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2 * 2 * 3 + 4
    for name in names:
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        (problem,) = release.dist_problems(tmp_path, "1.2.3", "c0ffee")
        assert f"dist/ lacks {name}" in problem
        (tmp_path / name).write_bytes(content)
    vex = f"{archives.stem_of(archives.BUNDLES['plugin'], '1.2.3', 'amd64')}.vex.cdx.json"
    (tmp_path / vex).write_text("{ }")
    (problem,) = release.dist_problems(tmp_path, "1.2.3", "c0ffee")
    assert f"{vex} is not what SHA256SUMS says" in problem


def test_a_file_of_another_version_is_not_published_along(tmp_path):
    dist(tmp_path, "1.2.3", "c0ffee")
    (tmp_path / f"{NAME}-1.2.2.tgz").write_text("old")
    (tmp_path / "SHA256SUMS").write_text(archives.checksums(tmp_path))
    (problem,) = release.dist_problems(tmp_path, "1.2.3", "c0ffee")
    assert f"{NAME}-1.2.2.tgz, which is nothing of version 1.2.3" in problem


def test_before_the_first_build_all_is_missing(tmp_path):
    assert len(list(release.dist_problems(tmp_path / "dist", "1.2.3", "c0ffee"))) == 2 * 2 * 3 + 4


def test_an_sbom_of_another_build_is_found_out(tmp_path):
    dist(tmp_path, "1.2.3", "c0ffee", listed=b"\x7fELF 2")
    problems = list(release.dist_problems(tmp_path, "1.2.3", "c0ffee"))
    assert len(problems) == 4
    assert all("lists other files" in each for each in problems)


def test_an_image_of_one_architecture_is_not_enough(tmp_path):
    dist(tmp_path, "1.2.3", "c0ffee", architectures=("amd64",))
    (problem,) = release.dist_problems(tmp_path, "1.2.3", "c0ffee")
    assert problem == "the image has nothing for arm64: make dist ARCH=arm64"


def test_a_page_that_a_program_writes_and_did_not_is_named(tmp_path):
    (tmp_path / "page.md").write_text("old")
    assert "page.md" in next(release.stale_files({"page.md": "new"}, tmp_path))
    assert list(release.stale_files({"page.md": "old"}, tmp_path)) == []
