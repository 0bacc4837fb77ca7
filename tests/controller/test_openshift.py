"""The command `openshift` against a real API server: what it changes, what it leaves, what it says."""

import contextlib
import json
import threading
from base64 import b64decode, b64encode

import pytest
import yaml
from cluster.kube import KubeError
from conftest import write_settings
from support import harness

SECRET = "CANARYSECRET"
ACR = "demo-registry.cn-hangzhou.cr.aliyuncs.com"


def auth(username="me", password=SECRET):
    return {"auth": b64encode(f"{username}:{password}".encode()).decode()}


@pytest.fixture(params=[harness.source, harness.controller], ids=["source", "frozen"])
def openshift(request, api, namespace, tmp_path):
    """Run the command as an administrator, in a namespace of its own."""
    program = request.param(tmp_path / "settings.yaml", tmp_path / "cache")
    kubeconfig = api.kubeconfig("admin", group="system:masters")

    def run(*words, kubeconfig=kubeconfig):
        ended = program.run(b"", "openshift", *words, "-n", namespace, "--kubeconfig", str(kubeconfig))
        assert SECRET.encode() not in ended.stdout + ended.stderr
        return ended

    run.grant = lambda *words: program.run(b"", "openshift", "grant-image-puller", *words)
    return run


def account(api, namespace, *secrets, name="default"):
    document = {
        "metadata": {"name": name},
        "imagePullSecrets": [{"name": each} for each in secrets],
        "secrets": [{"name": "mounted"}],
    }
    return api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", document)


def read_account(api, namespace, name="default"):
    found = api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
    return [each["name"] for each in found.get("imagePullSecrets", [])], [each["name"] for each in found["secrets"]]


def secret(api, namespace, name, document, *, kind="kubernetes.io/dockerconfigjson", key=".dockerconfigjson"):
    data = {key: b64encode(json.dumps(document).encode()).decode()}
    api.create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": name}, "type": kind, "data": data})


def logins(api, namespace, name):
    found = api.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    assert found["type"] == "kubernetes.io/dockerconfigjson"
    return json.loads(b64decode(found["data"][".dockerconfigjson"]))["auths"]


def test_a_secret_is_linked_and_unlinked_and_all_else_stays(api, namespace, openshift):
    account(api, namespace, "default-dockercfg-abcde", "theirs")
    secret(api, namespace, "acr-login", {"auths": {ACR: auth()}})
    ended = openshift("link", "default", "acr-login", "--for", "pull")
    assert (ended.code, ended.stdout, ended.stderr) == (0, b"serviceaccount/default linked\n", b"")
    assert read_account(api, namespace) == (["default-dockercfg-abcde", "theirs", "acr-login"], ["mounted"])
    assert openshift("link", "default", "acr-login").stdout == b"serviceaccount/default unchanged\n"
    assert openshift("unlink", "default", "acr-login").code == 0
    assert read_account(api, namespace) == (["default-dockercfg-abcde", "theirs"], ["mounted"])


def test_an_account_without_pull_secrets_gets_the_first(api, namespace, openshift):
    account(api, namespace)
    secret(api, namespace, "acr-login", {"auths": {ACR: auth()}})
    assert openshift("link", "default", "acr-login").code == 0
    assert read_account(api, namespace)[0] == ["acr-login"]


def test_a_dry_run_changes_nothing(api, namespace, openshift):
    account(api, namespace, "theirs")
    secret(api, namespace, "acr-login", {"auths": {ACR: auth()}})
    assert openshift("link", "default", "acr-login", "--dry-run").stdout == b"serviceaccount/default linked (dry run)\n"
    assert read_account(api, namespace)[0] == ["theirs"]


def test_what_can_not_be_linked_is_told_with_the_way_to_it(api, namespace, openshift):
    account(api, namespace)
    secret(api, namespace, "podman", {"auths": {}}, kind="kubernetes.io/podmanconfigjson", key="auth.json")
    secret(api, namespace, "acr-login", {"auths": {ACR: auth()}})
    for words, problem, remedy in (
        (("default", "absent"), "there is no Secret", "pull-secret absent"),
        (("default", "podman"), "no kubelet reads", "--from-secret podman"),
        (("nobody", "acr-login"), "there is no ServiceAccount", "Create it first"),
    ):
        ended = openshift("link", *words)
        assert ended.code == 1
        assert problem in ended.stderr.decode()
        assert remedy in ended.stderr.decode()


@pytest.mark.parametrize(
    ("words", "linked"),
    [
        (("sa/default", "secrets/acr-login"), (["acr-login"], ["mounted"])),
        (("serviceaccounts/default", "acr-login", "--for", "mount"), ([], ["mounted", "acr-login"])),
        (("serviceaccount/default", "secret/acr-login", "--for=pull,mount"), (["acr-login"], ["mounted", "acr-login"])),
    ],
)
def test_a_link_takes_what_oc_takes(api, namespace, openshift, words, linked):
    account(api, namespace)
    secret(api, namespace, "acr-login", {"auths": {ACR: auth()}})
    assert openshift("link", *words).code == 0
    assert read_account(api, namespace) == linked
    assert openshift("unlink", *words).code == 0
    assert read_account(api, namespace) == ([], ["mounted"])


@pytest.mark.parametrize(
    "words", [("default", "configmap/acr"), ("secret/acr", "acr"), ("default", "a/secrets/b"), ("sa/", "b")]
)
def test_a_link_of_something_else_is_refused(openshift, words):
    ended = openshift("link", *words)
    assert ended.code == 1
    assert b"does not name a S" in ended.stderr


def test_a_secret_of_any_type_is_linked_for_mounting_but_not_for_pulls(api, namespace, openshift):
    account(api, namespace)
    secret(api, namespace, "key", {}, kind="Opaque", key="key")
    ended = openshift("link", "default", "key")
    assert (ended.code, b"--from-secret" in ended.stderr) == (1, False)
    assert openshift("link", "default", "key", "--for", "mount").code == 0
    assert read_account(api, namespace) == ([], ["mounted", "key"])


@pytest.mark.parametrize("key", [".dockerconfigjson", "config.json"])
def test_the_way_that_a_refused_link_names_leads_to_a_linked_secret(api, namespace, openshift, key):
    account(api, namespace)
    secret(api, namespace, "opaque", {"auths": {ACR: auth()}}, kind="Opaque", key=key)
    refused = openshift("link", "default", "opaque")
    assert f"pull-secret NAME --from-secret opaque -n {namespace}" in refused.stderr.decode()
    assert openshift("pull-secret", "acr-login", "--from-secret", "secrets/opaque").code == 0
    assert openshift("link", "default", "acr-login").code == 0
    assert logins(api, namespace, "acr-login") == {ACR: auth()}


def test_two_grants_stand_side_by_side(api, namespace, openshift):
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    for source in ("a-b", "a/b", "a-b/c", "a/b-c"):
        ended = openshift.grant("--from", source, "--in", namespace)
        assert ended.code == 0, ended.stderr
        api.create(path, yaml.safe_load(ended.stdout))
    assert len(api.get(path)["items"]) == 4
    for source in ("a/", "a.b", "a/b/c", "/b"):
        assert openshift.grant("--from", source, "--in", namespace).code == 1


def test_it_waits_for_an_account_that_comes_a_moment_after_its_project(api, namespace, openshift):
    secret(api, namespace, "acr-login", {"auths": {ACR: auth()}})
    late = threading.Timer(2.0, account, (api, namespace, "default-dockercfg-abcde"))
    late.start()
    ended = openshift("link", "default", "acr-login", "--wait", "60s")
    late.join()
    assert ended.code == 0, ended.stderr
    assert read_account(api, namespace)[0] == ["default-dockercfg-abcde", "acr-login"]


def test_a_name_that_none_can_have_is_told_at_once(openshift, tmp_path):
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {ACR: auth()}}))
    ended = openshift("pull-secret", "Not_A_Name", "--from-file", str(tmp_path / "auth.json"))
    assert ended.code == 1
    assert b"metadata.name" in ended.stderr
    assert b"Correct what it names. Names have lower case letters" in ended.stderr


def test_links_from_many_at_once_are_all_there_in_the_end(api, namespace, openshift):
    account(api, namespace, "default-dockercfg-abcde")
    names = [f"acr-{number}" for number in range(6)]
    for name in names:
        secret(api, namespace, name, {"auths": {ACR: auth()}})
    codes = []
    threads = [
        threading.Thread(target=lambda name=name: codes.append(openshift("link", "default", name).code))
        for name in names
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert codes == [0] * len(names)
    listed, mounted = read_account(api, namespace)
    assert listed[0] == "default-dockercfg-abcde"
    assert sorted(listed[1:]) == names
    assert mounted == ["mounted"]


@pytest.mark.parametrize("name", ["config.json", "auth.json"])
def test_a_file_of_docker_or_podman_becomes_a_secret_that_kubelets_read(api, namespace, openshift, tmp_path, name):
    (tmp_path / name).write_text(json.dumps({"auths": {ACR: auth(), "quay.io/team": auth("you")}}))
    ended = openshift("pull-secret", "acr-login", "--from-file", str(tmp_path / name))
    assert ended.code == 0, ended.stderr
    assert ended.stdout.decode() == f"secret/acr-login created: {ACR}, quay.io/team\n"
    assert logins(api, namespace, "acr-login") == {ACR: auth(), "quay.io/team": auth("you")}


def test_a_podman_secret_becomes_one_that_kubelets_read(api, namespace, openshift):
    secret(api, namespace, "podman", {"auths": {ACR: auth()}}, kind="kubernetes.io/podmanconfigjson", key="auth.json")
    assert openshift("pull-secret", "acr-login", "--from-secret", "podman").code == 0
    assert logins(api, namespace, "acr-login") == {ACR: auth()}


def test_a_login_in_parts_becomes_a_secret_with_both_entries_of_a_delegating_registry(
    api, namespace, openshift, tmp_path
):
    password = tmp_path / "password"
    password.write_text(SECRET + "\n")
    password.chmod(0o600)
    literal = (
        "--docker-server",
        "registry.example",
        "--docker-username",
        "me",
        "--docker-password-file",
        str(password),
    )
    ended = openshift("pull-secret", "both", *literal, "--auth-server", "registry.example=auth.example")
    assert ended.code == 0, ended.stderr
    assert logins(api, namespace, "both") == {"registry.example": auth(), "auth.example": auth()}


def test_a_secret_that_is_there_is_replaced_only_where_that_is_asked_for(api, namespace, openshift, tmp_path):
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {ACR: auth()}}))
    secret(api, namespace, "acr-login", {"auths": {"quay.io": auth()}})
    words = ("pull-secret", "acr-login", "--from-file", str(tmp_path / "auth.json"))
    before = api.get(f"/api/v1/namespaces/{namespace}/secrets/acr-login")["metadata"]["uid"]
    assert openshift(*words).code == 1
    assert logins(api, namespace, "acr-login") == {"quay.io": auth()}
    assert openshift(*words, "--replace").code == 0
    assert logins(api, namespace, "acr-login") == {ACR: auth()}
    assert api.get(f"/api/v1/namespaces/{namespace}/secrets/acr-login")["metadata"]["uid"] == before


@pytest.fixture
def pull_secret(api, namespace):
    """The pull secret of all nodes, as OpenShift has it, under another name."""
    secret(api, namespace, "pull-secret", {"auths": {"cloud.openshift.com": auth("a"), "quay.io": auth("b")}})
    return f"{namespace}/pull-secret"


def test_a_merge_adds_acrs_hosts_and_shows_them(api, namespace, openshift, pull_secret, tmp_path):
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {ACR: auth(), "docker.io": auth("c")}}))
    words = ("merge-pull-secret", "--secret", pull_secret, "--from-file", str(tmp_path / "auth.json"))
    dry = openshift(*words, "--dry-run")
    assert dry.stdout.decode().startswith(f"+ {ACR}\n  (2 others stay as they are)\n")
    assert b"left out, because they are not ACR's and no --host names them: docker.io" in dry.stderr
    others = {"cloud.openshift.com": auth("a"), "quay.io": auth("b")}
    assert logins(api, namespace, "pull-secret") == others
    assert openshift(*words).code == 0
    assert logins(api, namespace, "pull-secret") == others | {ACR: auth()}
    assert b"unchanged" in openshift(*words).stdout


def test_a_narrower_name_is_not_widened(api, namespace, openshift, pull_secret, tmp_path):
    wide, narrow = {"quay.io": auth("wide")}, {"quay.io/team/app": auth("c")}
    (tmp_path / "auth.json").write_text(json.dumps({"auths": wide | narrow}))
    before = logins(api, namespace, "pull-secret")
    source = ("--from-file", str(tmp_path / "auth.json"), "--host")
    assert openshift("merge-pull-secret", "--secret", pull_secret, *source, "quay.io/team-b").code == 1
    assert logins(api, namespace, "pull-secret") == before
    assert openshift("merge-pull-secret", "--secret", pull_secret, *source, "https://quay.io/team/").code == 0
    assert logins(api, namespace, "pull-secret") == before | narrow
    assert openshift("pull-secret", "made", *source, "quay.io/team").code == 0
    assert logins(api, namespace, "made") == narrow


def test_a_login_that_openshifts_own_images_need_is_not_changed_without_a_warning(api, openshift, tmp_path):
    with contextlib.suppress(KubeError):  # there from the other program's turn
        api.namespace("openshift-config")
    secret(api, "openshift-config", "pull-secret", {"auths": {"quay.io": auth("a")}})
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"https://quay.io/": auth("b"), ACR: auth()}}))
    words = ("merge-pull-secret", "--from-file", str(tmp_path / "auth.json"))
    assert b"own images" not in openshift(*words).stderr
    ended = openshift(*words, "--host", "quay.io", "--dry-run")
    assert b"warning: quay.io: nodes pull OpenShift's own images with it" in ended.stderr
    api.request("DELETE", "/api/v1/namespaces/openshift-config/secrets/pull-secret")


def test_a_password_file_that_is_not_text_is_refused(openshift, tmp_path):
    (tmp_path / "password").write_bytes(b"s\xffcret")
    (tmp_path / "password").chmod(0o600)
    words = (
        "--docker-server",
        "quay.io",
        "--docker-username",
        "me",
        "--docker-password-file",
        str(tmp_path / "password"),
    )
    ended = openshift("pull-secret", "made", *words)
    assert ended.code == 1
    assert b"is not text in UTF-8" in ended.stderr


def test_a_merge_of_tokens_that_acr_gives_now_warns_of_their_life(api, openshift, pull_secret, tmp_path, sandbox):
    host = sandbox.registry.address
    settings = write_settings(tmp_path, sandbox.settings())
    words = ("--secret", pull_secret, "--settings", str(settings), "--host", host)
    ended = openshift("merge-pull-secret", *words)
    assert ended.code == 0, ended.stderr
    assert b"within the hour" in ended.stderr
    login = b64decode(logins(api, *pull_secret.split("/"))[host]["auth"]).decode()
    assert login.startswith("cr_temp_user:")
    assert login.partition(":")[2].encode() not in ended.stdout + ended.stderr
    assert sandbox.calls.count("GetAuthorizationToken") == 1


def test_a_pull_secret_that_is_broken_is_left_alone(api, namespace, openshift, tmp_path):
    secret(api, namespace, "broken", {"auths": []})
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {ACR: auth()}}))
    ended = openshift(
        "merge-pull-secret", "--secret", f"{namespace}/broken", "--from-file", str(tmp_path / "auth.json")
    )
    assert ended.code == 1
    assert b"Repair it first" in ended.stderr
    assert logins(api, namespace, "broken") == []


def test_who_is_not_cluster_admin_is_told_so(api, openshift, pull_secret, tmp_path):
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {ACR: auth()}}))
    words = ("merge-pull-secret", "--secret", pull_secret, "--from-file", str(tmp_path / "auth.json"))
    ended = openshift(*words, kubeconfig=api.kubeconfig("somebody"))
    assert ended.code == 1
    assert b"does not let this user get secrets" in ended.stderr
    assert b"cluster-admin" in ended.stderr


def test_a_cluster_without_the_global_secret_is_told_what_others_have(openshift, tmp_path):
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {ACR: auth()}}))
    ended = openshift("merge-pull-secret", "--from-file", str(tmp_path / "auth.json"))
    assert ended.code == 1
    assert b"there is no Secret openshift-config/pull-secret" in ended.stderr
    assert b"additional-pull-secret" in ended.stderr


def test_an_api_server_that_is_not_there_is_told(openshift, tmp_path):
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": SECRET}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    ended = openshift("unlink", "default", "x", kubeconfig=tmp_path / "kubeconfig")
    assert ended.code == 1
    assert b"API server did not answer" in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("content", ["", "{}", "a: [", '{"current-context": "none"}'])
def test_a_kubeconfig_that_is_none_is_told(openshift, tmp_path, content):
    (tmp_path / "kubeconfig").write_text(content)
    ended = openshift("unlink", "default", "x", kubeconfig=tmp_path / "kubeconfig")
    assert ended.code == 1
    assert b"remedy: Name a kubeconfig" in ended.stderr
    assert b"Traceback" not in ended.stderr
