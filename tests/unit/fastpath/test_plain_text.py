"""Text of others is one short, printable line."""

import unicodedata

import pytest
from acr_credential_provider.fastpath.plain_text import LONGEST, UNNAMED_KEY, cut, key_name, plain_text
from hypothesis import example, given
from hypothesis import strategies as st

ANY_TEXT = st.text(st.characters(codec=None), max_size=60)
HOSTILE = (
    "error: forged\nremedy: run this\r\n",
    "\x1b[2K\x1b[1A\x07 gone",
    "\u202etxt.exe\u2066\u2069",
    "a\u200bb\ufeffc\u00ad\u2060",
    "line\u2028para\u2029next\x85",
    "\ud800\udcff\udfff",
    "\x00\x7f\x9b",
    "\u3164\u115f\ufe0f\u034f",
)


@given(ANY_TEXT)
@example("\n")
@example("".join(HOSTILE))
def test_whatever_comes_in_one_printable_line_comes_out(text: str) -> None:
    """No control, format, surrogate, private or unassigned character is left, and no line ends."""
    shown = plain_text(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert plain_text(shown) == shown
    shown.encode()  # no half of a surrogate pair


@given(st.text(st.characters(categories=["Lu", "Ll", "Nd", "Po", "Pd"], max_codepoint=0x7F), max_size=80))
def test_plain_words_stay_as_they_are(text: str) -> None:
    """Nothing is changed in what was printable."""
    assert plain_text(text) == text
    assert plain_text("\u4e2d\u6587 \u2265 1.30") == "\u4e2d\u6587 \u2265 1.30"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_cannot_be_seen_is_written_out(text: str) -> None:
    """A reader sees that something was there."""
    hidden = [letter for letter in text if not letter.isspace() and not letter.isprintable()]
    assert plain_text(text).count("\\") >= len(hidden)
    assert plain_text("\udcff\x1b\u202e") == "\\xff\\x1b\\u202e"
    assert plain_text("a\u3164\ufe0fb") == "a\\u3164\\ufe0fb"


def test_a_long_text_is_cut_whatever_it_holds() -> None:
    """A megabyte of a name does not become a megabyte of log."""
    for letter in ("x", "\n", "\x1b", "\u4e2d", "\ud800"):
        assert len(plain_text(letter * (1 << 20))) <= LONGEST
    assert plain_text("abcdefghij", 8) == "abcde..."
    assert cut("\u4e2d" * 10, 8).decode() == "\u4e2d" * 2


@pytest.mark.parametrize(
    "name", ["matchImages", "acr-registry-info", "apiVersion", "kubelet.config.k8s.io/v1", "expireDuration2"]
)
def test_what_looks_like_a_key_is_quoted(name: str) -> None:
    """So that an operator finds the misspelt one."""
    assert key_name(name) == name


@pytest.mark.parametrize(
    "secret",
    [
        "root:$y$j9T$abc$def",
        "daemon:*:19000:0:99999:7:::",
        "my password",
        "-----BEGIN PRIVATE KEY-----",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln",
        "wJalrXUtnFEMI7K7MDENGbPxRfiCY",
        "9f86d081884c7d659a2feaa0c55ad015",
        "a" * 41,
        "k\x1b[0m",
        "",
        7,
        None,
        ("a",),
    ],
)
def test_what_may_be_something_else_is_not_quoted(secret: object) -> None:
    """A line of a file that was named by mistake stays in it."""
    assert key_name(secret) == UNNAMED_KEY
