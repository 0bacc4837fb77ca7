"""The guides for operators: one for each platform, with settings and files that are so. tests/documents types them."""

import re

import pytest
from acr_credential_provider.settings.cluster_origin import ClusterOrigin
from support import harness
from support.judged import problems_of

GUIDES = sorted([*(harness.ROOT / "docs/install").glob("*.md"), harness.ROOT / "docs/release.md"])
PLATFORMS = {"ack", "ack-edge", "ecs", "other-clouds", "openshift", "k3s", "by-hand"}
TEXTS = {str(guide.relative_to(harness.ROOT)): guide.read_text() for guide in GUIDES}


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_there_is_a_guide_for_each_platform_with_its_uninstall():
    assert {guide.stem for guide in GUIDES} == PLATFORMS | {"README", "upgrade", "release", "ways"}
    for platform in PLATFORMS:
        text = TEXTS[f"docs/install/{platform}.md"]
        headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert headings == ["Before you begin", "Install", "Verify", "Uninstall"], platform
        assert f"({platform}.md)" in TEXTS["docs/install/README.md"]


@pytest.mark.parametrize("guide", TEXTS)
def test_its_settings_are_valid(guide):
    for block in (each for each in blocks(TEXTS[guide], "yaml") if "kind: ProviderSettings" in each):
        assert problems_of(block, "laptop", ClusterOrigin()) == []


@pytest.mark.parametrize("guide", TEXTS)
def test_its_links_and_files_exist(guide):
    folder = (harness.ROOT / guide).parent
    for link in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", TEXTS[guide]):
        assert not link or (folder / link).exists(), link
    for path in re.findall(r"(?<![\w-])(?:node-config|packaging|provider|tests)/[\w./-]*\w", TEXTS[guide]):
        assert (harness.ROOT / path).exists() or path.startswith("node-config/manifests/overlays/mine"), path
    makefile = (harness.ROOT / "Makefile").read_text()
    for line in re.findall(r"`make ([^`]*)`", TEXTS[guide]):
        for target in (word for word in line.split() if "=" not in word):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
