"""Settings and requests that no manual ever showed."""

import os

import pytest
from e2e.assertions import NOT_ROOT, assert_answered, assert_told, image_of, unprivileged
from support.harness import request

KIB = 1024


@pytest.mark.parametrize(
    "stdin",
    [
        b'{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"%s"' % image
        + more
        for image, more in (
            (b"a.b/c\\u0000d", b"}"),
            (b"a.b\\u0000/c", b"}"),
            (b"a.b\\n/c", b"}"),
            (b"\\ud800.b/c", b"}"),
            (b"a.b/c", b',"image":"no-host"}'),
            (b"a.b/c", b',"serviceAccountToken":' + b"9" * 5000 + b"}"),
            (b"a.b/c", b',"serviceAccountToken":NaN}'),
            (b"a.b/c", b',"serviceAccountAnnotations":{"a":{"b":1}}}'),
            (b"a.b/c", b',"x":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}"),
            (b"a." * 100_000, b"}"),
            (b"../../etc/passwd", b"}"),
            (b"//x", b"}"),
        )
    ],
    ids=range(12),
)
def test_an_odd_request_is_told_in_two_lines_or_covers_nothing(program, stdin):
    ended = program.run(stdin)
    if ended.code == 0:
        assert ended.document["auth"] == {}
    else:
        assert_told(ended)


def test_of_a_field_that_comes_twice_the_last_one_counts_everywhere(program, sandbox):
    """The memo must not answer for one host what the settings judged for another."""
    twice = request("docker.io/library/busybox")[:-2] + b',"image":"' + image_of(sandbox).encode() + b'"}\n'
    for _ in ("from the cloud", "from the memo"):
        assert_answered(program.run(twice), sandbox)
    once = program.ask("docker.io/library/busybox")
    assert (once.code, once.document["auth"]) == (0, {})


@pytest.mark.parametrize("size", [1 << 20, 10 << 20])
def test_garbage_without_end_is_refused_as_soon_as_it_is_too_much(frozen, size):
    """The writer is cut off; the program neither reads nor keeps it all."""
    for what in (b'\xff\x00{["', b"[", b'{"a":'):
        assert_told(frozen.run(what * (size // len(what) + 1)), "stdin", within=8)


@pytest.mark.parametrize("endless", ["/dev/zero", "/dev/urandom"])
def test_stdin_that_always_has_more_is_refused(frozen, endless):
    with open(endless, "rb") as stdin, frozen.start(stdin=stdin) as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, b"")
    assert err.startswith(b"error: stdin holds more than 1048576 bytes [RequestInvalid]\nremedy: ")


@pytest.mark.parametrize("what", ["a folder", "a device", "a pipe", "a socket", "a link in a circle", "/dev/full"])
def test_settings_that_are_no_file_are_named(frozen, sandbox, what, tmp_path):
    frozen.settings.unlink()
    if what == "a folder":
        frozen.settings.mkdir()
    elif what == "a pipe":
        os.mkfifo(frozen.settings)
    elif what == "a socket":
        os.mknod(frozen.settings, 0o140600)
    else:
        target = {"a device": "/dev/zero", "/dev/full": "/dev/full"}.get(what, str(frozen.settings))
        frozen.settings.symlink_to(target)
    assert_told(frozen.ask(image_of(sandbox)), str(frozen.settings), within=5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n# only a comment\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"x" * (5 << 20), "larger than 1 MiB"),
        (b"\0" * 1000, "not YAML"),
        (b"\xff\xfea\0", "not UTF-8"),
        (b"[" * 100_000, "nested too deep"),
        (b"a: " * 100_000, "not YAML"),
        (b"{a: " * 100_000, "nested too deep"),
        (b"- " * 100_000, "nested too deep"),
        (b"acr-registry-info: |\n" + b"  " + b"- " * 100_000, "nested too deep"),
        (b"acr-registry-info: |\n" + b"  " + b"[" * 100_000, "nested too deep"),
        (b"acr-registry-info: " + b"{a: " * 100_000, "nested too deep"),
        (b"a: &a [" + b"*a," * 1000 + b"]", ""),
        (b"&a {*a : 1}", ""),
        (b"!!python/object/apply:os.system ['echo CANARY']", ""),
        (b"%YAML 9.9\n---\na: 1", ""),
        (b"--- a\n--- b\n", "is the second document"),
        (b"? {a: b}\n: c", ""),
        (b"2026-13-45: 1", ""),
        (b"apiVersion: " + b"9" * 5000, ""),
        (b"- a", "not a mapping"),
        (b"42", "not a mapping"),
    ],
    ids=range(23),
)
def test_settings_that_hold_nothing_useful_are_named(frozen, sandbox, content, words):
    frozen.settings.write_bytes(content)
    assert_told(frozen.ask(image_of(sandbox)), str(frozen.settings), words, within=10)


def test_aliases_that_multiply_cost_nothing(frozen, sandbox):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    frozen.settings.write_text("\n".join([*lines, "registries: *a11"]))
    assert_told(frozen.ask(image_of(sandbox)), "line ", within=8)


def test_settings_that_were_half_written_are_told_or_hold_as_a_whole(frozen, sandbox):
    """An editor's or a copy's moment: whatever is there, no half of it is acted upon."""
    whole = frozen.settings.read_bytes()
    for size in range(len(whole) // 8, len(whole), len(whole) // 8):
        frozen.settings.write_bytes(whole[:size])
        assert_told(frozen.ask(image_of(sandbox)), str(frozen.settings))
    frozen.settings.write_bytes(whole)
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666], ids=oct)
def test_settings_that_others_can_write_are_refused_until_they_are_not(frozen, sandbox, mode):
    frozen.settings.chmod(mode)
    assert_told(frozen.ask(image_of(sandbox)), "can be changed by others", f"Leave {frozen.settings} as it is")
    assert sandbox.calls.counts() == {}
    frozen.settings.chmod(0o600)
    frozen.settings.write_bytes(frozen.settings.read_bytes())
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_settings_that_may_not_be_read_are_named(frozen, sandbox, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nobody", numbered=True)
    _open_way(folder)
    with unprivileged(frozen, sandbox, folder) as program:
        assert_answered(program.ask(image_of(sandbox), under=NOT_ROOT), sandbox)
        os.chown(program.settings, 0, 0)
        program.settings.chmod(0o600)
        program.settings.write_bytes(program.settings.read_bytes())
        assert_told(program.ask(image_of(sandbox), under=NOT_ROOT), "Permission denied", str(program.settings))


def _open_way(folder):
    """Let everybody through to *folder*, which pytest keeps for its own user."""
    for each in folder.parents:
        if each.parent == each or each.name == "tmp":
            return
        each.chmod(0o755)
