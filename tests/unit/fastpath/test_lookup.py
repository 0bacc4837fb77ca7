import base64
import json
import os
import subprocess
import sys
import time

import pytest
from acr_credential_provider.fastpath.lookup import (
    API_VERSIONS,
    ROLE_ANNOTATION,
    cache_key,
    exec_options,
    lookup,
    token_subject,
)
from acr_credential_provider.fastpath.response_cache import TOKEN, CacheEntry, ResponseCache, uptime
from hypothesis import given
from hypothesis import strategies as st

HOST = "demo-registry.cn-hangzhou.cr.aliyuncs.com"


def ask(image=f"{HOST}/team/app", version=API_VERSIONS[0], **more):
    return json.dumps({"kind": "CredentialProviderRequest", "apiVersion": version, "image": image, **more}).encode()


def service_account_token(**changes):
    account = {"namespace": "team", "serviceaccount": {"name": "puller", "uid": "u-1"}}
    claims = {"iss": "https://issuer", "aud": ["sts.aliyuncs.com"], "kubernetes.io": account, **changes}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


def response_to(raw, options):
    hit = lookup(raw, options)
    return None if hit is None else hit[0]


@pytest.fixture
def options(tmp_path):
    (tmp_path / "cache/memo").mkdir(parents=True, mode=0o700)
    return {"--settings": str(tmp_path / "settings.yaml"), "--cache": str(tmp_path / "cache")}


def remember(options, *, due_in=1000.0, dead_in=2000.0, asker="", host=HOST):
    now = time.time()
    memo = CacheEntry(
        key=cache_key(options["--settings"], host, asker),
        kind=TOKEN,
        scope=host,
        written=now,
        uptime=uptime(),
        refresh_at=now + due_in,
        expires_at=now + dead_in,
        max_cache_duration=300.0,
        fingerprints=(),
        answer=json.dumps({host: {"username": "u", "password": "p"}}),
    )
    ResponseCache(options["--cache"] + "/memo").put(memo)


@pytest.mark.parametrize("version", API_VERSIONS)
def test_a_hit_answers_in_the_version_that_was_asked(options, version):
    remember(options)
    answer = json.loads(response_to(ask(version=version), options))
    assert answer == {
        "kind": "CredentialProviderResponse",
        "apiVersion": version,
        "cacheKeyType": "Registry",
        "cacheDuration": "300s",
        "auth": {HOST: {"username": "u", "password": "p"}},
    }


@pytest.mark.parametrize(
    ("due_in", "dead_in"), [(-1.0, 1000.0), (-2.0, -1.0)], ids=["due: it may be renewed", "dead: it must be"]
)
def test_a_memo_that_is_not_fresh_is_left_to_the_rest(options, due_in, dead_in):
    remember(options, due_in=due_in, dead_in=dead_in)
    assert response_to(ask(), options) is None


def test_another_image_of_the_same_registry_is_a_hit(options):
    remember(options)
    assert response_to(ask(f"{HOST}/other/thing"), options)


@pytest.mark.parametrize(
    "image", [f"{HOST}:443/team/app", "other-registry.cn-hangzhou.cr.aliyuncs.com/a", "a/" + HOST, HOST.upper() + "/a"]
)
def test_another_registry_is_no_hit(options, image):
    remember(options)
    assert response_to(ask(image), options) is None


def test_another_settings_file_is_another_question(options):
    remember(options)
    assert response_to(ask(), {**options, "--settings": "/other.yaml"}) is None


def test_each_service_account_has_a_memo_of_its_own(options):
    remember(options, asker=token_subject(service_account_token(), {}))
    other = {"namespace": "team", "serviceaccount": {"name": "puller", "uid": "u-2"}}
    assert response_to(ask(serviceAccountToken=service_account_token()), options)
    assert response_to(ask(), options) is None
    assert response_to(ask(serviceAccountToken=service_account_token(**{"kubernetes.io": other})), options) is None
    assert response_to(ask(serviceAccountToken=service_account_token(aud=["else"])), options) is None
    annotated = ask(serviceAccountToken=service_account_token(), serviceAccountAnnotations={ROLE_ANNOTATION: "other"})
    assert response_to(annotated, options) is None


def test_no_annotation_but_the_roles_has_a_say(options):
    remember(options, asker=token_subject(service_account_token(), {}))
    annotated = ask(serviceAccountToken=service_account_token(), serviceAccountAnnotations={"role": "x" * 100_000})
    assert response_to(annotated, options)


@given(st.binary())
def test_no_bytes_on_stdin_make_the_fast_lane_fail(raw):
    assert response_to(raw, {"--settings": "/s", "--cache": "/nowhere"}) is None


@pytest.mark.parametrize(
    "field",
    [
        {"kind": "Secret"},
        {"apiVersion": "credentialprovider.kubelet.k8s.io/v2"},
        {"apiVersion": ["x"]},
        {"image": None},
        {"image": 5},
        {"serviceAccountToken": "not.a.token"},
        {"serviceAccountToken": 7},
        {"serviceAccountToken": service_account_token(), "serviceAccountAnnotations": ["x"]},
    ],
    ids=str,
)
def test_an_odd_request_is_left_to_the_rest(options, field):
    remember(options)
    assert response_to(json.dumps({**json.loads(ask()), **field}).encode(), options) is None


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        ([], ("/etc/aliyun-acr-credential-provider/settings.yaml", "/var/cache/aliyun-acr-credential-provider")),
        (["get-credentials", "--cache=/c"], ("/etc/aliyun-acr-credential-provider/settings.yaml", "/c")),
        (["--settings", "/s", "--cache", "/c"], ("/s", "/c")),
        (["--settings", "/s", "get-credentials", "--cache", "/c"], ("/s", "/c")),
        (["--settings=s.yaml", "--cache", "./c"], (f"{os.getcwd()}/s.yaml", f"{os.getcwd()}/c")),
    ],
)
def test_the_exec_protocol_takes_two_paths(arguments, paths):
    assert tuple(exec_options(arguments).values()) == paths


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["cache", "show"],
        ["--settings"],
        ["--cache="],
        ["--settings", "-"],
        ["--cache=~/c"],
        ["get-credentials", "get-credentials"],
        ["get-credentials", "x"],
    ],
    ids=" ".join,
)
def test_other_words_are_left_to_the_command_line(arguments):
    assert exec_options(arguments) is None


def test_a_hit_loads_nothing_that_is_not_built_into_the_interpreter(options):
    remember(options)
    program = (
        "import sys; before = set(sys.modules)\n"
        "from acr_credential_provider.__main__ import main\n"
        f"sys.argv = ['x', '--settings', {options['--settings']!r}, '--cache', {options['--cache']!r}]\n"
        "code = main()\n"
        "loaded = set(sys.modules) - before\n"
        "import os\n"
        "os.write(2, ' '.join(sorted(loaded)).encode()); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {PROVIDER!r})\n{program}"],
        input=ask(),
        capture_output=True,
        check=True,
    )
    assert b"CredentialProviderResponse" in done.stdout
    package = "acr_credential_provider"
    ours = {package, *(f"{package}.{name}" for name in ("__main__", "fastpath", "version"))}
    ours |= {f"{package}.fastpath.{name}" for name in ("cpython", "lookup", "response_cache")}
    assert set(done.stderr.decode().split()) - ours <= {
        "_signal",
        "posix",
        "time",
        "binascii",
        "_json",
        "_sha256",
        "_sha2",
    }


PROVIDER = os.path.join(os.path.dirname(__file__), "../../../provider")


SHARED = "registry.cn-hangzhou.aliyuncs.com"


def test_on_a_shared_host_a_hit_is_for_one_namespace_and_the_kubelet_keeps_it_for_one_image(options):
    remember(options, host=f"{SHARED}/team")
    answer = json.loads(response_to(ask(image=f"{SHARED}/team/app"), options))
    assert answer["cacheKeyType"] == "Image"
    for other in ("acs/pause", "team2/app", "team"):
        assert response_to(ask(image=f"{SHARED}/{other}"), options) is None
