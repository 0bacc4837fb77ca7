"""Says whether this commit can be released, and what is in the way: each with its remedy, all at once."""

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
from generate import chart_version, error_reference, settings_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Where a version of ours may stand: its one place, what happened in each, and what is about others' versions.
MAY_NAME_IT = (
    *("CHANGELOG.md", "provider/acr_credential_provider/version.py", "packaging/chart/Chart.yaml"),
    *("packaging/requirements/", "tests/"),
)


def tree(changed: list[str]) -> Iterator[str]:
    """Yield what is wrong with a tree in which *changed* are the lines of ``git status``."""
    if changed:
        yield f"{len(changed)} files are not committed: commit them, or put them aside"


def version(told: str, changelog: str, elsewhere: list[str]) -> Iterator[str]:
    """Yield what is wrong with the version *told* by version.py; *elsewhere* are the files that name it too."""
    _, *parts = re.split(r"^## (.+)$", changelog, flags=re.MULTILINE)
    notes = {head: re.findall(r"^- ", text, re.MULTILINE) for head, text in zip(parts[::2], parts[1::2], strict=True)}
    released = [head for head in notes if head != "Unreleased"]
    if not released or released[0].partition(" ")[0] != told:
        yield f"CHANGELOG.md has no section for {told} on top: name it '## {told} (YYYY-MM-DD)'"
    else:
        if not re.fullmatch(re.escape(told) + r" \(\d{4}-\d\d-\d\d\)", released[0]):
            yield f"the section for {told} in CHANGELOG.md has no date: '## {told} (YYYY-MM-DD)'"
        if not notes[released[0]]:
            yield f"the section for {told} in CHANGELOG.md says nothing: write what operators notice"
    if released and notes.get("Unreleased"):
        yield "CHANGELOG.md has notes under Unreleased: move them to the version's section"
    for file in elsewhere:
        if not file.startswith(MAY_NAME_IT):
            yield f"{file} names {told}: leave it to version.py, or write VERSION"


def tagged(told: str, here: list[str], everywhere: list[str]) -> Iterator[str]:
    """Yield what is wrong with the tags of this commit (*here*) and of all (*everywhere*), for the version *told*."""
    for tag in here:
        if tag.startswith("v") and tag != f"v{told}":
            yield f"this commit has the tag {tag}, and the version is {told}: correct one of them"
    if f"v{told}" in here:
        return
    if f"v{told}" in everywhere:
        yield f"another commit has the tag v{told}: give version.py a new version, make version"
    else:
        yield f"this commit has no tag v{told}: git tag v{told}, once nothing else is in the way"


def generated(written: dict[str, str], root: Path) -> Iterator[str]:
    """Yield which of the files that are *written* by programs are not as these write them now."""
    for file, text in written.items():
        if (root / file).read_text() != text:
            yield f"{file} is not what the code says now: make schema remedies version"


def packed(folder: Path, told: str, commit: str) -> Iterator[str]:
    """Yield what is wrong with dist/ at *folder*, for version *told* at *commit*."""
    stems = {
        architecture: [archives.stem_of(bundle, told, architecture) for bundle in BUNDLES.values()]
        for architecture in archives.ARCHITECTURES.values()
    }
    wanted = {
        f"{stem}{kind}": f"make dist ARCH={architecture}"
        for architecture, each in stems.items()
        for stem in each
        for kind in (".tar.gz", ".cdx.json", ".vex.cdx.json")
    }
    others = (f"{NAME}-{told}.tgz", f"{NAME}-manifests-{told}.tar.gz", f"{NAME}-{told}.oci.tar", "SHA256SUMS")
    wanted |= dict.fromkeys(others, "make dist")
    there = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    for name in sorted(there - wanted.keys()):
        yield f"dist/ has {name}, which is nothing of version {told}: remove it, then make dist"
    if lacking := [name for name in wanted if name not in there]:
        for name in lacking:
            yield f"dist/ lacks {name}: {wanted[name]}"
        return
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    for name in sorted(there - {"SHA256SUMS"}):
        if sums.get(name) != hashlib.sha256((folder / name).read_bytes()).hexdigest():
            yield f"{name} is not what SHA256SUMS says: empty dist/, then make dist"
    for architecture, each in stems.items():
        for stem in each:
            yield from archive(folder, stem, commit, f"make dist ARCH={architecture}")
    yield from image(folder / f"{NAME}-{told}.oci.tar", commit)


def archive(folder: Path, stem: str, commit: str, remedy: str) -> Iterator[str]:
    """Yield what is wrong with the bundle *stem* in *folder* and with its SBOM."""
    bill = json.loads((folder / f"{stem}.cdx.json").read_text())
    parts = [bill["metadata"]["component"], *bill["components"]]
    listed = {each["name"]: each["hashes"][0]["content"] for part in parts for each in part.get("components", [])}
    with tarfile.open(folder / f"{stem}.tar.gz") as tar:
        held = dict(elf_digests(tar))
        (told,) = [name for name in tar.getnames() if name.endswith("/lib/build-info.json")]
        info = tar.extractfile(told)
        made_from = json.load(info)["commit"] if info else ""
    if held != listed:
        yield f"the SBOM of {stem}.tar.gz lists other files than are in it: {remedy}"
    if made_from != commit:
        yield f"{stem}.tar.gz was made from {made_from or 'no commit'}: {remedy}"


def image(file: Path, commit: str) -> Iterator[str]:
    """Yield what is wrong with the OCI archive at *file*: it is to be *commit*'s, for every architecture."""
    with tarfile.open(file) as tar:
        documents = [document for member in tar if (document := parsed(tar, member)) is not None]
    made_for = {each["architecture"] for each in documents if "rootfs" in each}
    labels = [each["config"]["Labels"] for each in documents if "rootfs" in each]
    for architecture in sorted(set(archives.ARCHITECTURES.values()) - made_for):
        yield f"the image has nothing for {architecture}: make dist ARCH={architecture}"
    for made_from in sorted({each["org.opencontainers.image.revision"] for each in labels} - {commit}):
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
    done = subprocess.run(["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout.splitlines()


def main() -> int:
    """Check this tree; return the exit code."""
    told = inventory.version()
    problems = [
        *tree(git("status", "--porcelain")),
        *version(
            told,
            (REPOSITORY / "CHANGELOG.md").read_text(),
            git("grep", "-lF", f'"{told}"') + git("grep", "-lF", f"v{told}"),
        ),
        *generated(
            {
                "docs/settings.schema.json": settings_schema.page(),
                "docs/remedies.md": error_reference.page(),
                "packaging/chart/Chart.yaml": chart_version.with_version(chart_version.CHART.read_text(), told),
            },
            REPOSITORY,
        ),
        *packed(REPOSITORY / "dist", told, git("rev-parse", "HEAD")[0]),
        *tagged(told, git("tag", "--points-at", "HEAD"), git("tag")),
    ]
    for problem in problems:
        what, _, remedy = problem.rpartition(": ")
        sys.stderr.write(f"error: {what}\nremedy: {remedy}\n")
    if not problems:
        sys.stdout.write(f"{NAME} {told} can be released\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
