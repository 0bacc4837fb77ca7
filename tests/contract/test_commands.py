"""What operators' commands do where the disk will not have it: one error and one remedy, no secret left behind."""

import json
import os

import pytest
from e2e.assertions import assert_told

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
NO_SPACE = ("prlimit", "--fsize=8")  # every file ends after 8 bytes, as on a full disk; pipes do not


def test_clearing_a_cache_that_is_not_there_makes_none(program):
    ended = program.run(b"", "cache", "clear", "--cache", str(program.cache))
    assert (ended.code, ended.stderr) == (0, b"")
    assert ended.stdout == f"{program.cache} is clear; answers deleted: 0\n".encode()
    assert not program.cache.exists()


def test_what_is_in_the_way_of_clearing_is_named(program, sandbox):
    assert program.ask(sandbox.image).code == 0
    (program.cache / "memo/subfolder").mkdir()
    assert_told(program.run(b"", "cache", "clear", "--cache", str(program.cache)), "memo/subfolder: Is a directory")


@needs_root
@pytest.mark.parametrize("words", [("clear",), ("refresh",)])
def test_a_user_who_may_not_is_told_which_path_and_why(program, words):
    folder = program.cache.parent / "closed"
    folder.mkdir(mode=0o000)
    # Another user might not even reach the program, wherever this clone is: root without root's powers will do.
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    ended = program.run(b"", "cache", *words, "--cache", str(folder / "cache"), under=powerless)
    assert_told(ended, f"{folder}/cache: Permission denied", "Run it as the user whose file that is (root")


@pytest.mark.parametrize("full", [True, False])
def test_a_key_that_does_not_fit_on_the_disk_leaves_no_half_of_it(program, tmp_path, full):
    secret = "CANARYSECRET" * 4
    configuration = tmp_path / "acr-configuration.yaml"
    entry = {"regionId": "cn-hangzhou", "customAccessKey": "LTAI5tExample0000000", "customAccessKeySecret": secret}
    configuration.write_text(json.dumps({"data": {"acr-registry-info": json.dumps([entry])}}))
    configuration.chmod(0o600)
    keys = tmp_path / "keys"
    words = ("settings", "convert", str(configuration), "--keys-directory", str(keys))
    ended = program.run(b"", *words, under=NO_SPACE if full else ())
    found = [each.read_text() for each in keys.iterdir()]
    assert len(found) == (0 if full else 2), ended.stderr
    if full:
        assert b"error: cannot write" in ended.stderr
        assert b"File too large" in ended.stderr
        assert ended.code == 1
    assert secret.encode() not in ended.stdout + ended.stderr


@pytest.mark.parametrize("words", [("pull-secrets",), ("openshift",), ("render",), ("doctor", "--cluster")])
def test_a_node_says_where_what_works_on_a_cluster_is_to_be_had(frozen, words):
    assert_told(frozen.run(b"", *words), "this program does not have the command", "Use kubectl acr")


def test_a_key_in_the_file_is_a_mistake_on_a_node_and_a_risk_in_a_controller(program, tmp_path):
    configuration = tmp_path / "acr-configuration.yaml"
    entry = {"instanceId": "cri-0123456789abcdef", "customAccessKey": "LTAI5tExample0000000"}
    entries = json.dumps([{**entry, "customAccessKeySecret": "CANARYSECRET"}])
    configuration.write_text(json.dumps({"data": {"acr-registry-info": entries}}))
    configuration.chmod(0o600)
    for place, code in (("node", 1), ("controller", 0)):
        ended = program.run(b"", "settings", "validate", str(configuration), "--target", place)
        assert ended.code == code, ended.stderr
        assert b"key" in ended.stderr
        assert b"CANARYSECRET" not in ended.stdout + ended.stderr


def test_what_is_shown_tells_which_tokens_a_node_can_renew_by_itself(program, sandbox):
    program.ask(sandbox.image)

    def shown(settings):
        words = ("cache", "show", "--output", "json", "--settings", str(settings), "--cache", str(program.cache))
        return [row["renewable"] for row in program.run(b"", *words).document if row["kind"] == "token" and row["host"]]

    assert shown(program.settings) == [True]
    assert shown("/nowhere/settings.yaml") == [False]
