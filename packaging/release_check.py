"""Says whether this commit can be released, and what is in the way: each with its remedy, all at once."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import inventory
import remedies
from bundles import NAME, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Where a version of ours may stand: its one place, what happened in each, and what is about others' versions.
MAY_NAME_IT = ("CHANGELOG.md", "provider/acr_credential_provider/version.py", "packaging/requirements/", "tests/")


def tree(changed: list[str]) -> Iterator[str]:
    """Yield what is wrong with a tree in which *changed* are the lines of ``git status``."""
    if changed:
        yield f"{len(changed)} files are not committed: commit them, or put them aside"


def version(told: str, changelog: str, tags: list[str], elsewhere: list[str]) -> Iterator[str]:
    """Yield what is wrong with the version *told* by version.py.

    *tags* are those of this commit, *elsewhere* the files that name the version too.
    """
    heads = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    released = [head for head in heads if head != "Unreleased"]
    if not released or released[0].partition(" ")[0] != told:
        yield f"CHANGELOG.md has no section for {told} on top: name it '## {told} (YYYY-MM-DD)'"
    else:
        if not re.fullmatch(re.escape(told) + r" \(\d{4}-\d\d-\d\d\)", released[0]):
            yield f"the section for {told} in CHANGELOG.md has no date: '## {told} (YYYY-MM-DD)'"
        section = changelog.partition(f"## {released[0]}\n")[2].partition("\n## ")[0]
        if "\n- " not in section:
            yield f"the section for {told} in CHANGELOG.md says nothing: write what operators notice"
    unreleased = changelog.partition("## Unreleased\n")[2].partition("\n## ")[0]
    if released and "\n- " in unreleased:
        yield "CHANGELOG.md has notes under Unreleased: move them to the version's section"
    for tag in tags:
        if tag.startswith("v") and tag != f"v{told}":
            yield f"this commit has the tag {tag}, and the version is {told}: correct one of them"
    for file in elsewhere:
        if not file.startswith(MAY_NAME_IT):
            yield f"{file} names {told}: leave it to version.py, or write VERSION"


def generated(written: dict[str, str], root: Path) -> Iterator[str]:
    """Yield which of the files that are *written* by programs are not as these write them now."""
    for file, text in written.items():
        if (root / file).read_text() != text:
            yield f"{file} is not what the code says now: make schema remedies"


def packed(folder: Path, told: str, commit: str) -> Iterator[str]:
    """Yield what is wrong with dist/ at *folder*, for version *told* at *commit*."""
    archives = sorted(folder.glob(f"{NAME}-{told}-linux-*.tar.gz"))
    if not archives:
        yield "dist/ has no archive of this version: make dist"
        return
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    for file in sorted(folder.iterdir()):
        if file.name != "SHA256SUMS" and sums.get(file.name) != hashlib.sha256(file.read_bytes()).hexdigest():
            yield f"{file.name} is not what SHA256SUMS says: empty dist/, then make dist"
    for archive in archives:
        bill = json.loads((folder / archive.name.replace(".tar.gz", ".cdx.json")).read_text())
        parts = [bill["metadata"]["component"], *bill["components"]]
        listed = {each["name"]: each["hashes"][0]["content"] for part in parts for each in part.get("components", [])}
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as tar:
            held = dict(elf_digests(tar))
            info = tar.extractfile(f"{NAME}/lib/build-info.json")
            made_from = json.load(info)["commit"] if info else ""
        if held != listed:
            yield f"the SBOM of {archive.name} lists other files than are in it: make dist"
        if made_from != commit:
            yield f"{archive.name} was made from {made_from or 'no commit'}: make dist from this one"


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
    schema = subprocess.run(  # noqa: S603
        [sys.executable, str(REPOSITORY / "packaging/schema.py")], capture_output=True, text=True, check=True
    ).stdout
    problems = [
        *tree(git("status", "--porcelain")),
        *version(
            told,
            (REPOSITORY / "CHANGELOG.md").read_text(),
            git("tag", "--points-at", "HEAD"),
            git("grep", "-lF", f'"{told}"') + git("grep", "-lF", f"v{told}"),
        ),
        *generated({"docs/settings.schema.json": schema, "docs/remedies.md": remedies.page()}, REPOSITORY),
        *packed(REPOSITORY / "dist", told, git("rev-parse", "HEAD")[0]),
    ]
    for problem in problems:
        what, _, remedy = problem.rpartition(": ")
        sys.stderr.write(f"error: {what}\nremedy: {remedy}\n")
    if not problems:
        sys.stdout.write(f"{NAME} {told} can be released\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
