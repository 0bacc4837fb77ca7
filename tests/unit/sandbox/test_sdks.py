"""docs/tested-with-sdks.md names the SDKs and cases that there are, without the SDKs being here."""

import re

import pytest
from sdks import registry_cases
from sdks.callers import PROGRAMS
from sdks.cases import CASES
from sdks.report import AGREES, COLUMNS, render
from support.harness import ROOT

PAGE = (ROOT / "docs/tested-with-sdks.md").read_text()


def test_the_page_has_every_sdk_and_every_case_and_all_agree():
    (date,) = re.findall(r"^Last run: (\d{4}-\d\d-\d\d)\.$", PAGE, re.MULTILINE)
    assert render(dict.fromkeys(COLUMNS, AGREES), date) == PAGE


def test_no_two_cases_have_one_name():
    assert len({(case.subject, case.name) for case in CASES}) == len(CASES)
    assert len({case.name for case in registry_cases.CASES}) == len(registry_cases.CASES)


@pytest.mark.parametrize("sdk", PROGRAMS, ids=lambda sdk: sdk.name)
def test_every_sdk_is_pinned(sdk):
    assert sdk.packages
    assert all(re.fullmatch(r"v?\d+(\.\d+)+(\+incompatible)?", version) for version in sdk.packages.values())


def test_the_lock_of_javascript_names_bytes_and_no_registry():
    text = (ROOT / "tests/sdks/javascript/package-lock.json").read_text()
    assert text.count('"integrity": "sha512-') == text.count('"node_modules/')
    assert "://" not in text
