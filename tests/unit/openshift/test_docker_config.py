"""Container clients' files of logins: what is read, what is refused, and what is written."""

import json
from base64 import b64encode

import pytest
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.openshift import docker_config
from acr_credential_provider.openshift.docker_config import DockerConfig
from acr_credential_provider.openshift.login_sources import from_secret
from acr_credential_provider.sources.basic_auth import BasicAuth
from hypothesis import given
from hypothesis import strategies as st

SECRET = "CANARYSECRET"


def auth(username="me", password=SECRET):
    return {"auth": b64encode(f"{username}:{password}".encode()).decode()}


def parse(document, source="auth.json"):
    return docker_config.parse(json.dumps(document), source=source)


@pytest.mark.parametrize(
    "document",
    [
        {"auths": {"acr.example.com": auth()}, "HttpHeaders": {"User-Agent": "Docker"}},
        {"auths": {"acr.example.com": {"username": "me", "password": SECRET, "email": "me@example.com"}}},
        {"acr.example.com": auth()},
    ],
    ids=["docker's config.json", "what kubectl writes", "dockercfg"],
)
def test_each_form_of_the_file_has_the_same_login(document):
    found = parse(document)
    assert found.logins == {"acr.example.com": BasicAuth("me", SECRET)}
    assert found.notes == ()
    assert SECRET not in repr(found)


def test_a_password_may_hold_colons():
    assert parse({"auths": {"a.example": auth(password="a:b:c")}}).logins["a.example"].password == "a:b:c"


def test_several_paths_of_one_registry_are_several_logins():
    found = parse({"auths": {"quay.io": auth("a"), "quay.io/team": auth("b")}})
    assert {key: login.username for key, login in found.logins.items()} == {"quay.io": "a", "quay.io/team": "b"}


@pytest.mark.parametrize(
    "text",
    [
        '{"auths":{"quay.io/team":{"auth":"YTpi"},"quay.io/team":{"auth":"YTpj"}}}',
        '{"auths":{"https://quay.io/team/":{"auth":"YTpi"},"quay.io/team":{"auth":"YTpj"}}}',
        '{"auths":{"https://quay.io/v1/":{"auth":"YTpi"},"Quay.io":{"auth":"YTpj"}}}',
    ],
    ids=["as JSON", "with a scheme", "as an API"],
)
def test_the_very_same_path_twice_is_refused(text):
    with pytest.raises(ConfigurationError, match="twice") as caught:
        docker_config.parse(text, source="auth.json")
    assert "Keep one" in caught.value.remedy


def test_what_has_no_password_in_the_file_is_said():
    found = parse(
        {
            "auths": {"a.example": {}, "b.example": {"identitytoken": SECRET}, "c.example": auth(), "d.example": None},
            "credsStore": "desktop",
            "credHelpers": {"c.example": "x", "e.example": "aliyun-acr"},
        }
    )
    assert list(found.logins) == ["c.example"]
    told = "\n".join(found.notes)
    assert [f"{each}.example" in told for each in "abcde"] == [True, True, False, True, True]
    assert SECRET not in told


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"a":1}', b'{"auths":[]}', b"[" * 100_000])
def test_what_is_no_such_file_is_refused_without_a_word_of_it(content):
    with pytest.raises(ConfigurationError) as caught:
        docker_config.parse(content, source="the file")
    assert str(caught.value).startswith("the file ")


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_no_content_raises_anything_but_our_error(inner):
    for document in (inner, {"auths": inner}, {"auths": {"a.example": inner}, "credHelpers": inner}):
        try:
            parse(document)
        except ConfigurationError:
            continue


def test_files_are_merged_and_a_contradiction_is_refused():
    first = DockerConfig({"https://a.example/": BasicAuth("me", SECRET)})
    same, other = (
        DockerConfig({"a.example": BasicAuth("me", SECRET)}),
        DockerConfig({"a.example": BasicAuth("you", SECRET)}),
    )
    assert docker_config.merged([first, same]) == first.logins
    with pytest.raises(ConfigurationError, match="two different logins") as caught:
        docker_config.merged([first, other])
    assert SECRET not in str(caught.value)


def test_a_registry_that_delegates_its_logins_gets_both_entries():
    logins = {"registry.example": BasicAuth("me", SECRET)}
    both = docker_config.with_auth_servers(logins, {"registry.example": "auth.example"})
    assert both == {"registry.example": BasicAuth("me", SECRET), "auth.example": BasicAuth("me", SECRET)}


def test_one_authentication_server_cannot_have_two_logins_in_one_secret():
    logins = {"a.example": BasicAuth("me", SECRET), "b.example": BasicAuth("you", SECRET)}
    with pytest.raises(ConfigurationError, match=r"auth\.example has two") as caught:
        docker_config.with_auth_servers(logins, {"a.example": "auth.example", "b.example": "auth.example"})
    assert "two Secrets" in caught.value.remedy
    with pytest.raises(ConfigurationError, match=r"no login for c\.example"):
        docker_config.with_auth_servers(logins, {"c.example": "auth.example"})


def test_podmans_secret_type_is_read_and_the_kubelets_is_written():
    content = json.dumps({"auths": {"a.example": auth()}}).encode()
    podman = {"type": "kubernetes.io/podmanconfigjson", "data": {"auth.json": b64encode(content).decode()}}
    logins = from_secret(podman, source="Secret a/b").logins
    assert json.loads(docker_config.encode(logins)) == {"auths": {"a.example": auth()}}


@pytest.mark.parametrize(
    "secret",
    [
        {"type": "Opaque", "data": {".dockerconfigjson": "e30="}},
        {"type": "kubernetes.io/dockerconfigjson", "data": {}},
        {"type": "kubernetes.io/podmanconfigjson", "data": {"a": "e30=", "b": "e30="}},
        {},
    ],
)
def test_a_secret_that_holds_no_file_is_refused(secret):
    with pytest.raises(ConfigurationError, match="holds no container client's file"):
        from_secret(secret, source="Secret a/b")


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}\.example(/[a-z]{1,8})?", fullmatch=True), st.text(min_size=1)))
def test_what_is_written_is_read_back_and_always_the_same_bytes(passwords):
    logins = {key: BasicAuth("me", password) for key, password in passwords.items()}
    content = docker_config.encode(logins)
    assert docker_config.parse(content, source="it").logins == logins
    assert docker_config.encode(dict(reversed(logins.items()))) == content
