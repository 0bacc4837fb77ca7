"""What is typed counts as typed: relative paths from any folder, options before and after their command."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.harness import FROZEN, HERE_ONLY, request

NAME = "aliyun-acr-credential-provider"
GUIDE = (Path(__file__).resolve().parents[2] / "docs/install/by-hand.md").read_text()
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="an installer is root's")
APART = ("unshare", "--mount", "--pid", "--fork", "--mount-proc")  # this machine may run a kubelet


def settings_of(host, **more):
    registry = {"instanceId": "cri-1", "domains": [host], "identity": {"kind": "nodeRole"}}
    return {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [registry],
        **more,
    }


def write(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    path.chmod(0o600)
    return path


def run_in(folder, program, *words, stdin=b"", **options):
    return program.run(stdin, *words, cwd=folder, **options)


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "of the operator"
    found.mkdir()
    write(found / "settings.yaml", settings_of("images.example.com"))
    return found


@needs_root
@pytest.mark.parametrize("verb", ["plan", "install"])
def test_the_commands_of_the_guide_find_settings_that_lie_beside_the_program(folder, verb):
    (line,) = re.findall(rf"^(\./{NAME} node {verb} .*?)(?:  .*)?$", GUIDE, re.MULTILINE)
    (folder / NAME).symlink_to(FROZEN)
    shell = ["sh", "-c", line]
    ended = subprocess.run(
        [*APART, *shell], check=False, cwd=folder, capture_output=True, env={**os.environ, **HERE_ONLY}
    )
    # The settings were understood: what is missing here is a kubelet.
    assert (ended.returncode, ended.stdout) == (3, b"")
    assert ended.stderr.startswith(b"error: no kubelet runs here"), ended.stderr


@needs_root
@pytest.mark.parametrize("before", [True, False])
def test_what_is_baked_is_what_was_judged_whichever_file_of_that_name_lies_below_the_root(folder, before):
    host = folder / "host"
    host.mkdir()
    name = f"acr-test-{os.urandom(6).hex()}"
    below_the_root = Path("/tmp", name)
    below_the_root.mkdir(mode=0o700)
    mine = folder / "tmp" / name
    mine.mkdir(parents=True)
    try:
        write(below_the_root / "x.yaml", settings_of("other.example.com"))
        write(mine / "x.yaml", settings_of("mine.example.com"))
        option, words = ["--settings", f"tmp/{name}/x.yaml"], ["--host-root=host", "--profile", "kubeadm-deb"]
        typed = ["node", *option, "bake", *words] if before else ["node", "bake", *option, *words]
        ended = subprocess.run([str(FROZEN), *typed], check=False, cwd=folder, capture_output=True)
    finally:
        shutil.rmtree(below_the_root)
    assert ended.returncode == 0, ended.stderr
    installed = host / "etc" / NAME
    assert (installed / "settings.yaml").read_bytes() == (mine / "x.yaml").read_bytes()
    assert "mine.example.com" in (installed / "credential-providers.yaml").read_text()
    assert "other.example.com" not in (installed / "credential-providers.yaml").read_text()


@needs_root
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.chmod(0o666), b"can be changed by others than root"),
        (lambda path: path.write_text("a: b\n"), b"settings.yaml, line 1: registries is missing (and 3 more"),
        (lambda path: (path.unlink(), os.mkfifo(path, 0o600)), b"is not a regular file"),
        (lambda path: path.write_text("#" * (1 << 20) + "\n"), b"settings.yaml is larger than 1 MiB"),
        (lambda path: path.unlink(), b"settings.yaml cannot be read: No such file or directory"),
    ],
    ids=["others may write it", "wrong", "a FIFO", "too large", "none"],
)
def test_settings_that_will_not_do_are_named_as_they_were_found(folder, spoil, words):
    spoil(folder / "settings.yaml")
    typed = [str(FROZEN), "node", "plan", "--settings", "settings.yaml", "--host-root", "."]
    ended = subprocess.run(typed, check=False, cwd=folder, capture_output=True, timeout=60)
    assert ended.returncode == 3
    assert words in ended.stderr
    assert f"error: {folder}/settings.yaml".encode() in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("explain", "images.example.com/a", "--output", "json"),
        ("cache", "show", "--output", "json"),
        ("settings", "validate"),
        ("settings", "match-images", "--output", "json"),
    ],
    ids=" ".join,
)
def test_one_relative_path_has_one_meaning_before_and_after_each_command(program, folder, words):
    """`--settings` is read where it is typed, with the same outcome as written in full."""
    takes_cache = words[0] in ("explain", "cache")

    def ended(settings, *, before):
        more = ["--settings", settings, *(["--cache", "own cache"] if takes_cache else [])]
        done = run_in(folder, program, *more, *words) if before else run_in(folder, program, *words, *more)
        return done.code, done.stdout, done.stderr

    whole = ended(str(folder / "settings.yaml"), before=False)
    assert whole[0] == 0, whole
    for settings in ("settings.yaml", "./settings.yaml"):
        assert ended(settings, before=True) == ended(settings, before=False) == whole
    broken = write(folder / "broken.yaml", "a: b\n").name
    if words != ("cache", "show", "--output", "json"):
        assert ended(broken, before=True)[0] == 1
        assert b"broken.yaml" in b"".join(ended(broken, before=True)[1:])


def test_a_cache_named_before_the_command_is_the_one_that_is_cleared(program, sandbox):
    assert program.ask(sandbox.image).code == 0
    here = program.cache.parent
    shown = run_in(here, program, "--settings", "settings.yaml", "--output=json", "--cache", "cache", "cache", "show")
    assert any(row["renewable"] for row in shown.document)
    assert run_in(here, program, "--cache", "cache/", "cache", "clear").code == 0
    assert list((program.cache / "memo").iterdir()) == []


def test_a_kubelet_may_name_relative_paths_and_the_command_anywhere(program, sandbox):
    here = program.cache.parent
    for words in (
        ("--settings", "settings.yaml", "--cache", "cache"),
        ("--settings=settings.yaml", "get-credentials", "--cache=./cache"),
    ):
        ended = run_in(here, program, *words, stdin=request(sandbox.image))
        assert (ended.code, ended.stderr) == (0, b"")
        assert sandbox.image.partition("/")[0] in ended.document["auth"]
    memos = len(list((program.cache / "memo").glob("*.memo")))
    assert program.ask(sandbox.image).code == 0
    assert len(list((program.cache / "memo").glob("*.memo"))) == memos  # it is the same question


@pytest.mark.parametrize("word", ["validate", "match-images", "convert"])
def test_settings_are_read_from_stdin(program, word):
    configuration = (
        "data:\n  acr-registry-info: |\n    - instanceId: cri-0123456789abcdef\n      regionId: cn-hangzhou\n"
    )
    ended = program.run(configuration.encode(), "settings", word, "-")
    assert ended.code == 0, ended.stderr
    wrong = program.run(b"data:\n\tacr-registry-info: x\n", "settings", word, "-")
    assert wrong.code == 1
    assert wrong.stderr.startswith(b"error: stdin, line 2: is indented with a tab")


@pytest.mark.parametrize("path", ["", "-", "~/settings.yaml"])
def test_what_is_no_path_is_refused_with_a_way_to_write_it(program, path):
    ended = program.run(b"", "--settings", path, "explain", "images.example.com/a")
    assert ended.code == 2
    assert b"argument --settings: " in ended.stderr


def test_the_helper_of_docker_takes_relative_paths(program, folder):
    variables = {"ACR_CREDENTIAL_PROVIDER_SETTINGS": "settings.yaml", "ACR_CREDENTIAL_PROVIDER_CACHE": "cache"}
    link = folder / "docker-credential-aliyun-acr"
    link.symlink_to(FROZEN)
    ended = subprocess.run(
        ["./docker-credential-aliyun-acr", "get"],
        check=False,
        input=b"other.example.com",
        cwd=folder,
        env={**os.environ, **HERE_ONLY, **variables},
        capture_output=True,
    )
    assert (ended.returncode, ended.stdout) == (1, b"credentials not found in native keychain\n")


BROKEN = {
    "webhook-configuration": "enable: [true\nfailure-policy: Ignore\ntimeout-seconds: 10",
    "expiring-threshold": "[15m",
    "service-account": "\tdefault: [",
}


@pytest.mark.parametrize("key", BROKEN)
def test_a_broken_key_beside_good_registries_costs_a_node_nothing(program, folder, key):
    entry = "- instanceId: cri-0123456789abcdef\n  regionId: cn-hangzhou\n  domains: images.example.com\n"
    document = {"kind": "ConfigMap", "data": {key: BROKEN[key], "acr-registry-info": entry}}
    write(folder / "acr.yaml", document)
    where = ("--settings", "acr.yaml", "--cache", "cache")
    # The exec plugin: a host that is none of the registries' asks nobody, and has the usual answer.
    answered = run_in(folder, program, *where, stdin=request("other.example.com/a"))
    assert (answered.code, answered.document["auth"]) == (0, {}), answered.stderr
    explained = run_in(folder, program, "explain", "images.example.com/a", *where)
    assert explained.code == 0, explained
    validated = run_in(folder, program, "settings", "validate", "acr.yaml")  # as an agent asks it
    assert (validated.code, validated.stdout.count(b"valid, 1 registries")) == (0, 1)
    assert f"{key} ".encode() in validated.stderr
    for word in ("convert", "match-images"):
        written = run_in(folder, program, "settings", word, "acr.yaml")
        assert written.code == 0, written.stderr
        assert b"images.example.com" in written.stdout
    helped = run_in(folder, program, "docker-credential", "get", *where, stdin=b"other.example.com")
    assert helped.stdout == b"credentials not found in native keychain\n"
    examined = run_in(folder, program, "doctor", "images.example.com/a", "--no-kubelet", *where)
    assert b"YAML" not in examined.stdout + examined.stderr
    if key != "service-account":
        controlled = run_in(folder, program, "settings", "validate", "acr.yaml", "--target", "controller")
        assert controlled.code == 1
        assert b"partly usable, 1 registries" in controlled.stdout
        assert f": {key} ".encode() in controlled.stderr


@pytest.mark.parametrize("text", ["enable: true\n  enable: x", "enable: [", "enable: {true"])
def test_an_rrsa_that_cannot_be_read_closes_and_says_so(program, folder, text):
    entry = "- instanceId: cri-0123456789abcdef\n  regionId: cn-hangzhou\n  domains: images.example.com\n"
    document = {"kind": "ConfigMap", "data": {"rrsa": text, "acr-registry-info": entry}}
    write(folder / "acr.yaml", document)
    answered = run_in(folder, program, "--settings", "acr.yaml", "--cache=c", stdin=request("images.example.com/a"))
    assert (answered.code, answered.stdout) == (1, b"")
    assert b": rrsa " in answered.stderr
