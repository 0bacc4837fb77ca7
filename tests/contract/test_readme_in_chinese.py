"""README.zh-CN.md says what README.md says: the same headings, commands, files and links, in the same order."""

import re

import pytest
from support import harness

ENGLISH = (harness.ROOT / "README.md").read_text()
CHINESE = (harness.ROOT / "README.zh-CN.md").read_text()
REMEDY = "the two READMEs went apart: make the same change in README.zh-CN.md"


def headings(text):
    return [len(line.split()[0]) for line in outside(text) if line.startswith("#")]


def fences(text):
    """Return what is fenced, less the comments, which are translated."""
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [(language, [re.sub(r"\s*(^|\s)#.*", "", line) for line in block.splitlines()]) for language, block in found]


def outside(text):
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL).splitlines()


def indented(text):
    return [line.partition("#")[0].rstrip() for line in outside(text) if line.startswith("    ")]


def inline(text):
    """Return the set of what is set as code in sentences and has no words of a language in it."""
    return set(re.findall(r"`([^`\n]+)`", "\n".join(outside(text))))


def links(text):
    return sorted(link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("README"))


def rows(text):
    return [line.count("|") for line in outside(text) if line.startswith("|")]


@pytest.mark.parametrize("part", [headings, fences, indented, inline, links, rows])
def test_both_readmes_have_the_same(part):
    assert part(CHINESE) == part(ENGLISH), REMEDY


def test_each_names_the_other():
    assert "](README.zh-CN.md)" in ENGLISH
    assert "](README.md)" in CHINESE


def test_no_heading_was_left_in_english():
    titles = [line.lstrip("# ") for line in outside(CHINESE) if line.startswith("## ")]
    assert [title for title in titles if not re.search("[\u4e00-\u9fff]|、", title)] == []
