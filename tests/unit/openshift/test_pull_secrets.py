"""What is patched, merged and granted on OpenShift: nothing of others' is ever touched."""

import json
from base64 import b64encode
from copy import deepcopy

import kubernetes_validate
import pytest
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.openshift import docker_config, pull_secrets
from acr_credential_provider.sources.basic_auth import BasicAuth
from hypothesis import given
from hypothesis import strategies as st

SECRET = "CANARYSECRET"
ACR = "demo-registry.cn-hangzhou.cr.aliyuncs.com"
NAMES = st.sampled_from(["default-dockercfg-abcde", "theirs", "acr-login", "builder-dockercfg-x", "acr-2"])


def account(*secrets, **more):
    found = {"metadata": {"name": "default", "resourceVersion": "7"}, "secrets": [{"name": "mounted"}], **more}
    return found | ({"imagePullSecrets": [{"name": each} for each in secrets]} if secrets else {})


def patched(found, operations):
    """Apply a JSON patch (RFC 6902) of the few operations that are used, as the API server would."""
    result = deepcopy(found)
    for each in operations:
        *steps, last = each["path"].strip("/").split("/")
        parent = result
        for step in steps:
            parent = parent[int(step)] if isinstance(parent, list) else parent[step]
        if each["op"] == "test":
            assert parent[last] == each["value"]
        elif each["op"] == "remove":
            del parent[int(last)]
        elif last == "-":
            parent.append(each["value"])
        else:
            parent[last] = each["value"]
    return result


def test_linking_appends_and_leaves_mount_secrets_and_others_alone():
    found = account("default-dockercfg-abcde", "theirs")
    operations = pull_secrets.link(found, ["acr-login"])
    assert operations[0] == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    after = patched(found, operations)
    assert [each["name"] for each in after["imagePullSecrets"]] == ["default-dockercfg-abcde", "theirs", "acr-login"]
    assert after["secrets"] == [{"name": "mounted"}]


def test_linking_what_is_linked_writes_nothing():
    assert pull_secrets.link(account("acr-login"), ["acr-login"]) == []
    assert pull_secrets.unlink(account("theirs"), ["acr-login"]) == []
    assert pull_secrets.unlink(account(), ["acr-login"]) == []


def test_an_account_without_a_list_gets_one():
    found = account()
    after = patched(found, pull_secrets.link(found, ["acr-login", "acr-login"]))
    assert after["imagePullSecrets"] == [{"name": "acr-login"}]


def test_a_secret_is_linked_for_mounting_too_where_that_is_asked_for():
    found = account("theirs")
    after = patched(found, pull_secrets.link(found, ["acr-login"], ["pull", "mount"]))
    assert after["imagePullSecrets"] == [{"name": "theirs"}, {"name": "acr-login"}]
    assert after["secrets"] == [{"name": "mounted"}, {"name": "acr-login"}]
    assert patched(after, pull_secrets.unlink(after, ["acr-login"], ["pull", "mount"])) == found
    assert (
        patched(after, pull_secrets.unlink(after, ["acr-login"], ["mount"]))["imagePullSecrets"]
        == after["imagePullSecrets"]
    )


def test_unlinking_never_touches_mount_secrets_of_the_same_name():
    found = account("acr-login", "theirs", "acr-login", secrets=[{"name": "acr-login"}])
    after = patched(found, pull_secrets.unlink(found, ["acr-login"]))
    assert after["imagePullSecrets"] == [{"name": "theirs"}]
    assert after["secrets"] == [{"name": "acr-login"}]


@given(st.lists(NAMES), st.lists(NAMES, min_size=1))
def test_whatever_is_linked_or_unlinked_others_keep_their_entries_in_order(listed, named):
    found = account(*listed)
    linked = patched(found, pull_secrets.link(found, named))
    names = [each["name"] for each in linked.get("imagePullSecrets", [])]
    assert names[: len(listed)] == listed
    assert set(names) == {*listed, *named}
    assert pull_secrets.link(linked, named) == []
    unlinked = patched(linked, pull_secrets.unlink(linked, named))
    left = [each["name"] for each in unlinked.get("imagePullSecrets", [])]
    assert left == [each for each in listed if each not in named]


@pytest.mark.parametrize("service_account", ["", "default"])
def test_a_grant_is_a_role_binding_in_the_project_of_the_images(service_account):
    binding = pull_secrets.image_puller("project-a", "project-b", service_account)
    kubernetes_validate.validate(binding, "1.36", strict=True)
    assert binding["metadata"]["namespace"] == "project-b"
    assert binding["roleRef"]["name"] == "system:image-puller"
    (subject,) = binding["subjects"]
    assert subject["name"] == (service_account or "system:serviceaccounts:project-a")
    assert subject.get("namespace", "") == ("project-a" if service_account else "")


def entry(username, password=SECRET):
    return {"auth": b64encode(f"{username}:{password}".encode()).decode(), "email": "ops@example.com"}


def test_a_merge_adds_our_hosts_and_keeps_every_byte_of_the_others():
    others = {"quay.io": entry("a"), "registry.redhat.io": entry("b"), "quay.io/team": entry("c")}
    merged = pull_secrets.merge(json.dumps({"auths": others}).encode(), {ACR: BasicAuth("me", SECRET)}, source="it")
    document = json.loads(merged.content)
    assert {key: document["auths"][key] for key in others} == others
    assert docker_config.parse(merged.content, source="it").logins[ACR] == BasicAuth("me", SECRET)
    assert (merged.added, merged.changed, merged.unchanged, merged.kept) == ((ACR,), (), (), 3)


def test_a_merge_says_what_it_changes_and_never_a_login():
    there = {"auths": {ACR: entry("old"), "quay.io": entry("a")}}
    merged = pull_secrets.merge(json.dumps(there).encode(), {ACR: BasicAuth("me", SECRET)}, source="it")
    assert merged.diff() == f"~ {ACR}\n  (1 others stay as they are)"
    assert SECRET not in merged.diff() + repr(merged)


def test_a_merge_of_what_is_there_changes_nothing():
    there = json.dumps({"auths": {f"https://{ACR}/": entry("me")}}).encode()
    merged = pull_secrets.merge(there, {ACR: BasicAuth("me", SECRET)}, source="it")
    assert (merged.added, merged.changed, merged.unchanged) == ((), (), (f"https://{ACR}/",))


@pytest.mark.parametrize("content", [b"", b"garbage", b"{}", b'{"auths":{"a":{},"a":{}}}', b'{"auths":7}'])
def test_a_pull_secret_that_cannot_be_read_is_never_overwritten(content):
    with pytest.raises(ConfigurationError):
        pull_secrets.merge(content, {ACR: BasicAuth("me", SECRET)}, source="it")


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,5}\.example(/[a-z]{1,5})?", fullmatch=True), st.text(max_size=5)),
    st.dictionaries(st.from_regex(r"[a-z]{1,5}\.example(/[a-z]{1,5})?", fullmatch=True), st.text(min_size=1)),
)
def test_no_merge_drops_or_changes_a_path_that_was_not_given(there, given):
    before = {key: {"auth": value, "extra": 1} for key, value in there.items()}
    logins = {key: BasicAuth("me", password) for key, password in given.items()}
    after = json.loads(pull_secrets.merge(json.dumps({"auths": before}).encode(), logins, source="it").content)["auths"]
    assert set(after) == {*before, *logins}
    assert all(after[key] == value for key, value in before.items() if key not in logins)


def test_only_acrs_hosts_go_in_unless_others_are_named():
    paths = [ACR, "quay.io", "images.example.com/team"]
    assert list(filter(pull_secrets.wanted([]), paths)) == [ACR]
    assert list(filter(pull_secrets.wanted(["images.example.com"]), paths)) == ["images.example.com/team"]


@pytest.mark.parametrize(
    ("host", "chosen"),
    [
        ("quay.io/team", ["quay.io/team", "quay.io/team/app"]),
        ("https://quay.io/team/", ["quay.io/team", "quay.io/team/app"]),
        ("Quay.io", ["quay.io", "quay.io/team", "quay.io/team/app", "quay.io/team-b"]),
        ("quay.io/team/app", ["quay.io/team/app"]),
        ("quay.io/tea", []),
        ("docker.io", ["index.docker.io"]),
        ("io", []),
    ],
)
def test_a_named_path_takes_what_is_at_or_below_it_and_nothing_else(host, chosen):
    paths = ["quay.io", "quay.io/team", "quay.io/team/app", "quay.io/team-b", "index.docker.io", "quay.io:443"]
    assert list(filter(pull_secrets.wanted([host]), paths)) == chosen


@pytest.mark.parametrize("host", ["", " ", "a b", "me@quay.io", "quay.io?x"])
def test_a_named_path_that_is_none_is_refused(host):
    with pytest.raises(ConfigurationError, match="is not HOST or HOST/PATH"):
        pull_secrets.wanted([host])


@pytest.mark.parametrize(
    "spellings",
    [("quay.io", "https://quay.io"), ("https://quay.io/v2/", "quay.io/"), ("http://quay.io", "quay.io")],
)
def test_a_merge_changes_each_spelling_of_a_path(spellings):
    there = {"auths": {key: entry("old") for key in spellings} | {"quay.io/team": entry("c")}}
    merged = pull_secrets.merge(json.dumps(there).encode(), {"quay.io": BasicAuth("new", SECRET)}, source="it")
    after = json.loads(merged.content)["auths"]
    assert {key: docker_config.login_of(after[key]).username for key in after} == {
        **dict.fromkeys(spellings, "new"),
        "quay.io/team": "c",
    }
    assert sorted(merged.changed) == sorted(spellings)
    assert merged.kept == 1


def test_a_merge_leaves_a_key_alone_that_no_kubelet_reads():
    there = {"Auths": {" quay.io ": entry("old"), "QUAY.io": entry("b")}}
    merged = pull_secrets.merge(json.dumps(there).encode(), {"quay.io": BasicAuth("new", SECRET)}, source="it")
    assert json.loads(merged.content) == {
        "Auths": there["Auths"] | {"quay.io": docker_config.entry(BasicAuth("new", SECRET))}
    }


@pytest.mark.parametrize(
    ("path", "is_warned"),
    [
        ("quay.io", True),
        ("quay.io/openshift-release-dev", True),
        ("quay.io/openshift-release-dev/ocp-release", True),
        ("registry.redhat.io/ubi9", True),
        ("cloud.openshift.com", True),
        ("quay.io/team", False),
        ("quay.io:8443", False),
        (ACR, False),
    ],
)
@pytest.mark.parametrize(
    "there", [{}, {"quay.io": entry("a"), "registry.redhat.io": entry("b")}], ids=["added", "changed"]
)
def test_a_merge_that_decides_how_openshifts_own_images_are_pulled_is_warned_of(path, is_warned, there):
    merged = pull_secrets.merge(json.dumps({"auths": there}).encode(), {path: BasicAuth("me", SECRET)}, source="it")
    assert [path in each for each in pull_secrets.release_warnings(merged)] == [True] * is_warned


PULLERS = [(source, name) for source in ("a", "b", "a-b", "a-b-c") for name in ("", "a", "b", "b-c", "a.b")]


@pytest.mark.parametrize(("source", "account"), PULLERS)
def test_two_grants_have_one_name_only_if_they_are_one(source, account):
    first = pull_secrets.image_puller(source, "target", account)
    for second in (pull_secrets.image_puller(other, "target", name) for other, name in PULLERS):
        assert (first["metadata"] == second["metadata"]) == (first["subjects"] == second["subjects"])


def test_a_token_of_one_hour_is_warned_of():
    assert pull_secrets.warnings({ACR: BasicAuth("me", "x")}) == []
    (warning,) = pull_secrets.warnings({ACR: BasicAuth("cr_temp_user", "x"), "quay.io": BasicAuth("me", "x")})
    assert ACR in warning
    assert "within the hour" in warning
    assert "quay.io" not in warning
