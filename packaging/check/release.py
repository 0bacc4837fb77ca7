"""Checks whether this commit can be released, and prints every problem with its remedy."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

from dist import archives
from freeze import inventory
from freeze.bundles import BUNDLES, NAME, REPOSITORY
from generate import chart_version, error_reference, settings_reference, settings_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The files that may name a version: the one that defines it, the changelog, the chart, and versions of other software.
MAY_NAME_IT = (
    *("CHANGELOG.md", "provider/acr_credential_provider/version.py", "packaging/chart/Chart.yaml"),
    *("docs/tested-with", "packaging/requirements/", "tests/"),
)


def tree_problems(changed: list[str]) -> Iterator[str]:
    """Yield what is wrong with a tree in which *changed* are the lines of ``git status``."""
    if changed:
        yield f"{len(changed)} files are not committed: commit them, or put them aside"


def version_problems(version: str, changelog: str, elsewhere: list[str]) -> Iterator[str]:
    """Yield what is wrong with *version*, that of version.py; *elsewhere* are the files that name it too."""
    _, *parts = re.split(r"^## (.+)$", changelog, flags=re.MULTILINE)
    entries = {head: re.findall(r"^- ", text, re.MULTILINE) for head, text in zip(parts[::2], parts[1::2], strict=True)}
    released = [head for head in entries if head != "Unreleased"]
    if not released or released[0].partition(" ")[0] != version:
        yield f"CHANGELOG.md has no section for {version} on top: name it '## {version} (YYYY-MM-DD)'"
    else:
        if not re.fullmatch(re.escape(version) + r" \(\d{4}-\d\d-\d\d\)", released[0]):
            yield f"the section for {version} in CHANGELOG.md has no date: '## {version} (YYYY-MM-DD)'"
        if not entries[released[0]]:
            yield f"the section for {version} in CHANGELOG.md says nothing: write what operators notice"
    if released and entries.get("Unreleased"):
        yield "CHANGELOG.md has notes under Unreleased: move them to the version's section"
    for file in elsewhere:
        if not file.startswith(MAY_NAME_IT):
            yield f"{file} names {version}: leave it to version.py, or write VERSION"


def tag_problems(version: str, here: list[str], everywhere: list[str]) -> Iterator[str]:
    """Yield what is wrong with the tags of this commit (*here*) and of all (*everywhere*), for *version*."""
    for tag in here:
        if tag.startswith("v") and tag != f"v{version}":
            yield f"this commit has the tag {tag}, and the version is {version}: correct one of them"
    if f"v{version}" in here:
        return
    if f"v{version}" in everywhere:
        yield f"another commit has the tag v{version}: give version.py a new version, make version"
    else:
        yield f"this commit has no tag v{version}: git tag v{version}, once nothing else is in the way"


def stale_files(written: dict[str, str], root: Path) -> Iterator[str]:
    """Yield which of the files that are *written* by programs are not as these write them now."""
    for file, text in written.items():
        if (root / file).read_text() != text:
            yield f"{file} is not what the code says now: make schema remedies version"


def dist_problems(folder: Path, version: str, commit: str) -> Iterator[str]:
    """Yield what is wrong with dist/ at *folder*, for *version* at *commit*."""
    stems = {
        architecture: [archives.stem_of(bundle, version, architecture) for bundle in BUNDLES.values()]
        for architecture in archives.ARCHITECTURES.values()
    }
    wanted = {
        f"{stem}{kind}": f"make dist ARCH={architecture}"
        for architecture, names in stems.items()
        for stem in names
        for kind in (".tar.gz", ".cdx.json", ".vex.cdx.json")
    }
    others = (f"{NAME}-{version}.tgz", f"{NAME}-manifests-{version}.tar.gz", f"{NAME}-{version}.oci.tar", "SHA256SUMS")
    wanted |= dict.fromkeys(others, "make dist")
    there = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    for name in sorted(there - wanted.keys()):
        yield f"dist/ has {name}, which is nothing of version {version}: remove it, then make dist"
    if lacking := [name for name in wanted if name not in there]:
        for name in lacking:
            yield f"dist/ lacks {name}: {wanted[name]}"
        return
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    for name in sorted(there - {"SHA256SUMS"}):
        if sums.get(name) != hashlib.sha256((folder / name).read_bytes()).hexdigest():
            yield f"{name} is not what SHA256SUMS says: empty dist/, then make dist"
    for architecture, names in stems.items():
        for stem in names:
            yield from archive_problems(folder, stem, commit, f"make dist ARCH={architecture}")
    yield from image_problems(folder / f"{NAME}-{version}.oci.tar", commit)


def archive_problems(folder: Path, stem: str, commit: str, remedy: str) -> Iterator[str]:
    """Yield what is wrong with the bundle *stem* in *folder* and with its SBOM."""
    bill = json.loads((folder / f"{stem}.cdx.json").read_text())
    parts = [bill["metadata"]["component"], *bill["components"]]
    listed = {file["name"]: file["hashes"][0]["content"] for part in parts for file in part.get("components", [])}
    with tarfile.open(folder / f"{stem}.tar.gz") as tar:
        held = dict(elf_digests(tar))
        (info_path,) = [name for name in tar.getnames() if name.endswith("/lib/build-info.json")]
        info = tar.extractfile(info_path)
        made_from = json.load(info)["commit"] if info else ""
    if held != listed:
        yield f"the SBOM of {stem}.tar.gz lists other files than are in it: {remedy}"
    if made_from != commit:
        yield f"{stem}.tar.gz was made from {made_from or 'no commit'}: {remedy}"


def image_problems(file: Path, commit: str) -> Iterator[str]:
    """Yield what is wrong with the OCI archive at *file*: it should be of *commit*, for every architecture."""
    with tarfile.open(file) as tar:
        documents = [document for member in tar if (document := parsed(tar, member)) is not None]
    made_for = {document["architecture"] for document in documents if "rootfs" in document}
    labels = [document["config"]["Labels"] for document in documents if "rootfs" in document]
    for architecture in sorted(set(archives.ARCHITECTURES.values()) - made_for):
        yield f"the image has nothing for {architecture}: make dist ARCH={architecture}"
    for made_from in sorted({label["org.opencontainers.image.revision"] for label in labels} - {commit}):
        yield f"the image was made from {made_from or 'no commit'}: make dist"


def parsed(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any] | None:
    """Return the JSON object that *member* is, if it is one: layers are not."""
    file = tar.extractfile(member) if member.isfile() else None
    content = file.read() if file else b""
    document = json.loads(content) if content.startswith(b"{") else None
    return document if isinstance(document, dict) else None


def elf_digests(tar: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    """Yield (path in the bundle, SHA-256) of each ELF file in *tar*."""
    for member in tar:
        file = tar.extractfile(member) if member.isfile() else None
        content = file.read() if file else b""
        if content.startswith(b"\x7fELF"):
            yield member.name.partition("/")[2], hashlib.sha256(content).hexdigest()


def git(*words: str) -> list[str]:
    """Return the lines that git writes."""
    done = subprocess.run(["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, check=False)  # noqa: S607
    return done.stdout.splitlines()


def main() -> int:
    """Check this tree; return the exit code."""
    version = inventory.version()
    problems = [
        *tree_problems(git("status", "--porcelain")),
        *version_problems(
            version,
            (REPOSITORY / "CHANGELOG.md").read_text(),
            git("grep", "-lF", f'"{version}"') + git("grep", "-lF", f"v{version}"),
        ),
        *stale_files(
            {
                "docs/settings.schema.json": settings_schema.page(),
                "docs/reference/settings.md": settings_reference.page(),
                "docs/remedies.md": error_reference.page(),
                "packaging/chart/Chart.yaml": chart_version.with_version(chart_version.CHART.read_text(), version),
            },
            REPOSITORY,
        ),
        *dist_problems(REPOSITORY / "dist", version, git("rev-parse", "HEAD")[0]),
        *tag_problems(version, git("tag", "--points-at", "HEAD"), git("tag")),
    ]
    for problem in problems:
        what, _, remedy = problem.rpartition(": ")
        sys.stderr.write(f"error: {what}\nremedy: {remedy}\n")
    if not problems:
        sys.stdout.write(f"{NAME} {version} can be released\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
