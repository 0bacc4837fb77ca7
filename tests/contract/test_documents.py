"""Every document's links lead somewhere: to a file of this repository, and to a heading in it."""

import re
import subprocess

import pytest
from support.harness import ROOT
from support.markdown import anchor, headings, prose

DOCUMENTS = sorted(
    subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
)
FOLDER = re.compile(r"(?<![\w/.])`((?:[a-z_]+/)+|[a-z_]+(?:/[a-z_]+)+\.py)`")
TOPS = [
    *("", "node-config", "node-config/acr_node_config", "provider/acr_credential_provider"),
    "provider/acr_credential_provider/pull_secrets",
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_link_leads_to_a_file_and_a_heading(document):
    text = prose((ROOT / document).read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), link
        titles = headings(target.read_text()) if fragment else []
        assert not fragment or fragment in {anchor(title) for _, title in titles}, link


def test_each_folder_that_the_architecture_page_names_exists():
    named = FOLDER.findall((ROOT / "docs/architecture.md").read_text())
    assert len(named) > 20
    assert [each for each in named if not any((ROOT / top / each).exists() for top in TOPS)] == []


def test_each_decision_is_in_their_index():
    index = (ROOT / "docs/decisions/README.md").read_text()
    pages = {path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md")}
    assert set(re.findall(r"\]\((\d{4}-[a-z-]+\.md)\)", index)) == pages
