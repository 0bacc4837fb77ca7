"""Seeds, and inputs that once broke a promise, through their targets: without a fuzzer, on every change."""

import resource

import pytest
from fuzz.promises import CORPORA, LONGEST_TEXT, SECONDS, all_targets, check_text

TARGETS = all_targets()


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_a_promise(name):
    target = TARGETS[name]
    fuzz = target.load()
    inputs = sorted(target.corpus.iterdir())
    assert inputs
    for path in inputs:
        began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        fuzz(path.read_bytes())
        assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - began < SECONDS, path.name


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_any_bytes(name):
    fuzz = TARGETS[name].load()
    for data in (b"", b"\0", b"\xff" * 100, b"[" * 4000, b"{" * 4000, b"- " * 2000, b'{"a":' * 800, b"\xef\xbb\xbf{}"):
        fuzz(data)


def test_each_corpus_belongs_to_a_target():
    assert {path.name for path in CORPORA.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("text", ["a\x1b[31m", "two\nlines", "\u202e", "x" * (LONGEST_TEXT + 1), "\udcff"])
def test_a_text_that_a_terminal_or_a_log_would_obey_is_found(text):
    with pytest.raises(AssertionError):
        check_text(text)
