"""The page of all remedies, read off the code."""

import ast

from generate import error_reference

SAMPLE = """
_AGAIN = "Try it again."
_REMEDIES = {"nopermission": "Attach the policy.", "expired": _AGAIN}

class Problem:
    line: int
    problem: str
    remedy: str

def work(path, code):
    if code == 1:
        raise WrongError(f"{path} is wrong", remedy=f"Correct {path}.")
    if code == 2:
        remedy = "Name another."
        raise WrongError("it is taken", remedy=remedy)
    if code == 3:
        remedy = _AGAIN
    else:
        remedy = "Wait. " + _AGAIN
    yield Problem(1, "it is late", remedy)
    raise WrongError("it is late", remedy=error.remedy)
"""


def test_a_remedy_is_found_in_whatever_way_it_is_written(tmp_path):
    for root in error_reference.ROOTS:
        (tmp_path / root).mkdir(parents=True)
    (tmp_path / error_reference.ROOTS[0] / "sample.py").write_text(SAMPLE)
    found = error_reference.page(tmp_path).partition("## Error codes")[0]
    rows = [line for line in found.splitlines() if line.startswith("| ") and "error" not in line]
    assert rows == [
        "| ... was refused (expired...) | Try it again. |",
        "| ... was refused (nopermission...) | Attach the policy. |",
        "| PATH is wrong | Correct PATH. |",
        "| it is late | Try it again. |",
        "| it is late | Wait. Try it again. |",
        "| it is taken | Name another. |",
    ]


def test_the_page_is_what_the_code_says():
    page = (error_reference.REPOSITORY / "docs/remedies.md").read_text()
    assert page == error_reference.page(), "the code's errors are other ones by now: make remedies"


def test_no_remedy_that_stands_in_the_code_as_it_is_shown_is_missing():
    page = (error_reference.REPOSITORY / "docs/remedies.md").read_text()
    told = 0
    for module in error_reference.read(error_reference.REPOSITORY):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.keyword) and node.arg == "remedy" and isinstance(node.value, ast.Constant):
                assert error_reference.cell(node.value.value) in page
                told += 1
    assert told > 100


def test_no_remedy_is_pieced_together_where_the_page_would_lose_a_part():
    for module in error_reference.read(error_reference.REPOSITORY):
        pieced = [node for node in ast.walk(module.tree) if isinstance(node, ast.AugAssign)]
        assert not [node.lineno for node in pieced if ast.unparse(node.target) == "remedy"], module.path
