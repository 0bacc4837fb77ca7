"""The exec protocol as literal bytes: the same cases for the source and for the frozen binary."""

import json

import pytest
from support.harness import API_VERSIONS, GROUP, request
from support.kubelet import logins

OURS_BUT_NOT_COVERED = "other-registry.cn-hangzhou.cr.aliyuncs.com/team/app"
TRY_BY_HAND = (
    b"remedy: Run this program as a kubelet credential provider, or try it by hand: "
    b"""echo '{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","""
    b""""image":"HOST/NAMESPACE/NAME"}' | aliyun-acr-credential-provider\n"""
)


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_a_covered_host_gets_its_token_in_the_version_asked(program, sandbox, version):
    host = sandbox.registry.address
    asked = b'{"kind":"CredentialProviderRequest","apiVersion":"%s/%s","image":"%s/team/app"}\n' % (
        GROUP.encode(),
        version.encode(),
        host.encode(),
    )
    for _ in ("from the cloud", "from the memo"):
        ended = program.run(asked)
        assert (ended.code, ended.stderr) == (0, b"")
        user, password = ended.login(host)
        assert ended.stdout == (
            b'{"kind":"CredentialProviderResponse","apiVersion":"%s/%s","cacheKeyType":"Registry",'
            b'"cacheDuration":"300s","auth":{"%s":{"username":"%s","password":"%s"}}}\n'
            % (GROUP.encode(), version.encode(), host.encode(), user.encode(), password.encode())
        )
        taken = logins(ended.stdout, 0, image=f"{host}/team/app", api_version=f"{GROUP}/{version}")
        assert taken == [(user, password)]
    assert sandbox.calls.counts() == {"GetAuthorizationToken": 1}


@pytest.mark.parametrize("version", API_VERSIONS)
@pytest.mark.parametrize(
    "image",
    [
        "docker.io/library/busybox",
        OURS_BUT_NOT_COVERED,
        "127.0.0.1/team/app",
        "127.0.0.1:1/team/app",
        "docker.io/127.0.0.1:5000/team/app",
        "demo-registry.oss-cn-hangzhou.aliyuncs.com/team/app",
        "image-registry.openshift-image-registry.svc:5000/project-b/app",
    ],
)
def test_a_host_that_is_not_covered_gets_nothing_and_no_call_is_made(program, sandbox, image, version):
    for _ in ("judged by the settings", "remembered"):
        ended = program.run(request(image, version=version))
        assert (ended.code, ended.stderr) == (0, b"")
        assert ended.stdout == (
            b'{"kind":"CredentialProviderResponse","apiVersion":"%s","cacheKeyType":"Registry",'
            b'"cacheDuration":"0s","auth":{}}\n' % version.encode()
        )
        assert logins(ended.stdout, 0, image=image, api_version=version) == []
    assert sandbox.calls.counts() == {}


def test_fields_that_a_newer_kubelet_may_send_are_ignored(program, sandbox):
    ended = program.run(request(sandbox.image.partition(":latest")[0], somethingNew={"a": [1]}))
    assert (ended.code, ended.stderr) == (0, b"")
    assert ended.document["auth"]


@pytest.mark.parametrize(
    ("stdin", "stderr"),
    [
        (b"", b"error: stdin is empty [RequestInvalid]\n" + TRY_BY_HAND),
        (b" \n", b"error: stdin is empty [RequestInvalid]\n" + TRY_BY_HAND),
        (b"{", b"error: stdin does not hold one JSON object [RequestInvalid]\n" + TRY_BY_HAND),
        (b"\xff\xfe{}", b"error: stdin does not hold one JSON object [RequestInvalid]\n" + TRY_BY_HAND),
        (b"\0" * 100, b"error: stdin does not hold one JSON object [RequestInvalid]\n" + TRY_BY_HAND),
        (b"[" * 200_000, b"error: stdin does not hold one JSON object [RequestInvalid]\n" + TRY_BY_HAND),
        (b"[]", b"error: stdin does not hold one JSON object [RequestInvalid]\n" + TRY_BY_HAND),
        (b"{}{}", b"error: stdin does not hold one JSON object [RequestInvalid]\n" + TRY_BY_HAND),
        (b"x" * (2 << 20), b"error: stdin holds more than 1048576 bytes [RequestInvalid]\n" + TRY_BY_HAND),
        (b"{}", b"error: stdin holds kind NoneType, not CredentialProviderRequest [RequestInvalid]\n" + TRY_BY_HAND),
        (
            b'{"kind":"Secret","apiVersion":"v1"}',
            b"error: stdin holds kind 'Secret', not CredentialProviderRequest [RequestInvalid]\n" + TRY_BY_HAND,
        ),
        (
            b'{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v2","image":"a.b/c"}',
            (
                b"error: the request has apiVersion 'credentialprovider.kubelet.k8s.io/v2' [RequestInvalid]\n"
                b"remedy: Set the provider's apiVersion in the kubelet's CredentialProviderConfig to "
                b"credentialprovider.kubelet.k8s.io/v1.\n"
            ),
        ),
        (
            b'{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1"}',
            b"error: the request names no image [RequestInvalid]\n" + TRY_BY_HAND,
        ),
        (
            request("team/app"),
            (
                b"error: the image 'team/app' does not start with a registry host [ImageInvalid]\n"
                b"remedy: Write the image as HOST/NAMESPACE/NAME; the kubelet does so for every image it pulls.\n"
            ),
        ),
        (
            request("a.example/b", serviceAccountToken="not.a.token"),
            (
                b"error: the request's serviceAccountToken is not a token of a Kubernetes ServiceAccount "
                b"[ServiceAccountTokenInvalid]\n"
                b"remedy: Check the provider's tokenAttributes in the kubelet's CredentialProviderConfig.\n"
            ),
        ),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_what_is_not_a_request_is_told_in_two_lines_and_nothing_is_answered(program, stdin, stderr):
    ended = program.run(stdin)
    assert (ended.code, ended.stdout) == (1, b"")
    assert ended.stderr == stderr


def test_without_settings_the_error_names_the_file(program):
    program.settings.unlink()
    ended = program.ask("acr.example.com/team/app")
    path = str(program.settings)
    assert (ended.code, ended.stdout) == (1, b"")
    assert ended.stderr.decode() == (
        f"error: cannot read {path}: No such file or directory [SettingsUnreadable]\n"
        f"remedy: Install the settings at {path}, owned by root with mode 0600, or name another file with --settings.\n"
    )


def test_a_mistake_in_the_settings_is_told_by_line_and_field(program):
    document = json.loads(program.settings.read_text())
    document["registries"][0]["regoin"] = "cn-hangzhou"
    program.settings.write_text(json.dumps(document, indent=1))
    ended = program.ask("acr.example.com/team/app")
    line = program.settings.read_text().splitlines().index('   "regoin": "cn-hangzhou"') + 1
    assert (ended.code, ended.stdout) == (1, b"")
    assert ended.stderr.decode() == (
        f"error: {program.settings}, line {line}: registries[0].regoin is not a known field [SettingsUnknownKey]\n"
        "remedy: Did you mean region? Correct its spelling or remove it.\n"
    )


def test_repaired_settings_hold_at_once(program, sandbox):
    image = sandbox.image.partition(":latest")[0]
    good = program.settings.read_text()
    program.settings.write_text("kind: nonsense")
    assert program.ask(image).code == 1
    program.settings.write_text(good)
    assert program.ask(image).code == 0


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--settings", ""], ["cache"], ["settings", "nonsense"]])
def test_words_that_are_not_understood_end_with_2(program, arguments):
    ended = program.run(b"", *arguments)
    assert (ended.code, ended.stdout) == (2, b"")
    assert ended.stderr.startswith(b"error: ")
    assert ended.stderr.endswith(b" --help.\n")


def test_version_and_help_are_told(program):
    assert program.run(b"", "--version").stdout.startswith(b"aliyun-acr-credential-provider 0.")
    assert b"CredentialProviderRequest" in program.run(b"", "--help").stdout


def _altered(host, **changes):
    document = json.loads(request(f"{host}/team/app")) | changes
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


ODD_REQUESTS = {
    "no repository": lambda host: _altered(host, image=host),
    "an empty repository": lambda host: _altered(host, image=f"{host}/"),
    "a tag alone": lambda host: _altered(host, image=f"{host}/:1"),
    "annotations that are a list": lambda host: _altered(host, serviceAccountAnnotations=[]),
    "an annotation that is a number": lambda host: _altered(host, serviceAccountAnnotations={"a": 1}),
    "a token that is false": lambda host: _altered(host, serviceAccountToken=False),
    "another kind": lambda host: _altered(host, kind="CredentialProviderResponse"),
    "no apiVersion": lambda host: _altered(host, apiVersion=...),
    "white space beyond the limit": lambda host: _altered(host) + b" " * (1 << 20),
    "bytes that are no text": lambda host: _altered(host)[:-1] + b',"a":"\xff"}',
}


def test_what_is_an_error_cold_is_the_same_error_warm(program, sandbox):
    host = sandbox.registry.address
    cold = {kind: program.run(odd(host)) for kind, odd in ODD_REQUESTS.items()}
    assert program.ask(f"{host}/team/app").code == 0
    warm = {kind: program.run(odd(host)) for kind, odd in ODD_REQUESTS.items()}
    assert {kind: ended.code for kind, ended in cold.items()} == dict.fromkeys(ODD_REQUESTS, 1)
    assert [(ended.code, ended.stdout, ended.stderr) for ended in warm.values()] == [
        (ended.code, ended.stdout, ended.stderr) for ended in cold.values()
    ]
    assert sandbox.calls.counts() == {"GetAuthorizationToken": 1}


def test_a_host_that_is_not_covered_leaves_no_lock_file(program):
    for number in range(3):
        ended = program.ask(f"host-{number}.example.com/team/app")
        assert (ended.code, ended.document["auth"]) == (0, {})
    assert [path.name for path in (program.cache / "locks").iterdir() if len(path.stem) == 64] == []
    assert len(list((program.cache / "memo").glob("*.memo"))) == 3
