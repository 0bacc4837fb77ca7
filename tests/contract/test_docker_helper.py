"""Docker's credential helper protocol as literal bytes, by the helper's name and as a command."""

import contextlib
import json
import os
import re

import pytest
from conftest import write_settings
from sandbox.state import Instance
from support.harness import HERE_ONLY, Program

USAGE = b"usage: docker-credential-aliyun-acr get|list|store|erase|version\n"


@pytest.fixture
def helper(program, tmp_path):
    """The program under the helper's name, as a symlink (or, from source, a wrapper) gives it."""
    link = tmp_path / "docker-credential-aliyun-acr"
    if len(program.command) == 1:
        link.symlink_to(program.command[0])
        command = (str(link),)
    else:
        start = f"import sys; sys.argv[0] = {str(link)!r}; from acr_credential_provider.__main__ import main"
        command = (program.command[0], "-c", f"{start}; sys.exit(main())")
    return Program(command, program.settings, program.cache)


def call(helper, stdin, *words, under=(), **more):
    environment = {
        **os.environ,
        **HERE_ONLY,
        "ACR_CREDENTIAL_PROVIDER_SETTINGS": str(helper.settings),
        "ACR_CREDENTIAL_PROVIDER_CACHE": str(helper.cache),
        **more,
    }
    # A word at least, or the harness would add the kubelet's options.
    return helper.run(stdin, *words, env=environment, under=under)


@pytest.mark.parametrize("form", ["{}", "{}\n", "https://{}", "https://{}/", "https://{}/v2/", "http://{}/v1/"])
def test_a_covered_server_gets_its_login_however_it_is_written(helper, sandbox, form):
    server = form.format(sandbox.registry.address)
    for _ in ("from the cloud", "from the memo"):
        ended = call(helper, server.encode(), "get")
        assert (ended.code, ended.stderr) == (0, b"")
        secret = ended.document["Secret"]
        assert ended.stdout.decode() == (
            f'{{"ServerURL":"{server.strip()}","Username":"cr_temp_user","Secret":"{secret}"}}\n'
        )
    assert sandbox.calls.counts() == {"GetAuthorizationToken": 1}


def test_kubelet_and_helper_share_one_token(helper, program, sandbox):
    host = sandbox.registry.address
    password = program.ask(f"{host}/team/app").login(host)[1]
    assert call(helper, host.encode(), "get").document["Secret"] == password
    assert sandbox.calls.count("GetAuthorizationToken") == 1


@pytest.mark.parametrize(
    "server",
    [
        "https://index.docker.io/v1/",
        "docker.io",
        "other.example.com",
        "127.0.0.1:1",
        "localhost",
        "a b.c",
        "u@h.example",
    ],
)
def test_a_server_that_is_not_covered_is_not_found_in_the_protocols_words(helper, sandbox, server):
    for _ in ("judged by the settings", "remembered"):
        ended = call(helper, server.encode(), "get")
        assert (ended.code, ended.stdout, ended.stderr) == (1, b"credentials not found in native keychain\n", b"")
    assert sandbox.calls.counts() == {}


@pytest.mark.parametrize("stdin", [b"", b"\n", b"https:///v2/"])
def test_no_server_is_told_in_the_protocols_words(helper, stdin):
    ended = call(helper, stdin, "get")
    assert (ended.code, ended.stdout, ended.stderr) == (1, b"no credentials server URL\n", b"")


def test_a_failure_is_told_where_the_protocol_wants_it(helper, sandbox):
    sandbox.state.remove_key(sandbox.key.id)
    ended = call(helper, sandbox.registry.address.encode(), "get")
    assert (ended.code, ended.stderr) == (1, b"")
    error, remedy = ended.stdout.decode().splitlines()
    assert re.match(r"error: GetAuthorizationToken for \S+ was refused \(InvalidAccessKeyId", error)
    assert remedy.startswith("remedy: Correct the access key")


@pytest.mark.parametrize(
    ("verb", "code", "stdout"),
    [
        ("list", 0, b"{}\n"),
        ("erase", 0, b""),
        (
            "store",
            1,
            b"this helper gets its logins from ACR by itself and stores none: no `login` is needed for that registry\n",
        ),
        ("nonsense", 1, USAGE),
        ("--help", 1, USAGE),
    ],
)
def test_the_other_verbs_are_answered(helper, sandbox, verb, code, stdout):
    ended = call(helper, b'{"ServerURL":"x","Username":"u","Secret":"CANARYPASSWORD"}', verb)
    assert (ended.code, ended.stdout, ended.stderr) == (code, stdout, b"")
    assert not helper.cache.exists()


def test_its_version_is_told(helper):
    assert call(helper, b"", "version").stdout.startswith(b"docker-credential-aliyun-acr (aliyun-acr-credential-")


def test_what_names_no_path_is_refused(helper):
    ended = call(helper, b"a.example.com", "get", ACR_CREDENTIAL_PROVIDER_CACHE="~/cache")
    assert (ended.code, ended.stderr) == (1, b"")
    assert b"ACR_CREDENTIAL_PROVIDER_CACHE is not a path" in ended.stdout


def test_it_is_a_command_too(program, sandbox):
    paths = ("--settings", str(program.settings), "--cache", str(program.cache))
    ended = program.run(sandbox.registry.address.encode(), "docker-credential", "get", *paths)
    assert (ended.code, ended.document["Username"]) == (0, "cr_temp_user")


def test_a_stdin_that_never_ends_is_told_before_long(helper):
    """Each verb, at the same time: all three wait for their deadline."""
    with contextlib.ExitStack() as stack:
        processes = {verb: stack.enter_context(helper.start(verb)) for verb in ("get", "store", "erase")}
        for verb, process in processes.items():
            assert process.wait(timeout=20) == 1, verb
            assert process.stdout.read().startswith(b"error: what the client writes to stdin did not end"), verb


@pytest.mark.parametrize(
    ("verb", "code", "stdout"),
    [("get", 1, b"no credentials server URL\n"), ("store", 1, b"this helper gets its logins"), ("erase", 0, b"")],
)
def test_a_closed_stdin_is_an_empty_one(helper, verb, code, stdout):
    ended = call(helper, None, verb, under=("sh", "-c", 'exec "$@" <&-', "sh"))
    assert (ended.code, ended.stderr) == (code, b"")
    assert ended.stdout.startswith(stdout)


def test_where_entries_share_a_host_by_namespaces_a_host_alone_finds_no_login(helper, sandbox):
    document = sandbox.settings()
    document["registries"] = [
        {"region": "cn-hangzhou", "namespaces": ["team"], "identity": document["registries"][0]["identity"]}
    ]
    helper.settings.write_text(json.dumps(document))
    ended = call(helper, b"https://registry.cn-hangzhou.aliyuncs.com/v2/", "get")
    assert (ended.code, ended.stdout, ended.stderr) == (1, b"credentials not found in native keychain\n", b"")
    assert sandbox.calls.counts() == {}


SHARED = "registry.cn-hangzhou.aliyuncs.com"
NAMED = {"namespaces": ["team"]}
ELSEWHERE = {"region": "cn-beijing"}


@pytest.mark.parametrize(
    "case",
    [
        ([{}], SHARED, True),
        ([{}], f"https://{SHARED}/v2/", True),
        ([{}], "registry-vpc.cn-hangzhou.aliyuncs.com", True),
        ([{"domains": [SHARED]}], SHARED, True),
        ([{"domains": [SHARED]}, ELSEWHERE], SHARED, True),
        ([{}, ELSEWHERE | NAMED], SHARED, True),
        ([NAMED], SHARED, False),
        ([{}, NAMED], SHARED, False),
        ([{}], "registry.cn-beijing.aliyuncs.com", False),
        ([{}], "registry.oss-cn-hangzhou.aliyuncs.com", False),
    ],
    ids=str,
)
def test_a_host_that_accounts_share_gets_the_login_of_its_images_unless_entries_name_namespaces_there(
    helper, program, sandbox, tmp_path, case
):
    entries, server, found = case
    sandbox.state.add_instance(Instance.personal())
    own = {key: value for key, value in sandbox.settings()["registries"][0].items() if key != "instanceId"}
    own.pop("domains", None)
    write_settings(tmp_path, sandbox.settings() | {"registries": [own | entry for entry in entries]})
    ended = call(helper, server.encode(), "get")
    if not found:
        assert (ended.code, ended.stdout) == (1, b"credentials not found in native keychain\n")
        return
    assert (ended.code, ended.document["Username"]) == (0, "cr_temp_user")
    host = ended.document["ServerURL"].removeprefix("https://").partition("/")[0]
    login = program.ask(f"{host}/elsewhere/app").login(f"{host}/elsewhere/")
    assert login[1] == ended.document["Secret"], "the kubelet's answer and docker's are one"


def test_the_kubelets_answer_for_an_image_without_a_namespace_stays_empty(helper, program, sandbox, tmp_path):
    """The kubelet would use a login for the host in every namespace, Alibaba Cloud's public images among them."""
    own = {key: value for key, value in sandbox.settings()["registries"][0].items() if key != "instanceId"}
    own.pop("domains", None)
    sandbox.state.add_instance(Instance.personal())
    write_settings(tmp_path, sandbox.settings() | {"registries": [own]})
    assert call(helper, SHARED.encode(), "get").code == 0
    assert program.ask(f"{SHARED}/app").document["auth"] == {}
