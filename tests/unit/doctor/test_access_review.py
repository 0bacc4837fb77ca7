"""What a node may do is asked of its API server with the kubelet's own credentials, whatever form they have."""

import json

import pytest
import trustme
from acr_credential_provider.doctor.access_review import ReviewUnavailableError, may_ask_for_tokens
from support.api_server import BEARER, ApiServer
from support.ports import closed_port

AUDIENCE = "sts.aliyuncs.com"


@pytest.fixture
def api():
    with ApiServer((AUDIENCE, "", "")) as api:
        yield api


@pytest.mark.parametrize("form", [{}, {"inline": True}, {"bearer": True}], ids=["files", "inline", "bearer"])
def test_a_right_is_seen_by_any_form_of_kubeconfig(api, tmp_path, form):
    kubeconfig = str(api.kubeconfig(tmp_path, **form))
    assert may_ask_for_tokens(kubeconfig, AUDIENCE) is True
    assert may_ask_for_tokens(kubeconfig, "another") is False
    assert [each["resource"] for each in api.asked] == [AUDIENCE, "another"]
    assert {each["verb"] for each in api.asked} == {"request-serviceaccounts-token-audience"}
    assert {each["group"] for each in api.asked} == {""}


def test_a_right_on_one_service_account_is_not_one_on_all(api, tmp_path):
    api.granted = ((AUDIENCE, "team-a", "app"),)
    kubeconfig = str(api.kubeconfig(tmp_path))
    assert may_ask_for_tokens(kubeconfig, AUDIENCE, namespace="team-a", name="app") is True
    assert may_ask_for_tokens(kubeconfig, AUDIENCE, namespace="team-b", name="app") is False
    assert may_ask_for_tokens(kubeconfig, AUDIENCE) is False


def why(kubeconfig):
    with pytest.raises(ReviewUnavailableError) as caught:
        may_ask_for_tokens(str(kubeconfig), AUDIENCE)
    assert BEARER not in str(caught.value)
    assert caught.value.__context__ is None
    return str(caught.value)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_refusal_is_no_word_on_the_right(api, tmp_path, status):
    api.status = status
    assert why(api.kubeconfig(tmp_path)).endswith(f"answered with status {status}")


def test_another_answer_than_a_review_is_no_word_on_the_right(api, tmp_path):
    api.status = 200
    assert why(api.kubeconfig(tmp_path)).startswith(f"{api.url} answered with something other")


def test_a_server_that_the_kubeconfig_does_not_trust_is_not_asked(api, tmp_path):
    kubeconfig = api.kubeconfig(tmp_path, bearer=True, ca=trustme.CA())
    assert "do not trust each other" in why(kubeconfig)
    assert api.asked == []


def test_a_server_that_is_down_is_told_by_its_address(api, tmp_path):
    url = f"https://127.0.0.1:{closed_port()}"
    kubeconfig = api.kubeconfig(tmp_path)
    kubeconfig.write_text(kubeconfig.read_text().replace(api.url, url))
    assert why(kubeconfig) == f"{url} could not be asked: Connection refused"


def changed(change):
    def write(kubeconfig):
        document = json.loads(kubeconfig.read_text())
        change(document)
        kubeconfig.write_text(json.dumps(document))

    return write


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: (path.parent / "client-key.pem").unlink(), "client-key.pem cannot be read"),
        (lambda path: path.write_text("- a list"), "not a kubeconfig"),
        (lambda path: path.write_text("{"), "not a kubeconfig"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "not a kubeconfig"),
        (changed(lambda it: it.update({"current-context": "absent"})), "not a kubeconfig"),
        (changed(lambda it: it["clusters"][1]["cluster"].update(server="http://127.0.0.1:1")), "no https server"),
        (changed(lambda it: it["clusters"][1]["cluster"].update(server=7)), "not a kubeconfig"),
        (changed(lambda it: it["users"][0].update(user={"exec": {"command": "x"}})), "neither a client certificate"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told(api, tmp_path, write, told):
    kubeconfig = api.kubeconfig(tmp_path)
    write(kubeconfig)
    assert told in why(kubeconfig)
    assert api.asked == []


def test_a_certificate_that_is_none_is_told_without_its_text(api, tmp_path):
    kubeconfig = api.kubeconfig(tmp_path)
    (tmp_path / "client-key.pem").write_text(BEARER)
    assert why(kubeconfig)
