"""The page of all remedies, read off the code."""

import ast
import re

from generate import error_reference

SAMPLE = """
_AGAIN = Remedy("DiskFull", "Try it again.")
_REMEDIES = {"nopermission": Remedy("RoleRefused", "Attach the policy."), "expired": _AGAIN}

class Problem:
    line: int
    problem: str
    remedy: Remedy

def work(path, code):
    if code == 1:
        raise WrongError(f"{path} is wrong", remedy=Remedy("FileUnusable", f"Correct {path}."))
    if code == 2:
        remedy = Remedy("SecretExists", "Name another.")
        raise WrongError("it is taken", remedy=remedy)
    if code == 3:
        remedy = _AGAIN
    else:
        remedy = Remedy("NodeBusy", "Wait. " + _AGAIN)
    yield Problem(1, "it is late", remedy)
    raise WrongError("it is late", remedy=error.remedy)
"""


def test_a_remedy_is_found_in_whatever_way_it_is_written(tmp_path):
    for root in error_reference.ROOTS:
        (tmp_path / root).mkdir(parents=True)
    (tmp_path / error_reference.ROOTS[0] / "sample.py").write_text(SAMPLE)
    found = {(code, *row) for code, rows in error_reference.found(tmp_path).items() for row in rows}
    ours = {(code, *row) for (code, remedy), codes in error_reference.refused().items()
            for row in [(f"... was refused ({', '.join(codes)})", error_reference.cell(remedy))]}  # fmt: skip
    assert found - ours == {
        ("DiskFull", "... was refused (expired...)", "Try it again."),
        ("RoleRefused", "... was refused (nopermission...)", "Attach the policy."),
        ("FileUnusable", "PATH is wrong", "Correct PATH."),
        ("DiskFull", "it is late", "Try it again."),
        ("NodeBusy", "it is late", "Wait. Try it again."),
        ("SecretExists", "it is taken", "Name another."),
    }


def test_the_page_is_what_the_code_says():
    page = (error_reference.REPOSITORY / "docs/remedies.md").read_text()
    assert page == error_reference.page(), "the code's errors are other ones by now: make remedies"


def test_no_remedy_that_stands_in_the_code_as_it_is_shown_is_missing():
    page = (error_reference.REPOSITORY / "docs/remedies.md").read_text()
    told = 0
    for module in error_reference.read(error_reference.REPOSITORY):
        for node in ast.walk(module.tree):
            if error_reference.is_remedy(node) and isinstance(node.args[1], ast.Constant) and node.args[1].value:
                assert error_reference.cell(node.args[1].value) in page
                told += 1
    assert told > 100


def test_each_code_is_listed_once_and_in_use():
    """A code that nothing uses any more moves to a chapter of its own: operators may have it in their alerts."""
    chapters = error_reference.listed()
    listed = [code for codes in chapters.values() for code in codes]
    assert len(set(listed)) == len(listed) > 100
    texts = "".join(module.text for module in error_reference.read(error_reference.REPOSITORY))
    used = {code for code in listed if f'"{code}"' in texts or f"[{code}]" in texts}
    assert set(listed) - used == set(chapters.get("No longer used", {}))
    assert set(error_reference.found()) - set(listed) == set(), "add the code to packaging/generate/remedy_codes.txt"


def test_each_code_has_a_heading_that_can_be_linked():
    page = (error_reference.REPOSITORY / "docs/remedies.md").read_text()
    headings = [line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")]
    assert headings == [code for codes in error_reference.listed().values() for code in codes]
    assert all(re.fullmatch("(?:[A-Z][a-z]+)+", code) for code in headings)
    assert len({code.lower() for code in headings}) == len(headings)


def test_no_remedy_is_pieced_together_where_the_page_would_lose_a_part():
    for module in error_reference.read(error_reference.REPOSITORY):
        pieced = [node for node in ast.walk(module.tree) if isinstance(node, ast.AugAssign)]
        assert not [node.lineno for node in pieced if ast.unparse(node.target) == "remedy"], module.path
