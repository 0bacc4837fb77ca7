"""Each Chinese page says what its English one says: the same headings, commands, links and rows, in one order."""

import re

import pytest
from support.harness import ROOT
from support.markdown import anchor, blocks, headings, links, prose, resolved

CHINESE_FOLDER = "docs/zh-CN"
PAIRS = {"README.md": "README.zh-CN.md"} | {
    str(path.relative_to(ROOT)).replace("docs/zh-CN/", "docs/"): str(path.relative_to(ROOT))
    for path in sorted((ROOT / CHINESE_FOLDER).rglob("*.md"))
}
ENGLISH = {chinese: english for english, chinese in PAIRS.items()}
# What an operator needs is there in Chinese: each page of these.
NEEDED = [
    "docs/README.md",
    "docs/migration.md",
    "docs/troubleshooting.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs/install").glob("*.md"))),
]
REMEDY = "the two pages went apart: make the same change in both"


def text_of(document):
    return (ROOT / document).read_text()


def levels(document):
    return [level for level, _ in headings(text_of(document))]


def fences(document):
    """Return what is fenced, less the comments, which are translated."""
    return [
        (block.language, [re.sub(r"\s*(^|\s)#.*", "", line) for line in block.text.splitlines()])
        for block in blocks(text_of(document))
    ]


def reasons(document):
    """Return the comments, which say what a block is: the tests read them."""
    return re.findall(r"<!-- .*? -->", text_of(document))


def inline(document):
    """Return what is set as code in sentences."""
    return set(re.findall(r"`([^`\n]+)`", prose(text_of(document))))


def targets(document):
    """Return where the links lead, in English: each page and each number of a heading."""
    other = {**PAIRS, **ENGLISH}[document]
    return sorted(target(document, link) for link in links(text_of(document)) if page_of(document, link) != other)


def page_of(document, link):
    return resolved(document, link.partition("#")[0]) if "://" not in link and link[:1] != "#" else ""


def target(document, link):
    if "://" in link:
        return link
    path, _, fragment = link.partition("#")
    page = resolved(document, path) if path else document
    place = [anchor(title) for _, title in headings(text_of(page))].index(fragment) if fragment else ""
    return f"{ENGLISH.get(page, page)} {place}"


def rows(document):
    return [re.sub(r"\\\|", "", line).count("|") for line in prose(text_of(document)).splitlines() if line[:1] == "|"]


def items(document):
    """Return the depth and kind of each item of a list."""
    return [
        (len(match[1]), match[2][-1])
        for match in re.finditer(r"^( *)(-|\d+\.) ", prose(text_of(document)), re.MULTILINE)
    ]


# Made of the list of codes, which its own test compares.
OTHERWISE = "docs/remedies.md"


@pytest.mark.parametrize("part", [levels, fences, reasons, inline, targets, rows, items])
@pytest.mark.parametrize("english", [page for page in PAIRS if page != OTHERWISE])
def test_both_pages_have_the_same(english, part):
    assert part(PAIRS[english]) == part(english), REMEDY


def test_each_readme_names_the_other():
    assert "](README.zh-CN.md)" in text_of("README.md")
    assert "](README.md)" in text_of("README.zh-CN.md")


def test_each_page_that_an_operator_needs_is_there_in_chinese():
    assert [page for page in NEEDED if page not in PAIRS] == []


@pytest.mark.parametrize("document", PAIRS.values())
def test_no_link_leads_to_an_english_page_that_exists_in_chinese(document):
    pages = {page_of(document, link) for link in links(text_of(document))} - {ENGLISH[document]}
    assert [page for page in pages if page in PAIRS] == []


@pytest.mark.parametrize("document", PAIRS.values())
def test_no_heading_and_no_paragraph_was_left_in_english(document):
    titles = [title for level, title in headings(text_of(document)) if level > 1]
    assert [title for title in titles if not re.search("[\u4e00-\u9fff]|、", title) and " " in title] == []
    text = re.sub(r"<!--.*?-->|`[^`]*`", "", prose(text_of(document)))
    english = re.compile(r"[a-z]{2,} [a-z]{2,} [a-z]{2,} [a-z]{2,}")
    assert [
        each for each in re.split(r"\n\n+", text) if english.search(each) and not re.search("[\u4e00-\u9fff]", each)
    ] == []
