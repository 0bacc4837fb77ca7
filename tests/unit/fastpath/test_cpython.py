"""The private C halves and their public fallbacks agree, on whichever Python runs this."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
from acr_credential_provider.fastpath import cpython
from hypothesis import given
from hypothesis import strategies as st

PROVIDER = os.path.join(os.path.dirname(__file__), "../../../provider")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(VALUES, st.text(alphabet=" \t\n\r", max_size=3))
def test_any_document_reads_as_the_json_package_reads_it(value, blank):
    text = blank + json.dumps(value) + blank
    assert cpython.parse_json(text) == json.loads(text)


@given(st.text())
def test_any_text_is_refused_when_the_json_package_refuses_it(text):
    try:
        expected = json.loads(text, parse_constant=float)
    except ValueError:
        expected = ValueError
    if expected is ValueError or text.strip(" \t\n\r") in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(ValueError):
            cpython.parse_json(text)
    else:
        assert cpython.parse_json(text) == expected


@pytest.mark.parametrize("text", ["", "{", "[1,]", "{}x", "NaN", "[" * 100_000, '{"a":}', "\x00", '{"a":1}{}'])
def test_what_is_not_one_document_is_a_value_error(text):
    with pytest.raises(ValueError):
        cpython.parse_json(text)


def test_what_is_no_document_is_refused_in_a_process_that_never_loaded_the_json_package():
    program = (
        "import sys; from acr_credential_provider.fastpath.cpython import parse_json\n"
        "for text in ('{', '[', '\"', '{\"a\"', '', 'nul', '{]', '[1 2]'):\n"
        "    try: parse_json(text)\n"
        "    except ValueError: continue\n"
        "    sys.exit(text)\n"
    )
    subprocess.run([sys.executable, "-S", "-c", program], check=True, env={"PYTHONPATH": PROVIDER})


@given(st.text())
def test_the_digest_is_sha256(text):
    assert cpython.hexdigest(text) == hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def test_this_python_has_the_c_halves():
    """Where it has not, a hit is slow; that should be known before it ships."""
    assert cpython.make_scanner is not None
    assert cpython.sha256.__module__.startswith("_sha")
