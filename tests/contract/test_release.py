"""The steps of docs/release.md, gone in a clone that is thrown away: what is complete can be released, nothing else.

With RELEASE_FULL=1 (`make rehearse`) everything is really built there, arm64 under emulation; otherwise archives with
one small file each stand in for it.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import harness, release_archives

from dist import archives
from freeze.bundles import NAME, PLUGIN

IS_FULL = "RELEASE_FULL" in os.environ
VERSION_FILE = "provider/acr_credential_provider/version.py"
ARM64 = archives.stem_of(PLUGIN, "@", "arm64")


@dataclass
class Clone:
    """A clone of this tree, its changes included, that `release` makes a release of."""

    folder: Path
    version: str = ""

    def run(self, *words, check=True, **environment):
        who = {f"GIT_{role}_{what}": "release" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**os.environ, **who, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def edit(self, file, old, new):
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new, 1))

    def release(self):
        old = re.search(r'"((\d+)\..*)"', (self.folder / VERSION_FILE).read_text())
        self.version = f"{int(old[2]) + 1}.0.0"
        self.edit(VERSION_FILE, old[1], self.version)
        self.run(sys.executable, "-m", "generate.chart_version", PYTHONPATH="packaging")
        self.edit("CHANGELOG.md", "## Unreleased\n", f"## Unreleased\n\n## {self.version} (2026-01-02)\n")
        if "\n- " not in (self.folder / "CHANGELOG.md").read_text().split("\n## ")[2]:
            self.edit("CHANGELOG.md", "(2026-01-02)\n", "(2026-01-02)\n\n### Added\n- Something.\n")
        self.run("git", "commit", "--all", "--quiet", "--message=Release")
        self.run("git", "tag", f"v{self.version}")
        if IS_FULL:
            self.run("make", "dist", "ARCH=arm64")
            self.run("make", "dist")
        else:
            (self.folder / "dist").mkdir()
            release_archives.dist(
                self.folder / "dist", self.version, self.run("git", "rev-parse", "HEAD").stdout.strip()
            )

    def check(self):
        own = ":".join(str(self.folder / name) for name in ("packaging", "provider", "node-config"))
        return self.run(sys.executable, "-m", "check.release", check=False, PYTHONPATH=own)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release") / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", harness.ROOT, folder], check=True)
    clone = Clone(folder)
    for file in Clone(harness.ROOT).run("git", "ls-files", "--cached", "--others", "--exclude-standard").stdout.split():
        (folder / file).unlink(missing_ok=True)
        if (harness.ROOT / file).exists():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(harness.ROOT / file, folder / file)
    clone.run("git", "add", "--all")
    clone.release()
    yield clone
    shutil.rmtree(folder)


# Emulated, some of the roots are enough; and in none of them is there a qemu without /proc.
SMOKE = f"""
mkdir build/arm64
for archive in dist/*-linux-arm64.tar.gz; do tar -xzf $archive -C build/arm64; done
build/arm64/controller/{NAME} --version --output json
BUNDLE=$PWD/build/arm64/{NAME} .venv/bin/python -m pytest -v tests/distros/test_any_root.py \\
    -k "(bullseye or bookworm or bare) and not library_of"
"""
STEPS = {
    "check": "make release-check",
    "image": ".venv/bin/python -m pytest -v tests/image",
    "arm64": SMOKE,
}


@pytest.mark.parametrize("step", STEPS if IS_FULL else ["check"])
def test_what_went_all_the_steps_can_be_released(clone, step):
    if not IS_FULL:
        done = clone.check()
        assert done.stderr == ""
    else:
        done = clone.run("sh", "-euc", STEPS[step].replace("@", clone.version))
        print(done.stdout)  # noqa: T201 - the transcript
    assert done.returncode == 0
    assert step != "check" or f"{NAME} {clone.version} can be released" in done.stdout.splitlines()


# What is done, in sh, and what is said of it; "@" is the version.
BROKEN = {
    "a change that is not committed": ("echo more >> README.md", "1 files are not committed"),
    "a file that git does not know": ("touch provider/more.py", "1 files are not committed"),
    "a section without a date": ("sed -i 's/ (2026-01-02)//' CHANGELOG.md", "has no date"),
    "notes that were left behind": ("sed -i 's/^## Unreleased/&\\n- More./' CHANGELOG.md", "notes under Unreleased"),
    "another version in the code": (f"sed -i 's/\".*\"$/\"0.0.9\"/' {VERSION_FILE}", "no section for 0.0.9"),
    "a chart of another version": ("sed -i s/^version.*/version:/ packaging/chart/Chart.yaml", "Chart.yaml is not"),
    "the version in a guide": ("echo v@ >> docs/nodes.md; git add .", "docs/nodes.md names @"),
    "a page that was not written again": ("echo >> docs/remedies.md", "docs/remedies.md is not what the code says"),
    "no tag": ("git tag --delete v@", "git tag v@"),
    "a commit after the build": ("git commit --quiet --allow-empty --message=More", "was made from"),
    "no archive for arm64": (f"rm dist/{ARM64}.tar.gz", "remedy: make dist ARCH=arm64"),
    "no SBOM": (f"rm dist/{ARM64}.cdx.json", f"dist/ lacks {ARM64}.cdx.json"),
    "no chart": (f"rm dist/{NAME}-@.tgz", f"dist/ lacks {NAME}-@.tgz"),
    "no image": (f"rm dist/{NAME}-@.oci.tar", f"dist/ lacks {NAME}-@.oci.tar"),
    "a byte too many": (f"echo >> dist/{NAME}-@.tgz", f"{NAME}-@.tgz is not what SHA256SUMS says"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_lacks_something_cannot(clone, what):
    command, said = (text.replace("@", clone.version) for text in BROKEN[what])
    head = clone.run("git", "rev-parse", "HEAD").stdout.strip()
    shutil.copytree(clone.folder / "dist", clone.folder / ".git/dist", copy_function=os.link)
    try:
        clone.run("sh", "-euc", f"cp --remove-destination .git/dist/* dist/; {command}")
        done = clone.check()
    finally:
        clone.run("git", "reset", "--quiet", "--hard", head)
        clone.run("git", "clean", "--quiet", "-d", "--force")
        clone.run("git", "tag", "--force", f"v{clone.version}", head)
        shutil.rmtree(clone.folder / "dist")
        (clone.folder / ".git/dist").rename(clone.folder / "dist")
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("error: ") == done.stderr.count("\nremedy: ")
