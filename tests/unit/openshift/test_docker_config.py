"""Container clients' files of logins: what is read, what is refused, and what is written."""

import json
from base64 import b64encode

import pytest
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.openshift import docker_config, pull_secrets
from acr_credential_provider.openshift.auth_paths import path_of, place_of
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


def test_a_key_that_json_has_twice_is_refused():
    with pytest.raises(ConfigurationError, match="twice") as caught:
        docker_config.parse('{"auths":{"quay.io/team":{"auth":"YTpi"},"quay.io/team":{"auth":"YTpj"}}}', source="it")
    assert "Keep one" in caught.value.remedy


SPELLINGS = [
    ("quay.io", "https://quay.io"),
    ("https://quay.io/v1/", "quay.io"),
    ("https://quay.io/team/", "quay.io/team"),
    ("docker.io", "https://index.docker.io/v1/"),
    ("http://acr.example.com:5000", "acr.example.com:5000/"),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_two_spellings_with_different_logins_are_refused_where_they_are_asked_for(one, other):
    found = parse({"auths": {one: auth("a"), other: auth("b"), "c.example": auth("c")}})
    with pytest.raises(ConfigurationError, match="two different logins"):
        docker_config.merged([found])
    chosen, left_out = found.only(pull_secrets.wanted(["c.example"]))
    assert docker_config.merged([chosen]) == {"c.example": BasicAuth("c", SECRET)}
    assert left_out == [path_of(one)]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_two_spellings_with_one_login_are_one(one, other):
    found = parse({"auths": {one: auth(), other: auth()}})
    assert {place_of(path) for path in docker_config.merged([found])} == {place_of(path_of(one))}


def wrapped(text, width):
    return "\n".join(text[start : start + width] for start in range(0, len(text), width))


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text.rstrip("="),
        lambda text: wrapped(text, 76),
        lambda text: wrapped(text, 64).replace("\n", "\r\n") + "\r\n",
        lambda text: wrapped(text.rstrip("="), 5),
    ],
    ids=["unpadded", "of base64(1)", "of openssl", "wrapped and unpadded"],
)
@pytest.mark.parametrize("length", [88, 89, 90])
def test_base64_is_read_as_others_write_it(spell, length):
    password = "x" * length
    found = parse({"auths": {"a.example": {"auth": spell(auth(password=password)["auth"])}}})
    assert found.logins == {"a.example": BasicAuth("me", password)}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"auth": "bWU6*"}, "is not base64"),
        ({"auth": "bWU6cA="}, "is not base64"),
        ({"auth": " bWU6cA=="}, "is not base64"),
        ({"auth": "bWU6c"}, "is not base64"),
        ({"auth": "bWU_cA=="}, "is not base64"),
        ({"auth": "bWVwYXNz"}, "is not USER:PASSWORD"),
        ({"auth": "bWU6//8="}, "is not text in UTF-8"),
        ({"username": 7, "password": SECRET}, "has a username that is not text"),
        ({"auth": "bWU6cA==", "AUTH": "bWU6cQ=="}, "has auth twice"),
        ("bWU6cA==", "is not an object"),
    ],
)
def test_an_entry_that_costs_a_kubelet_the_file_is_refused_where_it_is_asked_for(entry, problem):
    found = parse({"auths": {"a.example": entry, "b.example": auth()}})
    with pytest.raises(ConfigurationError, match=problem) as caught:
        docker_config.merged([found])
    assert "a.example" in caught.value.problem
    assert "--host" in caught.value.remedy
    assert docker_config.merged([found.only(pull_secrets.wanted(["b.example"]))[0]]).keys() == {"b.example"}


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("https://h.example/v1/team", "h.example/team"),
        ("https://h.example/v2/team/", "h.example/team/"),
        ("http://h.example:5000/v1/", "h.example:5000"),
        ("*.example.com", "*.example.com"),
        ("[fd00::1]:5000/team", "[fd00::1]:5000/team"),
        ("h.example/v1x/team", "h.example/v1x/team"),
    ],
)
def test_a_key_is_the_path_that_a_kubelet_makes_of_it(key, path):
    assert list(parse({"auths": {key: auth()}}).logins) == [path]


@pytest.mark.parametrize(
    "key", [" h.example ", "h.example\t", "me@h.example", "h.example/a b", "", "h.example/%74", "/v2/"]
)
def test_a_key_that_names_no_registry_is_said_and_left_out(key):
    found = parse({"auths": {key: auth(), "a.example": auth()}})
    assert list(found.logins) == ["a.example"]
    assert "no kubelet reads it" in found.notes[0]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"username": "me:too", "password": SECRET}, "colon in its user name"),
        ({"password": SECRET}, "password without a user name"),
        ({"auth": b64encode(f":{SECRET}".encode()).decode()}, "password without a user name"),
        ({"username": "me"}, "no password there"),
    ],
)
def test_a_login_that_no_registry_takes_is_said_and_left_out(entry, reason):
    found = parse({"auths": {"a.example": entry}})
    assert (found.logins, found.refused) == ({}, {})
    assert reason in found.notes[0]
    assert SECRET not in found.notes[0]


def test_no_login_is_written_that_readers_would_take_for_another():
    with pytest.raises(ConfigurationError, match="colon") as caught:
        docker_config.encode({"a.example": BasicAuth("me:too", SECRET)})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        {"a.example": auth()},
        {"a.example": {"username": "me", "password": SECRET}},
        {"a.example": {"Auth": auth()["auth"]}},
    ],
)
def test_the_older_file_is_read_with_each_form_of_login(document):
    assert parse(document).logins == {"a.example": BasicAuth("me", SECRET)}


@pytest.mark.parametrize(
    "document",
    [
        {"credsStore": "desktop"},
        {"auths": {}, "credsStore": "desktop"},
        {"auths": {"https://index.docker.io/v1/": {}}, "credsStore": "desktop"},
        {"auths": None, "CredsStore": "desktop"},
    ],
)
def test_a_file_whose_logins_are_in_a_store_names_the_store_and_what_to_do(document):
    with pytest.raises(ConfigurationError, match="the credential store desktop has them") as caught:
        parse(document)
    assert "docker-credential-desktop get" in caught.value.remedy
    assert "podman login --authfile" in caught.value.remedy


def test_a_file_whose_logins_are_with_a_helper_names_it():
    with pytest.raises(ConfigurationError, match="the credential helper ecr-login has them") as caught:
        parse({"auths": {"a.example": {}}, "credHelpers": {"a.example": "ecr-login"}})
    assert "docker-credential-ecr-login get" in caught.value.remedy


def test_what_may_be_no_name_of_a_store_is_not_repeated():
    with pytest.raises(ConfigurationError) as caught:
        parse({"credsStore": f"x; {SECRET}"})
    assert SECRET not in f"{caught.value} {caught.value.remedy}"


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


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b"\xef\xbb\xbf{}", b'{"auths":NaN}', b'{"a":1}', b'{"auths":[]}', b"[" * 100_000]
)
def test_what_is_no_such_file_is_refused_without_a_word_of_it(content):
    with pytest.raises(ConfigurationError) as caught:
        docker_config.merged([docker_config.parse(content, source="the file")])
    assert str(caught.value).startswith("the file ")


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_no_content_raises_anything_but_our_error(inner):
    for document in (inner, {"auths": inner}, {"auths": {"a.example": inner}, "credHelpers": inner}):
        try:
            parse(document)
        except ConfigurationError:
            continue


def test_files_are_merged_and_a_contradiction_is_refused():
    first = DockerConfig({"a.example": BasicAuth("me", SECRET)})
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
    ("kind", "key"),
    [
        ("Opaque", ".dockerconfigjson"),
        ("Opaque", "config.json"),
        ("Opaque", "auth.json"),
        ("example.com/mine", ".dockerconfigjson"),
        ("kubernetes.io/podmanconfigjson", "any"),
    ],
)
def test_a_file_is_found_in_a_secret_of_any_type(kind, key):
    content = b64encode(json.dumps({"auths": {"a.example": auth()}}).encode()).decode()
    secret = {"type": kind, "data": {key: content}}
    assert from_secret(secret, source="Secret a/b").logins == {"a.example": BasicAuth("me", SECRET)}
    assert pull_secrets.file_key(secret) == key


@pytest.mark.parametrize("kind", ["Opaque", "kubernetes.io/dockercfg"])
def test_the_older_file_is_found_in_a_secret(kind):
    content = b64encode(json.dumps({"a.example": {"username": "me", "password": SECRET}}).encode()).decode()
    found = from_secret({"type": kind, "data": {".dockercfg": content}}, source="Secret a/b")
    assert found.logins == {"a.example": BasicAuth("me", SECRET)}


@pytest.mark.parametrize(
    "secret",
    [
        {"type": "Opaque", "data": {"password": "e30="}},
        {"type": "Opaque", "data": {"config.json": "e30=", "auth.json": "e30="}},
        {"type": "kubernetes.io/dockerconfigjson", "data": {}},
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockercfg": "e30="}},
        {"type": "kubernetes.io/podmanconfigjson", "data": {"a": "e30=", "b": "e30="}},
        {},
    ],
)
def test_a_secret_that_holds_no_file_is_refused(secret):
    with pytest.raises(ConfigurationError, match="holds no container client's file") as caught:
        from_secret(secret, source="Secret a/b")
    assert "--docker-server" in caught.value.remedy
    assert pull_secrets.file_key(secret) == ""


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}\.example(/[a-z]{1,8})?", fullmatch=True), st.text(min_size=1)))
def test_what_is_written_is_read_back_and_always_the_same_bytes(passwords):
    logins = {key: BasicAuth("me", password) for key, password in passwords.items()}
    content = docker_config.encode(logins)
    assert docker_config.parse(content, source="it").logins == logins
    assert docker_config.encode(dict(reversed(logins.items()))) == content
