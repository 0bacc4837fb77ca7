"""What a namespace's Secret holds, and what of it stays although nobody remembers having put it there."""

import json
from base64 import b64decode, b64encode

import pytest
from acr_credential_provider.pull_secrets.model.content import Content, EntryLogins
from acr_credential_provider.pull_secrets.model.decoding import decode, secret
from acr_credential_provider.pull_secrets.model.dockerconfigjson import EMPTY, LARGEST
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret

TOKEN_USER = "cr_temp_user"
SHOP = EntryLogins("cri-shop", "cn-hangzhou", (("shop.example", TOKEN_USER, "CANARYSECRET"),))
LAB = EntryLogins("cri-lab", "cn-hangzhou", (("lab.example", TOKEN_USER, "q"),))
MINE = EntryLogins("", "cn-hangzhou", (("mine.example", "me", "r"),))
SILENT = EntryLogins("cri-silent", "cn-hangzhou", (), unknown_at=None)
UNREADABLE = EntryLogins("", "cn-hangzhou", (), unknown_at=("mine.example",))


def passwords(content):
    auths = json.loads(content.content)["auths"]
    return {host: b64decode(auth["auth"]).decode().partition(":")[2] for host, auth in auths.items()}


def data(*entries):
    """Return the data of a Secret that holds what *entries* give."""
    return PullSecret("x", Content.of_entries(entries).content).data()


def written(config):
    """Return a Secret's data that somebody else wrote."""
    return {".dockerconfigjson": b64encode(config.encode()).decode()}


def test_of_two_for_one_host_the_first_wins():
    other = EntryLogins("cri-other", "cn-hangzhou", (("shop.example", "u", "p"), ("mine.example", "u", "p")))
    assert passwords(Content.of_entries([MINE, SHOP, other])) == {"mine.example": "r", "shop.example": "CANARYSECRET"}


def test_it_is_complete_once_something_is_known_of_each_entry_even_its_death():
    dead = EntryLogins("cri-shop", "cn-hangzhou", ())
    assert Content.of_entries([dead, LAB]).is_complete
    assert not Content.of_entries([SILENT, LAB]).is_complete
    assert not Content.of_entries([UNREADABLE, LAB]).is_complete


def test_a_token_that_nobody_remembers_stays_beside_those_that_are_renewed():
    renewed = EntryLogins("cri-lab", "cn-hangzhou", (("lab.example", TOKEN_USER, "new"),))
    kept = Content.of_entries([SILENT, renewed]).keeping([data(SHOP, LAB)])
    assert passwords(kept) == {"shop.example": "CANARYSECRET", "lab.example": "new"}
    assert kept.digest != Content.of_entries([SILENT, renewed]).digest
    assert Content.of_entries([SILENT, renewed]).keeping([written(kept.content.decode())]) == kept, "and is the same"


def test_a_password_is_never_kept_for_an_entry_that_asks_acr():
    """It does not expire, and would serve on for an identity that is refused."""
    assert passwords(Content.of_entries([SILENT]).keeping([data(SHOP, MINE)])) == {"shop.example": "CANARYSECRET"}


def test_a_login_whose_files_cannot_be_read_stays_at_its_own_hosts_alone():
    assert passwords(Content.of_entries([UNREADABLE, LAB]).keeping([data(SHOP, LAB, MINE)])) == {
        "lab.example": "q",
        "mine.example": "r",
    }


def test_a_token_that_an_entry_that_is_known_gives_elsewhere_is_not_kept():
    """A namespace that stopped asking for an instance has no more to do with it."""
    kept = Content.of_entries([SILENT]).keeping([data(SHOP, LAB)], others=frozenset({"lab.example"}))
    assert passwords(kept) == {"shop.example": "CANARYSECRET"}


def test_of_several_secrets_the_first_one_that_has_a_host_wins():
    other = EntryLogins("cri-lab", "cn-hangzhou", (("lab.example", TOKEN_USER, "second"),))
    assert passwords(Content.of_entries([SILENT]).keeping([data(LAB), data(other)])) == {"lab.example": "q"}


def test_a_secret_of_an_earlier_version_is_known_and_only_its_content_counts():
    """It has a second key, which goes with the next write of the data."""
    document = PullSecret("x", Content.of_entries([LAB]).content).manifest("team")
    document["data"] |= {"logins-end.json": b64encode(b'{"lab.example": 1}').decode()}
    seen = decode(document, secret)
    assert seen.is_ours
    assert seen.digest == Content.of_entries([LAB]).digest
    assert passwords(Content.of_entries([SILENT]).keeping([document["data"]])) == {"lab.example": "q"}


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"auths":[]}',
        '{"auths":{"a.example":"dTpw"}}',
        '{"auths":{"a.example":{"auth":7}}}',
        '{"auths":{"a.example":{"auth":"dTpw"}}}',
        '{"auths":{"a.example":{"auth":"\\u00e9"}}}',
        json.dumps({"auths": {"a.example": {"auth": b64encode(b"cr_temp_user:" + b"x" * LARGEST).decode()}}}),
    ],
    ids=["nothing", "list", "torn", "deep", "auths", "entry", "auth", "password", "no base64", "too much"],
)
def test_what_is_no_token_is_not_kept(config):
    content = Content.of_entries([SILENT])
    assert content.keeping([written(config), {".dockerconfigjson": "%%%"}, {}]) == content
    assert content.content == EMPTY


def test_no_representation_holds_a_login():
    assert "CANARYSECRET" not in repr((SHOP, Content.of_entries([SHOP])))


@pytest.mark.parametrize("auth", ["*", "bWU6c", "bm9jb2xvbg==", "", "bWU6/w=="])
def test_a_login_that_kubelets_cannot_read_is_not_kept_because_it_would_cost_them_all_others(auth):
    config = json.dumps({"auths": {"mine.example": {"auth": auth}}})
    assert (
        Content.of_entries([SHOP, UNREADABLE]).keeping([written(config)]).content == Content.of_entries([SHOP]).content
    )
