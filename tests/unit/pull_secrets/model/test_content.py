"""What a namespace's Secret holds, and what of it stays although nobody remembers having put it there."""

import json
from base64 import b64decode, b64encode

import pytest
from acr_credential_provider.pull_secrets.model.content import Content, EntryLogins
from acr_credential_provider.pull_secrets.model.dockerconfigjson import EMPTY, LARGEST
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret

SHOP = EntryLogins("cri-shop", "cn-hangzhou", (("shop.example", "u", "CANARYSECRET"),), ends_at=1000.4)
LAB = EntryLogins("cri-lab", "cn-hangzhou", (("lab.example", "u", "q"),), ends_at=2000.0)
MINE = EntryLogins("", "cn-hangzhou", (("mine.example", "u", "r"),))
SILENT = EntryLogins("cri-silent", "cn-hangzhou", (), is_known=False, may_fill=None)
NOW = 500.0


def passwords(content):
    auths = json.loads(content.content)["auths"]
    return {place: b64decode(auth["auth"]).decode().partition(":")[2] for place, auth in auths.items()}


def data(content):
    """Return it as it is in a Secret."""
    return PullSecret("x", content.content, content.ends).data()


def written(config, ends=None):
    """Return a Secret's data that somebody else wrote."""
    values = {".dockerconfigjson": config, **({"logins-end.json": ends} if ends is not None else {})}
    return {key: b64encode(value.encode()).decode() for key, value in values.items()}


def test_beside_the_logins_stands_when_they_end_but_for_those_that_never_do():
    assert json.loads(Content.of_entries([SHOP, MINE, LAB]).ends) == {"shop.example": 1000, "lab.example": 2000}


def test_of_two_for_one_place_the_end_is_that_of_the_one_that_is_there():
    other = EntryLogins("cri-other", "cn-hangzhou", (("shop.example", "u", "p"), ("mine.example", "u", "p")), 7.0)
    content = Content.of_entries([MINE, SHOP, other])
    assert passwords(content)["shop.example"] == "CANARYSECRET"
    assert json.loads(content.ends) == {"shop.example": 1000}


def test_it_is_complete_once_something_was_heard_of_each_entry_be_it_death():
    dead = EntryLogins("cri-shop", "cn-hangzhou", ())
    assert Content.of_entries([dead, LAB]).is_complete
    assert not Content.of_entries([SILENT, LAB]).is_complete


def test_what_nobody_remembers_stays_until_it_ends():
    before = Content.of_entries([SHOP, LAB])
    partly = Content.of_entries([SILENT, EntryLogins("cri-lab", "cn-hangzhou", (("lab.example", "u", "new"),), 3000.0)])
    kept, until = partly.beside([data(before)], now=NOW)
    assert passwords(kept) == {"shop.example": "CANARYSECRET", "lab.example": "new"}
    assert json.loads(kept.ends) == {"shop.example": 1000, "lab.example": 3000}
    assert until == 1000
    assert kept.digest != partly.digest
    late, until = partly.beside([data(kept)], now=1000.0)
    assert (late, until) == (partly, float("inf"))


def test_looked_at_again_it_is_the_same():
    partly = Content.of_entries([SILENT, LAB])
    once, _ = partly.beside([data(Content.of_entries([SHOP, LAB]))], now=NOW)
    twice, _ = partly.beside([data(once)], now=NOW)
    assert twice == once


def test_a_login_whose_end_nobody_wrote_down_lives_as_long_as_tokens_do_at_most():
    found, until = Content.of_entries([SILENT]).beside(
        [written('{"auths":{"old.example":{"auth":"dTpw","email":"x"}}}')], now=NOW
    )
    assert found.content == b'{"auths":{"old.example":{"auth":"dTpw"}}}'
    assert until == NOW + 25 * 3600
    assert Content.of_entries([SILENT]).beside([data(found)], now=until - 1) == (found, until)
    assert passwords(Content.of_entries([SILENT]).beside([data(found)], now=until)[0]) == {}


@pytest.mark.parametrize(
    ("is_endless", "expected"),
    [(False, {"shop.example": "CANARYSECRET"}), (True, {"shop.example": "CANARYSECRET", "mine.example": "r"})],
    ids=["token of ACR's", "password of one's own"],
)
def test_of_a_silent_entry_whose_places_are_told_nothing_else_is_kept(is_endless, expected):
    """Nor what cannot be its own there: a password never ends, and would serve for an identity that is refused."""
    may_fill = ("shop.example", "mine.example")
    told = EntryLogins("cri-silent", "cn-hangzhou", (), is_known=False, may_fill=may_fill, is_endless=is_endless)
    kept, _ = Content.of_entries([told]).beside([data(Content.of_entries([SHOP, LAB, MINE]))], now=NOW)
    assert passwords(kept) == expected


def test_a_password_is_kept_for_the_places_of_passwords_alone():
    of_acr = EntryLogins("cri-silent", "cn-hangzhou", (), is_known=False, may_fill=("mine.example",))
    own = EntryLogins("", "cn-hangzhou", (), is_known=False, may_fill=("other.example",), is_endless=True)
    kept, _ = Content.of_entries([of_acr, own]).beside([data(Content.of_entries([MINE]))], now=NOW)
    assert passwords(kept) == {}


def test_what_entries_that_are_known_give_elsewhere_is_not_kept_for_a_silent_one():
    """A namespace that stopped asking for an instance has no more to do with it."""
    kept, _ = Content.of_entries([SILENT]).beside(
        [data(Content.of_entries([SHOP, LAB]))], now=NOW, others=frozenset({"lab.example"})
    )
    assert passwords(kept) == {"shop.example": "CANARYSECRET"}


def test_a_password_that_left_the_settings_is_not_kept_for_a_silent_entry_of_acrs():
    """It never ends: as long as any entry fails, whoever took it out would wait for that in vain."""
    kept, _ = Content.of_entries([SILENT]).beside([data(Content.of_entries([SHOP, MINE]))], now=NOW)
    assert passwords(kept) == {"shop.example": "CANARYSECRET"}


def test_of_several_secrets_the_first_one_has_a_place():
    first, second = data(Content.of_entries([LAB])), written('{"auths":{"lab.example":{"auth":"dTpw"}}}')
    found, _ = Content.of_entries([SILENT]).beside([first, second], now=NOW)
    assert passwords(found) == {"lab.example": "q"}


@pytest.mark.parametrize(
    ("config", "ends"),
    [
        ("", None),
        ("[]", None),
        ("{", None),
        ("[" * 100_000, None),
        ('{"auths":[]}', None),
        ('{"auths":{"a.example":"dTpw"}}', None),
        ('{"auths":{"a.example":{"auth":7}}}', None),
        ('{"auths":{"a.example":{"auth":"dTpw"}}}', '{"a.example": 1}'),
        ('{"auths":{"a.example":{"auth":"dTpw"}}}', '{"a.example": "soon"}'),
        ('{"auths":{"a.example":{"auth":"dTpw"}}}', '{"a.example": null}'),
        ('{"auths":{"a.example":{"auth":"dTpw"}}}', '{"a.example": -1}'),
        ('{"auths":{"a.example":{"auth":"dTpw"}}}', '{"a.example": Infinity}'),
        ('{"auths":{"a.example":{"auth":"dTpw"}}}', '{"a.example": NaN}'),
        ('{"auths":{"a.example":{"auth":"dTpw"}}}', '{"a.example": 1e999}'),
        ('{"auths":{"a.example":{"auth":"dTpw"}}}', f'{{"a.example": 1{"0" * 400}}}'),
        ('{"auths":{"a.example":{"auth":"dTpw"}}}', f'{{"a.example": {NOW + 26 * 3600 + 1}}}'),
        ('{"auths":{"a.example":{"auth":"dTpw"}}}', '{"*": 1}'),
        (json.dumps({"auths": {"a.example": {"auth": "x" * LARGEST}}}), None),
    ],
    ids=[
        "nothing",
        "list",
        "torn",
        "deep",
        "auths",
        "entry",
        "auth",
        "dead",
        "soon",
        "null",
        "negative",
        "infinity",
        "nan",
        "out of range",
        "400 digits",
        "longer than tokens live",
        "all are dead",
        "too much",
    ],
)
def test_what_is_no_living_login_is_not_kept(config, ends):
    content = Content.of_entries([SILENT])
    assert content.beside([written(config, ends), {".dockerconfigjson": "%%%"}, {}], now=NOW) == (content, float("inf"))
    assert content.content == EMPTY


@pytest.mark.parametrize("ends", [None, "[]", "{", "null", "7"])
def test_an_end_that_is_none_counts_as_not_written_down(ends):
    found, until = Content.of_entries([SILENT]).beside(
        [written('{"auths":{"a.example":{"auth":"dTpw"}}}', ends)], now=NOW
    )
    assert passwords(found) == {"a.example": "p"}
    assert until == NOW + 25 * 3600


def test_ends_that_would_not_fit_are_left_out_before_any_login_is():
    many = tuple((f"h/{number}/", "u", "p") for number in range(38_000))
    late = EntryLogins("cri-late", "", (("late.example", "u", "p"),), ends_at=1764237000.0)
    content = Content.of_entries([late, EntryLogins("cri-a", "", many, ends_at=1764236000.0)])
    assert LARGEST * 0.9 < len(content.content) <= LARGEST
    assert content.ends == b'{"*":1764236000}', "what lives longest must not lengthen any other's life"
    kept, until = Content.of_entries([SILENT]).beside([data(content)], now=1764235999.0)
    assert (kept.content, until) == (content.content, 1764236000)
    assert passwords(Content.of_entries([SILENT]).beside([data(content)], now=1764236000.0)[0]) == {}


def test_no_representation_holds_a_login():
    assert "CANARYSECRET" not in repr((SHOP, Content.of_entries([SHOP])))
