"""Flags of ours in an environment file of an operator's, and out again."""

import pytest
from acr_credential_provider.model.errors import ConfigurationError
from acr_node_config.model.command_line import words_of
from acr_node_config.model.environment_file import MARK, EnvironmentFile, split
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support import libsystemd

VARIABLE = "KUBELET_EXTRA_ARGS"
FLAGS = {
    "image-credential-provider-config": "/etc/aliyun-acr-credential-provider/kubelet.yaml",
    "image-credential-provider-bin-dir": "/opt/aliyun-acr-credential-provider/bin",
}
WORDS = [f"--{name}={value}" for name, value in FLAGS.items()]
TEXT = " ".join(WORDS)
ESCAPED = "\\ ".join(WORDS)


def parse(text):
    return EnvironmentFile.parse(text if isinstance(text, bytes) else text.encode(), "/etc/default/kubelet")


def added(text):
    return parse(text).with_flags(VARIABLE, FLAGS).decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("KUBELET_EXTRA_ARGS=\n", f"KUBELET_EXTRA_ARGS={ESCAPED}\n"),
        ("KUBELET_EXTRA_ARGS=", f"KUBELET_EXTRA_ARGS={ESCAPED}"),
        ('KUBELET_EXTRA_ARGS=""\n', f'KUBELET_EXTRA_ARGS="{TEXT}"\n'),
        ("KUBELET_EXTRA_ARGS='--v=2'\n", f"KUBELET_EXTRA_ARGS='--v=2 {TEXT}'\n"),
        ('A=1\nKUBELET_EXTRA_ARGS="--v=2" \nB=2\n', f'A=1\nKUBELET_EXTRA_ARGS="--v=2 {TEXT}" \nB=2\n'),
        ("KUBELET_EXTRA_ARGS=--v=2\n", f"KUBELET_EXTRA_ARGS=--v=2\\ {ESCAPED}\n"),
        ("KUBELET_EXTRA_ARGS=--v=2 --x  \r\n", f"KUBELET_EXTRA_ARGS=--v=2 --x\\ {ESCAPED}  \r\n"),
        ("KUBELET_EXTRA_ARGS = --v=2\n", f"KUBELET_EXTRA_ARGS = --v=2\\ {ESCAPED}\n"),
        ('KUBELET_EXTRA_ARGS="--v=2 \\\n  --x"\n', f'KUBELET_EXTRA_ARGS="--v=2 \\\n  --x {TEXT}"\n'),
        ("KUBELET_EXTRA_ARGS=--v=2 \\\n  --x\n", f"KUBELET_EXTRA_ARGS=--v=2 \\\n  --x\\ {ESCAPED}\n"),
        ("KUBELET_EXTRA_ARGS=--l=$VAR\n", f"KUBELET_EXTRA_ARGS=--l=$VAR\\ {ESCAPED}\n"),
        ("KUBELET_EXTRA_ARGS=\"--l='a b'\"\n", f"KUBELET_EXTRA_ARGS=\"--l='a b' {TEXT}\"\n"),
        (
            "# KUBELET_EXTRA_ARGS=--old\n;x\nA=1\n",
            f'# KUBELET_EXTRA_ARGS=--old\n;x\nA=1\n{MARK.decode()}\nKUBELET_EXTRA_ARGS="{TEXT}"\n',
        ),
        ("", f'{MARK.decode()}\nKUBELET_EXTRA_ARGS="{TEXT}"\n'),
        ("A=1", f'A=1\n{MARK.decode()}\nKUBELET_EXTRA_ARGS="{TEXT}"'),
    ],
)
def test_flags_come_in_the_way_the_file_is_written_and_go_without_a_trace(before, after):
    assert added(before) == after
    assert split(parse(after).value(VARIABLE))[-2:] == WORDS
    assert parse(after).with_flags(VARIABLE, FLAGS) == after.encode()
    assert parse(after).without_flags(VARIABLE, FLAGS) == before.encode()


def test_another_path_takes_the_place_of_the_one_before():
    once = added("KUBELET_EXTRA_ARGS=--v=2\n")
    moved = {**FLAGS, "image-credential-provider-bin-dir": "/var/lib/x"}
    after = parse(once).with_flags(VARIABLE, moved).decode()
    assert split(parse(after).value(VARIABLE)) == ["--v=2", WORDS[0], "--image-credential-provider-bin-dir=/var/lib/x"]


def test_what_an_operator_put_around_our_flags_stays():
    text = f'KUBELET_EXTRA_ARGS="--a=1 {WORDS[0]} --b=2 {WORDS[1]} --c=3"\n'
    assert parse(text).without_flags(VARIABLE, FLAGS) == b'KUBELET_EXTRA_ARGS="--a=1 --b=2 --c=3"\n'
    first = f"KUBELET_EXTRA_ARGS={WORDS[0]}\\ {WORDS[1]} --c=3\n"
    assert parse(first).without_flags(VARIABLE, FLAGS) == b"KUBELET_EXTRA_ARGS=--c=3\n"
    grown = added("A=1\n").replace('bin"', 'bin --more"')
    assert b"--more" in parse(grown).without_flags(VARIABLE, FLAGS)


def test_a_flag_whose_name_only_starts_like_ours_stays():
    text = 'KUBELET_EXTRA_ARGS="--image-credential-provider-config-x=1 --y"\n'
    assert parse(text).without_flags(VARIABLE, FLAGS) == text.encode()


def test_the_other_variables_of_a_file_are_nobodys_business():
    text = f"OTHER={WORDS[0]}\n"
    assert parse(text).without_flags(VARIABLE, FLAGS) == text.encode()
    assert parse(added(text)).value("OTHER") == WORDS[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('KUBELET_EXTRA_ARGS="--v=2\n', "not closed"),
        ("KUBELET_EXTRA_ARGS='--v=2\"\n", "not closed"),
        ("KUBELET_EXTRA_ARGS=--l='a\n", "quote inside"),
        ("KUBELET_EXTRA_ARGS=a\nKUBELET_EXTRA_ARGS=b\n", "more than once"),
        ("export KUBELET_EXTRA_ARGS=a\n", "word before it"),
        ("A=\0\n", "NUL"),
        (b"A=\xff\n", "not UTF-8"),
        ("# a comment \\\nA=1\n", "two ways"),
        ("KUBELET_EXTRA_ARGS=--image-credential-provider-config /x\n", "as two words"),
        ("A=1\\", "cannot change"),
        (b"x" * (1 << 20) + b"y", "too large"),
    ],
)
def test_what_cannot_be_rewritten_faithfully_is_refused_with_the_way_out(text, words):
    with pytest.raises(ConfigurationError, match="/etc/default/kubelet") as caught:
        added(text)
    assert words in caught.value.problem
    assert caught.value.remedy


def test_a_path_that_needs_quotes_is_refused():
    with pytest.raises(ConfigurationError, match="such a value"):
        parse("").with_flags(VARIABLE, {"image-credential-provider-config": "/a b"})


PIECES = st.sampled_from(
    [
        VARIABLE,
        "A",
        "=",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\\",
        "'",
        '"',
        "#",
        ";",
        "--v=2",
        "$X",
        "`",
        *WORDS,
        "é",
        MARK.decode(),
    ]
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)
LIKELY = st.tuples(TEXTS, st.sampled_from(["KUBELET_EXTRA_ARGS=", 'KUBELET_EXTRA_ARGS="']), TEXTS).map("".join)


@given(text=TEXTS | LIKELY)
@example(text='KUBELET_EXTRA_ARGS=" "')
@example(text="KUBELET_EXTRA_ARGS=a\\\nb")
def test_whatever_the_file_says_it_says_the_same_beside_our_flags(text):
    try:
        before = parse(text)
        after = parse(before.with_flags(VARIABLE, FLAGS))
    except ConfigurationError:
        return
    rest = [
        [(each.key, each.value) for each in file.assignments if each.key != VARIABLE.encode()]
        for file in (before, after)
    ]
    assert rest[0] == rest[1]
    kept = [
        word
        for word in split(before.value(VARIABLE) or "")
        if word.split("=")[0] not in {w.split("=")[0] for w in WORDS}
    ]
    assert [word for word in split(after.value(VARIABLE)) if word not in WORDS] == kept
    assert split(after.value(VARIABLE))[-2:] == WORDS or after.data == before.data


@given(text=TEXTS | LIKELY)
def test_in_and_out_again_gives_the_same_bytes(text):
    assume(not any(word in text for word in WORDS) and MARK.decode() not in text)
    try:
        after = parse(parse(text).with_flags(VARIABLE, FLAGS))
    except ConfigurationError:
        return
    assert after.without_flags(VARIABLE, FLAGS) == text.encode()


SYSTEMD = libsystemd.find()


@pytest.mark.skipif(SYSTEMD is None, reason="systemd is not on this machine")
@given(value=st.lists(PIECES, max_size=10).map("".join))
@example(value="--a='\\' --b\\ c \"\" ''")
def test_systemd_itself_makes_the_same_words_of_a_variable(value):
    if not SYSTEMD.has_words:
        pytest.skip("the function has other arguments in this version")
    words = split(value)
    if words is not None:
        assert SYSTEMD.words(b"$X", {b"X": value.encode()}) == [word.encode() for word in words]


PARTS = [
    "$X",
    "${X}",
    "$$",
    "$",
    "{",
    "}",
    "-y",
    "=",
    "X",
    "${Y}",
    "$Y",
    "${X",
    "${}",
    "${X:-d}",
    "\\",
    "'",
    '"',
    "%",
    " ",
]


@pytest.mark.skipif(SYSTEMD is None, reason="systemd is not on this machine")
@given(
    word=st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("".join),
    value=st.sampled_from(["", "a", "a b", "'a b' c", "--f=$X", "${X}", "$$"]),
)
@example(word="${X}", value="a b")
@example(word="$$X", value="a")
@example(word="$X-y", value="a")
@example(word="--flag=${X}", value="a b")
@example(word="$$$$X", value="a")
def test_systemd_itself_makes_the_same_of_a_word(word, value):
    if not SYSTEMD.has_words:
        pytest.skip("the function has other arguments in this version")
    assert SYSTEMD.words(word.encode(), {b"X": value.encode()}) == [
        each.encode() for each in words_of([word], {"X": value, "Y": ""})
    ]


@pytest.mark.skipif(SYSTEMD is None, reason="systemd is not on this machine")
@given(data=(TEXTS | LIKELY).map(str.encode))
@example(data=b'A="a" "b" c\nB=\\\n\\ x\n  C = d e \\  \nD')
@example(data=b"A=\"\\a\\$\\`\\\\ \\\nx\"'y\\'\n")
@example(data=b"A=\xff")
@example(data=b"=x\nA")
def test_systemd_itself_reads_the_same(data, tmp_path_factory):
    try:
        ours = EnvironmentFile.parse(data)
    except ConfigurationError:
        return  # we may refuse more: what we read must be what systemd reads
    assume(not any(each.key.startswith(b"=") for each in ours.assignments))  # a dict cannot tell them apart
    path = tmp_path_factory.mktemp("env") / "file"
    path.write_bytes(data)
    theirs = SYSTEMD.load(path)
    assert {each.key: each.value for each in ours.assignments} == theirs
    changed = None
    try:
        changed = ours.with_flags(VARIABLE, FLAGS)
    except ConfigurationError:
        return
    path.write_bytes(changed)
    after = SYSTEMD.load(path)
    assert split(after.pop(VARIABLE.encode()).decode())[-2:] == WORDS or changed == data
    theirs.pop(VARIABLE.encode(), None)
    assert after == theirs
