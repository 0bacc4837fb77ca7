"""docs/zh-CN/remedies.md has each code of an error, and each sign that the English page has, in the same order."""

import re
import tomllib

from support.harness import ROOT
from support.markdown import headings, links

PAGE = (ROOT / "docs/zh-CN/remedies.md").read_text()
GENERATE = ROOT / "packaging/generate"
CODES = re.findall(r"^(\w+) {2,}\S", (GENERATE / "remedy_codes.txt").read_text(), re.MULTILINE)
CHAPTERS = re.findall(r"^## (.*)$", (GENERATE / "remedy_codes.txt").read_text(), re.MULTILINE)
SIGNS = tomllib.loads((GENERATE / "signs.toml").read_text())["sign"]
REMEDY = "write the same row or code into docs/zh-CN/remedies.md"


def sections():
    """Return the text below the heading of each code."""
    parts = re.split(r"^### (\w+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_each_code_has_its_place_in_the_order_of_the_list():
    assert [title for level, title in headings(PAGE) if level == 3] == CODES, REMEDY
    chapters = [title for level, title in headings(PAGE) if level == 2]
    assert len(chapters) == 1 + len([each for each in CHAPTERS if each in ENGLISH_CHAPTERS]), REMEDY


ENGLISH_CHAPTERS = [title for level, title in headings((ROOT / "docs/remedies.md").read_text()) if level == 2]


def test_each_code_has_a_meaning_a_remedy_and_the_way_to_all_its_errors():
    for code, text in sections().items():
        meaning, _, remedy = text.partition("处理办法")
        assert re.search("[\u4e00-\u9fff]", meaning), code
        assert len(remedy.partition("。")[0].strip()) > 1, code
        assert f"](../remedies.md#{code.lower()})" in text, code


def test_what_is_seen_elsewhere_leads_to_the_same_codes():
    rows = re.findall(r"^\| (`.*) \| (.*) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    shown = [(re.findall(r"`([^`]*)`", seen), links(codes)) for seen, _, codes, _ in rows]
    assert shown == [(sign["seen"], [f"#{code.lower()}" for code in sign["codes"]]) for sign in SIGNS], REMEDY
    assert all(re.search("[\u4e00-\u9fff]", todo) for *_, todo in rows)
