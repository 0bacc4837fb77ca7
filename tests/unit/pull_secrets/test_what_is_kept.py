"""Logins that nobody remembers, look by look: what is kept is written down once, and ends."""

import json
from base64 import b64decode, b64encode

import pytest
from acr_credential_provider.pull_secrets.model.content import Content, EntryLogins
from acr_credential_provider.pull_secrets.model.decoding import decode, secret
from acr_credential_provider.pull_secrets.model.desired_state import DesiredState, desired
from acr_credential_provider.pull_secrets.model.dockerconfigjson import LARGEST
from acr_credential_provider.pull_secrets.model.names import HELPER_SECRETS, SECRET_TYPE
from acr_credential_provider.pull_secrets.model.objects import ServiceAccount
from acr_credential_provider.pull_secrets.model.plan import CreateSecret, Observed, UpdateSecret, plan
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret
from acr_credential_provider.settings.pull_secrets import PullSecrets

OURS, HELPERS = PullSecrets().secret_name, HELPER_SECRETS[0]
SILENT = EntryLogins("cri-silent", "cn-hangzhou", (), is_known=False, may_fill=None)
NOW, LONGEST = 1_764_236_000.0, 25 * 3600
OLD = '{"auths":{"old.example":{"auth":"dTpw"}}}'


def known(place, password, ends_at, **more):
    return EntryLogins(f"cri-{place}", "cn-hangzhou", ((place, "u", password),), ends_at=ends_at, **more)


class Team:
    """A namespace whose account refers to our Secret; its Secrets are as the API server has them."""

    def __init__(self):
        self.secrets = {}

    def has(self, name, config, ends=None):
        texts = {".dockerconfigjson": config, **({"logins-end.json": ends} if ends is not None else {})}
        labels = {"aliyun-acr-credential-provider/pull-secret": "true"} if name == OURS else {}
        self.secrets[name] = {
            "metadata": {"name": name, "namespace": "team", "resourceVersion": "1", "labels": labels},
            "type": SECRET_TYPE,
            "data": {key: b64encode(text.encode()).decode() for key, text in texts.items()},
        }

    def look(self, *entries, now):
        """Bring it into order as the workers do; return the names of the written Secrets, and the next end."""
        everything = Content.of_entries(entries)
        snapshot = DesiredState(PullSecrets(), everything, entries, frozenset(), frozenset(HELPER_SECRETS), False)
        present = [self.secrets[name]["data"] for name in (OURS, HELPERS) if name in self.secrets]
        content, until = everything.beside(present, now=now)
        seen = {name: decode(document, secret) for name, document in self.secrets.items()}
        observed = Observed("team", seen, [ServiceAccount("team", "default", pull_secrets=(OURS,))])
        actions = plan(observed, desired(snapshot, content, observed))
        for action in actions:
            assert isinstance(action, CreateSecret | UpdateSecret)
            self.secrets[action.name] = PullSecret(action.name, action.content, action.ends).manifest("team")
        return [action.name for action in actions], until

    def places(self, name=OURS):
        return set(json.loads(self.text(".dockerconfigjson", name))["auths"])

    def ends(self, name=OURS):
        return json.loads(self.text("logins-end.json", name))

    def text(self, key, name):
        return b64decode(self.secrets[name]["data"][key]).decode()


@pytest.fixture
def team():
    return Team()


@pytest.mark.parametrize("ends", [None, "null", "[]", "{"])
def test_an_end_that_nobody_wrote_down_is_written_once_and_does_not_move(team, ends):
    team.has(OURS, OLD, ends)
    assert team.look(SILENT, now=NOW) == ([OURS], NOW + LONGEST)
    for hours in range(1, 25):
        assert team.look(SILENT, now=NOW + hours * 3600 + 0.7) == ([], NOW + LONGEST)
    assert team.places() == {"old.example"}
    assert team.look(SILENT, now=NOW + LONGEST) == ([OURS], float("inf"))
    assert team.places() == set()


def test_a_clock_that_is_a_little_behind_takes_no_living_login_out(team):
    """Another replica leads, or the time was put right."""
    team.has(OURS, OLD)
    team.look(SILENT, now=NOW)
    assert team.look(SILENT, now=NOW - 600) == ([], NOW + LONGEST)
    assert team.places() == {"old.example"}


def test_what_is_known_is_written_once_and_once_again_when_it_is_renewed(team):
    shop, lab = known("shop.example", "p", NOW + 3600.4), known("lab.example", "q", NOW + 7200.6)
    assert team.look(shop, lab, now=NOW)[0] == [OURS]
    assert team.look(shop, lab, now=NOW + 60)[0] == []
    assert team.look(lab, shop, now=NOW + 60)[0] == []
    renewed = known("shop.example", "p", NOW + 7200.0)
    assert team.look(renewed, lab, now=NOW + 120)[0] == [OURS], "the same login, but it lives longer"
    assert team.look(renewed, lab, now=NOW + 120)[0] == []


@pytest.mark.parametrize("place", ["old.example", "*"])
def test_what_ours_tells_as_dead_is_not_revived_by_another_secret_that_tells_no_ends(team, place):
    team.has(OURS, OLD, json.dumps({place: NOW + 500}))
    team.has(HELPERS, OLD)
    for after in (500, 501, 600, 7200):
        written, until = team.look(SILENT, now=NOW + after)
        assert (written, until) == ([OURS] if after == 500 else [], float("inf"))
        assert team.places() == set()


def test_a_death_that_is_told_is_forgotten_with_the_last_login_that_it_is_about(team):
    team.has(OURS, OLD, json.dumps({"old.example": NOW + 500}))
    team.has(HELPERS, OLD)
    lab = known("lab.example", "q", NOW + 7200)
    for _ in range(3):
        team.look(SILENT, lab, now=NOW + 500)
        assert team.places() == team.places(HELPERS) == {"lab.example"}
    assert team.look(SILENT, lab, now=NOW + 500) == ([], float("inf"))
    assert team.ends() == {"lab.example": NOW + 7200}


def test_of_two_secrets_what_both_tell_as_dead_goes_with_one_write_each(team):
    for name in (OURS, HELPERS):
        team.has(name, OLD, json.dumps({"old.example": NOW + 500}))
    lab = known("lab.example", "q", NOW + 7200)
    assert team.look(SILENT, lab, now=NOW + 500)[0] == [OURS, HELPERS]
    assert team.look(SILENT, lab, now=NOW + 500)[0] == []


def test_a_common_end_is_no_longer_life_however_often_others_are_renewed(team):
    """Where the ends of all would not fit there is one for all of them."""
    places = tuple(f"h/{number}/" for number in range(24_000))

    def many(ends_at):
        return EntryLogins("cri-a", "", tuple((each, "u", f"{ends_at:.0f}") for each in places), ends_at=ends_at)

    lost = known("lost.example", "p", NOW + 1000)
    team.look(many(NOW + 3600), lost, now=NOW)
    assert team.ends() == {"*": NOW + 1000}
    for minutes in range(0, 16, 5):
        team.look(many(NOW + 3600 + minutes), SILENT, now=NOW + minutes * 60)
        assert "lost.example" in team.places()
        assert team.look(many(NOW + 3600 + minutes), SILENT, now=NOW + minutes * 60) == ([], NOW + 1000)
    team.look(many(NOW + 9999), SILENT, now=NOW + 1000)
    assert team.places() == set(places)


def test_a_secret_with_all_that_may_be_in_it_is_none_that_the_api_server_refuses():
    room = LARGEST - len(b'{"auths":{"a":{"auth":""}}}')
    password = "p" * (room // 4 * 3 - len("u:"))
    content = Content.of_entries([known("a", password, NOW)])
    assert LARGEST - 4 < len(content.content) <= LARGEST
    assert len(content.content) + len(content.ends) <= 1 << 20
